"""Intervals and tests against closed forms, enumeration, SciPy and coverage in simulation."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, chi2, f, friedmanchisquare, rankdata, t, wilcoxon

from spooflab.errors import ConfigError
from spooflab.experiments.metrics import rates_at
from spooflab.experiments.scores import ScoreSet
from spooflab.experiments.statistics import (
    bootstrap,
    clopper_pearson,
    cluster_draws,
    compare_pairs,
    friedman,
    holm,
    intervals,
    needs_exact,
    percentile,
    reach_sentence,
    signed_rank_p,
    smallest_p,
    student_factors,
    widened,
)


def made_up(seed: int, subjects: int = 20, each: int = 6, spread: float = 1.0) -> ScoreSet:
    """Scores with a subject effect, half of each subject's rows attacks of two species."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(subjects), each)
    attack = np.tile(np.arange(each) % 2 == 1, subjects)
    score = rng.normal(0, 1, len(subject)) + spread * rng.normal(0, 1, subjects)[subject] + 2 * ~attack
    species = np.where(attack, np.where(rng.random(len(subject)) < 0.5, "print", "replay"), "bonafide")
    return ScoreSet.build(score, attack, species=species, subject=subject.astype(str))


@pytest.mark.parametrize(("errors", "total"), [(0, 10), (3, 17), (10, 10), (1, 400)])
def test_clopper_pearson_equals_scipy(errors: int, total: int) -> None:
    want = binomtest(errors, total).proportion_ci(0.95, "exact")
    assert clopper_pearson(errors, total) == pytest.approx((want.low, want.high), abs=1e-12)


def test_clopper_pearson_refuses_impossible_counts() -> None:
    for errors, total in ((3, 2), (-1, 4), (0, 0)):
        with pytest.raises(ValueError, match="wanted 0 <= errors <= total"):
            clopper_pearson(errors, total)


def test_draws_keep_the_number_of_clusters_and_the_seed() -> None:
    draws = cluster_draws(9, 500, seed=3)
    assert (draws.sum(1) == 9).all()
    assert (draws == cluster_draws(9, 500, seed=3)).all()
    assert (draws != cluster_draws(9, 500, seed=4)).any()
    assert draws.mean(0) == pytest.approx(np.ones(9), abs=0.15)  # 3 s.d. of a mean of 500 is .13
    with pytest.raises(ConfigError):
        cluster_draws(0, 10, seed=0)


def test_bootstrap_recounts_what_a_loop_over_resampled_subjects_counts() -> None:
    scores = made_up(0, subjects=6)
    got = bootstrap(scores, 0.7, replicates=40, seed=5)
    names = np.unique(scores.subject)
    for r, draw in enumerate(cluster_draws(6, 40, seed=5)):
        rows = np.concatenate(
            [np.flatnonzero(scores.subject == n) for n, times in zip(names, draw, strict=True) for _ in range(times)]
        )
        again = scores.select(rows)
        for name, value in rates_at(again, 0.7).items():
            assert got[name][r] == pytest.approx(value[0], abs=1e-12)


def test_subject_clusters_widen_the_interval_by_the_design_effect() -> None:
    scores = made_up(1, subjects=60, each=20, spread=2.0)
    alone = ScoreSet.build(scores.score, scores.attack, species=scores.species)
    widths = []
    for rows in (scores, alone):
        low, high = percentile(bootstrap(rows, 1.0, replicates=500)["bpcer"])
        widths.append(high - low)
    assert widths[0] > 1.8 * widths[1]


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    # Bona fide rejected iff N(0, 1) + N(0, 1) subject effect < 0: the truth is .5.
    covered = 0
    for trial in range(200):
        rng = np.random.default_rng(trial)
        subject = np.repeat(np.arange(30), 5)
        score = rng.normal(0, 1, 150) + rng.normal(0, 1, 30)[subject]
        rows = ScoreSet.build(score, np.zeros(150, dtype=bool), subject=subject.astype(str))
        low, high = percentile(rates_at_samples(rows, trial))
        covered += low <= 0.5 <= high
    assert 180 <= covered <= 199  # 95 % of 200 is 190, binomial s.d. 3.1


def rates_at_samples(rows: ScoreSet, seed: int) -> np.ndarray:
    names, member = np.unique(rows.subject, return_inverse=True)
    return rates_at(rows, 0.0, cluster_draws(len(names), 400, seed), member)["bpcer"]


def test_interval_without_errors_is_exact_and_not_a_point() -> None:
    scores = ScoreSet.build([0.9] * 20 + [0.1] * 20, [False] * 20 + [True] * 20, subject=list("abcde") * 8)
    found, notes = intervals(scores, 0.5, {"bpcer": 0.0, "apcer": 0.0, "acer": 0.0, "auc": 1.0}, replicates=100)
    assert not notes
    assert (found["bpcer"].low, found["bpcer"].high) == pytest.approx(clopper_pearson(0, 20))
    assert found["acer"].method == "clopper-pearson"
    # Two rates at 97.5 % each keep 95 % for their mean.
    assert found["acer"].high == pytest.approx(clopper_pearson(0, 20, 0.975)[1])
    assert found["auc"].method == "bootstrap"


def test_a_rate_that_resampling_is_blind_to_makes_the_whole_interval_exact() -> None:
    # One attack, refused: every resample that holds it says APCER 0, as if a thousand had been refused.
    scores = ScoreSet.build([0.9] * 9 + [0.1] * 2, [False] * 10 + [True], subject=list("abcdefghijk"))
    assert needs_exact(scores, 0.5, "acer")
    assert needs_exact(scores, 0.5, "hter")
    assert needs_exact(scores, 0.5, "apcer")
    assert not needs_exact(scores, 0.5, "bpcer")
    found, _ = intervals(scores, 0.5, {"acer": 0.05}, replicates=100)
    assert found["acer"].high == pytest.approx((clopper_pearson(0, 1, 0.975)[1] + clopper_pearson(1, 10, 0.975)[1]) / 2)
    assert found["acer"].high > 0.6


def test_one_subject_gives_no_interval_and_says_so() -> None:
    scores = ScoreSet.build([0.9, 0.1], [False, True], subject=["a", "a"])
    assert intervals(scores, 0.5, {"acer": 0.0}, replicates=100) == (
        {}, ["one subject only: no interval can be resampled"],
    )  # fmt: skip


def test_few_clusters_get_the_tails_of_students_t() -> None:
    # A mean of 6 resampled normal values has variance 5/6 of what it should; t has 5 degrees of freedom.
    normal = np.random.default_rng(1).normal(0.5, 0.02 * np.sqrt(5 / 6), 200_000)
    low, high = percentile(widened(normal, 6))
    assert (low, high) == pytest.approx((0.5 - 0.02 * t.ppf(0.975, 5), 0.5 + 0.02 * t.ppf(0.975, 5)), abs=6e-4)
    factors = student_factors(6, 200_000, np.random.default_rng(0))
    assert np.mean(factors**-2) == pytest.approx(1, abs=0.01)  # χ²₅ / 5
    assert widened(np.array([0.0, 1.0]), 1).tolist() == [0.0, 1.0]


def test_percentile_needs_half_of_the_replicates() -> None:
    assert percentile(np.array([np.nan, np.nan, 1.0])) is None
    assert percentile(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)


def test_signed_rank_equals_scipy_without_ties() -> None:
    rng = np.random.default_rng(0)
    for size in (3, 5, 8, 12):
        differences = rng.normal(0.3, 1, size)
        assert signed_rank_p(differences) == pytest.approx(wilcoxon(differences, method="exact").pvalue, abs=1e-12)


def test_signed_rank_with_ties_equals_enumeration_of_all_signs() -> None:
    differences = np.array([0.1, -0.1, 0.2, 0.2, 0.2, -0.4, 0.0])
    kept = differences[differences != 0]
    ranks = rankdata(np.abs(kept))
    seen = ranks[kept > 0].sum()
    sums = np.array([np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=len(kept))])
    want = min(1.0, 2 * min((sums <= seen).mean(), (sums >= seen).mean()))
    assert signed_rank_p(differences) == pytest.approx(want, abs=1e-12)
    assert signed_rank_p(np.zeros(4)) == 1.0


def test_holm_by_its_definition() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_four_folds_cannot_reach_significance_and_the_sentence_says_so() -> None:
    assert smallest_p(4) == 0.125
    assert signed_rank_p(np.array([0.1, 0.2, 0.3, 0.4])) == 0.125
    assert "4 folds cannot reach p < 0.05" in reach_sentence(4)
    assert "is 0.125." in reach_sentence(4)
    assert "6 folds can reach" in reach_sentence(6)
    assert "6 folds cannot reach" in reach_sentence(6, pairs=3)
    assert reach_sentence(1).startswith("1 fold cannot")


def test_friedman_equals_scipy_and_nemenyi_the_tabled_value() -> None:
    table = np.random.default_rng(1).random((14, 4))
    got = friedman(table, list("abcd"))
    assert got.p == pytest.approx(friedmanchisquare(*table.T).pvalue)
    # Demšar 2006, table 5: q = 2.569 for 4 classifiers; CD = 2.569 √(4·5 / (6·14)) = 1.25.
    assert got.critical_difference == pytest.approx(2.569 * np.sqrt(20 / 84), abs=2e-3)
    assert sum(got.mean_ranks.values()) == pytest.approx(10)


DEMSAR = """.763 .768 .771 .798  .599 .591 .590 .569  .954 .971 .968 .967  .628 .661 .654 .657  .882 .888 .886 .898
.936 .931 .916 .931  .661 .668 .609 .685  .583 .583 .563 .625  .775 .838 .866 .875  1 1 1 1
.940 .962 .965 .962  .619 .666 .614 .669  .972 .981 .97501 .975  .957 .978 .946 .970"""
"""AUC of C4.5, with m, with cf and with both, on 14 data sets: Demšar 2006, tables 2 and 6. The paper ranked unrounded
values: its last but one line puts cf before both, which print alike."""


def test_published_example_of_demsar() -> None:
    error = 1 - np.array(DEMSAR.split(), dtype=float).reshape(14, 4)
    got = friedman(error, ["C4.5", "m", "cf", "m+cf"])
    # The paper's mean ranks, with ties shared.
    assert list(got.mean_ranks.values()) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert got.critical_difference == pytest.approx(1.25, abs=5e-3)
    # The paper's χ² is 9.28 without the correction for its ties, (3 · 6 + 60) / (14 · 60), which SciPy makes.
    corrected = 9.28 / (1 - 78 / 840)
    assert got.p == pytest.approx(chi2.sf(corrected, 3), rel=0.02)
    assert got.f_p == pytest.approx(f.sf(13 * corrected / (42 - corrected), 3, 39), rel=0.03)
    # Section 3.1.3: the paper rejects at 5 % for C4.5 against C4.5 with m.
    assert signed_rank_p(error[:, 0] - error[:, 1]) < 0.05


def test_holm_multiplies_step_by_step_as_in_demsar() -> None:
    # Demšar 2006, section 3.2.3: p of three comparisons with a control, multiplied by 3, 2 and 1.
    assert holm([0.016, 0.057, 0.891]) == pytest.approx([0.048, 0.114, 0.891])


def test_friedman_says_why_there_is_no_p() -> None:
    assert "2 algorithms" in friedman(np.zeros((5, 2)), ["a", "b"]).reason
    assert friedman(np.zeros((5, 3)), list("abc")).p == 1.0


def test_pairs_are_adjusted_together() -> None:
    table = np.array([[0.1, 0.2, 0.15]] * 7) + np.arange(7)[:, None] / 100
    pairs = compare_pairs(table, ["a", "b", "c"])
    assert [(p.first, p.second) for p in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs[0].difference == pytest.approx(-0.1)
    assert pairs[0].p == pytest.approx(2 / 2**7)
    assert pairs[0].p_holm == pytest.approx(3 * 2 / 2**7)
