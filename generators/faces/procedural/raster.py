"""A z-buffer for small triangles and for points, vectorised over the candidate pixels of many triangles at once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.masked import either, places

ID_BITS = 23
"""Width of the identity in a key."""
_CHUNK = 24_000
_SLACK_PX = 2e-4
EMPTY = (1 << 62) - 1
"""Key of a cell that nothing covers."""


@dataclass(frozen=True)
class Setup:
    """Projected triangles, ready to be tested against pixels.

    Attributes:
        plane: (9, T) coefficients (a, b, c) of a·x + b·y + c for the second and third barycentric and for 1/z.
        source: (T,) index of each kept triangle in the caller's list.
        edges: (6, T) where the long, the upper and the lower edge cross the first row's centres, then their slopes.
        rows: (2, T) int32 first row and number of rows.
        on_left: the first so many triangles have their long edge on the left, the others on the right.
    """

    plane: Tensor
    source: Tensor
    edges: Tensor
    rows: Tensor
    on_left: int


def prepare(xy: Tensor, inverse_z: Tensor, triangles: Tensor, size: tuple[int, int]) -> Setup:
    """Cull and set up triangles.

    Args:
        xy: (V, 2) pixel coordinates, y down, first pixel centre at 0.5.
        inverse_z: (V,) 1/z, which is linear on the screen.
        triangles: (T, 3) counter-clockwise as seen from their front in a y-up world.
        size: height and width.
    """
    height, width = size
    table = torch.cat([xy, inverse_z[:, None]], 1).T.contiguous()
    a, b, c = triangles.T.contiguous()
    x0, x1, x2 = (table[0].index_select(0, k) for k in (a, b, c))
    y0, y1, y2 = (table[1].index_select(0, k) for k in (a, b, c))
    upper, lower = torch.minimum(y0, y1), torch.maximum(y0, y1)
    first = torch.ceil(torch.minimum(upper, y2) - 0.5).clamp_(min=0)
    high = torch.floor(torch.maximum(lower, y2) - 0.5).clamp_(max=height - 1) - first
    left = torch.ceil(torch.minimum(torch.minimum(x0, x1), x2) - 0.5).clamp_(min=0)
    wide = torch.floor(torch.maximum(torch.maximum(x0, x1), x2) - 0.5).clamp_(max=width - 1) - left
    e1x, e1y, e2x, e2y = x1 - x0, y1 - y0, x2 - x0, y2 - y0
    area = e1x * e2y - e1y * e2x
    good = (area < -1e-9) & (wide >= 0) & (high >= 0)
    # All wind the same way: how many swaps sort the corners by height tells on which side the long edge is.
    odd = (y1 < y0) ^ (y2 < lower) ^ (y2 < upper)
    sides = [places(good & odd), places(good & ~odd)]
    source = torch.cat(sides)
    corners = [v.index_select(0, source) for v in (x0, y0, x1, y1, x2, y2)]
    q0, q1, q2 = (table[2].index_select(0, k.index_select(0, source)) for k in (a, b, c))
    top = first.index_select(0, source)
    rows = torch.stack([top, high.index_select(0, source) + 1]).to(torch.int32)
    edges = _edges(corners, top + 0.5)
    scale = 1 / area.index_select(0, source)
    px, py = corners[:2]
    a1, b1 = e2y.index_select(0, source) * scale, -e2x.index_select(0, source) * scale
    a2, b2 = -e1y.index_select(0, source) * scale, e1x.index_select(0, source) * scale
    c1, c2 = -(a1 * px + b1 * py), -(a2 * px + b2 * py)
    q1, q2 = q1 - q0, q2 - q0
    depth = [q1 * a1 + q2 * a2, q1 * b1 + q2 * b2, q0 + q1 * c1 + q2 * c2]
    return Setup(torch.stack([a1, b1, c1, a2, b2, c2, *depth]), source, edges, rows, len(sides[0]))


def _edges(corners: list[Tensor], start: Tensor) -> Tensor:
    """Return (6, T) the x of the long, upper and lower edges on the rows `start`, and their slopes."""
    x0, y0, x1, y1, x2, y2 = corners
    # Sort the corners by height: three compare-and-swaps.
    swap = y1 < y0
    x0, x1 = either(swap, x1, x0), either(swap, x0, x1)
    y0, y1 = torch.minimum(y0, y1), torch.maximum(y0, y1)
    swap = y2 < y1
    x1, x2 = either(swap, x2, x1), either(swap, x1, x2)
    y1, y2 = torch.minimum(y1, y2), torch.maximum(y1, y2)
    swap = y1 < y0
    x0, x1 = either(swap, x1, x0), either(swap, x0, x1)
    y0, y1 = torch.minimum(y0, y1), torch.maximum(y0, y1)
    out = []
    for xa, ya, xb, yb in ((x0, y0, x2, y2), (x0, y0, x1, y1), (x1, y1, x2, y2)):
        slope = (xb - xa) / (yb - ya)
        out.append((xa + slope * (start - ya), slope))
    return torch.stack([pair[0] for pair in out] + [pair[1] for pair in out])


def fill(setup: Setup, size: tuple[int, int]) -> Tensor:
    """Return (H·W,) int64 keys of the nearest triangle per pixel, `EMPTY` where there is none."""
    height, width = size
    out = torch.full((height * width,), EMPTY, dtype=torch.int64)
    for first, last, long_left in ((0, setup.on_left, True), (setup.on_left, setup.rows.shape[1], False)):
        end = torch.cumsum(setup.rows[1, first:last], 0)
        total = int(end[-1]) if len(end) else 0
        # Chunks keep the temporaries inside the cache, several times faster than one pass over all of them.
        marks = torch.searchsorted(end, torch.arange(_CHUNK, total + _CHUNK, _CHUNK)) + 1
        low = first
        for high in (marks + first).clamp_(max=last).tolist():
            if high > low:
                _fill_chunk(setup, low, high, long_left, width, out)
            low = high
    return out


def _fill_chunk(setup: Setup, first: int, last: int, long_left: bool, width: int, out: Tensor) -> None:
    top, high = setup.rows[:, first:last]
    owner = torch.repeat_interleave(torch.arange(last - first, dtype=torch.int32), high)
    start = torch.cumsum(high, 0, dtype=torch.int32) - high
    row = torch.arange(len(owner), dtype=torch.int32) - start.index_select(0, owner)
    down = row.to(torch.float32)
    edges = setup.edges[:, first:last]
    long, upper, lower = (
        torch.addcmul(edges[k].index_select(0, owner), edges[k + 3].index_select(0, owner), down) for k in range(3)
    )
    # A horizontal edge bounds no row. A hair's breadth of tolerance closes the cracks between neighbours; the nearer
    # one wins there anyway.
    if long_left:
        short = torch.fmin(upper, lower)
        begin, end = long, short
    else:
        short = torch.fmax(upper, lower)
        begin, end = short, long
    begin = begin.sub_(0.5 + _SLACK_PX).ceil_().clamp_(0, width)
    end = end.add_(0.5 + _SLACK_PX).floor_().clamp_(0, width)
    wide = (end - begin).clamp_(min=0).to(torch.int32)
    span = torch.repeat_interleave(torch.arange(len(owner), dtype=torch.int32), wide)
    row += top.index_select(0, owner)
    plane = setup.plane[:, first:last]
    slope = plane[6].index_select(0, owner)
    fy = row.to(torch.float32).add_(0.5)
    q = slope * (begin + 0.5) + plane[7].index_select(0, owner) * fy + plane[8].index_select(0, owner)
    start = torch.cumsum(wide, 0, dtype=torch.int32) - wide
    step = torch.arange(len(span), dtype=torch.int32) - start.index_select(0, span)
    pixel = (row * width + begin.to(torch.int32)).index_select(0, span) + step
    depth = torch.addcmul(q.index_select(0, span), slope.index_select(0, span), step.to(torch.float32)).reciprocal_()
    keys = pack(depth, setup.source[first:last].index_select(0, owner).index_select(0, span))
    out.scatter_reduce_(0, pixel.to(torch.int64), keys, "amin")


def pack(depth_mm: Tensor, identity: Tensor | int) -> Tensor:
    """Return sortable keys: depth in micrometres above, the identity (< 2²³) below."""
    return (depth_mm * 1000).to(torch.int64).clamp_(0, (1 << 38) - 1).bitwise_left_shift_(ID_BITS) + identity


def unpack(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return depth in millimetres and the identity of keys that are not `EMPTY`."""
    return (keys >> ID_BITS).to(torch.float32) / 1000, keys & ((1 << ID_BITS) - 1)
