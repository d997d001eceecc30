"""Surfaces: the flat blocks of one photograph at one brightness, whose noise is compared as one."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.flat_blocks import BANDS, LEVELS, Blocks, FloatArray

Vector = npt.NDArray[np.float64]
FLOOR = 0.5
"""Energy, squared code values, below which a band counts as empty: JPEG and rounding leave nothing to compare there."""
_TRIM = 0.2


@dataclass(frozen=True)
class Surfaces:
    """N surfaces.

    Attributes:
        colour: (N, 3) mean sRGB in [0, 1].
        level: (N,) index of the luma bin.
        photo: (N,) which photograph.
        log_energy: (N, bands) of the noise.
        variance: (N, bands) sampling variance of `log_energy`.
    """

    colour: FloatArray
    level: npt.NDArray[np.int64]
    photo: npt.NDArray[np.int64]
    log_energy: Vector
    variance: Vector

    def __len__(self) -> int:
        return len(self.level)

    def take(self, rows: npt.NDArray[np.bool_]) -> "Surfaces":
        """Return some of the surfaces."""
        return Surfaces(
            self.colour[rows], self.level[rows], self.photo[rows], self.log_energy[rows], self.variance[rows]
        )

    def first(self, most: int) -> npt.NDArray[np.bool_]:
        """Return (N,) which are among the first `most` of their luma bin."""
        rank = np.zeros(len(self), np.int64)
        for level in self.levels:
            rows = self.level == level
            rank[rows] = np.arange(rows.sum())
        return rank < most

    @property
    def levels(self) -> npt.NDArray[np.int64]:
        """Indices of the luma bins that hold a surface."""
        return np.unique(self.level)

    def mean(self, values: Vector, weight: Vector) -> Vector:
        """Return (levels, ...) weighted means of (N, ...) over the surfaces of each luma bin, NaN for none."""
        out = np.full((len(LEVELS) - 1, *values.shape[1:]), np.nan)
        for level in self.levels:
            rows = self.level == level
            total = weight[rows].sum()
            if total > 0:
                out[level] = np.tensordot(weight[rows], values[rows], 1) / total
        return out

    def mean_variance(self, variance: Vector, weight: Vector) -> Vector:
        """Return (levels, bands) variances of `mean` from those (N, bands) of independent values, NaN for none."""
        total = np.bincount(self.level, weight, minlength=len(LEVELS) - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.mean(weight[:, None] * variance, weight) / total[:, None], np.float64)


def surfaces_of(
    blocks: Blocks,
    *,
    fewest_blocks: int = 24,
    fewest_at_level: int = 80,
    most_at_level: int = 100,
) -> Surfaces:
    """Return the largest surfaces of each luma bin that holds `fewest_at_level` blocks, the larger ones first."""
    rows = []
    for level in range(len(LEVELS) - 1):
        there = np.flatnonzero(blocks.level == level)
        if len(there) < fewest_at_level:
            continue
        found = [there[blocks.photo[there] == photo] for photo in np.unique(blocks.photo[there])]
        found = [one for one in sorted(found, key=len, reverse=True) if len(one) >= fewest_blocks]
        rows += found[:most_at_level]
    energies = [log_energy(blocks.energy[one]) for one in rows]
    shape = (0, len(BANDS))
    return Surfaces(
        np.array([blocks.colour[one].mean(0) for one in rows], np.float32).reshape(-1, 3),
        np.array([blocks.level[one[0]] for one in rows], np.int64),
        np.array([blocks.photo[one[0]] for one in rows], np.int64),
        np.array([mean for mean, _ in energies]) if rows else np.zeros(shape),
        np.array([variance for _, variance in energies]) if rows else np.zeros(shape),
    )


def log_energy(energy: FloatArray) -> tuple[Vector, Vector]:
    """Return log trimmed mean (..., bands) of block energies (..., blocks, bands), and its sampling variance.

    The top fifth of each is left out, here and in the simulation alike: a speck of dust or a hair is no noise. The
    error is that of a trimmed mean (Tukey and McLaughlin 1963), from the energies themselves: where the codec keeps a
    coefficient now and then, they scatter far more than squares of normal noise.
    """
    count = energy.shape[-2]
    ordered = np.sort(energy.astype(np.float64), axis=-2)
    left = count * (1 - _TRIM)
    whole = min(int(left), count - 1)
    # One block counts in part, so that few and many blocks are trimmed alike.
    mean = (ordered[..., :whole, :].sum(-2) + (left - whole) * ordered[..., whole, :]) / left + FLOOR
    scatter = np.minimum(ordered, ordered[..., whole : whole + 1, :]).var(-2) / (count * (1 - _TRIM) ** 2)
    return np.log(mean), np.asarray(scatter / mean**2, np.float64)
