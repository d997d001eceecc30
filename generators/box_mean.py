"""Means over small blocks by adding shifted planes, several times faster than pooling on one CPU thread."""

import torch
from torch import Tensor


def halved(planes: Tensor) -> Tensor:
    """Return (..., ⌈H/2⌉, ⌈W/2⌉) means of blocks of 2 × 2, the last ones repeated where the size is odd."""
    height, width = planes.shape[-2:]
    if height % 2:
        planes = torch.cat([planes, planes[..., -1:, :]], -2)
    if width % 2:
        planes = torch.cat([planes, planes[..., -1:]], -1)
    rows = planes[..., ::2, :] + planes[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]).mul_(0.25)


def mean_of_neighbours(planes: Tensor) -> Tensor:
    """Return (..., H, W) means over 3 × 3 pixels, at the edge over those that exist; H and W at least 2."""
    for axis in (-2, -1):
        count = planes.shape[axis]
        out = planes.clone()
        out.narrow(axis, 1, count - 1).add_(planes.narrow(axis, 0, count - 1))
        out.narrow(axis, 0, count - 1).add_(planes.narrow(axis, 1, count - 1))
        out.narrow(axis, 1, count - 2).mul_(1 / 3)
        for end in (0, count - 1):
            out.narrow(axis, end, 1).mul_(0.5)
        planes = out
    return planes
