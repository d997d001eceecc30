"""The perceptual hash against SciPy's DCT, and near pairs against comparing each with each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_trees import picture

from spooflab.experiments.phash import low_frequencies, near_pairs, phash

scipy_fft = pytest.importorskip("scipy.fft")


def test_the_transform_is_the_dct_ii_of_scipy() -> None:
    luma = np.random.default_rng(0).uniform(0, 255, (32, 32))
    ours, theirs = low_frequencies(luma), scipy_fft.dctn(luma, type=2)[:8, :8] / 4  # SciPy's has a factor of 2 each way
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_small_changes_move_few_bits_and_other_pictures_many() -> None:
    one = picture(1, 64)
    noisy = np.clip(one + np.random.default_rng(1).normal(4, 3, one.shape), 0, 255).astype(np.uint8)
    smaller = picture(1, 48)
    assert (phash(one) ^ phash(noisy)).bit_count() <= 4
    assert (phash(one) ^ phash(smaller)).bit_count() <= 4
    assert min((phash(one) ^ phash(picture(n, 64))).bit_count() for n in range(2, 12)) > 12


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12, unique=True),
    st.lists(st.tuples(st.integers(0, 11), st.sets(st.integers(0, 63), min_size=1, max_size=8)), max_size=12),
    st.integers(0, 6),
)
def test_near_pairs_are_those_of_comparing_each_with_each(
    seeds: list[int], flips: list[tuple[int, set[int]]], most: int
) -> None:
    flipped = [seeds[place % len(seeds)] ^ sum(1 << bit for bit in bits) for place, bits in flips]
    hashes = list(dict.fromkeys([*seeds, *flipped]))
    found = list(near_pairs(hashes, most))
    assert len(found) == len(set(found))
    assert set(found) == {
        (a, b)
        for a in range(len(hashes))
        for b in range(a + 1, len(hashes))
        if (hashes[a] ^ hashes[b]).bit_count() <= most
    }
