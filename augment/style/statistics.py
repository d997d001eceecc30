"""What is kept of a picture's style: a few kilobytes, and no picture."""

from dataclasses import dataclass
from typing import ClassVar

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
