"""What is kept of a picture's style: a few kilobytes, and no picture."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spooflab.params import Params


@dataclass(frozen=True)
class StyleStatistics(Params):
    """The style of B pictures, sRGB code values in [0, 1].

    Attributes:
        amplitude: (B, 3, 2 CYCLES + 1, CYCLES + 1) float32 amplitudes of the lowest frequencies, see `low_amplitude`.
        lab_mean, lab_std: (B, 3) float32 in l-alpha-beta.
        mean: (B, 3) float64 colour.
        covariance: (B, 3, 3) float64 of the colours.
        cdf: (B, 3, 256) float64 share of pixels at or below each level.
        colours: (B, COLOURS, 3) float32 sample of the colours.
    """

    CYCLES: ClassVar[int] = 16
    COLOURS: ClassVar[int] = 1021  # a prime: even steps along the rows do not fall into columns

    amplitude: Tensor
    lab_mean: Tensor
    lab_std: Tensor
    mean: Tensor
    covariance: Tensor
    cdf: Tensor
    colours: Tensor


_ROUNDING = 1e-5
"""By which measured statistics may leave their ranges."""
_DOUBLE = ("mean", "covariance", "cdf")


def impossible(s: StyleStatistics) -> str:
    """Return why no pictures can have these finite statistics of the right shapes; empty where some can."""
    for name in (field.name for field in dataclasses.fields(s)):
        wanted = torch.float64 if name in _DOUBLE else torch.float32
        if getattr(s, name).dtype != wanted:
            return f"{name} is {getattr(s, name).dtype}, not {wanted}"
    for name in ("mean", "cdf", "colours"):
        low, high = (float(value) for value in torch.aminmax(getattr(s, name)))
        if low < -_ROUNDING or high > 1 + _ROUNDING:
            return f"{name} goes from {low:g} to {high:g}, beyond [0, 1]"
    for name in ("amplitude", "lab_std"):
        if float(getattr(s, name).min()) < 0:
            return f"{name} is negative"
    if float(s.cdf.diff(dim=-1).min()) < -_ROUNDING or float((s.cdf[..., -1] - 1).abs().max()) > _ROUNDING:
        return "cdf does not rise to 1"
    if float((s.covariance - s.covariance.transpose(1, 2)).abs().max()) > _ROUNDING:
        return "covariance is not symmetric"
    if float(torch.linalg.eigvalsh(s.covariance).min()) < -_ROUNDING:
        return "covariance is negative in some direction"
    return ""
