"""A z-buffer for small triangles and for points, vectorised over the candidate pixels of many triangles at once."""

from dataclasses import dataclass

import torch
from torch import Tensor

ID_BITS = 23
"""Width of the identity in a key."""
_CHUNK = 48_000
EMPTY = (1 << 62) - 1
"""Key of a cell that nothing covers."""


@dataclass(frozen=True)
class Setup:
    """Projected triangles, ready to be tested against pixels.

    Attributes:
        plane: (9, T) coefficients (a, b, c) of a·x + b·y + c for the second and third barycentric and for 1/z.
        source: (T,) index of each kept triangle in the caller's list.
        boxes: (4, T) int32 pixel boxes: x first, y first, width, height.
    """

    plane: Tensor
    source: Tensor
    boxes: Tensor


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
    left = torch.ceil(torch.minimum(torch.minimum(x0, x1), x2) - 0.5).clamp_(min=0)
    top = torch.ceil(torch.minimum(torch.minimum(y0, y1), y2) - 0.5).clamp_(min=0)
    wide = torch.floor(torch.maximum(torch.maximum(x0, x1), x2) - 0.5).clamp_(max=width - 1) - left + 1
    high = torch.floor(torch.maximum(torch.maximum(y0, y1), y2) - 0.5).clamp_(max=height - 1) - top + 1
    e1x, e1y, e2x, e2y = x1 - x0, y1 - y0, x2 - x0, y2 - y0
    area = e1x * e2y - e1y * e2x
    source = ((area < -1e-9) & (wide > 0) & (high > 0)).nonzero()[:, 0]

    def keep(values: Tensor) -> Tensor:
        return values.index_select(0, source)

    scale = 1 / keep(area)
    a1, b1 = keep(e2y) * scale, -keep(e2x) * scale
    a2, b2 = -keep(e1y) * scale, keep(e1x) * scale
    px, py = keep(x0), keep(y0)
    c1, c2 = -(a1 * px + b1 * py), -(a2 * px + b2 * py)
    q0 = keep(table[2].index_select(0, a))
    q1, q2 = keep(table[2].index_select(0, b)) - q0, keep(table[2].index_select(0, c)) - q0
    depth = [q1 * a1 + q2 * a2, q1 * b1 + q2 * b2, q0 + q1 * c1 + q2 * c2]
    boxes = torch.stack([keep(left), keep(top), keep(wide), keep(high)]).to(torch.int32)
    return Setup(torch.stack([a1, b1, c1, a2, b2, c2, *depth]), source, boxes)


def fill(setup: Setup, size: tuple[int, int]) -> Tensor:
    """Return (H·W,) int64 keys of the nearest triangle per pixel, `EMPTY` where there is none."""
    height, width = size
    out = torch.full((height * width,), EMPTY, dtype=torch.int64)
    count = setup.boxes[2] * setup.boxes[3]
    end = torch.cumsum(count, 0)
    total = int(end[-1]) if len(end) else 0
    # Chunks keep the temporaries inside the cache, which is several times faster than one pass over all of them.
    marks = torch.searchsorted(end, torch.arange(_CHUNK, total + _CHUNK, _CHUNK)) + 1
    first = 0
    for last in marks.clamp(max=len(count)).tolist():
        if last > first:
            _fill_chunk(setup, first, last, width, out)
        first = last
    return out


def _fill_chunk(setup: Setup, first: int, last: int, width: int, out: Tensor) -> None:
    left, top, wide, high = setup.boxes[:, first:last]
    count = wide * high
    owner = torch.repeat_interleave(torch.arange(last - first, dtype=torch.int32), count)
    start = torch.cumsum(count, 0, dtype=torch.int32) - count
    local = torch.arange(len(owner), dtype=torch.int32) - start.index_select(0, owner)
    wide = wide.index_select(0, owner)
    # Exact in float32: both sides are far below 2**24.
    row = ((local.to(torch.float32) + 0.5) / wide.to(torch.float32)).to(torch.int32)
    x = left.index_select(0, owner) + local - row * wide
    y = top.index_select(0, owner) + row
    fx, fy = x.to(torch.float32) + 0.5, y.to(torch.float32) + 0.5
    plane = setup.plane[:, first:last]
    w1 = plane[0].index_select(0, owner) * fx + plane[1].index_select(0, owner) * fy + plane[2].index_select(0, owner)
    w2 = plane[3].index_select(0, owner) * fx + plane[4].index_select(0, owner) * fy + plane[5].index_select(0, owner)
    # A hair's breadth of tolerance closes the cracks between neighbours; the nearer one wins there anyway.
    inside = ((torch.minimum(w1, w2) >= -1e-5) & (w1 + w2 <= 1 + 1e-5)).nonzero()[:, 0]
    owner, fx, fy = (v.index_select(0, inside) for v in (owner, fx, fy))
    q = plane[6].index_select(0, owner) * fx + plane[7].index_select(0, owner) * fy + plane[8].index_select(0, owner)
    keys = pack(1 / q, setup.source[first:last].index_select(0, owner))
    pixel = (y * width + x).index_select(0, inside).to(torch.int64)
    out.scatter_reduce_(0, pixel, keys, "amin")


def pack(depth_mm: Tensor, identity: Tensor | int) -> Tensor:
    """Return sortable keys: depth in micrometres above, the identity (< 2²³) below."""
    return (depth_mm * 1000).to(torch.int64).clamp_(0, (1 << 38) - 1).bitwise_left_shift_(ID_BITS) + identity


def unpack(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return depth in millimetres and the identity of keys that are not `EMPTY`."""
    return (keys >> ID_BITS).to(torch.float32) / 1000, keys & ((1 << ID_BITS) - 1)
