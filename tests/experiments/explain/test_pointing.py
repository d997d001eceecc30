"""The pointing game against plain loops, the clustered mean against Student's t, and what the words say."""

import numpy as np
import pytest

from spooflab.experiments.explain.clustered_mean import clustered_mean
from spooflab.experiments.explain.overlays import outline
from spooflab.experiments.explain.pointing import hits_of, mcnemar, pointing
from spooflab.experiments.explain.words import verdict


def test_the_game_against_loops() -> None:
    rng = np.random.default_rng(0)
    saliency = rng.random((20, 6, 7))
    masks = rng.random((20, 6, 7)) < 0.3
    saliency[3] = 0
    masks[3, 0, 0] = True  # where the maximum of an empty map would be said to lie
    people = [f"s{n % 5}" for n in range(20)]
    game = pointing(saliency, masks, people)
    hits, others, energy, area = 0, [], [], []
    for n in range(20):
        area.append(masks[n].sum() / 42)
        if n == 3:
            others += [0.0] * 19
            continue
        row, column = np.unravel_index(saliency[n].argmax(), (6, 7))
        hits += bool(masks[n][row, column])
        others += [float(masks[m][row, column]) for m in range(20) if m != n]
        energy.append(saliency[n][masks[n]].sum() / saliency[n].sum())
    assert (game.hits, game.empty, game.attacks) == (hits, 1, 20)
    assert game.chance == pytest.approx(np.mean(area))
    assert game.other_masks == pytest.approx(np.mean(others))
    assert game.energy == pytest.approx(np.mean(energy))
    assert hits_of(saliency, masks).sum() == hits


def test_looking_at_the_middle_beats_chance_and_not_the_masks_of_others() -> None:
    rng = np.random.default_rng(1)
    masks = np.zeros((60, 12, 12), dtype=bool)
    for mask in masks:
        top, left = rng.integers(1, 5, 2)
        mask[top : top + 6, left : left + 6] = True  # all of them cover the middle
    saliency = np.zeros((60, 12, 12))
    saliency[:, 6, 6] = 1
    game = pointing(saliency, masks, [str(n) for n in range(60)])
    assert game.beats_chance
    assert not game.follows_own_mask
    line = {"hits": game.hits, "attacks": 60, "beats_chance": True, "own_mask": False, "rate": 1.0}
    told = verdict(line | {"shuffled_rate": 0.2, "shuffled_p": 0.001})
    assert "more often than any place of the frame and a network with shuffled weights" in told
    assert "not surely more often than the masks of other attacks" in told


def test_the_clustered_mean_of_single_rows_is_students_and_wider_where_rows_repeat() -> None:
    from scipy.stats import ttest_1samp

    values = np.random.default_rng(2).normal(0.3, 1, 25)
    found = clustered_mean(values, [str(n) for n in range(25)])
    assert found is not None
    test = ttest_1samp(values, 0, alternative="greater")
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.p, found.low, found.high) == pytest.approx((test.pvalue, low, high))
    doubled = clustered_mean(np.repeat(values, 4), np.repeat(np.arange(25).astype(str), 4))
    assert doubled is not None
    assert (doubled.low, doubled.p) == pytest.approx((found.low, found.p))
    assert clustered_mean(values, ["a", "b", "c"] * 8 + ["a"]) is None


def test_mcnemar_counts_the_attacks_that_only_one_gets_right() -> None:
    first = np.array([True] * 9 + [False] * 3 + [True] * 20)
    second = np.array([False] * 8 + [True] + [True] * 2 + [False] + [True] * 20)
    # 8 against 2: 2 · P(X ≤ 2), X ~ B(10, ½) = 2 · 56 / 1024.
    assert mcnemar(first, second) == pytest.approx(2 * 56 / 1024)
    assert mcnemar(first, first) == 1.0


def test_an_outline_is_the_border_within_the_mask_and_not_the_frames() -> None:
    mask = np.zeros((6, 6), dtype=bool)
    mask[0:4, 0:3] = True
    expected = np.zeros((6, 6), dtype=bool)
    expected[0:4, 2] = True
    expected[3, 0:3] = True
    assert np.array_equal(outline(mask), expected)
