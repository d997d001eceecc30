"""Means over subjects and trainings: variances against the law they were drawn from, tails against Student's t."""

import numpy as np
import pytest
from scipy.stats import studentized_range, t

from spooflab.experiments.metrics import rates_at
from spooflab.experiments.scores import ScoreSet
from spooflab.experiments.statistics import Judged, cluster_draws
from spooflab.experiments.two_way import Resampled, critical_value, resample


def crossed(
    seed: int, subjects: int, seeds: int, *, subject: float, training: float, both: float, replicates: int = 4000
) -> Resampled:
    """Values of subjects × trainings with known standard deviations, resampled by subject."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (subjects, 1)) * subject + rng.normal(0, 1, (1, seeds)) * training
    values = values + rng.normal(0, 1, (subjects, seeds)) * both
    draws = cluster_draws(subjects, replicates, seed)
    return Resampled(values.mean(0), (draws @ values).T / subjects, subjects, seed)


def made_up(seed: int, subjects: int = 20, each: int = 6) -> ScoreSet:
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(subjects), each)
    attack = np.tile(np.arange(each) % 2 == 1, subjects)
    score = rng.normal(0, 1, len(subject)) + 2 * rng.normal(0, 1, subjects)[subject] + 2 * ~attack
    return ScoreSet.build(score, attack, subject=subject.astype(str))


def test_variance_is_that_of_the_law() -> None:
    law = {"subject": 0.7, "training": 0.3, "both": 0.9}
    n, k = 15, 4
    found = [crossed(s, n, k, **law, replicates=400).parts for s in range(300)]
    want = law["subject"] ** 2 / n, law["training"] ** 2 / k + law["both"] ** 2 / (n * k), law["both"] ** 2 / (n * k)
    got = np.mean([(p.subject, p.seed, p.both) for p in found], axis=0)
    # Relative s.d. of a variance with 3 degrees of freedom, mean of 300: 5 %. Negative ones are cut off at 0.
    assert got == pytest.approx(want, rel=0.15)


def test_two_seeds_have_the_tails_of_t_with_one_degree_of_freedom() -> None:
    drawn = crossed(0, 40, 2, subject=0.0, training=1.0, both=0.0, replicates=20_000)
    low, high = drawn.interval(lowest=-99, highest=99)
    half = t.ppf(0.975, 1) * drawn.parts.error
    assert (low, high) == pytest.approx((drawn.mean - half, drawn.mean + half), rel=0.1)


def test_one_seed_leaves_the_subjects_doubt_alone() -> None:
    drawn = crossed(1, 9, 1, subject=1.0, training=0.0, both=0.0, replicates=20_000)
    assert drawn.parts.seed == 0
    low, high = drawn.interval(lowest=-99, highest=99)
    assert high - low == pytest.approx(2 * t.ppf(0.975, 8) * drawn.parts.error, rel=0.06)


def test_bounds_stay_where_the_figure_can_be() -> None:
    rows = made_up(4)
    # One training rejects every bona fide and one none: t with one degree of freedom says that nothing is known.
    apart = resample({"a": [Judged(rows, -99, 0), Judged(rows, 99, 1)]}, "bpcer", replicates=300)["a"]
    assert apart.mean == 0.5
    assert apart.interval() == (0.0, 1.0)


def test_equal_trainings_add_no_doubt() -> None:
    rows = made_up(4)
    same = resample({"a": [Judged(rows, 1.0, 0), Judged(rows, 1.0, 1)]}, "acer", replicates=300)["a"]
    alone = resample({"a": [Judged(rows, 1.0)]}, "acer", replicates=300)["a"]
    assert same.parts.subject == pytest.approx(alone.parts.subject)
    assert same.parts.seed == 0
    assert same.interval() == pytest.approx(alone.interval(), abs=1e-12)


def test_estimate_is_the_mean_over_folds_of_each_seed() -> None:
    rows, others = made_up(5), made_up(6)
    cells = [Judged(rows, 1.0, 0), Judged(rows, 0.5, 1), Judged(others, 0.0, 0), Judged(others, 2.0, 1)]
    got = resample({"a": cells}, "hter", replicates=10)["a"]
    want = [np.mean([rates_at(c.scores, c.threshold)["hter"][0] for c in cells if c.seed == s]) for s in (0, 1)]
    assert got.estimate == pytest.approx(want, abs=1e-12)
    doubled = resample({"a": cells}, lambda rates: 2 * rates["hter"], replicates=10)["a"]
    np.testing.assert_allclose(doubled.replicates, 2 * got.replicates)


def test_paired_differences_are_tighter_than_unpaired_ones() -> None:
    left = made_up(2)
    noise = np.random.default_rng(0).normal(0, 0.1, len(left))
    right = ScoreSet.build(left.score + noise, left.attack, subject=left.subject, key=left.key)
    samples = resample({"a": [Judged(left, 1.0)], "b": [Judged(right, 1.0)]}, "hter", replicates=400)
    other = resample({"b": [Judged(right, 1.0)]}, "hter", replicates=400, seed=9)["b"]
    assert (samples["a"] - samples["b"]).parts.error < 0.4 * (samples["a"] - other).parts.error


def test_pairing_refuses_different_rows_or_seeds() -> None:
    rows = made_up(3)
    fewer = rows.select(np.arange(len(rows) - 1))
    for other in (Judged(fewer, 1.0), Judged(rows, 1.0, seed=1)):
        with pytest.raises(ValueError, match="different test rows or seeds"):
            resample({"a": [Judged(rows, 1.0)], "b": [other]}, "acer", replicates=10)


def test_resamples_without_a_class_give_no_interval_when_they_are_most() -> None:
    values = np.full((1, 100), np.nan)
    values[0, :49] = 0.5
    assert Resampled(np.array([0.5]), values, 5).parts is None
    assert Resampled(np.array([0.5]), values, 5).interval() is None
    assert Resampled(np.array([0.5]), np.full((1, 100), 0.5), 1).interval() is None
    values[0, 49:90] = 0.6
    assert np.isnan(Resampled(np.array([0.5]), values, 5).deviations()).sum() == 10


def test_critical_value_of_all_pairs_is_tukeys() -> None:
    # Independent normal means of 6 algorithms, very many subjects: the studentised range over √2.
    rng = np.random.default_rng(3)
    columns = [Resampled(np.zeros(1), rng.normal(0.5, 0.01, (1, 20_000)), 10_000) for _ in range(6)]
    assert critical_value(columns) == pytest.approx(studentized_range.ppf(0.95, 6, 9_999) / np.sqrt(2), rel=0.02)
    assert critical_value(columns[:2]) == pytest.approx(1.96, rel=0.03)


def test_critical_value_of_two_columns_over_seeds_is_that_of_t() -> None:
    rng = np.random.default_rng(3)
    columns = [Resampled(rng.normal(0.5, 0.1, 3), np.full((3, 20_000), 0.5), 50) for _ in range(2)]
    assert critical_value(columns) == pytest.approx(t.ppf(0.975, 2), rel=0.04)


def test_nothing_that_varies_has_no_critical_value() -> None:
    flat = Resampled(np.array([0.1, 0.1]), np.full((2, 50), 0.1), 9)
    assert critical_value([flat, flat]) is None
