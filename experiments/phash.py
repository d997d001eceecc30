"""A perceptual hash of 64 bits, and the pairs of hashes that differ in few of them.

The hash is the DCT hash of Zauner (Implementation and Benchmarking of Perceptual Image Hash Functions, 2010), as
pHash and ImageHash have it: luma of 32 x 32 pixels, the lowest 8 x 8 coefficients of its DCT-II, each compared with
their median. None of our dependencies has one, so these few lines are our own.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE, KEPT, BITS = 32, 8, 64
LUMA = np.array([0.299, 0.587, 0.114])
"""Rec. 601 weights."""
_K, _N = np.arange(KEPT)[:, None], np.arange(SIDE)[None]
_BASIS = np.cos(np.pi * _K * (2 * _N + 1) / (2 * SIDE))


def phash(pixels: NDArray[np.uint8]) -> int:
    """Return the hash of an (H, W, 3) picture, 0 … 2^64-1; the constant term is its first bit."""
    luma = (pixels.astype(np.float64) @ LUMA).round().astype(np.uint8)
    small = np.asarray(Image.fromarray(luma).resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=np.float64)
    low = low_frequencies(small)
    return int("".join("1" if bit else "0" for bit in (low > np.median(low)).reshape(-1)), 2)


def low_frequencies(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lowest 8 x 8 coefficients of the DCT-II (not normalised) of a (32, 32) picture."""
    return _BASIS @ luma @ _BASIS.T


def near_pairs(hashes: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Yield every pair of positions, lower first and once, whose hashes differ in at most `most` of 64 bits.

    See `near_pair_blocks`. Hashes should be distinct: equal ones are compared each with each.
    """
    for block in near_pair_blocks(np.array(hashes, dtype=np.uint64), most):
        yield from ((left, right) for left, right in block.tolist())


def near_pair_blocks(values: NDArray[np.uint64], most: int) -> Iterator[NDArray[np.int64]]:
    """Yield the same pairs as arrays (K, 2).

    Of `most` + 2 bands of bits, two such hashes agree wholly in two at least (the pigeonhole principle), so that for
    each choice of two bands only hashes that share them are compared (Manku, Jain & Das Sarma 2007, "Detecting
    near-duplicates for web crawling", section 3, with a sorted copy in place of their tables). Memory is some ten
    numbers for each hash and one block of pairs; time grows with n log n and with the pairs that share two bands.
    """
    edges = [round(band * BITS / (most + 2)) for band in range(most + 3)]
    bands = [np.uint64(((1 << (high - low)) - 1) << low) for low, high in pairwise(edges)]
    for first, second in combinations(range(len(bands)), 2):
        shared = values & (bands[first] | bands[second])
        order = np.argsort(shared, kind="stable")
        held, shared = values[order], shared[order]
        starts = np.flatnonzero(np.append(True, shared[1:] != shared[:-1]))
        ends = np.repeat(np.append(starts[1:], len(held)), np.diff(np.append(starts, len(held))))
        place = np.arange(len(held))
        for step in range(1, len(held)):  # each with the one `step` places behind it in its run
            place = place[place + step < ends[place]]
            if not len(place):
                break
            differing = held[place] ^ held[place + step]
            close = _ones(differing) <= most
            if close.any():
                at = place[close][_agree_first(differing[close], bands, first, second)]
                yield np.sort(np.stack([order[at], order[at + step]], 1), axis=1)


def _agree_first(
    differing: NDArray[np.uint64], bands: Sequence[np.uint64], first: int, second: int
) -> NDArray[np.bool_]:
    """Return which pairs agree in these two bands and in no earlier one, so that each pair is shown once."""
    earlier = [band for place, band in enumerate(bands[:second]) if place != first]
    new = np.ones(len(differing), dtype=bool)
    for band in earlier:
        new &= (differing & band) != 0
    return new


if hasattr(np, "bitwise_count"):

    def _ones(values: NDArray[np.uint64]) -> NDArray[np.uint8]:
        return np.asarray(np.bitwise_count(values), dtype=np.uint8)

else:  # NumPy 1
    _OF_BYTE = np.array([value.bit_count() for value in range(256)], dtype=np.uint8)

    def _ones(values: NDArray[np.uint64]) -> NDArray[np.uint8]:
        return np.asarray(_OF_BYTE[values.view(np.uint8).reshape(-1, 8)].sum(1), dtype=np.uint8)
