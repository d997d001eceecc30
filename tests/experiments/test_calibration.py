"""Calibration against its definitions, closed forms, and scikit-learn where definitions meet."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from spooflab.experiments.calibration import calibration, class_balance, equal_mass_bins
from spooflab.experiments.calibration_study import reliability_curve, resampled_calibration
from spooflab.experiments.scores import ScoreSet
from spooflab.experiments.statistics import clopper_pearson, cluster_draws

NAN = float("nan")
SCORE = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5, 1e-300, np.nextafter(1.0, 0.0)]), st.floats(0, 1), st.just(NAN)
)  # fmt: skip
ROWS = st.lists(st.tuples(SCORE, st.booleans()), min_size=1, max_size=40)


def drawn(seed: int, size: int = 400, *, off: float = 1.0) -> ScoreSet:
    """Scores that are right when `off` is 1; else their log-odds are `off` times too large."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 2, size)
    attack = rng.random(size) > 1 / (1 + np.exp(-odds))
    return ScoreSet.build(1 / (1 + np.exp(-off * odds)), attack, subject=(np.arange(size) // 8).astype(str))


def slow(rows: list[tuple[float, bool]], bins: int, *, balanced: bool) -> dict[str, float]:
    """Count by hand, in fractions: each distinct score is in the bin of the middle of its weight."""
    kept = [(s, int(not attack)) for s, attack in rows if s == s]
    sides = [sum(1 - g for _, g in kept), sum(g for _, g in kept)]
    weigh = balanced and min(sides) > 0
    weight = [Fraction(len(kept), 2 * sides[g]) if weigh else Fraction(1) for _, g in kept]
    whole, below, groups = sum(weight), Fraction(0), {}
    for value in sorted({s for s, _ in kept}):
        mine = [i for i, (s, _) in enumerate(kept) if s == value]
        mass = sum(weight[i] for i in mine)
        groups.setdefault(math.floor((below + mass / 2) / whole * bins), []).extend(mine)
        below += mass
    share = {place: sum(weight[i] for i in mine) / whole for place, mine in groups.items()}

    def mean(mine: list[int], values: list[float]) -> float:
        return float(sum(weight[i] * Fraction(values[i]) for i in mine) / sum(weight[i] for i in mine))

    scores, classes = [s for s, _ in kept], [g for _, g in kept]
    gaps = {place: mean(mine, classes) - mean(mine, scores) for place, mine in groups.items()}
    everything = list(range(len(kept)))
    return {
        "ece": sum(float(share[place]) * abs(gap) for place, gap in gaps.items()),
        "reliability": sum(float(share[place]) * gap**2 for place, gap in gaps.items()),
        "brier": mean(everything, [(s - g) ** 2 for s, g in kept]),
        "bins": len(groups),
    }


@settings(max_examples=100, deadline=None)
@given(ROWS, st.integers(1, 6), st.booleans())
def test_figures_equal_the_definition(rows: list[tuple[float, bool]], bins: int, balanced: bool) -> None:
    scores = ScoreSet.build([s for s, _ in rows], [a for _, a in rows])
    got = calibration(scores, bins=bins, balanced=balanced)
    if all(s != s for s, _ in rows):
        assert got is None
        return
    for name, value in slow(rows, bins, balanced=balanced).items():
        assert getattr(got, name) == pytest.approx(value, abs=1e-12), name
    parts = got.reliability - got.resolution + got.uncertainty + got.within
    assert parts == pytest.approx(got.brier, abs=1e-12)


def test_brier_and_curve_equal_scikit_learn() -> None:
    rows = drawn(0)
    got = calibration(rows, bins=8, balanced=False)
    assert got.brier == pytest.approx(brier_score_loss(~rows.attack, rows.score), abs=1e-12)
    # Without ties and with bins of 50 rows, quantile bins are ours.
    seen, stated = calibration_curve(~rows.attack, rows.score, n_bins=8, strategy="quantile")
    found = equal_mass_bins(rows.score, (~rows.attack).astype(float), np.ones(len(rows)), 8)
    np.testing.assert_allclose(found.seen, seen, atol=1e-12)
    np.testing.assert_allclose(found.stated, stated, atol=1e-12)
    assert found.rows.tolist() == [50] * 8


def test_every_bin_of_one_score_hides_nothing() -> None:
    scores = ScoreSet.build([0.2] * 10 + [0.9] * 10, [True] * 7 + [False] * 3 + [True] + [False] * 9)
    got = calibration(scores, balanced=False)
    assert got.within == pytest.approx(0, abs=1e-15)
    assert got.ece == pytest.approx(0.05)
    # Murphy's three parts by hand: base rate 12 / 20.
    assert got.reliability == pytest.approx(0.5 * 0.1**2 + 0)
    assert got.resolution == pytest.approx(0.3**2)
    assert got.uncertainty == pytest.approx(0.24)


def test_chance_of_a_bin_of_equal_scores_is_kumars() -> None:
    scores = ScoreSet.build([0.5] * 10, [True] * 7 + [False] * 3)
    got = calibration(scores, balanced=False)
    assert got.debiased == pytest.approx(np.sqrt(0.2**2 - 0.3 * 0.7 / 9))
    assert got.floor == pytest.approx(np.sqrt(2 * 0.25 / 10 / np.pi))


def test_right_scores_show_the_floor_and_no_debiased_error() -> None:
    right = [calibration(drawn(s), balanced=False) for s in range(60)]
    ece, floor = np.mean([c.ece for c in right]), np.mean([c.floor for c in right])
    assert ece == pytest.approx(floor, rel=0.08)  # s.d. of the mean of 60 is about 3 %
    # What is cut off at 0 leaves a little; the plain mean square is all chance.
    assert np.mean([c.debiased**2 for c in right]) < 0.4 * np.mean([c.reliability for c in right])
    wrong = [calibration(drawn(s, off=3.0), balanced=False) for s in range(10)]
    assert min(c.ece for c in wrong) > 1.8 * floor
    assert min(c.debiased for c in wrong) > 0.05


def test_balanced_figures_are_those_of_repeated_rows() -> None:
    score = [0.1, 0.4, 0.7, 0.35, 0.8, 0.9]
    attack = [True, True, True, True, False, False]
    doubled = ScoreSet.build([*score, 0.8, 0.9], [*attack, False, False])
    got, want = (
        calibration(ScoreSet.build(score, attack), bins=3),
        calibration(doubled, bins=3, balanced=False),
    )
    for name in ("ece", "brier", "reliability", "resolution", "uncertainty", "within"):
        assert getattr(got, name) == pytest.approx(getattr(want, name), abs=1e-12)
    assert class_balance(np.array([True, True])).tolist() == [1, 1]


def test_scores_of_another_scale_state_no_likelihood() -> None:
    assert calibration(ScoreSet.build([-2.0, 3.0], [True, False])) is None
    assert calibration(ScoreSet.build([NAN], [True])) is None


def test_resampling_counts_what_a_loop_over_resampled_subjects_counts() -> None:
    rows = drawn(3, 96, off=2.0)
    found = resampled_calibration([rows], [0], 20)
    whole = calibration(rows)
    assert found["ece"].mean == pytest.approx(whole.ece, abs=1e-12)
    assert found["brier"].mean == pytest.approx(whole.brier, abs=1e-12)
    names = np.unique(rows.subject)
    for r, draw in enumerate(cluster_draws(len(names), 20, 0)):
        again = rows.select(
            np.concatenate(
                [np.flatnonzero(rows.subject == n) for n, k in zip(names, draw, strict=True) for _ in range(k)]
            )
        )
        assert found["brier"].replicates[0, r] == pytest.approx(calibration(again).brier, abs=1e-12)


def test_curve_has_bounds_that_hold_the_share_and_are_exact_where_resampling_is_blind() -> None:
    rows = drawn(5, 320)
    curve = reliability_curve([rows], replicates=300)
    assert sum(entry["rows"] for entry in curve) == 320
    assert all(0 <= e["low"] <= e["seen"] <= e["high"] <= 1 for e in curve)
    assert "low" not in reliability_curve([rows])[0]
    sure = ScoreSet.build([0.9] * 12 + [0.1] * 12, [False] * 12 + [True] * 12, subject=list("abcdef") * 4)
    low, high = reliability_curve([sure], replicates=50, bins=2)
    assert (low["low"], low["high"]) == pytest.approx(clopper_pearson(0, 12))
    assert (high["low"], high["high"]) == pytest.approx(clopper_pearson(12, 12))
    # The same pictures in a second training are no second sample of people.
    again = reliability_curve([sure, sure], replicates=50, bins=2)
    assert again[0]["high"] == pytest.approx(low["high"])
