"""Energies of flat blocks, level by level and band by band, and how sure each is."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.flat_blocks import BANDS, LEVELS, Blocks

Vector = npt.NDArray[np.float64]
FEWEST_BLOCKS = 80
_COEFFICIENTS = np.array([7, 11, 15, 18, 14, 6, 6, 12, 21, 12, 21])
_TRIM = 0.2
_HUBER = 2.0
_RARE_ERROR = 0.3
_FLOOR = 0.5
"""Energy, squared code values, below which a band counts as empty: JPEG and rounding leave nothing to compare there."""
_BAND_ERROR, _LEVEL_ERROR = 0.02, 0.025
"""Standard deviations of log energy that are put down to the scene, band by band and shared by a level's bands."""


@dataclass(frozen=True)
class Summary:
    """Log energies (levels, bands) and how many blocks each level rests on."""

    log_energy: Vector
    count: npt.NDArray[np.int64]


def summarise(blocks: Blocks, *, fewest: int = FEWEST_BLOCKS) -> Summary:
    """Return trimmed mean energies per luma level and band, as logs.

    The top fifth of each is left out, here and in the simulation alike: a speck of dust or a hair is no noise.
    """
    levels = len(LEVELS) - 1
    log_energy = np.full((levels, len(BANDS)), np.nan)
    count = np.zeros(levels, np.int64)
    for level in range(levels):
        rows = blocks.energy[blocks.level == level]
        count[level] = len(rows)
        if len(rows) >= fewest:
            kept = np.sort(rows, axis=0)[: max(1, int(len(rows) * (1 - _TRIM)))]
            log_energy[level] = np.log(kept.mean(0) + _FLOOR)
    return Summary(log_energy, count)


def used_of(observed: Summary, seen: Summary) -> npt.NDArray[np.bool_]:
    """Return (levels, bands): where both summaries have something to compare."""
    return ~np.isnan(observed.log_energy) & ~np.isnan(seen.log_energy)


def whitener(observed: Summary, seen: Summary) -> Vector:
    """Return the matrix that makes residuals independent and of unit variance, one block a level.

    Sampling errors of both summaries (chi square), a scene's error in each band, and one that a level's bands share.
    """
    used = used_of(observed, seen)
    rows = 2 / (observed.count.clip(1)[:, None] * _COEFFICIENTS) + 2 / (seen.count.clip(1)[:, None] * _COEFFICIENTS)
    # Near the floor the codec keeps a coefficient now and then: a little more noise makes a multiple of them.
    rare = _RARE_ERROR * np.clip(0.7 - observed.log_energy, 0, 1)
    variance = (rows + _BAND_ERROR**2 + rare**2)[used]
    level = np.broadcast_to(np.arange(len(LEVELS) - 1)[:, None], used.shape)[used]
    covariance = np.diag(variance) + _LEVEL_ERROR**2 * (level[:, None] == level[None, :])
    inverse: Vector = np.linalg.inv(np.linalg.cholesky(covariance))
    return inverse


def huber_weight(scaled: Vector) -> Vector:
    """Return the weights of Huber's loss for standardised residuals."""
    return np.minimum(1, _HUBER / np.abs(scaled).clip(1e-9))


def huber_cost(scaled: Vector) -> float:
    """Return the sum of Huber's loss of standardised residuals."""
    size = np.abs(scaled)
    return float(np.where(size < _HUBER, size**2, 2 * _HUBER * size - _HUBER**2).sum())
