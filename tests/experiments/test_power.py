"""The power that is stated, against closed forms and against how often a difference is found in simulation."""

import numpy as np
import pytest
from scipy.stats import nct, t

from spooflab.experiments.power import (
    pair_critical,
    power_of,
    power_study,
    smallest_difference,
    subjects_needed,
    with_design,
)
from spooflab.experiments.statistics import cluster_draws
from spooflab.experiments.two_way import Parts, Resampled

PARTS = Parts(subject=4e-4, seed=1e-4, both=2e-5, subjects=20, seeds=4)


def test_power_of_people_or_trainings_alone_is_that_of_the_noncentral_t() -> None:
    for parts, freedom in ((Parts(4e-4, 0, 0, 20, 1), 19), (Parts(0, 4e-4, 0, 20, 5), 4)):
        for difference in (0.03, 0.06, 0.1):
            want = nct.sf(t.ppf(0.975, freedom), freedom, difference / 0.02)
            assert power_of(parts, difference) == pytest.approx(want, abs=0.003)
        strict = nct.sf(1.4 * t.ppf(0.975, freedom), freedom, 4)
        assert power_of(parts, 0.08, 1.4) == pytest.approx(strict, abs=0.003)
    assert power_of(PARTS, smallest_difference(PARTS)) == pytest.approx(0.8, abs=1e-4)
    assert power_of(Parts(0, 0, 0, 9, 3), 0.01) == 1
    assert smallest_difference(Parts(0, 0, 0, 9, 3)) == 0


def test_difference_of_two_variances_is_found_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    n, k, size = 15, 3, 40_000
    people, trainings = rng.chisquare(n - 1, size) / (n - 1), rng.chisquare(k - 1, size) / (k - 1)
    seen = 1.0 * people + 1.0 * trainings
    difference = rng.normal(5.0, np.sqrt(2.0), size)
    found = np.mean(difference > pair_critical(n, k, trainings / seen) * np.sqrt(seen))
    assert power_of(Parts(1.0, 1.0, 0.0, n, k), 5.0) == pytest.approx(found, abs=0.01)
    # And where there is none it is found too seldom rather than too often.
    nothing = np.mean(np.abs(difference - 5.0) > pair_critical(n, k, trainings / seen) * np.sqrt(seen))
    assert 0.02 < nothing < 0.05


def test_design_divides_each_variance_by_its_own_number() -> None:
    then = with_design(PARTS, subjects=40, seeds=8)
    assert then.subject == pytest.approx(PARTS.subject / 2)
    assert then.both == pytest.approx(PARTS.both / 4)
    assert then.seed == pytest.approx((PARTS.seed - PARTS.both) / 2 + PARTS.both / 4)
    same = with_design(PARTS, subjects=20, seeds=4)
    assert (same.subject, same.seed, same.both) == pytest.approx((PARTS.subject, PARTS.seed, PARTS.both))


def test_subjects_needed_are_the_fewest_and_none_where_trainings_alone_hide_it() -> None:
    need = subjects_needed(PARTS, 0.05, 10)
    powers = []
    for subjects in (need - 1, need):
        then = with_design(PARTS, subjects=subjects, seeds=10)
        powers.append(power_of(then, 0.05))
    assert powers[0] < 0.8 <= powers[1]
    assert subjects_needed(PARTS, 0.05, 20) < need
    assert subjects_needed(PARTS, 0.005, 3) is None


def columns(shift: float, subjects: int = 30, seeds: int = 3, noise: float = 0.02) -> dict[str, Resampled]:
    rng = np.random.default_rng(1)
    draws = cluster_draws(subjects, 300, 0)
    values = [0.2 + at + 0.1 * rng.normal(size=(subjects, 1)) + noise * rng.normal(size=seeds) for at in (0, shift)]
    return dict(
        zip("ab", [Resampled(v.mean(0), (draws @ v).T / subjects, subjects) for v in values], strict=True)
    )  # fmt: skip


def test_sentence_tells_the_design_the_difference_and_what_more_would_take() -> None:
    line = {"algorithm": "b", "minus": "a", "critical": 3.0, "pairs": 1}
    told = power_study(columns(0.02), [line], folds=4)
    assert told["sentence"].startswith("With 30 test subjects, 3 training seeds and 4 folds, a true difference of ")
    assert f"{100 * told['smallest_difference']:.1f} points would have been found with 80 %" in told["sentence"]
    assert "To tell two algorithms 5 points apart, it would take about" in told["sentence"]
    assert {entry["seeds"] for entry in told["needed"]} == {3, 5, 10, 20}
    alone = power_study(columns(0.02, seeds=1), [line], folds=1)
    assert "1 training seed and 1 fold" in alone["sentence"]
    assert alone["sentence"].endswith("What more trainings would change cannot be told from one.")
    hopeless = power_study(columns(0.02, seeds=2, noise=0.2), [line | {"critical": 60.0, "pairs": 6}], folds=1)
    assert "no difference at all would have been found" in hopeless["sentence"]
    assert power_study(columns(0.02), [], folds=1) == {}
