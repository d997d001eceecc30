"""A wig on a fitted head: strands grown on an inflated scalp, drawn at twice the picture's resolution."""

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.faces.procedural import hair as hair_model
from spooflab.generators.faces.procedural import strands
from spooflab.generators.faces.procedural.light import Lamp, Lighting
from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.faces.procedural.noise import hashed
from spooflab.generators.faces.procedural.params import HAIR_STYLES, IdentityParams, NuisanceParams
from spooflab.generators.faces.procedural.sample import sample_identity, sample_nuisance
from spooflab.generators.faces.procedural.shape import Camera, Head
from spooflab.generators.faces.procedural.strands import Strands
from spooflab.generators.geometry import Geometry, Light, shading
from spooflab.seeds import generator

_FLIP = torch.tensor([1.0, -1.0, -1.0])
_FINE = 2
_ROOTS_PER_PX = 12
"""Strands for each pixel of the picture's width; what they leave open is filled by the depth of the hair."""


@dataclass(frozen=True)
class Cut:
    """How one wig is cut and worn.

    Attributes:
        style: name of `procedural.hair.STYLES`.
        line_mm: height of the front edge against a grown hairline, negative lower.
        cap_mm: thickness of cap and own hair below.
        volume, length, wave, part: as in `IdentityParams`.
        seed: of the strands.
    """

    style: str
    line_mm: float
    cap_mm: float
    volume: float
    length: float
    wave: float
    part: float
    seed: int


@dataclass(frozen=True)
class Fibre:
    """What the hair is made of.

    Attributes:
        colour: (3,) albedo.
        second: (3,) albedo of streaks.
        streaks: share of the locks that have the second colour.
        uniform: 0 as varied as grown hair, 1 all alike.
        gloss: strength of the highlights.
        whiteness: share of them that the fibre does not tint.
    """

    colour: Tensor
    second: Tensor
    streaks: float
    uniform: float
    gloss: float
    whiteness: float


@dataclass(frozen=True)
class HairPicture:
    """Hair over a picture.

    Attributes:
        radiance: (3, H, W) premultiplied by `cover`.
        cover: (H, W) share of each pixel.
        depth_mm: (H, W) of the hair, `inf` without.
        normals: (3, H, W) camera axes, 0 without.
    """

    radiance: Tensor
    cover: Tensor
    depth_mm: Tensor
    normals: Tensor


def grow_wig(geometry: Geometry, cut: Cut, fibre: Fibre, *, with_variety: bool) -> Strands:
    """Return the wig's strands in camera axes turned to a world of y up and z towards the camera, at its pinhole."""
    fit, model = geometry.fit, head_model()
    count = len(model.rest)
    local = fit.local[:count]
    normals = fit.normals[:count] @ fit.rotation
    points = local + normals * (cut.cap_mm * _under_cap())[:, None]
    head = Head(points, normals, fit.eyes[:, :3], fit.eyes[:, 3])
    identity, nuisance = _template()
    one = torch.ones(1)
    identity = dataclasses.replace(
        identity,
        hair_style=torch.tensor([HAIR_STYLES.index(cut.style)]),
        hairline=one * (0.2 + cut.line_mm / 22),
        masculinity=one * 0.15,
        hair_volume=one * cut.volume,
        hair_length=one * cut.length,
        hair_wave=one * cut.wave,
        hair_part=one * cut.part,
        hair_seed=torch.tensor([cut.seed]),
    )
    nuisance = dataclasses.replace(nuisance, hair_mess=torch.tensor([cut.seed >> 20]))
    turn = _FLIP[:, None] * fit.rotation
    pixels = geometry.maps.cover.shape[-1]
    grown = hair_model.grow(model, head, identity, nuisance, turn, min(hair_model.ROOTS, _ROOTS_PER_PX * pixels))
    assert grown is not None
    return Strands(
        fit.to_camera(grown.points) * _FLIP,
        _colours(fibre, grown.points[:, 0], cut.seed, with_variety=with_variety),
        (grown.outward @ fit.rotation.T) * _FLIP,
        grown.shelter,
    )


def draw_wig(locks: Strands, geometry: Geometry, fibre: Fibre, behind: Tensor, *, gloss: float) -> HairPicture:
    """Draw strands where they are nearer than `behind` (H, W), in the fit's millimetres.

    Args:
        locks: from `grow_wig`.
        geometry: whose camera and light they are seen by.
        fibre: gives the highlights' tint.
        behind: distance of everything else, `inf` for background.
        gloss: strength of the highlights; 0 for none.
    """
    fit = geometry.fit
    height, width = behind.shape
    side = max(height, width)
    camera = Camera(0.0, fit.focal_px, fit.centre_px, side)
    padded = F.pad(behind, (0, side - width, 0, side - height), value=1e5).clamp(max=1e5)
    fine = padded.repeat_interleave(_FINE, 0).repeat_interleave(_FINE, 1).reshape(-1)
    view = camera.scaled(_FINE)
    thick = max(1, round(0.5 * view.focal_px / float(fit.translation_mm[2])))
    layer = strands.splat(locks, view, fine + 1.5, thick)
    rows = _shaded(locks, layer, geometry, fibre, gloss)
    row = torch.div(layer.cell, view.size, rounding_mode="floor")
    column = layer.cell - row * view.size
    cell = torch.div(row, _FINE, rounding_mode="floor") * side + torch.div(column, _FINE, rounding_mode="floor")
    values = torch.cat([rows, layer.depth[:, None], torch.ones(len(rows), 1)], 1).mul_(1 / _FINE**2)
    pooled = torch.zeros(side * side, 8).index_add_(0, cell, values).T.reshape(8, side, side)[:, :height, :width]
    pooled = pooled.contiguous()
    cover = pooled[7]
    seen = cover > 0
    depth = torch.where(seen, pooled[6] / cover.clamp(min=1e-6), torch.inf)
    normals = pooled[3:6] * _FLIP[:, None, None]
    normals = torch.where(seen, normals / normals.square().sum(0).clamp(min=1e-9).sqrt(), 0.0)
    return HairPicture(pooled[:3], cover, depth, normals)


def lighting_of(light: Light) -> Lighting:
    """Return an estimated light as the hair's shader wants it: one lamp, and ambient light from above and below."""
    toward = light.key_direction * _FLIP
    lamp = Lamp(toward, light.key_irradiance, 1 - light.key_share)
    poles = torch.tensor([[0.0, 0.0], [-1.0, 1.0], [-0.3, -0.3]])
    poles = poles / poles.norm(dim=0)
    total = shading(light, poles)
    direct = light.key_irradiance[:, None] * (light.key_direction @ poles).clamp(min=0)
    rest = torch.maximum(total - direct, 0.12 * total)
    return Lighting((lamp,), rest[:, 0] * 1.1, rest[:, 1] * 1.1)


def _shaded(locks: Strands, layer: strands.HairLayer, geometry: Geometry, fibre: Fibre, gloss: float) -> Tensor:
    """Return (N, 6) radiance and outward normals of the hits."""
    used = torch.zeros(locks.points.shape[0] * locks.points.shape[1], dtype=torch.bool)
    used[layer.first] = True
    used[layer.first + 1] = True
    index = used.nonzero()[:, 0]
    number = used.cumsum(0) - 1
    points = strands.pick(locks, index)
    light = lighting_of(geometry.light)
    lit = torch.ones(len(index))
    diffuse = strands.shade(points, 0.0, light, lit, 0.0)
    out = diffuse
    if gloss > 0:
        tinted = strands.shade(points, 0.0, light, lit, gloss) - diffuse
        white = tinted.mean(1, keepdim=True) / points.colour.mean(1, keepdim=True).clamp(min=0.05) * 0.30
        # Smooth synthetic fibre reflects the lamp's own colour.
        out = diffuse + torch.lerp(tinted, white.expand_as(tinted), fibre.whiteness)
    table = torch.cat([out, points.outward], 1)
    first = number.index_select(0, layer.first)
    return torch.lerp(table.index_select(0, first), table.index_select(0, first + 1), layer.share[:, None])


def _colours(fibre: Fibre, roots: Tensor, seed: int, *, with_variety: bool) -> Tensor:
    """Return (S, 3) albedo of strands with (S, 3) roots; streaks take whole wefts of 9 mm."""
    count = len(roots)
    index = torch.arange(count)
    salt = seed & 0xFFFF
    base = fibre.colour.expand(count, 3)
    if with_variety:
        weft = torch.div(roots, 9.0, rounding_mode="floor").long() & 0xFF
        second = (hashed(weft[:, 0] + (weft[:, 1] << 8), 3 + salt) < fibre.streaks)[:, None]
        base = torch.where(second, fibre.second.expand(count, 3), base)
    spread = 0.10 + 0.55 * (1 - fibre.uniform)
    return base * torch.exp(spread * (hashed(index, 5 + salt) - 0.5))[:, None]


@lru_cache(maxsize=1)
def _under_cap() -> Tensor:
    """Return (V,) shares: 1 under the cap, 0 on the face, for the fine vertices."""
    with torch.inference_mode(False):
        return ((hair_model.scalp_depth(head_model().rest, 0.2) + 4) / 12).clamp(0, 1)


@lru_cache(maxsize=1)
def _template() -> tuple[IdentityParams, NuisanceParams]:
    with torch.inference_mode(False):
        draws = generator(0, "wig template")
        return sample_identity(1, draws), sample_nuisance(1, draws)
