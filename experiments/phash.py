"""A perceptual hash of 64 bits, and the pairs of hashes that differ in few of them.

The hash is the DCT hash of Zauner (Implementation and Benchmarking of Perceptual Image Hash Functions, 2010), as
pHash and ImageHash have it: luma of 32 x 32 pixels, the lowest 8 x 8 coefficients of its DCT-II, each compared with
their median. None of our dependencies has one, so these few lines are our own.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE, KEPT, BITS = 32, 8, 64
LUMA = np.array([0.299, 0.587, 0.114])
"""Rec. 601 weights."""
_K, _N = np.arange(KEPT)[:, None], np.arange(SIDE)[None]
_ONES = np.array([value.bit_count() for value in range(256)], dtype=np.uint8)
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

    Two such hashes agree wholly in one of `most` + 1 bands of their bits (the pigeonhole principle), so only those that
    share a band are compared. Hashes should be distinct: equal ones are compared each with each.
    """
    values = np.array(hashes, dtype=np.uint64)
    edges = [round(band * BITS / (most + 1)) for band in range(most + 2)]
    for band, (low, high) in enumerate(pairwise(edges)):
        buckets: dict[int, list[int]] = defaultdict(list)
        for place, value in enumerate(hashes):
            buckets[value >> low & (1 << (high - low)) - 1].append(place)
        for places in buckets.values():
            yield from _within(values, np.array(places), most, edges[: band + 1])


def _within(
    values: NDArray[np.uint64], places: NDArray[np.int64], most: int, edges: Sequence[int]
) -> Iterator[tuple[int, int]]:
    for k, place in enumerate(places[:-1]):
        others = places[k + 1 :]
        differing = values[others] ^ values[place]
        close = _ONES[differing.view(np.uint8).reshape(-1, 8)].sum(1) <= most
        for low, high in pairwise(edges):  # pairs that an earlier band has shown already
            mask = np.uint64(((1 << (high - low)) - 1) << low)
            close &= (differing & mask) != 0
        for other in others[close]:
            yield int(place), int(other)
