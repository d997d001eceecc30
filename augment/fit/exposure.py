"""Auto-exposure from the mean light of many photographs."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spooflab.augment.color import luminance
from spooflab.augment.exposure import meter

_HELD_BACK = 0.8
_FEWEST = 3


@dataclass(frozen=True)
class Exposure:
    """Metered mean (linear, white = 1), its scatter and standard error in stops, and how many photographs count."""

    target: float
    scatter_ev: float
    std_ev: float
    photos: int


def fit_exposure(linear: list[Tensor]) -> Exposure | None:
    """Return what the camera exposes for, from linear photographs (3, H, W); None if highlights held most back."""
    one, none = torch.ones(1), torch.zeros(1)
    stops = []
    for light in linear:
        flat = luminance(light[None]).flatten()
        if float(flat.kthvalue(max(1, int(0.95 * len(flat)))).values) < _HELD_BACK:
            gain = meter(light[None], metering=one, target=one, highlight=one * 1e6, error_ev=none)
            stops.append(-float(torch.log2(gain)))
    if len(stops) < _FEWEST:
        return None
    scatter = 1.4826 * float(np.median(np.abs(np.asarray(stops) - np.median(stops))))
    return Exposure(2 ** float(np.median(stops)), scatter, 1.25 * scatter / len(stops) ** 0.5, len(stops))
