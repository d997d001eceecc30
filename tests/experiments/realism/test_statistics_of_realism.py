"""Domain AUC, its null, parameters and the physics gap on made-up figures whose answer is known."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from spooflab.experiments.realism import domain, parameters, physics_gap, suggest
from spooflab.experiments.realism.matching import match
from spooflab.experiments.realism.sides import Row


def made_up(shift: float, *, subjects: int = 30, each: int = 3, seed: int = 0) -> domain.Domain:
    """Eight features with a subject's own part; the first is shifted on the real side."""
    rng = np.random.default_rng(seed)
    table, subject = [], []
    for side in ("s", "r"):
        for person in range(subjects):
            own = rng.normal(0, 0.5, 8)
            for _ in range(each):
                row = own + rng.normal(0, 1, 8)
                row[0] += shift * (side == "r")
                table.append(row)
                subject.append(f"{side}{person}")
    names = np.array(subject)
    return domain.Domain(np.array(table), np.char.startswith(names, "r"), names, names)


def judged(one: domain.Domain, **settings: int) -> domain.DomainAuc:
    fit = domain.cross_fit(one, domain.deal(one, folds=5, repeats=1, seed=1))
    weights = domain.subject_weights(one.subject, one.real, 300, 2)
    return domain.domain_auc(one, fit, **{"permutations": 400, "halvings": 100, "seed": 3} | settings, weights=weights)


def test_a_shift_is_told_apart_and_its_auc_is_that_of_two_gaussians() -> None:
    found = judged(made_up(2.0, subjects=60))
    # Phi(shift / sqrt(2 (1 + 0.25))) with the best direction; what is learnt from few pictures stays below.
    assert 0.8 < found.auc < 0.90
    assert found.low < found.auc < found.high
    assert found.told_apart
    assert found.null == pytest.approx(0.5, abs=0.06)


def test_false_alarms_are_bounded_where_nothing_differs() -> None:
    p = [judged(made_up(0.0, subjects=14, seed=s), permutations=200, halvings=20).p for s in range(24)]
    assert np.sum(np.array(p) < 0.05) <= 5  # 1.2 of 24 are due; more than 5 have a chance below 0.2 %
    assert np.mean(p) == pytest.approx(0.5, abs=0.2)


def test_within_folds_auc_counts_pairs_of_one_fold() -> None:
    fit = domain.CrossFit(np.array([[0, 0, 0, 1, 1, 1]]), np.array([[1.0, 2, 3, 10, 20, 20]]))
    real = np.array([False, True, False, False, True, True])
    # Fold 0: the real 2 beats 1, loses to 3. Fold 1: both beat 10. Three of four pairs.
    assert domain.within_folds_auc(fit, real)[0] == pytest.approx(3 / 4)
    weights = np.array([[1.0, 1, 0, 1, 1, 1], [1, 0, 1, 1, 1, 0]])
    assert domain.within_folds_auc(fit, real, weights).tolist() == [1.0, 1.0]


def test_many_labellings_at_once_are_each_alone() -> None:
    one = made_up(0.5, subjects=8)
    fold = domain.deal(one, folds=3, repeats=2, seed=0)
    labels = np.stack([one.real, ~one.real, np.roll(one.real, 5)])
    together = domain.fold_scores(one.table, fold, labels)
    for place in range(3):
        np.testing.assert_allclose(together[:, place], domain.fold_scores(one.table, fold, labels[place][None])[:, 0])
    aucs = domain.labelled_aucs(fold, together, labels)
    assert aucs[0] == pytest.approx(domain.within_folds_auc(domain.CrossFit(fold, together[:, 0]), one.real)[0])


def test_a_subject_lies_in_one_fold_under_either_sides_name() -> None:
    one = made_up(0.0, subjects=10)
    shared = dataclasses.replace(one, group=np.char.lstrip(one.group, "sr"))
    fold = domain.folds_of(shared, 5, 0)
    for name in np.unique(shared.group):
        assert len(set(fold[shared.group == name])) == 1


def row(key: str, subject: str, device: str, physics: dict[str, float]) -> Row:
    return Row(key, "print_a4", subject, subject, device, "", (0, 0, 9, 9), np.empty((0, 2)), physics, "", 1.0)


def rows_of(values: np.ndarray, idle: np.ndarray, groups: list[str]) -> list[Row]:
    return [
        row(f"k{i}", g, "phone", {"attack.gap_mm": a, "attack.idle": b})
        for i, (a, b, g) in enumerate(zip(values, idle, groups, strict=True))
    ]


def planted(shift: float, seed: int = 0) -> tuple[domain.Domain, list[Row], domain.CrossFit]:
    """A parameter that two features show; real pictures have it `shift` higher. A second parameter shows nowhere."""
    rng = np.random.default_rng(seed)
    value = rng.normal(0, 1, 240)
    value[120:] += shift
    table = rng.normal(0, 1, (240, 6))
    table[:, 0] += 2 * value
    table[:, 1] -= value
    names = [f"s{i // 4}" for i in range(120)] + [f"r{i // 4}" for i in range(120)]
    one = domain.Domain(table, np.arange(240) >= 120, np.array(names), np.array(names))
    fit = domain.cross_fit(one, domain.deal(one, folds=5, repeats=2, seed=4))
    return one, rows_of(value[:120], rng.normal(0, 1, 120), names[:120]), fit


def found_in(shift: float, seed: int = 0) -> tuple[list[parameters.Moved], parameters.Weights]:
    one, rows, fit = planted(shift, seed)
    read = parameters.read_off(one, fit.fold, rows, np.empty((0, one.table.shape[1])))
    weights = parameters.importance(fit, one.real)
    return parameters.adjusted({"x": parameters.judge(one, read, rows, weights, permutations=400, seed=5)})[
        "x"
    ], weights


@pytest.mark.parametrize("shift", [1.0, -1.0])
def test_a_planted_parameter_is_named_with_its_direction_and_the_idle_one_is_not(shift: float) -> None:
    found, weights = found_in(shift)
    assert [one.name for one in found] == ["attack.gap_mm"]  # the idle one cannot be read
    assert found[0].sure
    assert np.sign(found[0].shift) == np.sign(shift)
    assert (found[0].after[2] - found[0].before[2]) * shift > 0.4  # the weighted median moves most of the way
    assert found[0].explains > 0.8
    assert weights.effective < 120


def test_nothing_is_suggested_where_nothing_differs() -> None:
    alarms = sum(any(one.sure for one in found_in(0.0, seed)[0]) for seed in range(20))
    assert alarms <= 4  # 1 of 20 is due; more than 4 have a chance below 0.3 %


def test_weighted_quantiles_repeat_a_sample_that_is_repeated() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])
    repeated = np.array([1.0] * 2 + [2.0] * 3 + [3.0])
    assert parameters.weighted_quantiles(values, weights, [0.5])[0] == pytest.approx(np.median(repeated), abs=0.5)
    even = parameters.weighted_quantiles(np.arange(101.0), np.ones(101), [0.05, 0.5, 0.95])
    np.testing.assert_allclose(even, [4.55, 50, 95.45], atol=0.01)


def scored(mean: float, seed: int, count: int = 120) -> physics_gap.Scored:
    rng = np.random.default_rng(seed)
    return physics_gap.Scored(rng.normal(mean, 1, count), np.array([f"p{i // 4}" for i in range(count)]))


def test_physics_share_of_a_drop_that_is_half_blur() -> None:
    found = physics_gap.physics_gap(
        scored(4, 0), scored(-4, 1), scored(0, 2), scored(-4, 3), scored(4, 4), replicates=300, seed=0
    )
    assert found.physics_share[0] == pytest.approx(0.5, abs=0.05)
    assert found.drops
    assert found.surely_closer
    # Wasserstein distance against another implementation.
    assert found.control_to_real[0] == pytest.approx(
        wasserstein_distance(scored(0, 2).score, scored(-4, 3).score), abs=0.1
    )


def test_an_attack_that_is_its_control_explains_nothing() -> None:
    found = physics_gap.physics_gap(
        scored(4, 0), scored(0, 1), scored(0, 2), scored(-4, 3), None, replicates=300, seed=0
    )
    assert found.physics_share[1] < 0 < found.physics_share[2] or abs(found.physics_share[0]) < 0.05
    assert not found.surely_closer
    assert found.real_drop is None


def test_matching_balances_what_it_can_and_says_what_it_cannot() -> None:
    rng = np.random.default_rng(0)
    here, there = rng.normal(0, 1, (120, 6)), rng.normal(0.8, 1, (60, 6))
    here[:, 4:] = np.nan
    found = match(here, there)
    assert found.unknown == ("turn of the head", "nod of the head")
    for before, after in found.apart.values():
        assert abs(after) < abs(before)
    assert match(rng.normal(0, 1, (30, 6)), rng.normal(9, 1, (30, 6))).real.size == 0


def test_advice_is_yaml_that_a_profile_accepts() -> None:
    rows = [row(f"k{i}", f"s{i}", "front_phone", {"device.quality": 75 + i % 23}) for i in range(92)]
    quality = np.array([row.physics["device.quality"] for row in rows])
    weights = parameters.Weights((quality > 90).astype(float) * 92 / (quality > 90).sum(), 1.0, 28.0)
    moved = parameters.Moved(
        "device.quality", "range", 0.6, 0.8, 0.001, 0.5, (76, 80, 86, 91, 96), (91, 92, 94, 95, 97), 0.1, True
    )
    advice = suggest.advise([moved], rows, weights, {"front_phone": "front_phone"})
    assert advice.profiles == {"front_phone": {"codec": {"quality": [91, 97]}}}
    lines = suggest.yaml_lines(advice, ["front_phone"], [])
    assert lines[1:] == ["codec:", "  quality: [91, 97]"]
    assert "higher" in advice.words[0]
    assert not suggest.advise([dataclasses.replace(moved, p=0.2)], rows, weights, {}).words


def test_a_kind_of_instrument_that_real_captures_lack_is_struck_from_the_list() -> None:
    rare = parameters.Moved("instrument = laser", "share", 0.6, -0.4, 0.001, 0.5, (0.5,), (0.1,), 0.0, True)
    advice = suggest.advise([rare], [], parameters.Weights(np.ones(1), 1.0, 1.0), {})
    assert suggest.yaml_lines(advice, [], ["inkjet", "laser"]) == ["instruments: [inkjet]"]
