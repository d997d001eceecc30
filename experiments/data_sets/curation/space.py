"""Distances between samples: exact, and so the same in any order, on any number of threads and on any machine.

Coordinates are whole numbers of -127 … 127, one byte each. Sums of products of them stay below 2^24 for up to 1040
coordinates, so that float32 matrix products of them are exact whatever the order of summation; more are taken as
float64. Only these exact integers are scaled and added in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 127
"""Largest coordinate."""
_EXACT_IN_FLOAT32 = 2**24 // MOST**2
_AT_ONCE = 8192
_CENTRES_AT_ONCE = 256


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

    @cached_property
    def norms(self) -> NDArray[np.float64]:
        """(N,) squared lengths."""
        parts = (self.values[start : start + _AT_ONCE] for start in range(0, len(self.values), _AT_ONCE))
        lengths = [np.square(part, dtype=np.int64).sum(1) for part in parts]
        return np.concatenate([np.zeros(0), *lengths])

    def squared(self, rows: NDArray[np.int64], start: int, stop: int) -> NDArray[np.float64]:
        """Return squared distances of samples `start` … `stop` to K samples, exact but for the product's rounding."""
        number = np.float32 if self.values.shape[1] <= _EXACT_IN_FLOAT32 else np.float64
        centre: NDArray[Any] = self.values[rows].astype(number)
        part: NDArray[Any] = self.values[start:stop].astype(number)
        whole = self.norms[start:stop, None] + self.norms[rows] - 2.0 * (part @ centre.T).astype(np.float64)
        same = self.kind[start:stop, None] == self.kind[rows]
        return np.where(same, whole * self.scale[self.kind[rows]], self.apart)


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
        return np.concatenate([np.zeros((0, len(places))), *(self._squared(places, start) for start in self._starts())])

    def from_row(self, row: int) -> NDArray[np.float64]:
        """Return (N,) squared distances of all samples to one of them."""
        return self.squared([row])[:, 0]

    def nearest(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (N,) each sample's squared distance to the nearest of some; memory does not grow with their number."""
        found = np.full(len(self), np.inf)
        for start in self._starts():
            part = found[start : start + _AT_ONCE]
            for centre in range(0, len(rows), _CENTRES_AT_ONCE):
                np.minimum(part, self._squared(rows[centre : centre + _CENTRES_AT_ONCE], start).min(1), out=part)
        return found

    def _starts(self) -> range:
        return range(0, len(self), _AT_ONCE)

    def _squared(self, places: NDArray[np.int64], start: int) -> NDArray[np.float64]:
        stop = min(len(self), start + _AT_ONCE)
        out = np.zeros((stop - start, len(places)))
        for block, weight in zip(self.blocks, self.weights, strict=True):
            out += weight * block.squared(places, start, stop)
        return out


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
