"""What of a mask hangs together with a seed: geodesic reconstruction by sweeps along rows and columns."""

import torch
from torch import Tensor


def flood(seed: Tensor, mask: Tensor) -> Tensor:
    """Return (h, w) bool: the pixels of `mask` that a path of 4-neighbours within it joins to one of `seed`.

    Each sweep fills whole runs of a row or a column, so that few rounds do (Vincent 1993, "Morphological grayscale
    reconstruction in image analysis", sec. 4.2: raster scans).
    """
    reached = seed & mask
    while True:
        grown = _along(_along(reached, mask, 1), mask, 0)
        if torch.equal(grown, reached):
            return reached
        reached = grown


def _along(reached: Tensor, mask: Tensor, axis: int) -> Tensor:
    """Return `reached` grown both ways along an axis as far as runs of `mask` go."""
    after = _after(reached, mask, axis)
    before = _after(reached.flip(axis), mask.flip(axis), axis).flip(axis)
    return after | before


def _after(reached: Tensor, mask: Tensor, axis: int) -> Tensor:
    """Return the pixels of `mask` before which the last reached one lies no further than the last that is outside."""
    count = mask.shape[axis]
    place = torch.arange(1, count + 1, dtype=torch.int32).reshape((-1, 1) if axis == 0 else (1, -1))
    none = torch.zeros((), dtype=torch.int32)
    hit = torch.where(reached, place, none).cummax(axis).values
    wall = torch.where(mask, none, place).cummax(axis).values
    return mask & (hit > wall)
