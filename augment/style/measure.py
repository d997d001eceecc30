"""Measure the style of a picture."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.style.amplitude import low_amplitude
from spooflab.augment.style.histogram import level_cdf
from spooflab.augment.style.lalphabeta import to_lalphabeta
from spooflab.augment.style.reinhard import moments
from spooflab.augment.style.statistics import StyleStatistics
from spooflab.augment.style.transport import colour_moments

_SPECTRUM_PX = 256
_MOST_PIXELS = 2**18


def measure(x: Tensor) -> StyleStatistics:
    """Return the style of pictures (B, 3, H, W), float32 sRGB in [0, 1], each side 8 at least.

    The spectrum is that of the picture resized to 256 x 256, filtered; colours are counted on at most about 2^18
    pixels of an even grid, and sampled evenly along its rows.
    """
    with torch.autocast(x.device.type, enabled=False):
        square = F.interpolate(x, (_SPECTRUM_PX, _SPECTRUM_PX), mode="bilinear", antialias=True)
        step = max(1, int((x.shape[-1] * x.shape[-2] / _MOST_PIXELS) ** 0.5))
        grid = x[..., ::step, ::step]
        lab_mean, lab_std = moments(to_lalphabeta(grid))
        mean, covariance = colour_moments(grid)
        flat = grid.flatten(2)
        places = torch.linspace(0, flat.shape[-1] - 1, StyleStatistics.COLOURS, dtype=torch.float64).round().long()
        return StyleStatistics(
            amplitude=low_amplitude(square, StyleStatistics.CYCLES),
            lab_mean=lab_mean,
            lab_std=lab_std,
            mean=mean,
            covariance=covariance,
            cdf=level_cdf(grid),
            colours=flat[..., places.to(x.device)].transpose(1, 2).contiguous(),
        )
