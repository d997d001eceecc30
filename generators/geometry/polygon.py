"""Antialiased polygons."""

import torch
from torch import Tensor

from spooflab.generators.attacks.digital.swap_mask import depth_inside


def polygon_cover(points: Tensor, size: tuple[int, int], *, feather_px: float = 1.0) -> Tensor:
    """Return (H, W) cover of a polygon: 1 inside, 0 outside, rising across its outline over `feather_px`.

    Args:
        points: (N, 2) pixels, closed, not crossing itself; either direction.
        size: height and width.
        feather_px: width of the linear ramp, centred on the outline; 1 gives the share of a pixel that a straight
            edge covers to within 0.06.
    """
    height, width = size
    out = torch.zeros(size)
    reach = feather_px / 2 + 1
    low, high = points.amin(0) - reach, points.amax(0) + reach
    left, top = max(int(low[0].floor()), 0), max(int(low[1].floor()), 0)
    right, bottom = min(int(high[0].ceil()), width), min(int(high[1].ceil()), height)
    if left >= right or top >= bottom:
        return out
    y, x = torch.meshgrid(torch.arange(top, bottom) + 0.5, torch.arange(left, right) + 0.5, indexing="ij")
    depth = depth_inside(points[None].float(), torch.stack([x, y], -1).reshape(1, -1, 2))[0]
    out[top:bottom, left:right] = (depth / feather_px + 0.5).clamp_(0, 1).reshape(x.shape)
    return out
