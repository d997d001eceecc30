"""One temperature: against a grid, against closed cases, and without a change of ranking or decision."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spooflab.adapters import ImageSet, TrainConfig, fit, load_model, predict_scores
from spooflab.adapters.dev_figures import dev_figures
from spooflab.adapters.scoring import predict_log_odds
from spooflab.adapters.temperature import HOTTEST, fit_temperature
from spooflab.errors import DataError


def drawn(count: int, bonafide: float, truth: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds that say `truth` times what they should, of classes in these shares."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < bonafide).astype(np.int64)
    # Two unit Gaussians at ±1 have log-odds 2x under even classes.
    odds = 2 * (rng.normal(size=count) + np.where(labels == 1, 1, -1))
    return truth * odds, labels


def balanced_nll(odds: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    losses = np.logaddexp(0, np.where(labels == 1, -odds, odds) / temperature)
    return float(losses[labels == 1].mean() + losses[labels == 0].mean())


@pytest.mark.parametrize(("bonafide", "truth"), [(0.5, 3.0), (0.1, 0.4), (0.9, 1.0)])
def test_it_is_the_least_of_a_grid_and_near_the_truth(bonafide: float, truth: float):
    odds, labels = drawn(4000, bonafide, truth)
    found = fit_temperature(odds, labels)
    grid = found * np.exp(np.linspace(-0.5, 0.5, 2001))
    best = grid[np.argmin([balanced_nll(odds, labels, t) for t in grid])]
    assert found == pytest.approx(best, rel=3e-4)  # the grid's step is 5e-4
    assert found == pytest.approx(truth, rel=0.15)


def test_two_values_have_a_closed_form():
    """Log-odds ±a, right with frequency q in both classes: q = sigmoid(a / T)."""
    labels = np.repeat([1, 0], 100)
    right = np.tile(np.arange(100) < 80, 2)
    odds = np.where(right == (labels == 1), 5.0, -5.0)
    assert fit_temperature(odds, labels) == pytest.approx(5 / np.log(0.8 / 0.2), rel=1e-6)


def test_weights_are_those_of_the_classes():
    odds, labels = drawn(500, 0.5, 2.0)
    doubled = np.concatenate([odds, odds[labels == 0]]), np.concatenate([labels, labels[labels == 0]])
    losses = [fit_temperature(odds, labels), fit_temperature(*doubled)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)  # how many there are of a class plays no part
    assert fit_temperature(odds, labels, attack_weight=3, bonafide_weight=3) == pytest.approx(losses[0], rel=1e-6)
    assert fit_temperature(odds, labels, attack_weight=1.9, bonafide_weight=0.1) != pytest.approx(losses[0], rel=1e-3)


def test_ends_of_the_range_keep_scores_apart():
    odds = np.array([-3.0, -2.999999, 1.0, 1.0000001])
    labels = np.array([0, 0, 1, 1])
    cold = fit_temperature(odds, labels)
    assert cold == pytest.approx(3 / 12)  # any lower were better still
    assert len(np.unique(1 / (1 + np.exp(-odds / cold)))) == 4
    assert fit_temperature(odds, 1 - labels) == HOTTEST
    assert fit_temperature(np.zeros(4), labels) == HOTTEST
    assert fit_temperature(20 * odds, labels) == 1.0  # already as far apart as they may be
    with pytest.raises(DataError, match="classes \\[1\\]"):
        fit_temperature(odds, np.ones(4, np.int64))
    with pytest.raises(DataError, match="1 log-odds of 4 are not finite"):
        fit_temperature(np.array([1, np.inf, 2, 3]), labels)


def test_a_training_may_end_with_it(toy: Callable[..., ImageSet], tmp_path: Path):
    fields = {
        "backbone": {"options": {"embedding_size": 8, "hidden_sizes": [8, 8, 12, 16]}},
        "device": "cpu", "size": 32, "steps": 12, "batch_size": 8, "eval_every": 6, "lr": 5e-3,
    }  # fmt: skip
    sets = {"train": toy(32, strength=15.0), "dev": toy(40, root=1, strength=15.0)}
    plain = fit(TrainConfig.model_validate(fields), **sets, seed=0, out=tmp_path / "plain")
    with_it = TrainConfig.model_validate(fields | {"calibrate": True})
    warm = fit(with_it, **sets, seed=0, out=tmp_path / "warm")
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "warm")]
    assert files[0] == files[1]  # what is learnt is the same
    assert plain.model.score_temperature == 1.0
    odds, labels = predict_log_odds(plain.model, sets["dev"]), sets["dev"].labels.numpy()
    assert warm.model.score_temperature == fit_temperature(odds, labels) != 1.0
    scores = [predict_scores(result.model, sets["dev"]) for result in (plain, warm)]
    np.testing.assert_allclose(scores[1], 1 / (1 + np.exp(-odds / warm.model.score_temperature)), rtol=1e-12)
    np.testing.assert_array_equal(np.argsort(scores[0], kind="stable"), np.argsort(scores[1], kind="stable"))
    figures = [dev_figures(score, labels) for score in scores]
    assert figures[0]["eer"] == figures[1]["eer"]
    assert figures[1]["loss"] < figures[0]["loss"]
    np.testing.assert_array_equal(predict_scores(load_model(tmp_path / "warm"), sets["dev"]), scores[1])
    assert (
        json.loads((tmp_path / "warm" / "model.json").read_text())["score_temperature"] == warm.model.score_temperature
    )
    again = fit(with_it, **sets, seed=0, out=tmp_path / "warm")  # nothing left to train
    assert again.model.score_temperature == warm.model.score_temperature
