"""Which flat blocks show more than noise: those of surfaces with a fine texture.

Blocks are judged in squares of 32 pixels, for what lies on one is mostly one surface. Noise follows the colour, so a
square is compared with what its level's squares have at its own colour: a linear trend of the log energy.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.flat_blocks import LEVELS, Blocks
from spooflab.augment.fit.surfaces import FLOOR, Vector

_COEFFICIENTS = np.array([2, 4, 5, 6])
"""Coefficients in each of the first bands, by whose sum a square is judged."""
_SIGMAS, _COLOURED = 4.0, 0.3
"""Robust standard deviations above the trend that are texture; and how far colours alone move single blocks (log)."""
_ROUNDS, _LOOSE = 4, 0.5
"""How often trend and choice are made anew; and what a square's residual counts for in the trend at most (log)."""
_TYPICAL_ERROR, _STEEPEST = 0.15, 8.0
"""Of a square's log energy, and of the trend per unit of code value: how strongly few colours are kept from a slope."""


@dataclass(frozen=True)
class _Squares:
    """One row for each square and level: level, photo, mean colour, log energy of luma, number of blocks."""

    level: npt.NDArray[np.int64]
    photo: npt.NDArray[np.int64]
    colour: Vector
    log_energy: Vector
    count: npt.NDArray[np.int64]


def without_texture(blocks: Blocks) -> Blocks:
    """Return the blocks of squares that show noise alone."""
    squares, member = _squares(blocks)
    kept = np.ones(len(squares.level), bool)
    for _ in range(_ROUNDS):
        excess = squares.log_energy - _trend(squares, kept)
        for photo in np.unique(squares.photo):  # a shot of more gain is no texture
            rows = squares.photo == photo
            if (rows & kept).any():
                excess[rows] -= np.median(excess[rows & kept])
        kept = excess <= _limits(squares, excess)
    return blocks.take(kept[member])


def _squares(blocks: Blocks) -> tuple[_Squares, npt.NDArray[np.int64]]:
    """Return the squares, and the square of each block."""
    key = blocks.cell * len(LEVELS) + blocks.level
    found, first, member, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)

    def mean(values: npt.NDArray[np.float32]) -> Vector:
        total = np.zeros((len(found), values.shape[1]))
        np.add.at(total, member, values)
        return np.asarray(total / count[:, None], np.float64)

    luma = mean(blocks.energy[:, : len(_COEFFICIENTS)]) @ _COEFFICIENTS / _COEFFICIENTS.sum()
    squares = _Squares(blocks.level[first], blocks.photo[first], mean(blocks.colour), np.log(luma + FLOOR), count)
    return squares, np.asarray(member, np.int64)


def _trend(squares: _Squares, kept: npt.NDArray[np.bool_]) -> Vector:
    """Return each square's log energy by a robust linear trend in colour over the kept squares of its level."""
    trend = np.zeros(len(squares.level))
    for level in np.unique(squares.level):
        there = squares.level == level
        rows = there & kept
        if not rows.any():
            continue
        count, log = squares.count[rows], squares.log_energy[rows]
        weight = count / (count + 4.0)
        centre = np.average(squares.colour[rows], axis=0, weights=count)
        off = squares.colour[rows] - centre
        normal = (off * weight[:, None]).T @ off + (_TYPICAL_ERROR / _STEEPEST) ** 2 * np.eye(3)
        base, slope = float(np.median(log)), np.zeros(3)
        for _ in range(3):  # medians and slopes in turn: squares with texture must not tilt the trend
            bent = np.clip(log - base - off @ slope, -_LOOSE, _LOOSE) + off @ slope
            slope = np.linalg.solve(normal, (off * weight[:, None]).T @ bent)
            base = float(np.median(log - off @ slope))
        trend[there] = base + (squares.colour[there] - centre) @ slope
    return trend


def _limits(squares: _Squares, excess: Vector) -> Vector:
    """Return each square's largest excess that noise explains, by how far others of its level fall below the trend.

    A fixed limit would take noise itself away where the codec makes energies scatter more.
    """
    weight = np.sqrt(squares.count / (1 + squares.count * _COLOURED**2))
    limit = np.zeros(len(excess))
    for level in np.unique(squares.level):
        rows = squares.level == level
        below = (excess * weight)[rows & (excess < 0)]
        spread = float(np.median(-below)) / 0.6745 if len(below) else 1.0
        limit[rows] = _SIGMAS * spread / weight[rows]
    return limit
