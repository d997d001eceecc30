"""Fields of a sheet that are smooth are computed at half the picture's size and enlarged to its pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.attacks.partials.view import SheetView
from spooflab.generators.enlarge import enlarge
from spooflab.generators.masked import places

_SEEN = 0.5


@dataclass(frozen=True, eq=False)
class SheetPixels:
    """P pixels of the picture on a sheet.

    Attributes:
        pixel: (P,) int64 row-major index into the picture.
        u, v: (P,) place on the sheet, mm.
        depth_mm: (P,) along the camera's axis.
        mm_per_px: median size of a pixel on the sheet.
        coarse: the sheet as a picture of half the size sees it.
        index: (P,) where each pixel is in the enlarged window,
        window: whose rows and columns of the half-sized picture these are.
    """

    pixel: Tensor
    u: Tensor
    v: Tensor
    depth_mm: Tensor
    mm_per_px: float
    coarse: SheetView
    index: Tensor
    window: tuple[slice, slice]

    def enlarge(self, fields: Tensor) -> Tensor:
        """Return (n, P) of fields (n, Q) at the coarse view's pixels."""
        return _enlarged(self.coarse, fields, self.window).reshape(len(fields), -1).index_select(1, self.index)


def enlarged_view(coarse: SheetView, half_mm: tuple[float, float], size: tuple[int, int]) -> SheetPixels | None:
    """Return the picture's pixels on a part of a sheet; None where there are none.

    Args:
        coarse: from `see_sheet` with `shrink=2`.
        half_mm: half width and height of the part.
        size: height and width of the picture.
    """
    wide = coarse.size[1]
    kept = places((coarse.u.abs() < half_mm[0] + 3) & (coarse.v.abs() < half_mm[1] + 3))
    if len(kept) == 0:
        return None
    near = coarse.pixel.index_select(0, kept)
    row = torch.div(near, wide, rounding_mode="floor")
    column = near - row * wide
    top, left = max(0, int(row.amin()) - 1), max(0, int(column.amin()) - 1)
    bottom, right = min(coarse.size[0], int(row.amax()) + 2), min(wide, int(column.amax()) + 2)
    window = (slice(top, bottom), slice(left, right))
    fields = _enlarged(coarse, torch.stack([coarse.u, coarse.v, coarse.depth_mm]), window)
    u, v, depth = fields
    rows, columns = torch.arange(2 * top, 2 * bottom), torch.arange(2 * left, 2 * right)
    inside = (u.abs() < half_mm[0]) & (v.abs() < half_mm[1]) & (depth > 0)
    inside &= (rows < size[0])[:, None] & (columns < size[1])
    index = places(inside)
    if len(index) == 0:
        return None
    down = torch.div(index, len(columns), rounding_mode="floor")
    pixel = (down + 2 * top) * size[1] + index - down * len(columns) + 2 * left
    flat = fields.reshape(3, -1).index_select(1, index)
    return SheetPixels(pixel, flat[0], flat[1], flat[2], coarse.mm_per_px / 2, coarse, index, window)


def _enlarged(coarse: SheetView, fields: Tensor, window: tuple[slice, slice]) -> Tensor:
    """Return (n, 2h, 2w) of fields (n, Q), linear between the coarse pixels; 0 where none is near.

    Beyond the last coarse pixel the field keeps its value: half a pixel of a silhouette.
    """
    height, wide = coarse.size
    count = len(fields)
    flat = torch.zeros(count + 1, height * wide)
    flat[:-1].index_copy_(1, coarse.pixel, fields)
    flat[-1].index_fill_(0, coarse.pixel, 1.0)
    part = flat.reshape(count + 1, height, wide)[(slice(None), *window)]
    large = enlarge(part, 2)
    seen = large[-1]
    return large[:-1].div_(seen.clamp(min=_SEEN)).mul_(seen > _SEEN)
