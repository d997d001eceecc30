"""The sensor's own pattern: what the noise of all photographs has in common."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
_CLEAR_SCORE = 6.0
_CALMEST = 1e-9
"""Variance of a residual, squared code values of one, below which a photograph is as good as even."""


@dataclass(frozen=True)
class Pattern:
    """The shared gain pattern.

    Attributes:
        std: of what of it reaches a photograph, relative; divide by the chain's gain for the sensor's own.
        correlation: between the patterns of the two halves of the photographs.
        score: the correlation in standard deviations of chance.
        shared: the halves agree beyond chance: one sensor, aligned windows.
    """

    std: float
    correlation: float
    score: float
    shared: bool


def fit_pattern(luma: list[FloatArray], slope: list[FloatArray]) -> Pattern:
    """Return the pattern common to luma planes (H, W), code values in [0, 1].

    The maximum-likelihood estimate of Chen, Fridrich, Goljan and Lukas (2008, eq. 6), residual times signal over signal
    squared, for every second photograph and for the rest; their covariance is the variance of what they share, free of
    noise. Means of rows, of columns and of the 8 x 8 grid, which demosaicing and JPEG give every camera, are removed.

    Args:
        luma: photographs of one size.
        slope: d luma / d ln light of each pixel; 0 where it is to count nothing.
    """
    halves = [_estimate(luma[start::2], slope[start::2]) for start in (0, 1)]
    seen = halves[0][1] & halves[1][1]
    first, second = (estimate[seen] for estimate, _ in halves)
    if not len(first):
        return Pattern(0.0, 0.0, 0.0, False)
    covariance = float((first * second).mean())
    spread = float(np.sqrt((first**2).mean() * (second**2).mean()))
    correlation = covariance / max(spread, 1e-12)
    score = correlation * float(np.sqrt(len(first)))
    return Pattern(float(np.sqrt(max(covariance, 0.0))), correlation, score, score > _CLEAR_SCORE)


def _estimate(luma: list[FloatArray], slope: list[FloatArray]) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return the pattern inside the window's border, and where it was seen."""
    above, below = np.zeros_like(luma[0]), np.zeros_like(luma[0]) + 1e-6
    seen = np.zeros(luma[0].shape, np.bool_)
    for plane, gain in zip(luma, slope, strict=True):
        residual = plane - _box(plane, 1)
        activity = _box(residual**2, 3)
        calm = max(float(np.median(activity)), _CALMEST)
        # Texture leaks into the residual: where it is ten times as active as usual, it is as good as unseen.
        weight = 1 / (calm + activity**2 / calm)
        above += weight * residual * gain
        below += weight * gain**2
        seen |= gain > 0
    estimate = above / below
    estimate = np.clip(estimate, -0.1, 0.1)
    for phase_y in range(8):
        for phase_x in range(8):
            estimate[phase_y::8, phase_x::8] -= estimate[phase_y::8, phase_x::8].mean()
    estimate -= estimate.mean(0, keepdims=True)
    estimate -= estimate.mean(1, keepdims=True)
    inner = (slice(4, -4), slice(4, -4))
    return estimate[inner], seen[inner]


def _box(plane: FloatArray, radius: int) -> FloatArray:
    side = 2 * radius + 1
    total = np.cumsum(
        np.cumsum(np.pad(plane.astype(np.float64), ((radius + 1, radius), (radius + 1, radius)), mode="edge"), 0), 1
    )
    mean = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    return (mean / side**2).astype(np.float32)
