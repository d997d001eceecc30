"""The light on a mask: estimated from the wearer's skin, sharpened to lamps for the gloss, cast into shadows."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.masks.filter import box, dot, shifted
from spooflab.generators.face import PARSING, Face
from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.geometry.head_basis import head_basis
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.geometry.light import LUMINANCE, Light, estimate_light, shading
from spooflab.generators.instruments.ggx import directional_albedo, lamp_gloss

_BARE = tuple(PARSING.index(name) for name in ("skin", "nose"))
_LEAST_FRONT = 0.3
_MARCH = (1.5, 3.0, 5.0, 8.0, 12.0, 17.0, 23.0, 30.0)
"""Distances in millimetres at which a ray towards the lamp is tested against the depth map."""


@dataclass(frozen=True, eq=False)
class Lamp:
    """One source of highlights.

    Attributes:
        direction: (3,) unit vector towards it, camera axes.
        colour: (3,) irradiance on a facing surface.
        radius_rad: angular radius.
    """

    direction: Tensor
    colour: Tensor
    radius_rad: float


@lru_cache(maxsize=1)
def _skin_vertices() -> tuple[Tensor, Tensor]:
    """Return coarse vertices of smooth bare skin, and the weight of each (areas where hair may hang count less)."""
    count = len(head_basis().mean) // 3 - 4
    rest = head_model().rest[:count]
    x, y, z = rest.unbind(1)
    ax = x.abs()
    face = (y > -100) & (y < 56) & (z > -38)
    eyes = ((ax - 30) / 20).square() + ((y + 1) / 12).square() < 1
    brows = (ax > 6) & (ax < 55) & (y > 8) & (y < 26)
    mouth = (ax < 28) & (y < -54) & (y > -83)
    nostrils = (ax < 16) & (y < -40) & (y > -52) & (z < 34)
    index = (face & ~eyes & ~brows & ~mouth & ~nostrils).nonzero()[:, 0]
    weight = torch.where((y > 30) | (z < -25), 0.6, 1.0)
    return index, weight[index]


def vertex_light(face: Face, fit: HeadFit) -> Light:
    """Return the light on a batch of one: `estimate_light` on the fitted head's vertices instead of its pixels."""
    index, weight = _skin_vertices()
    points, normals = fit.points.index_select(0, index), fit.normals.index_select(0, index)
    size = torch.tensor([face.size[1], face.size[0]])
    at = fit.project(points) / size * 2 - 1
    eye = -points / points.norm(dim=1, keepdim=True)
    seen = ((normals * eye).sum(1) > 0.25) & (at.abs().amax(1) < 1)
    weight = weight * seen
    grid = at[None, None]
    if face.parsing is not None:
        label = F.grid_sample(face.parsing.float(), grid, "nearest", "border", align_corners=False)[0, 0, 0]
        weight = weight * ((label == _BARE[0]) | (label == _BARE[1]))
    colour = F.grid_sample(face.radiance, grid, "bilinear", "border", align_corners=False)[0]
    return estimate_light(colour, normals.T[:, None], weight[None])


def lamps(light: Light, direction: Tensor, share: Tensor, radius_rad: Tensor) -> tuple[Lamp, ...]:
    """Return the lamps that a surface mirrors: the estimated key and drawn ones.

    What skin tells of the light is blurred; a room's lamps and windows are not. The key keeps its estimated direction,
    as far as a face towards the camera can mirror it, and every lamp is a share of the light that the face receives.

    Args:
        light: estimated.
        direction: (L, 3) unit vectors towards further lamps.
        share: (1 + L,) irradiance of the key at least, and of the others, relative to a surface that faces the camera.
        radius_rad: (1 + L,) angular radii.
    """
    luma = torch.tensor(LUMINANCE)
    facing = shading(light, torch.tensor([0.0, 0.0, -1.0]).reshape(3, 1))[:, 0]
    key = light.key_direction.clone()
    key[2] = torch.minimum(key[2], torch.tensor(-_LEAST_FRONT))
    key = key / key.norm()
    level = max(float(light.key_irradiance @ luma), float(share[0] * (facing @ luma)))
    tint = facing / (facing @ luma).clamp(min=1e-4)
    out = [Lamp(key, tint * min(level, 1.2 * float(facing @ luma)), float(radius_rad[0]))]
    for k in range(len(direction)):
        out.append(Lamp(direction[k], facing * float(share[k + 1]), float(radius_rad[k + 1])))
    return tuple(out)


def gloss(
    light: Light,
    sources: tuple[Lamp, ...],
    normal: Tensor,
    eye: Tensor,
    lobes: tuple[tuple[float, float], ...],
    f0: float,
    lit: Tensor,
) -> Tensor:
    """Return (3, h, w): the lamps' GGX highlights, and the rest of the room as the blurred light knows it.

    Args:
        light: the estimate; its mean is what the room sends.
        sources: lamps; the first is the key.
        normal: (3, h, w) unit vectors; eye: those towards the camera.
        eye: see `normal`.
        lobes: GGX roughness and weight of each lobe; weights add up to 1.
        f0: reflectance at normal incidence.
        lit: (h, w) share of the key that arrives.
    """
    n_v = dot(normal, eye).clamp_(min=0.02)
    room = shading(light, 2 * n_v * normal - eye)
    out = room.mul_(directional_albedo(n_v, lobes[0][0], f0).mul_(0.8))
    for k, lamp in enumerate(sources):
        if float(lamp.colour.amax()) <= 0:
            continue
        toward = lamp.direction[:, None, None]
        n_l, v_l = dot(normal, toward), dot(eye, toward)
        shine = torch.zeros_like(n_v)
        for alpha, weight in lobes:
            shine.add_(lamp_gloss(n_l, n_v, v_l, alpha, f0, lamp.radius_rad), alpha=weight)
        if k == 0:
            shine *= lit
        out.addcmul_(shine, lamp.colour[:, None, None])
    return out


def eye_vectors(fit: HeadFit, rows: slice, columns: slice) -> Tensor:
    """Return (3, h, w) unit vectors from what the pixels of a window see towards the camera."""
    x = (torch.arange(columns.start, columns.stop) + 0.5 - fit.centre_px[0]) / fit.focal_px
    y = (torch.arange(rows.start, rows.stop) + 0.5 - fit.centre_px[1]) / fit.focal_px
    down = y[:, None]
    scale = -torch.rsqrt(x * x + down * down + 1)
    return torch.stack([scale * x, scale * down, scale])


def cast_shadow(depth_mm: Tensor, toward: Tensor, mm_per_px: float) -> Tensor:
    """Return (h, w) in [0, 1]: how much of a lamp the surface's own relief hides, marched over the depth map.

    A ray from each point towards the lamp is compared with the surface at a few distances (screen-space shadows);
    half the resolution is enough, for shadows of noses and brows are soft.

    Args:
        depth_mm: (h, w), `inf` where there is nothing.
        toward: (3,) unit vector towards the lamp.
        mm_per_px: scale at the surface.
    """
    small = depth_mm[::2, ::2].clamp(max=1e5)
    hidden = torch.zeros_like(small)
    scale = 2 * mm_per_px
    for far in _MARCH:
        there = shifted(small, round(float(toward[0]) * far / scale), round(float(toward[1]) * far / scale))
        # Positive: the surface is nearer to the camera than the ray.
        over = (small - there).add_(float(toward[2]) * far)
        # Thicker than a head is no occluder: the ray has passed behind the silhouette.
        behind = over < 40
        hidden = torch.maximum(hidden, over.sub_(0.6).div_(0.4 + 0.08 * far).clamp_(0, 1).mul_(behind))
    smooth = box(hidden, 2)[None, None]
    return F.interpolate(smooth, scale_factor=2, mode="bilinear", align_corners=False)[
        0, 0, : depth_mm.shape[0], : depth_mm.shape[1]
    ]


def edge_occlusion(distance_mm: Tensor, height_mm: float) -> Tensor:
    """Return the share of a uniform sky that a long wall of `height_mm` at `distance_mm` takes from a flat surface.

    The form factor from a horizontal element to an endless perpendicular wall: (1 - s / sqrt(s^2 + h^2)) / 2.
    """
    s = distance_mm.clamp(min=0)
    return 0.5 * (1 - s / torch.sqrt(s * s + height_mm * height_mm + 1e-9))
