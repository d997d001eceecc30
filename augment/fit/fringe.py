"""Lateral chromatic aberration: how far red and blue edges lie from green ones, growing from the centre."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_CELL_PX = 16
_PROBE = 1e-3


@dataclass(frozen=True)
class Fringe:
    """Scales of red and blue relative to green less one, with standard deviations, and what the chain leaves of them.

    Attributes:
        gain: measured over true scale, by simulation: subsampled chroma hides most of the fringe.
    """

    red: float
    blue: float
    red_std: float
    blue_std: float
    gain: tuple[float, float]


def channel_scales(rgb: npt.NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
    """Return sums (2,) of products and squares whose ratio is the scale less one of red and blue.

    `rgb`: (H, W, 3) code values.

    In a cell, red is c green + d; a red image larger by 1 + s departs from that by -s c (r . grad green) at radius r.
    """
    height, width = (side - side % _CELL_PX for side in rgb.shape[:2])
    green = rgb[..., 1].astype(np.float64)
    down, across = np.gradient(green)
    y = np.arange(rgb.shape[0])[:, None] + 0.5 - rgb.shape[0] / 2
    x = np.arange(rgb.shape[1])[None, :] + 0.5 - rgb.shape[1] / 2
    lever = _cells((x * across + y * down)[:height, :width])
    green_cells = _cells(green[:height, :width])
    green_cells = green_cells - green_cells.mean(1, keepdims=True)
    variance = (green_cells**2).sum(1)
    clear = variance > 25.0 * _CELL_PX**2  # an edge, not noise
    products, squares = [], []
    for channel in (0, 2):
        cells = _cells(rgb[..., channel].astype(np.float64)[:height, :width])
        cells = cells - cells.mean(1, keepdims=True)
        slope = (cells * green_cells).sum(1) / variance.clip(1e-9)
        residual = cells - slope[:, None] * green_cells
        noise = (residual**2).mean(1) + 1.0
        one_surface = clear & (slope > 0.3) & (slope < 3) & ((residual**2).sum(1) < 0.1 * (cells**2).sum(1))
        arm = -slope[:, None] * lever
        arm = arm - arm.mean(1, keepdims=True)
        arm = arm - green_cells * ((arm * green_cells).sum(1) / variance.clip(1e-9))[:, None]
        weight = one_surface / noise
        products.append(float(((arm * residual).sum(1) * weight).sum()))
        squares.append(float(((arm**2).sum(1) * weight).sum()))
    return np.array(products), np.array(squares)


def fit_fringe(
    photos: list[npt.NDArray[np.uint8]],
    again: Callable[[npt.NDArray[np.uint8], float], npt.NDArray[np.float32]],
    *,
    probes: int = 4,
    resamples: int = 60,
) -> Fringe:
    """Return the fringe of photographs (H, W, 3).

    Args:
        photos: of one size.
        again: takes one of them once more with the fitted camera and a scale of red, that of blue being its negative:
            what the estimator makes of a known scale is its gain.
        probes: how many photographs that is done with.
        resamples: of photographs, for the standard deviation.
    """
    sums = [channel_scales(photo.astype(np.float32)) for photo in photos]
    products, squares = np.stack([s[0] for s in sums]), np.stack([s[1] for s in sums])
    order = np.argsort(-squares.sum(1))[:probes]
    wide = [channel_scales(again(photos[i], _PROBE)) for i in order]
    narrow = [channel_scales(again(photos[i], -_PROBE)) for i in order]
    gain = (_ratio(wide) - _ratio(narrow)) / (2 * _PROBE) * np.array([1, -1])
    gain = np.clip(gain, 0.05, 2.0)
    scale = products.sum(0) / squares.sum(0).clip(1e-9) / gain
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(photos), (resamples, len(photos)))
    drawn = products[rows].sum(1) / squares[rows].sum(1).clip(1e-9) / gain
    std = drawn.std(0)
    return Fringe(float(scale[0]), float(scale[1]), float(std[0]), float(std[1]), (float(gain[0]), float(gain[1])))


def _ratio(sums: list[tuple[FloatArray, FloatArray]]) -> FloatArray:
    ratio: FloatArray = sum(s[0] for s in sums) / np.clip(sum(s[1] for s in sums), 1e-9, None)
    return ratio


def _cells(plane: FloatArray) -> FloatArray:
    height, width = plane.shape
    cells = plane.reshape(height // _CELL_PX, _CELL_PX, width // _CELL_PX, _CELL_PX).swapaxes(1, 2)
    return cells.reshape(-1, _CELL_PX * _CELL_PX)
