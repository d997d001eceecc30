"""Expected losses and thresholds by device, against a count over every threshold and closed forms."""

import math
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from simulated_study import Law, simulated
from sklearn.metrics import roc_curve

from spooflab.experiments.cost_curves import Costs, cheapest_threshold, cost_points
from spooflab.experiments.cost_study import cost_study
from spooflab.experiments.metrics import det_points, rates_at
from spooflab.experiments.scores import ScoreSet
from spooflab.experiments.study_config import StudyConfig
from spooflab.experiments.threshold_transfer import on_devices, threshold_transfer

NAN = float("nan")
NEAR = math.nextafter(0.5, 1)
SCORE = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5, NEAR, sys.float_info.min, -0.0]), st.floats(-1e9, 1e9), st.just(NAN)
)  # fmt: skip
ROWS = st.lists(st.tuples(SCORE, st.booleans()), min_size=1, max_size=30)


def by_hand(rows: list[tuple[float, bool]], threshold: float) -> tuple[Fraction, Fraction]:
    """Share of attacks accepted and of bona fide rejected, a missing score counted against its side."""
    attacks = [s != s or s >= threshold for s, attack in rows if attack]
    genuine = [s != s or s < threshold for s, attack in rows if not attack]
    return Fraction(sum(attacks), len(attacks)), Fraction(sum(genuine), len(genuine))


@settings(max_examples=150, deadline=None)
@given(ROWS, st.fractions(0, 1, max_denominator=50))
def test_cheapest_threshold_is_that_of_a_count_over_all(rows: list[tuple[float, bool]], stake: Fraction) -> None:
    scores = ScoreSet.build([s for s, _ in rows], [a for _, a in rows])
    got = cheapest_threshold(scores, float(stake))
    if len({a for _, a in rows}) < 2 or all(s != s for s, _ in rows):
        assert got is None
        return
    values = sorted({s for s, _ in rows if s == s})
    costs = {}
    for threshold in [*values, math.nextafter(values[-1], math.inf)]:
        far, bpcer = by_hand(rows, threshold)
        costs[threshold] = stake * far + (1 - stake) * bpcer
    want = min(costs, key=lambda t: (costs[t], t))
    assert got == want
    points = cost_points(scores)
    np.testing.assert_allclose(points.cost(float(stake)), [float(c) for c in costs.values()], atol=1e-12)


def test_points_are_those_of_scikit_learns_roc_and_of_the_det_curve() -> None:
    rng = np.random.default_rng(4)
    attack = rng.random(600) < 0.5
    score = np.round(rng.normal(0, 1, 600) - 1.5 * attack, 1)
    points = cost_points(ScoreSet.build(score, attack))
    fpr, tpr, _ = roc_curve(~attack, score, drop_intermediate=False)
    np.testing.assert_allclose(points.far[::-1], fpr, atol=1e-12)
    np.testing.assert_allclose(1 - points.bpcer[::-1], tpr, atol=1e-12)
    thresholds, apcer, bpcer = det_points(ScoreSet.build(score, attack))
    np.testing.assert_array_equal(points.threshold, thresholds)
    np.testing.assert_allclose(np.stack([points.far, points.bpcer]), np.stack([apcer, bpcer]), atol=1e-12)


def test_loss_is_money_per_presentation() -> None:
    costs = Costs(cost_false_accept=200, cost_false_reject=2, attack_rates=(0.01,))
    # Of 1000 presentations 10 are attacks, of which 2 pass: 400; 990 are genuine, of which 99 are turned away: 198.
    assert 1000 * costs.loss(0.01, np.array([0.2]), np.array([0.1]))[0] == pytest.approx(598)
    stake = costs.stake(0.01)
    assert stake == pytest.approx(2 / (2 + 1.98))
    assert costs.loss(0.01, np.array([0.2]), np.array([0.1]))[0] == pytest.approx(
        3.98 * (stake * 0.2 + (1 - stake) * 0.1)
    )


@pytest.mark.parametrize("rates", [(), (0.0,), (1.0,), (0.1, 0.1)])
def test_impossible_shares_and_prices_are_refused(rates: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="attack_rates"):
        Costs(attack_rates=rates)
    with pytest.raises(ValidationError, match="cost_false_accept"):
        Costs(cost_false_accept=0)
    with pytest.raises(ValidationError, match=r"costs\.price"):
        StudyConfig.model_validate({"algorithms": [{"name": "erm"}], "costs": {"price": 1}})


def test_study_chooses_on_dev_alone_and_marks_the_oracle() -> None:
    results = simulated(Law(seeds=2), 0, bootstrap=100)
    results.study["config"]["costs"] = {"cost_false_accept": 50, "cost_false_reject": 1, "attack_rates": [0.02]}
    told = cost_study(results, results.folds)
    prior = told["priors"][0]
    stake = 0.02 * 50 / (0.02 * 50 + 0.98)
    for label in "ab":
        losses = []
        for cell in (c for c in results.cells if c.label == label):
            rates = rates_at(cell.test, cheapest_threshold(cell.dev, stake))
            losses.append(1000 * (0.02 * 50 * rates["far"][0] + 0.98 * rates["bpcer"][0]))
        row = prior["losses"][label]
        assert row["dev_cost"] == pytest.approx(np.mean(losses), abs=1e-9)
        assert row["interval"][0] <= row["dev_cost"] <= row["interval"][1]
        # Nothing chosen elsewhere beats what the test rows would choose.
        assert row["oracle"] <= min(row["dev_cost"], row["dev_eer"], row["stated"]) + 1e-9
        lines = told["curves"][label]
        assert all(
            o <= min(c, e) + 1e-12 for o, c, e in zip(lines["oracle"], lines["dev_cost"], lines["dev_eer"], strict=True)
        )
        # One threshold is a straight line.
        np.testing.assert_allclose(np.diff(lines["dev_eer"], 2), 0, atol=1e-12)
    assert prior["trivial"] == pytest.approx(1000 * min(0.02 * 50, 0.98))
    assert cost_study(results, []) == {}


def test_devices_are_judged_at_devs_threshold_and_at_their_own() -> None:
    scores = ScoreSet.build([0.9, 0.8, 0.2, 0.5, 0.4, 0.1, 0.7], [False, False, True, False, False, True, True])
    device = np.array(["a", "a", "a", "b", "b", "b", "c"])
    found = on_devices(scores, device, 0.6)
    assert sorted(found) == ["a", "b"]  # c holds attacks alone
    assert rates_at(found["a"].honest.scores, 0.6)["acer"][0] == 0
    assert rates_at(found["b"].honest.scores, 0.6)["acer"][0] == 0.5
    assert found["b"].own.threshold == 0.4


def test_transfer_tells_rates_gap_and_intervals_of_every_device() -> None:
    results = simulated(Law(seeds=2), 1, bootstrap=100)
    told = threshold_transfer(results, results.folds)
    for label in "ab":
        for name in ("phone", "webcam"):
            entry = told[label][name]
            judged = [c for c in results.cells if c.label == label]
            want = []
            for cell in judged:
                rows = cell.test.select(cell.test_devices == name)
                want.append(rates_at(rows, cell.metrics.threshold)["acer"][0])
            assert entry["acer"] == pytest.approx(np.mean(want), abs=1e-12)
            assert entry["acer"] == pytest.approx((entry["apcer"] + entry["bpcer"]) / 2)
            assert entry["gap"] == pytest.approx(entry["acer"] - entry["oracle_acer"])
            assert entry["interval"][0] <= entry["acer"] <= entry["interval"][1]
            assert entry["gap_interval"][0] <= entry["gap"] <= entry["gap_interval"][1]
    assert threshold_transfer(results, []) == {}
