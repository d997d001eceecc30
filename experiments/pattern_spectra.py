"""How a pattern lies in a picture: its spectrum, its frequency from place to place, its contrast, its colours.

All functions take the difference between a picture and its twin without the pattern, in code values of 0-1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]

LOWEST = 0.03
"""Cycles per pixel under which a component is shading rather than a pattern."""
_PADDED = 4
"""Zero padding of a tile before its transform: peaks are found to a quarter of its resolution before refinement."""


@dataclass(frozen=True)
class Peaks:
    """The strongest component of each tile.

    Attributes:
        frequency: (N, 2) cycles per pixel, x to the right in 0...0.5 and y down.
        place: (N, 2) the tile's middle, x and y in shares of the picture.
        share: (N,) share of the tile's power (above `LOWEST`) within the main lobe around the peak: 1 for one sinusoid.
    """

    frequency: Plane
    place: Plane
    share: Plane


def power_spectrum(plane: Plane) -> Plane:
    """Return (H, W) the power of a plane (H, W) less its mean under a Hann window, frequency 0 in the middle.

    Scaled so that a sinusoid of amplitude a, wherever its frequency lies on the grid, sums to a² / 2.
    """
    height, width = plane.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    spectrum = np.abs(np.fft.fft2((plane - plane.mean()) * window)) ** 2
    return np.fft.fftshift(spectrum) / (plane.size * float((window**2).sum()))


def peaks(plane: Plane, tiles: int) -> Peaks:
    """Return the strongest component of each of `tiles` × `tiles` tiles that overlap by half.

    Args:
        plane: (H, W).
        tiles: along each side.
    """
    height, width = plane.shape
    side = 2 * min(height, width) // (tiles + 1)
    found: list[tuple[list[float], list[float], float]] = []
    for i in range(tiles):
        for j in range(tiles):
            top, left = i * (height - side) // max(tiles - 1, 1), j * (width - side) // max(tiles - 1, 1)
            frequency, share = _peak(plane[top : top + side, left : left + side])
            found.append((frequency, [(left + side / 2) / width, (top + side / 2) / height], share))
    return Peaks(*(np.array(column, dtype=np.float64) for column in zip(*found, strict=True)))


def _peak(tile: Plane) -> tuple[list[float], float]:
    side = tile.shape[0]
    window = np.outer(np.hanning(side), np.hanning(side))
    size = _PADDED * side
    power = np.abs(np.fft.rfft2((tile - tile.mean()) * window, (size, size))) ** 2
    x, y = np.fft.rfftfreq(size)[None], np.fft.fftfreq(size)[:, None]
    power = np.where(np.hypot(x, y) >= max(LOWEST, 2 / side), power, 0.0)
    i, j = np.unravel_index(int(power.argmax()), power.shape)
    near = np.hypot(x - x[0, j], (y - y[i, 0] + 0.5) % 1 - 0.5) < 2 / side
    share = float(power[near].sum() / max(power.sum(), 1e-30))
    lobe = power * near
    total = max(float(lobe.sum()), 1e-30)
    off = (y - y[i, 0] + 0.5) % 1 - 0.5
    return [float((lobe * x).sum() / total), float(y[i, 0] + (lobe * off).sum() / total)], share


def wander(found: Peaks, least_share: float = 0.2) -> float:
    """Return how far the dominant frequency moves over the picture: spread of the tiles' peaks over their mean length.

    Root mean square distance from the median peak, both as vectors, over tiles in which one component has at least
    `least_share` of the power; NaN where fewer than four do. 0 for a plane wave.
    """
    sure = found.frequency[found.share >= least_share]
    if len(sure) < 4:
        return float("nan")
    # (x, y) and (-x, -y) are one wave: each is taken on the side of the first.
    sure = np.where((sure @ sure[0] < 0)[:, None], -sure, sure)
    middle = np.asarray(np.median(sure, axis=0), dtype=np.float64)
    return float(np.sqrt(((sure - middle) ** 2).sum(1).mean()) / max(float(np.linalg.norm(middle)), 1e-12))


def contrast_by_brightness(difference: Plane, brightness: Plane, bins: int) -> tuple[Plane, Plane]:
    """Return (bins,) mean brightness and root mean square difference over bins of equally many pixels.

    Args:
        difference: (H, W).
        brightness: (H, W) of the twin without the pattern.
        bins: how many.
    """
    order = np.argsort(brightness, axis=None, kind="stable")
    groups = np.array_split(order, bins)
    flat, level = difference.ravel(), brightness.ravel()
    return (
        np.array([level[group].mean() for group in groups]),
        np.array([np.sqrt((flat[group] ** 2).mean()) for group in groups]),
    )


def channel_correlation(difference: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return Pearson's correlation of a difference (H, W, 3) between red and green, green and blue, red and blue."""
    table = np.atleast_2d(np.corrcoef(difference.reshape(-1, 3).T))
    return float(table[0, 1]), float(table[1, 2]), float(table[0, 2])


def without_shading(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a difference (H, W, C) less all its components below `LOWEST` cycles per pixel."""
    height, width = difference.shape[:2]
    radius = np.hypot(np.fft.rfftfreq(width)[None], np.fft.fftfreq(height)[:, None])
    spectrum = np.fft.rfft2(difference, axes=(0, 1)) * (radius >= LOWEST)[..., None]
    return np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
