"""The skin, nails and sleeve of a hand: albedo, mottling, and how they shine."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.seeds import generator as named_generator

if TYPE_CHECKING:
    from spooflab.generators.scene import SceneParams

_SKIN_TILE, _SKIN_TEXEL_MM = 256, 0.5
_LIGHT = torch.tensor([0.60, 0.36, 0.26]).log()
_DARK = torch.tensor([0.085, 0.042, 0.026]).log()


def skin_albedo(melanin: Tensor, warmth: Tensor) -> Tensor:
    """Return (B, 3) linear albedo of skin from `melanin` 0-1 (pale to deep) and `warmth` -1...1 (sallow to ruddy)."""
    rgb = (_LIGHT + (_DARK - _LIGHT) * melanin[:, None]).exp()
    return rgb * torch.stack([1 + 0.05 * warmth, 1 - 0.02 * warmth, 1 - 0.08 * warmth], -1)


class Spots(NamedTuple):
    """The maps of a hand's surface and the slopes of its relief at the points (N,) that the hand covers."""

    slope_x: Tensor
    slope_y: Tensor
    texture: Tensor
    nail: Tensor
    rim: Tensor
    free: Tensor
    tip: Tensor
    crease: Tensor
    sleeve: Tensor


def light_up(spots: Spots, normal: Tensor, params: SceneParams) -> Tensor:
    """Return (3, N) radiance of spots with unit normals (3, N), lit by one sample's room."""
    light = params.key_direction[0]
    toward = (-normal[2]).clamp(0, 1)
    cosine = light @ normal
    # Light that enters skin comes out redder and further on: the terminator is soft and red.
    wrap = torch.tensor([0.32, 0.16, 0.10])[:, None]
    key = ((cosine + wrap) / (1 + wrap)).clamp_(min=0)
    occlusion = 0.45 + 0.55 * toward
    over = 0.5 + 0.5 * (-normal[1]).clamp(-1, 1)  # more comes from above than from below
    around = occlusion * (0.7 + 0.5 * over)
    arriving = params.key_rgb[0, :, None] * key + params.ambient_rgb[0, :, None] * around
    half = light - torch.tensor([0.0, 0.0, 1.0])
    shine = ((half / half.norm()) @ normal).clamp(min=0)
    bright = spots.nail * toward.square().square() * over
    gloss = (0.035 * shine**18 + 0.30 * spots.nail * shine**70 + 0.05 * bright) * (1 - spots.sleeve)
    spark = float(params.key_rgb.mean()) * gloss + 0.02 * float(params.ambient_rgb.mean()) * spots.nail
    return _albedo(spots, params).mul_(arriving).add_(spark)


def _albedo(spots: Spots, params: SceneParams) -> Tensor:
    skin, texture = params.skin_rgb[0, :, None], spots.texture
    blood = torch.tensor([1.08, 0.80, 0.78])[:, None]
    tint = (0.55 * spots.tip + 0.10 * texture).clamp(-0.3, 1)
    base = skin * ((blood - 1) * tint + 1) * (1 + 0.05 * texture - 0.13 * spots.crease)
    bed = skin * torch.tensor([1.12, 0.98, 0.98])[:, None] + torch.tensor([0.05, 0.022, 0.022])[:, None]
    white = skin * 0.35 + torch.tensor([0.42, 0.39, 0.35])[:, None]
    nail = bed + (white - bed) * spots.free
    base = torch.lerp(base, nail, spots.nail).mul_(1 - 0.30 * spots.rim)
    cloth = params.sleeve_rgb[0, :, None] * (1 + 0.15 * texture)
    return torch.lerp(base, cloth, spots.sleeve)


def skin_texture(params: SceneParams, uv: Tensor) -> Tensor:
    """Return (1, h, w) mottling of about unit variance, fixed to the hand; one sample's."""
    shift = torch.rand(2, generator=named_generator(int(params.seed), "skin")).tolist()
    scale, side = 1 / _SKIN_TEXEL_MM, _SKIN_TILE
    column, row = (
        (uv[..., axis] * scale).add_((shift[axis] + 64) * side).to(torch.int32).bitwise_and_(side - 1)
        for axis in range(2)
    )
    return _skin_tile().index_select(0, row.mul_(side).add_(column).flatten()).reshape(uv.shape[:-1])


@lru_cache(maxsize=1)
def _skin_tile() -> Tensor:
    """Return a flat periodic tile of mottling: three octaves, about 12, 4.5 and 1.9 mm large."""
    with torch.inference_mode(False):
        gen = named_generator(0, "skin")
        total = torch.zeros(_SKIN_TILE, _SKIN_TILE)
        for octave, weight in ((12.0, 0.6), (4.5, 0.5), (1.9, 0.4)):
            cells = round(_SKIN_TILE * _SKIN_TEXEL_MM / octave)
            field = F.pad(torch.randn(1, 1, cells, cells, generator=gen), (0, 1, 0, 1), mode="circular")
            fine = F.interpolate(field, size=(_SKIN_TILE + 1, _SKIN_TILE + 1), mode="bilinear", align_corners=True)
            total += weight * fine[0, 0, :-1, :-1]
        return total.flatten()
