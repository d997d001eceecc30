"""Energies of the photographs and of a candidate, level by level: how far apart they are, and how sure that is."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.flat_blocks import BANDS, LEVELS
from spooflab.augment.fit.surfaces import Surfaces, Vector

_HUBER = 2.0
_TEXTURED = 4.0
"""Robust standard deviations beyond which a surface shows more than noise, and counts nothing (Tukey's biweight)."""
_SURFACE_ERROR = 0.06
"""Standard deviation of a surface's log energy beside sampling: shots differ, and so do colours within a surface."""
_BAND_ERROR, _LEVEL_ERROR, _EVERYWHERE_ERROR = 0.006, 0.01, 0.012
"""Standard deviations of log energy that scenes add: to each term, to all bands of a level, to a band at all levels."""
_POOLED = 5
"""Surfaces' worth of the scatter over all levels that a level's own is pooled with."""
_JUDGED = 4
"""How many bands, from the first, say whether a surface stands out."""


@dataclass(frozen=True)
class Apart:
    """What the photographs' energies exceed a candidate's by.

    Attributes:
        residual: (surfaces, bands) log ratio.
        weight: (surfaces,) what each counts for in its level.
        mean: (levels, bands) weighted means of `residual`; NaN where there is no surface.
        variance: (levels, bands) of `mean`, from how surfaces scatter.
    """

    residual: Vector
    weight: Vector
    mean: Vector
    variance: Vector


def apart(surfaces: Surfaces, simulated: Vector) -> Apart:
    """Compare surfaces with simulated log energies (surfaces, bands); surfaces that stand out lose their weight."""
    residual = surfaces.log_energy - simulated
    luma = residual[:, :_JUDGED].mean(1)
    own = surfaces.variance[:, :_JUDGED].mean(1) / _JUDGED + _SURFACE_ERROR**2
    weight = 1 / own
    for _ in range(10):
        centre = surfaces.mean(luma, weight)[surfaces.level]
        away = np.nan_to_num(luma - centre) / np.sqrt(own)
        scale = max(1.0, 1.48 * float(np.median(np.abs(away))))
        weight = np.clip(1 - (away / (_TEXTURED * scale)) ** 2, 0, 1) ** 2 / own
    mean = surfaces.mean(residual, weight)
    return Apart(residual, weight, mean, _variance(surfaces, residual, weight, mean))


def _variance(surfaces: Surfaces, residual: Vector, weight: Vector, mean: Vector) -> Vector:
    """Return (levels, bands): scatter of surfaces over their number, a few levels' worth of it pooled."""
    off2 = np.nan_to_num(residual - mean[surfaces.level]) ** 2
    pooled = (weight[:, None] * off2).sum(0) / weight.sum()
    variance = np.full_like(mean, np.nan)
    for level in surfaces.levels:
        rows = surfaces.level == level
        w = weight[rows]
        if w.sum() <= 0:
            continue
        number = w.sum() ** 2 / (w**2).sum()
        own = (w[:, None] * off2[rows]).sum(0) / w.sum()
        sampling = (w[:, None] * surfaces.variance[rows]).sum(0) / w.sum()
        scatter = np.maximum((number * own + _POOLED * pooled) / (max(number - 1, 0) + _POOLED), sampling)
        variance[level] = scatter / number
    return variance


def whitener(variance: Vector, used: npt.NDArray[np.bool_]) -> Vector:
    """Return the matrix that makes the used terms of (levels, bands) independent and of unit variance."""
    level = np.broadcast_to(np.arange(len(LEVELS) - 1)[:, None], used.shape)[used]
    band = np.broadcast_to(np.arange(len(BANDS)), used.shape)[used]
    covariance = np.diag(variance[used] + _BAND_ERROR**2)
    covariance += _LEVEL_ERROR**2 * (level[:, None] == level[None, :])
    covariance += _EVERYWHERE_ERROR**2 * (band[:, None] == band[None, :])
    inverse: Vector = np.linalg.inv(np.linalg.cholesky(covariance))
    return inverse


def huber_weight(scaled: Vector) -> Vector:
    """Return the weights of Huber's loss for standardised residuals."""
    return np.minimum(1, _HUBER / np.abs(scaled).clip(1e-9))


def huber_cost(scaled: Vector) -> Vector:
    """Return the sums of Huber's loss of standardised residuals, along the last axis."""
    size = np.abs(scaled)
    return np.asarray(np.where(size < _HUBER, size**2, 2 * _HUBER * size - _HUBER**2).sum(-1), np.float64)
