"""Pictures that come twice: equal to the byte, or alike to the eye in two groups of people.

Hashes find candidates (`phash.near_pair_blocks`) and the pixels of both confirm them, as in `near_duplicates`; here for
a million pictures: candidates are confirmed as they are found, and only the most alike pairs are kept.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spooflab.experiments.data_sets.qa.fingerprints import Fingerprints, Names
from spooflab.experiments.near_duplicates import ALIKE, NEAR_BITS, NearPair, correlations
from spooflab.experiments.phash import near_pair_blocks

KEPT = 1000
"""Pairs that a report names; all are counted."""
_AT_ONCE = 4096


@dataclass(frozen=True)
class Duplicates:
    """What was found.

    Attributes:
        exact: pictures that equal an earlier one to the byte.
        exact_pairs: keys of such pictures and of the first of their kind; at most `KEPT`, in the data set's order.
        near: pairs of pictures of two subject groups that are one picture to the eye.
        near_pairs: the most alike of them, at most `KEPT`, most alike first.
        alike_in_group: pictures whose perceptual hash another of the same group has: frames of a clip, or an attack
            and the face that it copies. No fault, but they tell less than their number says.
    """

    exact: int
    exact_pairs: tuple[tuple[str, str], ...]
    near: int
    near_pairs: tuple[NearPair, ...]
    alike_in_group: int


def find_duplicates(names: Names, found: Fingerprints, *, alike: float = ALIKE) -> Duplicates:
    """Look for duplicates among all pictures.

    Args:
        names: of the rows.
        found: fingerprints, in the same order.
        alike: correlation of small lumas from which two candidates are one picture.
    """
    exact = list(_equal(names.sha))
    first = _first_of_group(found.phash, names.group)
    kept: list[tuple[float, int, int]] = []
    near = 0
    for left, right in _candidates(found.phash, names.group, first):
        values = correlations(found.luma[left], found.luma[right])
        for place in np.flatnonzero(values >= alike):
            near += 1
            # Ties go to the pair that stands first in the data set.
            entry = (round(float(values[place]), 4), -int(left[place]), -int(right[place]))
            if len(kept) < KEPT:
                heapq.heappush(kept, entry)
            elif entry > kept[0]:
                heapq.heapreplace(kept, entry)
    pairs = tuple(_pair(names, found.phash, -a, -b, value) for value, a, b in sorted(kept, reverse=True))
    named = tuple((names.key(row), names.key(before)) for row, before in exact[:KEPT])
    return Duplicates(len(exact), named, near, pairs, len(names.group) - len(first))


def _equal(sha: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Yield (row, first row of the same picture), in order."""
    if not len(sha):
        return
    whole = np.ascontiguousarray(sha).view(f"V{sha.shape[1]}")[:, 0]
    _, first, member = np.unique(whole, return_index=True, return_inverse=True)
    earlier = first[member]
    for row in np.flatnonzero(earlier != np.arange(len(sha))):
        yield int(row), int(earlier[row])


def _first_of_group(hashes: NDArray[np.uint64], group: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return one row for all of a group with one hash (frames of a clip, thousands of black pictures), in order."""
    order = np.lexsort((np.arange(len(hashes)), group, hashes))
    same = (hashes[order][1:] == hashes[order][:-1]) & (group[order][1:] == group[order][:-1])
    return np.sort(order[np.append(True, ~same)]) if len(order) else order


def _candidates(
    hashes: NDArray[np.uint64], group: NDArray[np.int32], rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    for block in near_pair_blocks(hashes[rows], NEAR_BITS):
        pairs = rows[block]
        pairs = pairs[group[pairs[:, 0]] != group[pairs[:, 1]]]
        for start in range(0, len(pairs), _AT_ONCE):
            part = pairs[start : start + _AT_ONCE]
            yield part[:, 0], part[:, 1]


def _pair(names: Names, hashes: NDArray[np.uint64], left: int, right: int, value: float) -> NearPair:
    low, high = sorted((names.key(left), names.key(right)))
    return NearPair(low, high, (int(hashes[left]) ^ int(hashes[right])).bit_count(), value)
