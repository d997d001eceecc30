"""Layers drawn over the surface: hair on the face, lenses, hair on the head."""

import torch
from torch import Tensor

from spooflab.generators.faces.procedural import facehair, glasses, raster, skin, strands
from spooflab.generators.faces.procedural.light import Lighting, ShadowMap
from spooflab.generators.faces.procedural.params import IdentityParams
from spooflab.generators.faces.procedural.resolve import Maps
from spooflab.generators.faces.procedural.scene import Scene
from spooflab.generators.faces.procedural.shading import CLASS
from spooflab.generators.faces.procedural.shape import Camera, Head, turned
from spooflab.generators.faces.procedural.strands import HairLayer, Strands
from spooflab.generators.faces.procedural.vectors import unit


def face_hair(
    image: Tensor,
    head: Head,
    identity: IdentityParams,
    turn: Tensor,
    light: Lighting,
    shadows: ShadowMap,
    view: Camera,
    near: Tensor,
    maps: Maps,
    level: float,
) -> Tensor:
    """Draw brows, lashes and beard over the (size², 3) image; `near` is the depth of the surface."""
    grown = facehair.grow(head, identity)
    posed = strands.turned_strands(grown.strands, turn)
    toward = unit(torch.tensor([0.0, 0.0, view.distance_mm]) - posed.points[:, 0])
    facing = (posed.outward[:, 0] * toward).sum(1)
    shown = facing > -0.15
    shown = shown.nonzero()[:, 0]
    posed = _some(posed, shown)
    width, beard = grown.width_mm.index_select(0, shown), grown.beard.index_select(0, shown)
    flat = strands.pick(posed, torch.arange(posed.points.shape[0] * posed.points.shape[1]))
    lit = shadows.lit(flat.world, flat.outward, 0.6)
    radiance = (strands.shade(flat, view.distance_mm, light, lit, 0.35) * level).reshape(posed.points.shape)
    for kind, name in ((False, "brows"), (True, "beard")):
        pick = (beard == kind).nonzero()[:, 0]
        if len(pick) == 0:
            continue
        some, light_out = _some(posed, pick), radiance.index_select(0, pick)
        colour, cover = strands.soft(some, light_out, view, near, width.index_select(0, pick))
        # Few pixels have hair: the rest of the image is left alone.
        at = ((cover > 0) & (maps.label != 0)).nonzero()[:, 0]
        cover, under = cover.index_select(0, at), image.index_select(0, at)
        image.index_copy_(0, at, torch.lerp(under, colour.index_select(0, at), cover[:, None]))
        label = maps.label.index_select(0, at)
        named = (cover > 0.33) & (label != CLASS["eyes"]) & (label != CLASS["glasses"])
        if not kind:
            named &= _above_eyes(head, turn, view, at)
        maps.label.index_fill_(0, at[named], CLASS[name])
    return image


def _some(hairs: Strands, index: Tensor) -> Strands:
    """Return some of the strands."""
    fields = (hairs.points, hairs.colour, hairs.outward, hairs.shelter)
    return Strands(*(values.index_select(0, index) for values in fields))


def _above_eyes(head: Head, turn: Tensor, view: Camera, cell: Tensor) -> Tensor:
    """Return which of the (N,) pixels lie above the middle of eye and brow, where dark hair is brow and not lashes."""
    eyes_at = turned(head.eye_centre + torch.tensor([0.0, 9.0, 15.0]), turn)
    pixel, _ = view.project(eyes_at)
    column = cell % view.size
    row = torch.div(cell, view.size, rounding_mode="floor")
    slope = (pixel[0, 1] - pixel[1, 1]) / (pixel[0, 0] - pixel[1, 0])
    return row + 0.5 < pixel[1, 1] + (column + 0.5 - pixel[1, 0]) * slope


def lenses(image: Tensor, scene: Scene, view: Camera, light: Lighting, level: float) -> Tensor:
    """Lay the mirror of the glasses' lenses over the image."""
    if scene.lenses is None:
        return image
    axis = torch.arange(view.size) + 0.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([x.reshape(-1), y.reshape(-1)], 1)
    for lens in scene.lenses:
        outline, _ = view.project(lens)
        low, high = outline.amin(0) - 1, outline.amax(0) + 1
        index = ((grid > low) & (grid < high)).all(1).nonzero()[:, 0]
        cover = glasses.inside_lens(grid[index], outline[::2])
        span = (grid[index] - low) / (high - low)
        streak = skin.step((span[:, 0] * 0.8 + span[:, 1] - 0.75).abs(), 0.22, 0.02) * 0.035 + 0.012
        veil = (light.sky * level)[None] * streak[:, None] + (1 - 0.05) * image[index]
        image = image.index_copy(0, index, torch.lerp(image[index], veil, cover[:, None]))
    return image


def splat_hair(locks: Strands, keys: Tensor, view: Camera) -> HairLayer:
    """Find where the hair of the head is in front; `keys` are the surface's keys on the twofold grid."""
    fine = view.scaled(2)
    hidden = torch.where(keys == raster.EMPTY, torch.full((), 1e5), raster.unpack(keys)[0])
    width = max(1, round(0.5 * fine.focal_px / view.distance_mm))
    return strands.splat(locks, fine, hidden + 1.5, width)


def buried(layer: HairLayer, size: int) -> Tensor:
    """Return (4·size²,) the cells of pixels that hair covers whole: nothing under them needs shading."""
    hit = torch.zeros(4 * size * size, dtype=torch.bool)
    hit[layer.cell] = True
    whole = hit.reshape(size, 2, size, 2).all(3, keepdim=True).all(1, keepdim=True)
    return whole.expand(size, 2, size, 2).reshape(-1)


def head_hair(
    image: Tensor,
    locks: Strands,
    layer: HairLayer,
    light: Lighting,
    shadows: ShadowMap,
    view: Camera,
    maps: Maps,
    level: float,
) -> Tensor:
    """Draw the hair of the head over the image."""
    fine = view.scaled(2)
    # Only points next to a visible hit are shaded.
    used = torch.zeros(locks.points.shape[0] * locks.points.shape[1], dtype=torch.bool)
    used[layer.first] = True
    used[layer.first + 1] = True
    index = used.nonzero()[:, 0]
    number = used.cumsum(0) - 1
    points = strands.pick(locks, index)
    lit = shadows.lit(points.world + points.outward * 6, points.outward, 1.0)
    table = torch.cat([strands.shade(points, view.distance_mm, light, lit, 0.6) * level, points.outward], 1)
    first = number.index_select(0, layer.first)
    mixed = torch.lerp(table.index_select(0, first), table.index_select(0, first + 1), layer.share[:, None])
    row, column = torch.div(layer.cell, fine.size, rounding_mode="floor"), layer.cell % fine.size
    cell = torch.div(row, 2, rounding_mode="floor") * view.size + torch.div(column, 2, rounding_mode="floor")
    rows = torch.cat([mixed, layer.depth[:, None], torch.ones(len(cell), 1)], 1) * 0.25
    pooled = torch.zeros(view.size**2, 8)
    corner = row % 2 * 2 + column % 2
    for k in range(4):
        # Within one corner of the twofold grid each pixel occurs once.
        some = (corner == k).nonzero()[:, 0]
        at = cell.index_select(0, some)
        pooled.index_copy_(0, at, pooled.index_select(0, at) + rows.index_select(0, some))
    cover = pooled[:, 7:]
    image = image * (1 - cover) + pooled[:, :3]
    front = (cover[:, 0] >= 0.5).nonzero()[:, 0]
    maps.label[front] = CLASS["hair"]
    maps.depth[front] = view.distance_mm - pooled[front, 6] / cover[front, 0]
    maps.normal[front] = unit(pooled[front, 3:6])
    return image
