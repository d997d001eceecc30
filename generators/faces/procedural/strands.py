"""Hair as strands: shading, opaque splatting of head hair, and soft splatting of brows, lashes and beards."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.faces.procedural import raster
from spooflab.generators.faces.procedural.light import Lighting, ambient
from spooflab.generators.faces.procedural.shape import Camera, turned
from spooflab.generators.faces.procedural.vectors import dot, unit


@dataclass(frozen=True)
class Strands:
    """S hairs of K points.

    Attributes:
        points: (S, K, 3) world millimetres, root first.
        colour: (S, 3) albedo.
        outward: (S, K, 3) unit normals of the hair's mass.
        shelter: (S, K) 0 buried … 1 on the outside.
    """

    points: Tensor
    colour: Tensor
    outward: Tensor
    shelter: Tensor


def turned_strands(locks: Strands, turn: Tensor) -> Strands:
    """Return strands of the head's own frame in the world."""
    return Strands(turned(locks.points, turn), locks.colour, locks.outward @ turn.T, locks.shelter)


@dataclass(frozen=True)
class Points:
    """Points picked from strands, one row each, ready for shading."""

    world: Tensor
    tangent: Tensor
    colour: Tensor
    outward: Tensor
    shelter: Tensor


def pick(strands: Strands, index: Tensor) -> Points:
    """Return the points at flat (S·K) positions with their tangents."""
    steps = strands.points.shape[1]
    flat = strands.points.reshape(-1, 3)
    owner = torch.div(index, steps, rounding_mode="floor")
    place = index - owner * steps
    before = torch.where(place > 0, index - 1, index)
    after = torch.where(place < steps - 1, index + 1, index)
    tangent = unit(flat.index_select(0, after) - flat.index_select(0, before))
    return Points(
        flat.index_select(0, index),
        tangent,
        strands.colour.index_select(0, owner),
        strands.outward.reshape(-1, 3).index_select(0, index),
        strands.shelter.reshape(-1).index_select(0, index),
    )


def shade(points: Points, camera_mm: float, light: Lighting, lit: Tensor, gloss: float) -> Tensor:
    """Return (N, 3) radiance: the strand's own lobes on top of the mass's diffuse light.

    Source: Kajiya & Kay 1989; two highlights shifted along the strand after Scheuermann 2004 (Marschner et al. 2003's
    R and TRT). `lit` is (N,), the key lamp's visibility.
    """
    tangent, outward, base = points.tangent, points.outward, points.colour
    view = unit(points.world.new_tensor([0.0, 0.0, camera_mm]) - points.world)
    shelter = (points.shelter * (0.35 + 0.65 * points.shelter))[:, None]
    total = base * ambient(light, outward) * 0.9
    jitter = (base.sum(1, keepdim=True) * 977 % 1 - 0.5) * 0.16
    first, second = tangent + outward * (jitter - 0.10), tangent + outward * (jitter + 0.16)
    first, second = unit(first), unit(second)
    for k, lamp in enumerate(light.lamps):
        sine = torch.sqrt((1 - (tangent @ lamp.direction).square()).clamp(0))
        facing = ((outward @ lamp.direction + 0.3) / 1.3).clamp(0, 1)
        if k == 2:
            facing = facing * (1 - 0.6 * dot(outward, view).clamp(0, 1))
        seen = facing * lit if k == 0 else facing
        half = unit(view + lamp.direction)
        narrow, wide = _lobe(first, half, 5), _lobe(second, half, 3)
        shine = base * (0.75 * sine + gloss * 0.75 * wide)[:, None] + (gloss * 0.10 * narrow)[:, None]
        total = total + seen[:, None] * lamp.colour * shine
    return total * shelter


def _lobe(tangent: Tensor, half: Tensor, squarings: int) -> Tensor:
    """Return sin(angle) to the power 3 · 2^squarings, by products."""
    square = 1 - dot(tangent, half).square()
    base = square.clamp(min=0.03)
    for _ in range(squarings - 1):
        base = base * base
    return base * base * base


_CHUNK = 24_000
_DOTS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256, 512, 1024, 4096)
_SURFACE = (1 << raster.ID_BITS) - 1


@dataclass(frozen=True)
class HairLayer:
    """Opaque hair on the fine grid, for the N cells where it is the nearest thing.

    Attributes:
        cell: (N,) flat cells, ascending.
        depth: (N,) millimetres.
        first: (N,) flat (S·K) position of the strand point before the hit.
        share: (N,) how far the hit lies towards the next point.
    """

    cell: Tensor
    depth: Tensor
    first: Tensor
    share: Tensor


def splat(strands: Strands, camera: Camera, behind: Tensor, width_px: int) -> HairLayer:
    """Draw opaque strands where they are nearer than the (size²,) depths `behind`."""
    count, steps = strands.points.shape[:2]
    size = camera.size
    pixel, depth = camera.project(strands.points)
    x, y = pixel[..., 0].contiguous().reshape(-1), pixel[..., 1].contiguous().reshape(-1)
    z = depth.reshape(-1)
    cell = y.clamp(0, size - 1).to(torch.int64) * size + x.clamp(0, size - 1).to(torch.int64)
    inside = (x > -6) & (x < size + 6) & (y > -6) & (y < size + 6)
    seen = ((z < behind.index_select(0, cell) + 6) & inside).reshape(count, steps)
    base = torch.arange(count * steps).reshape(count, steps)[:, :-1][seen[:, 1:] | seen[:, :-1]]
    start = torch.stack([x + width_px, y + 1, z * 1000])
    low, high = start.index_select(1, base), start.index_select(1, base + 1)
    step = high.sub_(low)
    dots = torch.maximum(step[0].abs(), step[1].abs()).clamp_(max=_DOTS[-1])
    # Segments with about as many dots share one dense block of work; the stable sort fixes the order of equal depths.
    ordered, order = torch.sort(torch.searchsorted(torch.tensor(_DOTS, dtype=torch.float32), dots), stable=True)
    low, step, base = low.index_select(1, order), step.index_select(1, order), base.index_select(0, order)
    kinds, counts = torch.unique_consecutive(ordered, return_counts=True)
    # The grid has a margin for what sticks out of the frame, and starts as the surface with a number of its own.
    grid = torch.zeros(size + 2, size + 2 * width_px, dtype=torch.int64)
    inner = grid[1 : size + 1, width_px : size + width_px]
    inner.copy_(raster.pack(behind, _SURFACE).reshape(size, size))
    blocks = _blocks([_DOTS[kind] for kind in kinds.tolist()], counts.tolist())
    for begin, end, dots_each, offset in blocks:
        _splat_dots(low[:, begin:end], step[:, begin:end], dots_each, offset, width_px, grid)
    keys = inner.reshape(-1)
    hit = ((keys & _SURFACE) != _SURFACE).nonzero()[:, 0]
    depth_of, winner = raster.unpack(keys.index_select(0, hit))
    if not blocks:
        return HairLayer(hit, depth_of, hit, depth_of)
    table = torch.tensor(blocks)
    first, last, many, number = table.index_select(
        0, torch.searchsorted(table[:, 3].contiguous(), winner, right=True) - 1
    ).unbind(1)
    place = winner - number
    turn = torch.div(place, last - first, rounding_mode="floor")
    which = first + place - turn * (last - first)
    return HairLayer(hit, depth_of, base.index_select(0, which), turn / many)


def _blocks(dots: list[int], counts: list[int]) -> list[tuple[int, int, int, int]]:
    """Cut runs of segments with equal dots: first and last segment, dots of each, and the first dot's number."""
    out, first, number = [], 0, 0
    for many, count in zip(dots, counts, strict=True):
        wide = max(1, _CHUNK // many)
        for low in range(first, first + count, wide):
            high = min(low + wide, first + count)
            out.append((low, high, many, number))
            number += (high - low) * many
        first += count
    return out


def _splat_dots(low: Tensor, step: Tensor, dots: int, number: int, width_px: int, grid: Tensor) -> None:
    """Draw `dots` dots along each of N segments: (3, N) `low` and `step` are column, row and micrometres."""
    rows, columns = grid.shape
    # The segments are the last axis: inner loops over few dots would be slow.
    share = torch.arange(dots, dtype=torch.float32)[:, None] / dots
    at = torch.addcmul(low[:, None], step[:, None], share)
    column = at[0].clamp_(0, columns - width_px).to(torch.int32)
    cell = at[1].clamp_(0, rows - 1).to(torch.int32).mul_(columns).add_(column).to(torch.int64).reshape(-1)
    keys = at[2].to(torch.int64).bitwise_left_shift_(raster.ID_BITS).reshape(-1)
    keys += torch.arange(number, number + len(keys))
    flat = grid.reshape(-1)
    flat.scatter_reduce_(0, cell, keys, "amin")
    for _ in range(1, width_px):
        flat.scatter_reduce_(0, cell.add_(1), keys.add_(400 << raster.ID_BITS), "amin")


def trace(points: Tensor, camera: Camera, spacing: float) -> tuple[Tensor, Tensor, Tensor]:
    """Cut strands into dots no further than `spacing` pixels apart.

    Returns:
        (N,) flat index of each dot's first point in (S·K), (N,) share of the way to the next, (N, 3) pixel x, y, depth.
    """
    count, steps = points.shape[:2]
    pixel, depth = camera.project(points)
    flat = torch.cat([pixel, depth[..., None]], -1).reshape(-1, 3)
    length = (pixel[:, 1:] - pixel[:, :-1]).abs().amax(-1)
    inside = ((pixel > -4) & (pixel < camera.size + 4)).all(-1)
    length = torch.where(inside[:, 1:] & inside[:, :-1], length, torch.zeros(()))
    dots = torch.ceil(length / spacing).to(torch.int64).reshape(-1)
    base = (torch.arange(count)[:, None] * steps + torch.arange(steps - 1)).reshape(-1)
    segment = torch.repeat_interleave(torch.arange(len(dots)), dots)
    first = dots.cumsum(0) - dots
    share = (torch.arange(len(segment)) - first.index_select(0, segment)) / dots.index_select(0, segment)
    start = base.index_select(0, segment)
    low, high = flat.index_select(0, start), flat.index_select(0, start + 1)
    return start, share, torch.lerp(low, high, share[:, None])


def soft(strands: Strands, radiance: Tensor, camera: Camera, behind: Tensor, width_mm: Tensor) -> tuple[Tensor, Tensor]:
    """Draw thin translucent hairs that lie on a surface.

    Args:
        width_mm: (S,) thickness of each hair; it tapers towards the tip.
        behind: (size²,) depth of the surface; hairs more than 3 mm behind it do not show.

    Returns:
        (size², 3) mean radiance of the hair and (size²,) its coverage.
    """
    size = camera.size
    start, share, dots = trace(strands.points, camera, 0.5)
    steps = strands.points.shape[1]
    good = ((dots[:, :2] > 0.5) & (dots[:, :2] < size - 0.5)).all(1).nonzero()[:, 0]
    start, share, dots = start[good], share[good], dots[good]
    x, y = dots[:, 0] - 0.5, dots[:, 1] - 0.5
    x0, y0 = x.floor(), y.floor()
    fx, fy = x - x0, y - y0
    along = ((start % steps).to(torch.float32) + share) / (steps - 1)
    width = width_mm.index_select(0, torch.div(start, steps, rounding_mode="floor")) * (1 - 0.7 * along)
    weight = 0.5 * width * camera.focal_px / dots[:, 2]
    table = radiance.reshape(-1, 3)
    colour = torch.lerp(table.index_select(0, start), table.index_select(0, start + 1), share[:, None])
    cell = (y0 * size + x0).to(torch.int64)
    shown = (dots[:, 2] < behind.index_select(0, cell) + 3).to(torch.float32) * weight
    total = torch.zeros(size * size, 4)
    value = torch.cat([colour, torch.ones_like(x)[:, None]], 1)
    for dx, dy, w in ((0, 0, (1 - fx) * (1 - fy)), (1, 0, fx * (1 - fy)), (0, 1, (1 - fx) * fy), (1, 1, fx * fy)):
        total.index_add_(0, cell + dy * size + dx, value * (shown * w)[:, None])
    return total[:, :3] / total[:, 3:].clamp(min=1e-6), 1 - torch.exp(-1.3 * total[:, 3])
