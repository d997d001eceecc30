"""Masks on one CPU thread: where they are set, and either of two tensors by one, several times faster than torch's."""

import numpy as np
import torch
from torch import Tensor


def places(mask: Tensor) -> Tensor:
    """Return (N,) int64: `mask.flatten().nonzero()[:, 0]` of a boolean mask, whose places ascend."""
    if mask.is_cpu:
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.flatten().nonzero()[:, 0]


def either(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Return `torch.where(mask, yes, no)`, to the bit, for a boolean mask and finite float32 tensors.

    `torch.where` handles one number at a time; an interpolation by 0 or 1 is exact and handles eight.
    """
    return torch.lerp(no, yes, mask.float())


def grown(planes: Tensor, reach: int) -> Tensor:
    """Return (..., H, W) the greatest value within `reach` rows and columns: `max_pool2d` with a side 2 · reach + 1."""
    for axis in (-2, -1):
        planes = _greatest(planes, reach, axis)
    return planes


def _greatest(planes: Tensor, reach: int, axis: int) -> Tensor:
    """Return the greatest value within `reach` along an axis, by spans that double."""
    count, side = planes.shape[axis], 2 * reach + 1
    first, last = planes.narrow(axis, 0, 1), planes.narrow(axis, count - 1, 1)
    wide = list(planes.shape)
    wide[axis] = reach
    # The edge repeats itself: it lies within reach of whatever sees its copies.
    run = torch.cat([first.expand(wide), planes, last.expand(wide)], axis)
    span = 1
    while span < side:
        step = min(span, side - span)
        length = run.shape[axis] - step
        run = torch.maximum(run.narrow(axis, 0, length), run.narrow(axis, step, length))
        span += step
    return run
