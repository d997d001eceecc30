"""How well a subset covers its data set, beside random subsets of the same size and shares."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spooflab.experiments.data_sets.curation.parameters import MISSING, Cube
from spooflab.experiments.data_sets.curation.space import MOST, Space

TENTHS = 10


@dataclass(frozen=True)
class Coverage:
    """Of one subset.

    Attributes:
        largest, mean: distance of the data set's samples to the nearest one of the subset, of their own stratum.
        tenths: share of the occupied tenths of each parameter's range that the subset has, mean over parameters; None
            where no parameters are known.
    """

    largest: float
    mean: float
    tenths: float | None


def random_rows(
    strata: Mapping[tuple[str, ...], NDArray[np.int64]],
    shares: Mapping[tuple[str, ...], int],
    keys: Sequence[str],
    seed: int,
) -> list[int]:
    """Return a random subset with the same number of each stratum: those of the least hash of seed and key."""
    chosen: list[int] = []
    for name, rows in strata.items():
        ranked = sorted(rows.tolist(), key=lambda row: hashlib.sha256(f"random/{seed}/{keys[row]}".encode()).digest())
        chosen += ranked[: shares[name]]
    return sorted(chosen)


def nearest(
    space: Space, strata: Mapping[tuple[str, ...], NDArray[np.int64]], chosen: Sequence[int]
) -> NDArray[np.float64]:
    """Return (N,) squared distances of all samples to the nearest chosen one of their stratum."""
    found, held = np.zeros(len(space)), np.zeros(len(space), dtype=bool)
    held[list(chosen)] = True
    for rows in strata.values():
        found[rows] = space.part(rows).nearest(np.flatnonzero(held[rows]))
    return found


def coverage(squared: NDArray[np.float64], cubes: Sequence[Cube], chosen: Sequence[int]) -> Coverage:
    """Sum up a subset.

    Args:
        squared: of `nearest`.
        cubes: parameters of all samples; none where they are not known.
        chosen: rows of the subset.
    """
    distances = np.sqrt(squared.clip(0))
    shares = [share for cube in cubes for share in tenths(cube, chosen).values()]
    return Coverage(float(distances.max()), float(distances.mean()), float(np.mean(shares)) if shares else None)


def tenths(cube: Cube, chosen: Sequence[int]) -> dict[tuple[str, str], float]:
    """Return, by kind and parameter, the share of the tenths of its prior with a sample that have one in the subset."""
    rows, found = np.array(sorted(chosen), dtype=np.int64), dict[tuple[str, str], float]()
    for place, kind in enumerate(cube.kinds):
        everywhere, here = cube.codes[cube.kind == place], cube.codes[rows][cube.kind[rows] == place]
        for column, name in enumerate(cube.names[place]):
            occupied = _occupied(everywhere[:, column])
            if occupied:
                found[kind, name] = len(_occupied(here[:, column])) / len(occupied)
    return found


def _occupied(codes: NDArray[np.int8]) -> set[int]:
    at = (codes[codes != MISSING].astype(np.int64) + MOST) * TENTHS // (2 * MOST + 1)
    return set(at.tolist())
