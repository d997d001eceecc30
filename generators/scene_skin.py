"""The skin, nails and sleeve of a hand: albedo, mottling, and how they shine."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.constant import constant
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
    """The maps of hands' surfaces and the slopes of their relief: (N,) points of one hand, or (B, 1, N) of a batch."""

    slope_x: Tensor
    slope_y: Tensor
    texture: Tensor
    nail: Tensor
    rim: Tensor
    free: Tensor
    tip: Tensor
    crease: Tensor
    sleeve: Tensor


class Surroundings(NamedTuple):
    """What lights hands and what they are made of; one hand's, or a batch's with B before everything.

    Attributes:
        direction: (3,) of the key light.
        key, ambient: (3, 1) illumination.
        key_mean, ambient_mean: numbers, or (B, 1, 1).
        skin, sleeve: (3, 1) albedo.
    """

    direction: Tensor
    key: Tensor
    ambient: Tensor
    key_mean: Tensor | float
    ambient_mean: Tensor | float
    skin: Tensor
    sleeve: Tensor

    @classmethod
    def one(cls, params: SceneParams) -> Surroundings:
        """Return those of a batch of one, without its axis."""
        key, ambient = params.key_rgb, params.ambient_rgb
        return cls(params.key_direction[0], key[0, :, None], ambient[0, :, None], float(key.mean()),
                   float(ambient.mean()), params.skin_rgb[0, :, None], params.sleeve_rgb[0, :, None])  # fmt: skip

    @classmethod
    def each(cls, params: SceneParams) -> Surroundings:
        """Return those of every row."""
        key, ambient = params.key_rgb[..., None], params.ambient_rgb[..., None]
        return cls(params.key_direction, key, ambient, key.mean(1, keepdim=True), ambient.mean(1, keepdim=True),
                   params.skin_rgb[..., None], params.sleeve_rgb[..., None])  # fmt: skip


def light_up(spots: Spots, normal: Tensor, around: Surroundings) -> Tensor:
    """Return (3, N) radiance of spots with unit normals (3, N), lit by one sample's room; or (B, 3, N)."""
    light, device = around.direction, normal.device
    toward = (-normal.narrow(-2, 2, 1)).clamp(0, 1)
    cosine = _dot(light, normal)
    # Light that enters skin comes out redder and further on: the terminator is soft and red.
    wrap = constant((0.32, 0.16, 0.10), device)[:, None]
    key = ((cosine + wrap) / (1 + wrap)).clamp_(min=0)
    occlusion = 0.45 + 0.55 * toward
    over = 0.5 + 0.5 * (-normal.narrow(-2, 1, 1)).clamp(-1, 1)  # more comes from above than from below
    arriving = around.key * key + around.ambient * (occlusion * (0.7 + 0.5 * over))
    half = light - constant((0.0, 0.0, 1.0), device)
    shine = _dot(half / half.norm(dim=-1, keepdim=True), normal).clamp(min=0)
    bright = spots.nail * toward.square().square() * over
    gloss = (0.035 * shine**18 + 0.30 * spots.nail * shine**70 + 0.05 * bright) * (1 - spots.sleeve)
    spark = around.key_mean * gloss + 0.02 * around.ambient_mean * spots.nail
    return _albedo(spots, around).mul_(arriving).add_(spark)


def _dot(direction: Tensor, normal: Tensor) -> Tensor:
    """Return (1, N) or (B, 1, N): the cosines of a direction with unit normals."""
    return (direction @ normal)[None] if direction.ndim == 1 else torch.bmm(direction[:, None], normal)


def _albedo(spots: Spots, around: Surroundings) -> Tensor:
    skin, texture, device = around.skin, spots.texture, spots.texture.device
    blood = constant((1.08, 0.80, 0.78), device)[:, None]
    tint = (0.55 * spots.tip + 0.10 * texture).clamp(-0.3, 1)
    base = skin * ((blood - 1) * tint + 1) * (1 + 0.05 * texture - 0.13 * spots.crease)
    bed = skin * constant((1.12, 0.98, 0.98), device)[:, None] + constant((0.05, 0.022, 0.022), device)[:, None]
    white = skin * 0.35 + constant((0.42, 0.39, 0.35), device)[:, None]
    nail = bed + (white - bed) * spots.free
    base = torch.lerp(base, nail, spots.nail).mul_(1 - 0.30 * spots.rim)
    cloth = around.sleeve * (1 + 0.15 * texture)
    return torch.lerp(base, cloth, spots.sleeve)


def skin_texture(params: SceneParams, uv: Tensor) -> Tensor:
    """Return (1, h, w) mottling of about unit variance, fixed to the hand; one sample's."""
    shift = _shift(int(params.seed))
    scale, side = 1 / _SKIN_TEXEL_MM, _SKIN_TILE
    column, row = (
        (uv[..., axis] * scale).add_((shift[axis] + 64) * side).to(torch.int32).bitwise_and_(side - 1)
        for axis in range(2)
    )
    return _skin_tile(uv.device).index_select(0, row.mul_(side).add_(column).flatten()).reshape(uv.shape[:-1])


def skin_shifts(params: SceneParams, device: torch.device) -> Tensor:
    """Return (B, 2) texels by which each row's seed moves the mottling; read on the host, sent to `device`."""
    shifts = [[(s + 64) * _SKIN_TILE for s in _shift(seed)] for seed in params.seed.tolist()]
    return torch.tensor(shifts).to(device, non_blocking=True)


def skin_textures(shift: Tensor, uv: Tensor) -> Tensor:
    """Return (B, h, w): `skin_texture` of every row, whose mottling `shift` (B, 2) texels move."""
    texel = (uv / _SKIN_TEXEL_MM + shift[:, None, None]).to(torch.int32) & (_SKIN_TILE - 1)
    place = texel[..., 1] * _SKIN_TILE + texel[..., 0]
    return _skin_tile(uv.device).index_select(0, place.flatten()).reshape(place.shape)


def _shift(seed: int) -> list[float]:
    shift: list[float] = torch.rand(2, generator=named_generator(seed, "skin")).tolist()
    return shift


@lru_cache(maxsize=4)
def _skin_tile(device: torch.device) -> Tensor:
    """Return a flat periodic tile of mottling: three octaves, about 12, 4.5 and 1.9 mm large."""
    with torch.inference_mode(False):
        gen = named_generator(0, "skin")
        total = torch.zeros(_SKIN_TILE, _SKIN_TILE)
        for octave, weight in ((12.0, 0.6), (4.5, 0.5), (1.9, 0.4)):
            cells = round(_SKIN_TILE * _SKIN_TEXEL_MM / octave)
            field = F.pad(torch.randn(1, 1, cells, cells, generator=gen), (0, 1, 0, 1), mode="circular")
            fine = F.interpolate(field, size=(_SKIN_TILE + 1, _SKIN_TILE + 1), mode="bilinear", align_corners=True)
            total += weight * fine[0, 0, :-1, :-1]
        return total.flatten().to(device)
