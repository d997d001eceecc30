"""Vignetting from ordinary photographs: what most neighbouring patches of every scene agree on is the lens."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from spooflab.augment.vignette import vignette

FloatArray = npt.NDArray[np.float64]
_CELL_PX = 16
_SCALE = 0.03
_GRID = np.linspace(0.25, 1.1, 86)
_LOW, _HIGH = 0.01, 0.85


@dataclass(frozen=True)
class Falloff:
    """Corner gain, its standard deviation over resampled photographs, and how many pairs of patches voted."""

    corner_gain: float
    std: float
    pairs: int


def fit_falloff(luminance: list[npt.NDArray[np.float32]], *, resamples: int = 40) -> Falloff:
    """Return the corner gain (at most 1) from linear luminance (H, W) of photographs of one size.

    Neighbouring cells of 16 pixels mostly show one surface, so the log of their ratio is that of the lens; where it is
    not, a redescending weight lets it go. (After Zheng et al. 2008, who use the same asymmetry of radial gradients.)
    """
    height, width = luminance[0].shape
    rows, columns = height // _CELL_PX, width // _CELL_PX
    gains = vignette(height, width, torch.from_numpy(_GRID).float())[:, 0].numpy()
    expected = [_steps(np.log(_cells(gain, rows, columns))) for gain in gains]
    cost = np.zeros((len(luminance), len(_GRID)))
    pairs = 0
    for number, image in enumerate(luminance):
        cells = _cells(image, rows, columns)
        good = (cells > _LOW) & (cells < _HIGH)
        usable = np.concatenate([(good[1:] & good[:-1]).ravel(), (good[:, 1:] & good[:, :-1]).ravel()])
        seen = _steps(np.log(np.maximum(cells, 1e-4)))[usable]
        pairs += int(usable.sum())
        for place, steps in enumerate(expected):
            square = (seen - steps[usable]) ** 2
            cost[number, place] = (square / (square + _SCALE**2)).sum()
    best = _minimum(cost.sum(0))
    rng = np.random.default_rng(0)
    drawn = [_minimum(cost[rng.integers(0, len(cost), len(cost))].sum(0)) for _ in range(resamples)]
    return Falloff(min(best, 1.0), float(np.std(drawn)), pairs)


def _cells(image: npt.NDArray[np.float32], rows: int, columns: int) -> FloatArray:
    cut = image[: rows * _CELL_PX, : columns * _CELL_PX].astype(np.float64)
    means: FloatArray = cut.reshape(rows, _CELL_PX, columns, _CELL_PX).mean((1, 3))
    return means


def _steps(log: FloatArray) -> FloatArray:
    return np.concatenate([np.diff(log, axis=0).ravel(), np.diff(log, axis=1).ravel()])


def _minimum(cost: FloatArray) -> float:
    place = int(np.clip(np.argmin(cost), 1, len(cost) - 2))
    left, middle, right = cost[place - 1 : place + 2]
    bow = left - 2 * middle + right
    return float(_GRID[place] + (0.5 * (left - right) / bow if bow > 0 else 0.0) * (_GRID[1] - _GRID[0]))
