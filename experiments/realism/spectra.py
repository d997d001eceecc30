"""Power over frequency, and what the sensor's colour filter and the codec's blocks leave on the pixel grid."""

from functools import lru_cache

import numpy as np

from spooflab.experiments.pattern_spectra import power_spectrum
from spooflab.experiments.scores import FloatArray, IntArray

BINS = 12
LOWEST, HIGHEST = 0.02, 0.5
"""Cycles per pixel between which the radial spectrum is told; the corners of the plane, beyond .5, are left out."""
LATTICE = ("diagonal", "columns", "rows")
"""Frequencies of a 2 x 2 lattice: (1/2, 1/2), (1/2, 0) and (0, 1/2) cycles per pixel."""
_BLOCK = 8
_FLOOR = 1e-12


def edges() -> FloatArray:
    """Return the (BINS + 1,) ends of the radial bins, cycles per pixel, evenly spaced in the logarithm."""
    return np.geomspace(LOWEST, HIGHEST, BINS + 1)


@lru_cache(maxsize=8)
def _ring(side: int) -> IntArray:
    """Return (side, side) the bin of each frequency, BINS where it has none."""
    axis = np.fft.fftshift(np.fft.fftfreq(side))
    place = np.digitize(np.hypot(axis[:, None], axis[None]), edges()) - 1
    return np.where((place < 0) | (place >= BINS), BINS, place)


def radial(plane: FloatArray) -> FloatArray:
    """Return (BINS,) log10 of the mean power density of a square plane over rings; NaN where a ring holds no frequency.

    Density: power times number of pixels, so that white noise of variance v reads log10(v) in every bin at any side.
    """
    side = plane.shape[0]
    ring = _ring(side).ravel()
    power = (power_spectrum(plane) * plane.size).ravel()
    count = np.bincount(ring, minlength=BINS + 1)[:BINS]
    total = np.bincount(ring, power, BINS + 1)[:BINS]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log10(np.where(count > 0, total / count, np.nan) + _FLOOR)


def slope(spectrum: FloatArray) -> float:
    """Return the exponent a of a radial spectrum f^a, least squares in logarithms; -2 for amplitudes of 1 / f."""
    middle = np.log10(np.sqrt(edges()[:-1] * edges()[1:]))
    known = np.isfinite(spectrum)
    return float(np.polyfit(middle[known], spectrum[known], 1)[0])


def cfa_phase(plane: FloatArray) -> FloatArray:
    """Return (3,) how strongly the size of the interpolation residual repeats every 2 pixels, at `LATTICE`.

    A demosaiced pixel is a weighted mean of its neighbours and a measured one is not, so the residual of a pixel
    against its neighbours' mean is smaller on the sites that were filled in (Popescu & Farid 2005; Gallagher & Chen
    2008). Means of its size over the four phases, their Fourier terms over their sum: 0 without a lattice, 1 where one
    phase holds all.
    """
    size = np.abs(_interpolation_residual(plane))
    size = np.minimum(size, 8 * np.median(size) + _FLOOR)  # an edge is no lattice
    height, width = (n // 2 * 2 for n in size.shape)
    phase = size[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((0, 2))
    a, b, c, d = phase.ravel()
    total = max(float(phase.sum()), _FLOOR)
    return np.abs([a - b - c + d, a - b + c - d, a + b - c - d]) / total


def _interpolation_residual(plane: FloatArray) -> FloatArray:
    inner = plane[1:-1, 1:-1]
    around = plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:]
    residual: FloatArray = inner - around / 4
    return residual


def block_phases(plane: FloatArray) -> FloatArray:
    """Return (8,) mean step between neighbours at each of the 8 phases of a codec's grid, over their mean.

    Steps are third differences along rows and columns, clipped at four medians; at the seam of two blocks of a JPEG
    they are larger (Fan & de Queiroz 2003). All near 1 without a grid, whatever its place.
    """
    parts = []
    for turned in (plane, plane.T):
        step = np.abs(turned[:, :-3] - 3 * turned[:, 1:-2] + 3 * turned[:, 2:-1] - turned[:, 3:])
        step = np.minimum(step, 4 * np.median(step) + _FLOOR)
        columns = step.shape[1] // _BLOCK * _BLOCK
        parts.append(step[:, :columns].reshape(-1, columns // _BLOCK, _BLOCK).mean((0, 1)))
    mean = np.mean(parts, axis=0)
    phases: FloatArray = mean / max(float(mean.mean()), _FLOOR)
    return phases


def known_mean(values: FloatArray, axis: int) -> FloatArray:
    """Return the mean of the finite values along an axis, NaN where there is none."""
    known = np.isfinite(values)
    count = known.sum(axis)
    mean: FloatArray = np.where(count > 0, np.where(known, values, 0.0).sum(axis) / np.maximum(count, 1), np.nan)
    return mean
