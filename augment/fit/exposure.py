"""Auto-exposure from the metered mean and the highlights of many photographs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spooflab.augment.exposure import meter
from spooflab.augment.profile import ExposureProfile

FloatArray = npt.NDArray[np.float64]
_CLIPPED = 0.97
"""Light of a channel that counts as clipped."""
_HIDDEN_EV = np.linspace(0, 1, 6)
"""By how much clipped light may be brighter than it looks, stops."""
_DARK_EV = 2.0
"""How far below the usual mean a photograph lies that the camera could not brighten enough: taken in near darkness."""
_FEWEST = 3
_SCATTER_PRIOR_EV = 0.6
"""Standard deviation of the log of the scatter about the profile's own."""


@dataclass(frozen=True)
class Exposure:
    """What the camera exposes for, linear, white = 1.

    Attributes:
        target, highlight: as in `ExposureProfile`.
        scatter_ev: standard deviation of a photograph from what these two ask for, stops.
        std_ev, highlight_std_ev: posterior standard deviations of `target` and `highlight`, stops.
        photos: how many photographs count.
    """

    target: float
    highlight: float
    scatter_ev: float
    std_ev: float
    highlight_std_ev: float
    photos: int


def fit_exposure(linear: list[Tensor], prior: ExposureProfile) -> Exposure | None:
    """Return the posterior mean of target, highlight and scatter from linear photographs (3, H, W), None if few.

    A photograph's metered mean m is the target, or less where its highlights h held it back, times an error: log m is
    normal about min(log target, log highlight - log h / m). The posterior is summed on a grid. Clipped light was
    brighter than it looks, by up to a stop, and so were mean and highlights: the likelihood is the mean over how
    much.
    """
    seen = [_metered(light) for light in linear]
    usual = float(np.median([of_one[0, 0] for of_one in seen])) if seen else 0.0
    lit = [of_one for of_one in seen if of_one[0, 0] > usual - _DARK_EV]
    if len(lit) < _FEWEST:
        return None
    low, high = np.log2(prior.highlight)
    target, highlight, scatter = np.meshgrid(
        np.linspace(-4, -0.5, 71),
        np.linspace((low + high) / 2 - 1, (low + high) / 2 + 1, 21),
        np.geomspace(0.05, 0.8, 17),
        indexing="ij",
    )
    own = np.hypot(max(prior.error_ev, 0.05), float(np.diff(np.log2(prior.target))[0]) / 12**0.5)
    log_weight = -0.5 * ((highlight - (low + high) / 2) / max((high - low) / 12**0.5, 0.05)) ** 2
    log_weight -= 0.5 * (np.log2(scatter / own) / _SCATTER_PRIOR_EV) ** 2
    for of_one in lit:
        away = [(mean - np.minimum(target, highlight - (bright - mean))) / scatter for mean, bright in of_one]
        log_weight += np.logaddexp.reduce([-0.5 * each**2 for each in away], axis=0) - np.log(scatter)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    centre, width = _moments(weight, target)
    top, top_width = _moments(weight, highlight)
    return Exposure(2**centre, 2**top, _moments(weight, scatter)[0], width, top_width, len(lit))


def _moments(weight: FloatArray, value: FloatArray) -> tuple[float, float]:
    mean = float((weight * value).sum())
    return mean, float((weight * (value - mean) ** 2).sum()) ** 0.5


def _metered(light: Tensor) -> FloatArray:
    """Return (hidden, 2): mean and highlights of a photograph whose clipped light was brighter by each `_HIDDEN_EV`."""
    clipped = light >= _CLIPPED
    hidden = _HIDDEN_EV if bool(clipped.any()) else _HIDDEN_EV[:1]
    lifted = [torch.where(clipped, light * 2**ev, light) for ev in hidden]
    return np.array([(_mean(one), _bright(one)) for one in lifted])


def _mean(light: Tensor) -> float:
    """Return log2 of the centre-weighted mean as `meter` takes it."""
    one = torch.ones(1)
    gain = meter(light[None], metering=one, target=one * 0.2, highlight=one * 1e6, error_ev=one * 0)
    return float(np.log2(0.2) - torch.log2(gain))


def _bright(light: Tensor) -> float:
    """Return log2 of the 95th percentile as `meter` takes it."""
    one = torch.ones(1)
    gain = meter(light[None], metering=one, target=one * 1e6, highlight=one, error_ev=one * 0)
    return float(-torch.log2(gain))
