"""The range test on a quadratic, whose stable rates and steepest descent are known; and on a training, left alone."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from interrupted import small, weights

from spooflab.adapters import ImageSet, fit
from spooflab.adapters.lr_finder import RateCurve, find_rate, range_test, rising_rates, write_curve
from spooflab.errors import ConfigError

Toy = Callable[..., ImageSet]


def descent(curvatures: list[float]) -> Callable[[float], float]:
    """Gradient descent on ½ Σ λ w² from w = 1."""
    scale, w = torch.tensor(curvatures, dtype=torch.float64), torch.ones(len(curvatures), dtype=torch.float64)

    def step(rate: float) -> float:
        loss = float((scale * w * w).sum() / 2)
        w.mul_(1 - rate * scale)
        return loss

    return step


@pytest.mark.parametrize("curvature", [0.1, 1.0, 30.0])
def test_the_least_loss_is_at_the_largest_stable_rate(curvature: float):
    rates = rising_rates(1e-4 / curvature, 100 / curvature, 240)
    curve = range_test(descent([curvature]), rates, smoothing=0.0)
    lowest = curve.losses.index(min(curve.losses))
    # One more step lowers the loss exactly while its rate is below 2 / λ.
    assert curve.rates[lowest - 1] < 2 / curvature < curve.rates[lowest]
    assert curve.diverged_at is not None
    assert curve.diverged_at > 2 / curvature
    # While λη is small the loss is exp(−2 λ η / c) at rates that grow by c per step: steepest at η = c / 2λ.
    growth = math.log(rates[1] / rates[0])
    assert curve.suggestion == pytest.approx(growth / (2 * curvature), rel=0.1)


def test_many_curvatures_diverge_by_the_largest():
    curve = range_test(descent([0.1, 1.0, 10.0]), rising_rates(1e-4, 10, 200))
    assert curve.suggestion is not None
    assert curve.diverged_at is not None
    assert curve.suggestion < 2 / 10 < curve.diverged_at < 2 / 1


def test_smoothing_is_an_unbiased_exponential_mean():
    losses = [3.0, 1.0, 2.0, 0.5, 4.0, 1.0, 1.0, 2.0, 2.0, 1.0]
    given = iter(losses)
    curve = range_test(lambda rate: next(given), rising_rates(1, 10, 10), smoothing=0.7, stop_at=100)
    for t, value in enumerate(curve.smoothed):
        shares = [0.7**k for k in range(t + 1)]
        assert value == pytest.approx(sum(s * losses[t - k] for k, s in enumerate(shares)) / sum(shares))


def test_a_loss_that_is_none_ends_the_test_and_one_that_rises_suggests_nothing():
    given = iter([1.0, 0.9, math.nan])
    curve = range_test(lambda rate: next(given), rates := rising_rates(1, 10, 10))
    assert (curve.losses, curve.diverged_at, curve.suggestion) == ([1.0, 0.9], rates[2], None)
    assert range_test(lambda rate: rate, rates, stop_at=100).suggestion is None


def test_rates_that_make_no_curve_are_refused():
    for lowest, highest, steps in [(1, 1, 100), (0, 1, 100), (1e-3, 1, 9)]:
        with pytest.raises(ConfigError, match="0 < lowest < highest"):
            rising_rates(lowest, highest, steps)


def test_a_training_is_tested_on_its_own_batches_and_left_alone(toy: Toy, tmp_path: Path):
    config, sets = small(lr=3e-4, algorithm="dann", log_every=1, steps=8), {"train": toy(48), "dev": toy(16, root=1)}
    fit(config, **sets, seed=4, out=tmp_path / "before")
    random_state = torch.get_rng_state()
    curve = find_rate(config, **sets, seed=4, steps=20)
    assert torch.equal(random_state, torch.get_rng_state())
    assert curve == find_rate(config, **sets, seed=4, steps=20)
    first = json.loads((tmp_path / "before" / "log.jsonl").read_text().splitlines()[0])
    assert first["step"] == 1
    assert curve.losses[0] == first["loss"]  # the first loss is the training's: no rate has played a part yet
    fit(config, **sets, seed=4, out=tmp_path / "after")
    assert weights(tmp_path / "after") == weights(tmp_path / "before")


def test_the_guards_error_is_divergence(toy: Toy):
    config = small(clip_norm=1e30)
    curve = find_rate(config, train=toy(48), dev=toy(16, root=1), seed=4, lowest=1, highest=1e30, steps=20)
    assert curve.diverged_at is not None
    assert len(curve.rates) < 20


def test_files(tmp_path: Path):
    curve = RateCurve([0.1, 0.2], [1.0, 0.5], [1.0, 0.75], 0.1, None)
    write_curve(curve, tmp_path / "out")
    assert RateCurve(**json.loads((tmp_path / "out" / "lr_finder.json").read_text())) == curve
    with (tmp_path / "out" / "lr_finder.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(float(r["lr"]), float(r["loss"]), float(r["smoothed"])) for r in rows] == [(0.1, 1, 1), (0.2, 0.5, 0.75)]
