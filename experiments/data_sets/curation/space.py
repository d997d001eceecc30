"""Distances between samples: exact, and so the same in any order, on any number of threads and on any machine.

Coordinates are whole numbers of -127 … 127, one byte each. Sums of products of them stay below 2^24 for up to 1040
coordinates, so that float32 matrix products of them are exact whatever the order of summation; more are taken as
float64. Only these exact integers are scaled and added in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 127
"""Largest coordinate."""
_EXACT_IN_FLOAT32 = 2**24 // MOST**2
_AT_ONCE = 8192
_CENTRES_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class Block:
    """One part of the coordinates; the squared distance of a space is the sum of its blocks'.

    Attributes:
        values: (N, D) int8 coordinates; a kind with fewer of them than D has zeros behind.
        kind: (N,) what the coordinates are of (species, device model). Of two kinds, samples are `apart`.
        scale: by kind, what the sum of squared differences is multiplied by.
        apart: squared distance of two kinds; a metric if at least a quarter of the largest within one kind.
    """

    values: NDArray[np.int8]
    kind: NDArray[np.int32]
    scale: NDArray[np.float64]
    apart: float = 1.0

    def part(self, rows: NDArray[np.int64]) -> "Block":
        """Return the block of some rows."""
        return Block(self.values[rows], self.kind[rows], self.scale, self.apart)

    def squared(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (N, K) squared distances of all samples to K of them, exact but for one rounding of the product."""
        out = np.empty((len(self.values), len(rows)))
        number = np.float32 if self.values.shape[1] <= _EXACT_IN_FLOAT32 else np.float64
        centre: NDArray[Any] = self.values[rows].astype(number)
        own = np.square(centre, dtype=np.float64).sum(1)
        for start in range(0, len(out), _AT_ONCE):
            part: NDArray[Any] = self.values[start : start + _AT_ONCE].astype(number)
            whole = np.square(part, dtype=np.float64).sum(1)[:, None] + own - 2.0 * (part @ centre.T)
            same = self.kind[start : start + _AT_ONCE, None] == self.kind[rows]
            out[start : start + _AT_ONCE] = np.where(same, whole * self.scale[self.kind[rows]], self.apart)
        return out


@dataclass(frozen=True, eq=False)
class Space:
    """Samples with distances.

    Attributes:
        blocks: parts of the coordinates.
        weights: of the blocks' squared distances.
    """

    blocks: tuple[Block, ...]
    weights: tuple[float, ...]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.blocks[0].values)

    def part(self, rows: NDArray[np.int64]) -> "Space":
        """Return the space of some rows."""
        return Space(tuple(block.part(rows) for block in self.blocks), self.weights)

    def squared(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (N, K) squared distances of all samples to K of them."""
        places = np.asarray(rows, dtype=np.int64)
        out = np.zeros((len(self), len(places)))
        for block, weight in zip(self.blocks, self.weights, strict=True):
            out += weight * block.squared(places)
        return out

    def from_row(self, row: int) -> NDArray[np.float64]:
        """Return (N,) squared distances of all samples to one of them."""
        return self.squared([row])[:, 0]

    def nearest(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (N,) each sample's squared distance to the nearest of some; memory does not grow with their number."""
        found = np.full(len(self), np.inf)
        for start in range(0, len(rows), _CENTRES_AT_ONCE):
            np.minimum(found, self.squared(rows[start : start + _CENTRES_AT_ONCE]).min(1), out=found)
        return found


def joined(spaces: Sequence[Space], seed_rows: NDArray[np.int64]) -> Space:
    """Add spaces of the same samples, each scaled to a mean squared distance of 1 among some of the samples.

    Args:
        spaces: one or more.
        seed_rows: (M,) the samples that set the scale, two or more.
    """
    blocks: list[Block] = []
    weights: list[float] = []
    for space in spaces:
        sample = space.part(seed_rows)
        mean = float(sample.squared(np.arange(len(seed_rows))).mean())
        blocks += space.blocks
        weights += [weight / mean if mean > 0 else weight for weight in space.weights]
    return Space(tuple(blocks), tuple(weights))
