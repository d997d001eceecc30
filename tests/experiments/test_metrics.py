"""Every figure against a slow counting of its definition, and against scikit-learn where definitions meet."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from spooflab.errors import DataError
from spooflab.experiments.counting import Counts
from spooflab.experiments.metrics import NAMES, curve_figures, det_points, evaluate, rates_at
from spooflab.experiments.operating_point import equal_error_point
from spooflab.experiments.scores import ScoreSet, pool_clips

NAN = float("nan")


# The definitions, written as they read. Slow on purpose.
def accepted(score: float, threshold: float, attack: bool) -> bool:
    return attack if math.isnan(score) else score >= threshold


def candidates(rows: list[tuple[float, str]]) -> list[float]:
    seen = sorted({s for s, _ in rows if not math.isnan(s)})
    return [*seen, math.nextafter(seen[-1], math.inf)] if seen else []


def slow_rates(rows: list[tuple[float, str]], threshold: float) -> dict[str, Fraction | None]:
    species = sorted({k for _, k in rows if k != "bonafide"})
    by = {k: [accepted(s, threshold, True) for s, name in rows if name == k] for k in species}
    apcer_by = {k: Fraction(sum(v), len(v)) for k, v in by.items()}
    genuine = [not accepted(s, threshold, False) for s, name in rows if name == "bonafide"]
    pooled = [a for v in by.values() for a in v]
    apcer = max(apcer_by.values()) if apcer_by else None
    bpcer = Fraction(sum(genuine), len(genuine)) if genuine else None
    far = Fraction(sum(pooled), len(pooled)) if pooled else None
    both = apcer is not None and bpcer is not None
    return {
        "apcer": apcer,
        "bpcer": bpcer,
        "far": far,
        "acer": (apcer + bpcer) / 2 if both else None,
        "hter": (far + bpcer) / 2 if both else None,
    }


def slow_eer_threshold(rows: list[tuple[float, str]]) -> float:
    def distance(t: float) -> Fraction:
        r = slow_rates(rows, t)
        return abs(r["bpcer"] - r["far"])

    return min(candidates(rows), key=lambda t: (distance(t), t))


def slow_bpcer_at(rows: list[tuple[float, str]], budget: Fraction) -> Fraction:
    fit = [r["bpcer"] for t in candidates(rows) if (r := slow_rates(rows, t))["apcer"] <= budget]
    return min(fit, default=Fraction(1))


def slow_tpr(rows: list[tuple[float, str]], budget: Fraction) -> Fraction:
    fit = [1 - r["bpcer"] for t in candidates(rows) if (r := slow_rates(rows, t))["far"] <= budget]
    return max(fit, default=Fraction(0))


def slow_auc(rows: list[tuple[float, str]]) -> Fraction:
    genuine = [-math.inf if math.isnan(s) else s for s, k in rows if k == "bonafide"]
    attacks = [math.inf if math.isnan(s) else s for s, k in rows if k != "bonafide"]
    wins = sum(Fraction(1) if g > a else Fraction(1, 2) if g == a else Fraction(0) for g in genuine for a in attacks)
    return wins / (len(genuine) * len(attacks))


def as_set(rows: list[tuple[float, str]]) -> ScoreSet:
    return ScoreSet.build([s for s, _ in rows], [k != "bonafide" for _, k in rows], species=[k for _, k in rows])


SCORE = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5]),  # saturation and ties
    st.floats(0, 1, allow_subnormal=False).map(lambda v: round(v, 1)),
    st.floats(-1e6, 1e6),
    st.just(NAN),
)
KIND = st.sampled_from(["bonafide", "bonafide", "print", "replay", "mask"])
ROWS = st.lists(st.tuples(SCORE, KIND), min_size=1, max_size=40)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.floats(-2, 2))
def test_rates_at_a_threshold_equal_the_definition(rows: list[tuple[float, str]], threshold: float) -> None:
    got, want = rates_at(as_set(rows), threshold), slow_rates(rows, threshold)
    for name in ("apcer", "bpcer", "acer", "hter"):
        if want[name] is None:
            assert np.isnan(got[name][0])
        else:
            assert got[name][0] == pytest.approx(float(want[name]), abs=1e-12)


@settings(max_examples=300, deadline=None)
@given(ROWS)
def test_curve_figures_equal_the_definition(rows: list[tuple[float, str]]) -> None:
    kinds = {k == "bonafide" for _, k in rows}
    if len(kinds) < 2 or all(math.isnan(s) for s, _ in rows):
        assert equal_error_point(as_set(rows)) is None
        return
    got = curve_figures(as_set(rows))
    threshold = slow_eer_threshold(rows)
    at = slow_rates(rows, threshold)
    want = {
        "eer": (at["bpcer"] + at["far"]) / 2,
        "oracle_acer": at["acer"],
        "oracle_hter": at["hter"],
        "auc": slow_auc(rows),
        "bpcer10": slow_bpcer_at(rows, Fraction(1, 10)),
        "bpcer20": slow_bpcer_at(rows, Fraction(1, 20)),
        "bpcer100": slow_bpcer_at(rows, Fraction(1, 100)),
        "tpr_at_fpr1": slow_tpr(rows, Fraction(1, 100)),
    }
    for name, value in want.items():
        assert got[name][0] == pytest.approx(float(value), abs=1e-12), name
    assert equal_error_point(as_set(rows)).threshold == threshold


@settings(max_examples=100, deadline=None)
@given(ROWS, st.integers(0, 2**32))
def test_weights_equal_repeated_rows(rows: list[tuple[float, str]], seed: int) -> None:
    weights = np.random.default_rng(seed).integers(0, 3, (2, len(rows)))
    fast = curve_figures(as_set(rows), weights) | rates_at(as_set(rows), 0.5, weights)
    for r, row in enumerate(weights):
        repeated = [pair for pair, w in zip(rows, row, strict=True) for _ in range(w)]
        if {k == "bonafide" for _, k in repeated} != {True, False}:
            assert np.isnan(fast["eer"][r])
            continue
        slow = curve_figures(as_set(repeated)) | rates_at(as_set(repeated), 0.5)
        for name in NAMES:
            if all(math.isnan(s) for s, _ in repeated) and name == "eer":
                continue
            assert fast[name][r] == pytest.approx(slow[name][0], abs=1e-12, nan_ok=True), name


def test_auc_equals_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(0)
    score, attack = rng.integers(0, 12, 500) / 12, rng.random(500) < 0.4
    got = curve_figures(ScoreSet.build(score, attack))["auc"][0]
    assert got == pytest.approx(roc_auc_score(~attack, score), abs=1e-12)


def test_budgeted_rates_equal_scikit_learns_roc_points() -> None:
    rng = np.random.default_rng(4)
    attack = rng.random(900) < 0.5
    score = np.round(rng.normal(0, 1, 900) - 1.5 * attack, 1)
    fpr, tpr, _ = roc_curve(~attack, score, drop_intermediate=False)
    got = curve_figures(ScoreSet.build(score, attack))
    for name, budget in (("bpcer10", 0.1), ("bpcer20", 0.05), ("bpcer100", 0.01)):
        assert got[name][0] == pytest.approx(1 - tpr[fpr <= budget].max(), abs=1e-12)
    assert got["tpr_at_fpr1"][0] == pytest.approx(tpr[fpr <= 0.01].max(), abs=1e-12)


def test_clusters_as_weights_equal_rows_as_weights() -> None:
    rng = np.random.default_rng(1)
    member = rng.integers(0, 7, 80)
    scores = ScoreSet.build(rng.random(80), rng.random(80) < 0.5)
    draws = rng.integers(0, 4, (5, 7))
    by_cluster, by_row = rates_at(scores, 0.4, draws, member), rates_at(scores, 0.4, draws[:, member])
    for name in by_row:
        np.testing.assert_allclose(by_cluster[name], by_row[name], atol=1e-15)


def test_acer_is_never_below_hter() -> None:
    rng = np.random.default_rng(2)
    rows = [(float(v), str(k)) for v, k in zip(rng.random(60), rng.choice(["bonafide", "a", "b"], 60), strict=True)]
    for threshold in np.linspace(0, 1, 21):
        got = rates_at(as_set(rows), float(threshold))
        assert got["acer"][0] >= got["hter"][0]


def test_det_points_are_the_rates_at_each_threshold() -> None:
    rows = [(0.1, "a"), (0.4, "b"), (0.4, "bonafide"), (0.9, "bonafide"), (0.7, "a"), (NAN, "bonafide")]
    thresholds, apcer, bpcer = det_points(as_set(rows))
    assert thresholds.tolist() == candidates(rows)
    for t, a, b in zip(thresholds, apcer, bpcer, strict=True):
        want = slow_rates(rows, float(t))
        assert (a, b) == pytest.approx((float(want["apcer"]), float(want["bpcer"])))


def test_one_class_says_so_and_is_none_in_json() -> None:
    test = ScoreSet.build([0.9, 0.4], [False, False])
    told = evaluate(test, dev=ScoreSet.build([0.9, 0.1], [False, True])).to_json()
    assert told["bpcer"] == 0.5
    for name in ("apcer", "acer", "hter", "eer", "auc", "bpcer10", "tpr_at_fpr1"):
        assert told[name] is None
    assert any("one class only: 2 bona fide, no attack" in note for note in told["notes"])
    json.dumps(told, allow_nan=False)


def test_dev_with_one_class_gives_no_threshold() -> None:
    told = evaluate(ScoreSet.build([0.9, 0.1], [False, True]), dev=ScoreSet.build([0.3], [True]))
    assert told.threshold is None
    assert told.acer is None
    assert told.auc == 1.0
    assert told.threshold_source == "none"
    assert any("dev rows give no threshold: one class only" in note for note in told.notes)


def test_empty_test_set_says_so() -> None:
    told = evaluate(ScoreSet.build([], []), dev=ScoreSet.build([0.9, 0.1], [False, True]))
    assert told.acer is None
    assert "test rows: no rows" in told.notes


def test_failures_count_against_the_side_they_hurt_and_are_listed() -> None:
    test = ScoreSet.build(
        [0.9, NAN, 0.1, NAN], [False, False, True, True], species=["bonafide", "bonafide", "print", "print"],
        key=["g0", "g1", "a0", "a1"],
    )  # fmt: skip
    told = evaluate(test, threshold=0.5)
    assert (told.apcer, told.bpcer, told.failures) == (0.5, 0.5, ("g1", "a1"))
    # Half of the attacks are accepted whatever the threshold, so no budget can be kept.
    assert (told.bpcer100, told.tpr_at_fpr1) == (1.0, 0.0)
    assert told.auc == 0.25


def test_infinite_scores_are_refused_with_their_row() -> None:
    with pytest.raises(DataError, match=r"first at row 1 \(b\)"):
        ScoreSet.build([0.1, math.inf], [True, False], key=["a", "b"])


def test_json_keys_are_the_documented_ones() -> None:
    told = evaluate(ScoreSet.build([0.9, 0.1], [False, True]), threshold=0.5).to_json()
    documented = "apcer bpcer acer hter eer auc bpcer10 bpcer20 bpcer100 tpr_at_fpr1 threshold apcer_by_species"
    assert set(documented.split()) <= set(told)
    assert all(key == key.lower() for key in told)


def test_clips_are_means_of_their_frames_and_become_the_unit() -> None:
    frames = ScoreSet.build(
        [0.2, 0.4, NAN, 0.9, NAN], [True, True, True, False, False],
        species=["print", "print", "print", "bonafide", "bonafide"], subject=["s", "s", "s", "t", "u"],
    )  # fmt: skip
    clips = pool_clips(frames, ["c1", "c1", "c1", "c0", "c2"])
    assert clips.key.tolist() == ["c0", "c1", "c2"]
    np.testing.assert_allclose(clips.score, [0.9, 0.3, NAN])
    told = evaluate(clips, threshold=0.5)
    assert (told.unit, told.counts["attack"], told.failures) == ("clip", 1, ("c2",))
    assert "1 clips without a score" in told.notes[0]


def test_a_clip_of_two_species_is_refused() -> None:
    frames = ScoreSet.build([0.2, 0.4], [True, True], species=["print", "replay"])
    with pytest.raises(DataError, match="clip 'c' holds two values of species"):
        pool_clips(frames, ["c", "c"])


def test_the_last_candidate_lies_just_above_every_score() -> None:
    counts = Counts(ScoreSet.build([1.0, 1.0], [True, False]))
    assert counts.threshold(1) == math.nextafter(1.0, math.inf)
    assert counts.accepted(counts.attacks).tolist() == [[1, 0]]
    assert counts.rejected.tolist() == [[0, 1]]


def test_many_rows_are_counted_fast() -> None:
    import time

    rng = np.random.default_rng(3)
    scores = ScoreSet.build(rng.random(200_000), rng.random(200_000) < 0.5)
    start = time.process_time()
    evaluate(scores, threshold=0.5)
    assert time.process_time() - start < 5
