"""Ranges of physical quantities in profiles, and the interpolation that turns a share in [0, 1] into a value."""

import math
from typing import Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"a range wants low <= high, seen {list(value)}")
    return value


def _not_negative(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] < 0:
        raise ValueError(f"wanted values >= 0, seen {list(value)}")
    return value


def _positive(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] <= 0:
        raise ValueError(f"wanted values > 0, seen {list(value)}")
    return value


def _share(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] < 0 or value[1] > 1:
        raise ValueError(f"wanted values in [0, 1], seen {list(value)}")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
NotNegative = Annotated[Range, AfterValidator(_not_negative)]
Positive = Annotated[Range, AfterValidator(_positive)]
Share = Annotated[Range, AfterValidator(_share)]
PositiveShare = Annotated[Positive, AfterValidator(_share)]


def between(limits: tuple[float, float], share: Tensor) -> Tensor:
    """Return low + share (high - low); shares outside [0, 1] are clamped, so a value never leaves its range.

    >>> between((2.0, 4.0), torch.tensor([0.0, 0.5, 3.0])).tolist()
    [2.0, 3.0, 4.0]
    """
    low, high = limits
    return (low + (high - low) * share.clamp(0, 1)).clamp(low, high)


def log_between(limits: tuple[float, float], share: Tensor) -> Tensor:
    """Return low (high / low)^share, for quantities that span decades; a range of one value may be zero."""
    low, high = limits
    if low == high:
        return torch.full_like(share, low)
    return (low * torch.exp(math.log(high / low) * share.clamp(0, 1))).clamp(low, high)
