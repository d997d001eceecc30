"""Histogram matching, level by level: each channel gets the distribution of another picture's."""

import torch
from torch import Tensor, nn

from spooflab.augment.style.statistics import StyleStatistics
from spooflab.errors import DataError

LEVELS = 256


def level_cdf(x: Tensor) -> Tensor:
    """Return (B, C, 256): the share of the pixels of (B, C, H, W), in [0, 1], at or below each of 256 levels."""
    rows = _levels(x).flatten(0, 1).flatten(1)
    counts = torch.zeros(len(rows), LEVELS, device=x.device, dtype=torch.float64)
    counts.scatter_add_(1, rows, torch.ones_like(rows, dtype=torch.float64))
    return (counts.cumsum(1) / rows.shape[1]).reshape(*x.shape[:2], LEVELS)


def match_levels(x: Tensor, target: Tensor) -> Tensor:
    """Return `x` with each channel's distribution matched to `target`.

    Each level takes the value at which the target's cumulative distribution, linear between the levels that it uses,
    reaches the level's own (Gonzalez and Woods, Digital Image Processing, 3.3.2). Values between levels are
    interpolated.

    Args:
        x: (B, C, H, W) in [0, 1].
        target: (B, C, 256) of `level_cdf`.
    """
    if target.shape != (*x.shape[:2], LEVELS):
        raise DataError(f"a target of shape {tuple(target.shape)}", wanted=f"{(*x.shape[:2], LEVELS)}")
    curve = _curve(level_cdf(x).flatten(0, 1), target.flatten(0, 1).double()).to(x.dtype)
    place = x.clamp(0, 1).flatten(0, 1).flatten(1) * (LEVELS - 1)
    below = (place + 1e-4).floor().clamp(max=LEVELS - 2)  # a level divided by 255 and back may lie a hair below itself
    share = (place - below).clamp(0, 1)
    low, high = curve.gather(1, below.long()), curve.gather(1, below.long() + 1)
    return torch.lerp(low, high, share).reshape(x.shape)


def _curve(own: Tensor, target: Tensor) -> Tensor:
    """Return (R, 256) the new value of each level, for cumulative distributions (R, 256)."""
    above = torch.searchsorted(target, own).clamp(max=LEVELS - 1)  # first used level that reaches the share
    high = target.gather(1, above)
    low = torch.where(above > 0, target.gather(1, (above - 1).clamp(min=0)), 0.0)
    below = torch.searchsorted(target, low)  # the used level before it
    below = torch.where(low > 0, below, above)
    share = torch.where(high > low, (own - low) / (high - low).clamp(min=1e-300), 1.0)
    return torch.lerp(below.double(), above.double(), share.clamp(0, 1)) / (LEVELS - 1)


class HistogramMatch(nn.Module):
    """`match_levels` to the distributions of a style bank."""

    def forward(self, x: Tensor, style: StyleStatistics, weight: Tensor, seed: Tensor) -> Tensor:
        """Return (B, 3, H, W) moved by the share `weight` towards the bank's B rows; `seed` is not used."""
        return torch.lerp(x, match_levels(x, style.cdf), weight[:, None, None, None])


def _levels(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * (LEVELS - 1)).round().long()
