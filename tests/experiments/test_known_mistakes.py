"""Mistakes found in public evaluation code, each with scores that show it: the wrong figure and ours."""

import numpy as np
import pyarrow as pa
import pytest

from spooflab.experiments.metrics import curve_figures, evaluate, rates_at
from spooflab.experiments.operating_point import equal_error_point
from spooflab.experiments.protocols import LeaveOneAttackOut, SubjectSplit
from spooflab.experiments.run_spec import training_rows
from spooflab.experiments.scores import ScoreSet


def scores(genuine: list[float], **attacks: list[float]) -> ScoreSet:
    values = [(v, "bonafide") for v in genuine] + [(v, k) for k, list_ in attacks.items() for v in list_]
    kinds = [k for _, k in values]
    return ScoreSet.build([v for v, _ in values], [k != "bonafide" for k in kinds], species=kinds)


def hter(test: ScoreSet, threshold: float) -> float:
    return float(rates_at(test, threshold)["hter"][0])


def test_a_grid_of_10001_thresholds_steps_over_the_best_point_of_saturated_scores() -> None:
    # All scores lie within 1e-4 of 1, where the grid has one threshold that parts anything: 1 itself.
    test = scores(
        [1 - 5e-5] * 45 + [1 - 1e-5] * 134 + [1.0] * 21,
        attack=[1 - 6e-5] * 155 + [1 - 1.5e-5] * 45,
    )
    genuine, attacks = test.score[~test.attack], test.score[test.attack]
    grid = np.linspace(0, 1, 10_001)
    bpcer = np.array([(genuine < t).mean() for t in grid])
    far = np.array([(attacks >= t).mean() for t in grid])
    on_grid = int(np.argmin(np.abs(bpcer - far)))
    assert (bpcer[on_grid] + far[on_grid]) / 2 == pytest.approx(0.4475)
    ours = evaluate(test, dev=test)
    assert (ours.hter, ours.eer) == (pytest.approx(0.2250), pytest.approx(0.2250))


def test_threshold_minimised_on_test_rows_flatters_and_is_only_an_oracle_column() -> None:
    dev = scores([0.8, 0.9], known=[0.1, 0.2])
    test = scores([0.6, 0.7, 0.9], unseen=[0.3, 0.4, 0.5])
    told = evaluate(test, dev=dev)
    assert told.threshold == 0.8
    assert told.threshold_source == "dev"
    assert told.acer == pytest.approx(1 / 3)  # two bona fides rejected, no attack accepted
    assert told.oracle_acer == 0  # a threshold on the test rows parts them perfectly
    assert told.gap_acer == pytest.approx(1 / 3)
    alone = evaluate(test)
    assert alone.threshold_source == "oracle"
    assert any("all rates are oracle" in note for note in alone.notes)


def test_eer_is_not_the_smaller_of_the_two_rates() -> None:
    # With ties the rates never meet: at 0.5, BPCER 0 and FAR 3/4; just above, BPCER 1/2 and FAR 0.
    test = scores([0.5, 0.9], attack=[0.1, 0.5, 0.5, 0.5])
    point = equal_error_point(test)
    assert (point.bpcer, point.far) == (0.5, 0.0)
    assert point.eer == 0.25 != min(point.bpcer, point.far)


def test_apcer_and_bpcer_are_not_swapped() -> None:
    told = evaluate(scores([0.9] * 9 + [0.1], attack=[0.1, 0.1, 0.9, 0.9]), threshold=0.5)
    assert told.apcer == 0.5  # attacks accepted
    assert told.bpcer == 0.1  # bona fides rejected


def test_apcer_is_the_maximum_over_species_and_not_their_mean() -> None:
    told = evaluate(scores([0.9], easy=[0.1] * 8, hard=[0.9, 0.1]), threshold=0.5)
    assert told.apcer == 0.5
    assert told.apcer_by_species == {"easy": 0.0, "hard": 0.5}
    assert told.hter == pytest.approx(0.05)  # pooled over all ten attacks


def test_bpcer100_is_read_on_the_bona_fide_axis() -> None:
    genuine = [0.9] * 70 + [0.3] * 30
    attacks = [0.5] * 2 + [0.1] * 98
    test = scores(genuine, attack=attacks)
    told = evaluate(test, threshold=0.5)
    wrong_axis = min((test.score[test.attack] >= t).mean() for t in [0.3] if (np.array(genuine) < t).mean() <= 0.01)
    assert wrong_axis == pytest.approx(0.02)  # APCER at BPCER 1 %
    assert told.bpcer100 == pytest.approx(0.30)  # BPCER at APCER 1 %: both attacks at 0.5 must be refused


def test_bpcer_budget_is_on_the_maximum_apcer() -> None:
    # Pooled, one attack in 20 may pass; species `rare` alone may not spend it.
    test = scores([0.9] * 5 + [0.5] * 5, common=[0.1] * 18, rare=[0.6, 0.1])
    told = evaluate(test, threshold=0.5)
    assert told.bpcer20 == 0.5
    pooled = scores([0.9] * 5 + [0.5] * 5, one=[0.1] * 19 + [0.6])
    assert evaluate(pooled, threshold=0.5).bpcer20 == 0.0


def test_tpr_at_fpr_keeps_the_budget_where_the_nearest_point_breaks_it() -> None:
    # 60 attacks: one accepted is 1.67 %, nearer to 1 % than 0 % is, but over the budget.
    test = scores([0.9] * 4 + [0.5] * 6, attack=[0.6] + [0.1] * 59)
    far = {t: (test.score[test.attack] >= t).mean() for t in (0.5, 0.6, 0.9)}
    nearest = min(far, key=lambda t: abs(far[t] - 0.01))
    assert far[nearest] > 0.01
    assert (test.score[~test.attack] >= 0.5).mean() == 1.0  # what the nearest point would have told
    assert evaluate(test, threshold=0.5).tpr_at_fpr1 == pytest.approx(0.4)


def test_a_score_on_the_threshold_is_accepted_and_nothing_is_interpolated() -> None:
    test = scores([0.5] * 1 + [0.9] * 27 + [0.2] * 12, attack=[0.6] * 11 + [0.1] * 29)
    threshold = equal_error_point(test).threshold
    assert threshold == 0.5
    strict = ((test.score[~test.attack] <= threshold).mean() + (test.score[test.attack] > threshold).mean()) / 2
    assert strict == pytest.approx(0.300)
    told = evaluate(test, threshold=threshold)
    assert told.hter == pytest.approx(0.2875)
    assert told.eer == told.hter  # the observed point, not the crossing of two interpolated lines


def test_a_test_species_without_dev_rows_is_evaluated() -> None:
    dev = scores([0.8, 0.9], print=[0.1, 0.2])
    told = evaluate(scores([0.85, 0.7], mask=[0.3, 0.9]), dev=dev)
    assert told.apcer_by_species == {"mask": 0.5}
    assert told.acer == 0.5


def test_auc_needs_no_function_that_numpy_2_removed() -> None:
    assert not hasattr(np, "trapz")
    assert curve_figures(scores([0.5, 0.9], attack=[0.5, 0.1]))["auc"][0] == 0.875


def test_every_image_is_evaluated_and_none_is_drawn_at_random() -> None:
    test = scores([0.9, 0.2, 0.7], attack=[0.1, 0.8])
    first, second = evaluate(test, threshold=0.5), evaluate(test, threshold=0.5)
    assert first == second
    assert first.counts["bonafide"] + first.counts["attack"] == len(test) == 5


def test_split_and_training_rows_know_no_algorithm() -> None:
    import inspect

    index = pa.table(
        {
            "key": [f"k{i:03}" for i in range(120)],
            "label": ["bonafide" if i % 3 == 0 else "attack" for i in range(120)],
            "species": [
                "bonafide" if i % 3 == 0 else ("print_a4" if i % 3 == 1 else "replay_phone") for i in range(120)
            ],
            "subject_group": [f"g{i // 12}" for i in range(120)],
        }
    )
    one, two = (LeaveOneAttackOut(split=SubjectSplit(seed=4)).folds(index) for _ in range(2))
    for left, right in zip(one, two, strict=True):
        for part in ("train", "dev", "test"):
            assert left.parts[part].tolist() == right.parts[part].tolist()
        assert training_rows(index, left, 10).tolist() == training_rows(index, right, 10).tolist()
    # Nothing about an algorithm can reach the split: no parameter could carry it there.
    assert set(inspect.signature(training_rows).parameters) == {"index", "fold", "size", "root"}
    assert set(SubjectSplit.model_fields) == {"test", "dev", "seed"}
    moved = LeaveOneAttackOut(split=SubjectSplit(seed=5)).folds(index)
    assert [f.test.tolist() for f in moved] != [f.test.tolist() for f in one]
