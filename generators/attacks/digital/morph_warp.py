"""Where a morph looks: maps from blended landmarks to each face's own, over triangles or as a thin plate.

Eight points on the picture's rim stay where they are, as in OpenCV's and FaceMorpher's face morphs.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spooflab.errors import SkipSample
from spooflab.generators.attacks.digital.swap_warp import ThinPlate, dense_map, parted_lips

Point = tuple[float, float]


def controls(landmarks: Tensor, height: int, width: int) -> Tensor:
    """Return (B, 76, 2): the landmarks, held within the picture and with parted lips, then corners and middles."""
    edge = torch.tensor([width - 0.5, height - 0.5])
    inner = torch.minimum(parted_lips(landmarks).clamp(min=0.5), edge)
    rim = torch.tensor([[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1], [0.5, 1], [0, 1], [0, 0.5]])
    outer = rim * torch.tensor([float(width), float(height)])
    return torch.cat([inner, outer.expand(len(landmarks), -1, -1)], 1)


def delaunay(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (T, 3) triangles of points (N, 2), no point in the circle through another triangle's corners.

    Bowyer and Watson's insertion, started from the rectangle that the points span: its four corners must be among them.
    Corners run so that (b - a) x (c - a) > 0. Points that coincide with an earlier one are left out.

    Raises:
        ValueError: a corner of the spanned rectangle is missing.
    """
    low, high = points.min(0), points.max(0)
    corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
    found = [np.flatnonzero((points == corner).all(1)) for corner in corners]
    if any(len(f) == 0 for f in found):
        raise ValueError("delaunay: the rectangle's corners are not all among the points")
    a, b, c, d = (int(f[0]) for f in found)
    xy = [(float(x), float(y)) for x, y in points]
    room = 2 * len(points)
    triangles: list[tuple[int, int, int]] = []
    circles = np.full((3, room), -1.0)  # x, y and squared radius; a negative one holds nothing

    def put(slot: int, triangle: tuple[int, int, int]) -> None:
        circles[:, slot] = _circle(*(xy[i] for i in triangle))
        triangles[slot : slot + 1] = [triangle]

    put(0, (a, b, c))
    put(1, (a, c, d))
    seen = {xy[i] for i in (a, b, c, d)}
    for index, (x, y) in enumerate(xy):
        if (x, y) in seen:
            continue
        seen.add((x, y))
        hit = np.flatnonzero((circles[0] - x) ** 2 + (circles[1] - y) ** 2 < circles[2]).tolist()
        edges = {e for slot in hit for e in _edges(triangles[slot])}
        made = [(index, p, q) for p, q in sorted(edges) if (q, p) not in edges]
        solid = [t for t in made if _twice_area(*(xy[i] for i in t)) > 1e-9]  # on the rectangle's rim one is flat
        free = hit + list(range(len(triangles), len(triangles) + len(solid)))
        for slot, triangle in zip(free, solid, strict=False):
            put(slot, triangle)
    return np.array(triangles)


def piecewise_maps(at: Tensor, to: list[Tensor], height: int, width: int) -> list[Tensor]:
    """Return for each (N, 2) of `to` the map (1, height, width, 2) that is affine on each Delaunay triangle of `at`.

    The triangles tile the picture, so along the rows each pixel belongs to one span of one triangle: the spans in order
    are the picture, and what is linear in x is spread over them at once.

    Args:
        at: (N, 2) pixels, the picture's four corners among them.
        to: where each of them goes.
        height, width: of the picture.

    Raises:
        SkipSample: `morph_degenerate`: points so close that rounding tears the triangles apart.
    """
    points = at.double().numpy()
    triangles = delaunay(points)
    owner, row, start, length = _spans(points, triangles, height)
    if int(length.sum()) != height * width:
        raise SkipSample("morph_degenerate", f"triangles tile {int(length.sum())} of {height * width} pixels")
    basis = np.concatenate([points, np.ones_like(points[:, :1])], 1)[triangles]
    values = np.concatenate([t.double().numpy() for t in to], 1)[triangles]
    plane = np.linalg.solve(basis, values)[owner]  # (spans, 3, 2 x maps): slope in x, slope in y, constant
    first = plane[:, 0] * (start + 0.5)[:, None] + plane[:, 1] * (row + 0.5)[:, None] + plane[:, 2]
    along = np.arange(height * width, dtype=np.float32) - np.repeat(np.cumsum(length) - length, length)
    maps = np.empty((len(to), height * width, 2), dtype=np.float32)
    for k in range(values.shape[2]):
        begin, slope = (np.repeat(v[:, k].astype(np.float32), length) for v in (first, plane[:, 0]))
        np.multiply(slope, along, out=slope)
        np.add(begin, slope, out=maps[k // 2, :, k % 2])
    return list(torch.from_numpy(maps).reshape(len(to), 1, height, width, 2))


def _spans(points: NDArray[np.float64], triangles: NDArray[np.int64], height: int) -> tuple[NDArray[np.int64], ...]:
    """Return owner, row, first column and length of every run of pixel centres within one triangle, in order."""
    corner = points[triangles]
    top = np.ceil(corner[..., 1].min(1) - 0.5).astype(np.int64).clip(0, height)
    bottom = np.ceil(corner[..., 1].max(1) - 0.5).astype(np.int64).clip(0, height)
    count = bottom - top
    owner = np.repeat(np.arange(len(triangles)), count)
    row = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count) + top[owner]
    y = row + 0.5
    crossings = []
    for k in range(3):
        pair = triangles[:, [k, (k + 1) % 3]]
        flip = points[pair[:, 0], 1] > points[pair[:, 1], 1]  # one order for both owners of an edge: one rounding
        a, b = (points[np.where(flip, pair[:, 1 - j], pair[:, j])][owner] for j in range(2))
        inside = (a[:, 1] <= y) & (y < b[:, 1])
        run = np.where(inside, b[:, 1] - a[:, 1], 1.0)
        crossings.append(np.where(inside, a[:, 0] + (b[:, 0] - a[:, 0]) * ((y - a[:, 1]) / run), np.nan))
    start = np.ceil(np.nanmin(crossings, 0) - 0.5).astype(np.int64)
    length = np.ceil(np.nanmax(crossings, 0) - 0.5).astype(np.int64) - start
    order = np.lexsort((start, row))
    order = order[length[order] > 0]
    return owner[order], row[order], start[order], length[order]


def plate_maps(at: Tensor, to: list[Tensor], height: int, width: int) -> list[Tensor]:
    """Return as `piecewise_maps` the thin-plate splines with at -> to."""
    return [dense_map(ThinPlate.fit(at[None], t[None]), 0, 0, height, width) for t in to]


def _edges(triangle: tuple[int, int, int]) -> tuple[tuple[int, int], ...]:
    a, b, c = triangle
    return (a, b), (b, c), (c, a)


def _twice_area(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _circle(a: Point, b: Point, c: Point) -> tuple[float, float, float]:
    """Return centre and squared radius of the circle through three points."""
    ux, uy, vx, vy = b[0] - a[0], b[1] - a[1], c[0] - a[0], c[1] - a[1]
    double = 2 * (ux * vy - uy * vx)
    uu, vv = ux * ux + uy * uy, vx * vx + vy * vy
    x, y = (vy * uu - uy * vv) / double, (ux * vv - vx * uu) / double
    return a[0] + x, a[1] + y, x * x + y * y
