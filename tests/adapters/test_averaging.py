"""SWAD's valley against a transcription of algorithm 1, its averages against plain means, EMA against PyTorch's."""

import json
import math
import random
from collections.abc import Sequence

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from spooflab.adapters.averaging import Ema, Swad, Valley, loss_valley
from spooflab.errors import ConfigError, DataError


def algorithm_1(losses: Sequence[float], n_s: int, n_e: int, r: float) -> tuple[int | None, int, float | None]:
    """The paper's pseudocode with iterations from 1, as written there; returns t_s, t_e and l."""
    e = {i + 1: loss for i, loss in enumerate(losses)}
    t_s, t_e, level = None, len(losses), None
    for i in range(1, len(losses) + 1):
        if level is None:
            if i >= n_s and e[i - n_s + 1] == min(e[i - k] for k in range(n_s)):
                t_s, level = i - n_s + 1, r / n_s * sum(e[i - k] for k in range(n_s))
        elif i >= n_e and level < min(e[i - k] for k in range(n_e)):
            t_e = i - n_e
            break
    return t_s, t_e, level


def walk(root: int, count: int) -> list[float]:
    """A loss that falls and then rises, with noise."""
    rng = random.Random(root)
    low = rng.uniform(0.2, 0.6) * count
    return [1 + ((i - low) / count) ** 2 * rng.choice([1, 5]) + rng.uniform(0, 0.3) for i in range(count)]


SETTINGS = [(3, 6, 1.3), (3, 6, 1.0), (1, 1, 1.05), (4, 2, 1.1), (2, 5, 1.05)]


@pytest.mark.parametrize(("n_s", "n_e", "r"), SETTINGS)
def test_valley_is_algorithm_1(n_s: int, n_e: int, r: float):
    ends = set()
    for root in range(200):
        losses = walk(root, 3 + root % 30)
        t_s, t_e, level = algorithm_1(losses, n_s, n_e, r)
        got = loss_valley(losses, optimum_patience=n_s, overfit_patience=n_e, tolerance=r)
        assert got.start == (None if t_s is None else t_s - 1)
        assert (len(losses) - 1 if got.end is None else got.end) == t_e - 1
        assert math.isnan(got.threshold) if level is None else got.threshold == pytest.approx(level, rel=1e-14)
        ends.add((got.start is None, got.end is None))
    assert (False, False) in ends
    assert (False, True) in ends


def test_valley_examples():
    assert loss_valley([5, 4, 3, 2, 1]) == pytest.approx(Valley(None, None, math.nan), nan_ok=True)
    falls_then_rises = [3.0, 2, 1, 2, 1.5, 1, 3, 3, 3, 3, 3]
    assert loss_valley(falls_then_rises) == Valley(2, None, pytest.approx(1.95))
    assert loss_valley([*falls_then_rises, 3.0]) == Valley(2, 5, pytest.approx(1.95))
    assert loss_valley([*falls_then_rises, 1.0, 3.0, 3.0]).end is None


def weights(step: int) -> dict[str, Tensor]:
    gen = torch.Generator().manual_seed(step)
    return {
        "w": torch.randn(3, 2, generator=gen, dtype=torch.float64),
        "b": torch.randn(2, generator=gen, dtype=torch.float64),
        "batches": torch.tensor(step),
    }


def watched(swad: Swad, losses: Sequence[float], every: int) -> dict[int, list[int]]:
    """Let `swad` watch a training; return the steps of each evaluation's segment (of uneven lengths)."""
    step, segments = 0, {}
    for k, loss in enumerate(losses):
        segments[k] = list(range(step, step + every + k % 2))
        for step in segments[k]:
            swad.add(weights(step))
        step += 1
        swad.evaluated(loss)
    return segments


@pytest.mark.parametrize(("n_s", "n_e", "r"), SETTINGS)
@pytest.mark.parametrize("every", [1, 3])
def test_swad_averages_every_step_of_the_valley(n_s: int, n_e: int, r: float, every: int):
    for root in range(12):
        losses = walk(root, 4 + 3 * root)
        swad = Swad(optimum_patience=n_s, overfit_patience=n_e, tolerance=r)
        segments = watched(swad, losses, every)
        t_s, t_e, _ = algorithm_1(losses, n_s, n_e, r)
        inside = range(t_s - 1, t_e) if t_s is not None else [len(losses) - 1]
        steps = [step for k in inside for step in segments[k]]
        average = swad.average()
        for name in ("w", "b"):
            expected = torch.stack([weights(step)[name] for step in steps]).mean(0)
            torch.testing.assert_close(average[name], expected, rtol=1e-12, atol=1e-14)
        assert average["batches"].item() == max(steps)
        assert swad.finished == (t_s is not None and t_e < len(losses))
        assert len(swad._undecided) <= max(n_s, n_e)


def test_swad_of_every_step_is_the_mean_of_pytorch():
    plain, layer = nn.Linear(3, 2), nn.Linear(3, 2)
    mean, swad = AveragedModel(layer), Swad(tolerance=10.0)
    for k in range(8):
        nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(k))
        mean.update_parameters(layer)
        swad.add(layer.state_dict())
        swad.evaluated(1.0 + k / 10)
    plain.load_state_dict(swad.average())
    torch.testing.assert_close(plain.weight, mean.module.weight)


def test_swad_does_not_keep_what_comes_after_the_valley():
    swad = Swad(optimum_patience=1, overfit_patience=1, tolerance=1.0)
    watched(swad, [1.0, 2.0], 2)
    assert swad.finished
    before = swad.average()
    swad.add(weights(99))
    swad.evaluated(0.1)
    assert torch.equal(swad.average()["w"], before["w"])
    torch.testing.assert_close(before["w"], (weights(0)["w"] + weights(1)["w"]) / 2, rtol=0, atol=1e-15)


@pytest.mark.parametrize("cut", [1, 4, 7, 12, 19, 33])
def test_averages_go_through_a_checkpoint(cut: int):
    losses = walk(2, 20)

    def run(swad: Swad, ema: Ema, steps: range) -> None:
        for step in steps:
            swad.add(weights(step))
            ema.add(weights(step))
            if step % 2:
                swad.evaluated(losses[step // 2])

    whole, first, second = ((Swad(overfit_patience=2), Ema(decay=0.9)) for _ in range(3))
    run(*whole, range(40))
    run(*first, range(cut))
    for old, new in zip(first, second, strict=True):
        tensors = safetensors.torch.load(safetensors.torch.save({k: t.clone() for k, t in old.tensors().items()}))
        new.restore(tensors, json.loads(json.dumps(old.state())))
    run(*second, range(cut, 40))
    for one, other in zip(whole, second, strict=True):
        expected, got = one.average(), other.average()
        assert expected.keys() == got.keys()
        assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_ema_is_pytorchs():
    layer = nn.Linear(3, 2)
    theirs, ours = AveragedModel(layer, multi_avg_fn=get_ema_multi_avg_fn(0.9)), Ema(decay=0.9)
    for k in range(8):
        nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(k))
        theirs.update_parameters(layer)
        ours.add(layer.state_dict())
    torch.testing.assert_close(ours.average()["weight"], theirs.module.weight.detach())


def test_ema_in_closed_form_and_counters():
    ema, decay = Ema(decay=0.8), 0.8
    for step in range(6):
        ema.add(weights(step))
    expected = decay**5 * weights(0)["w"] + sum((1 - decay) * decay ** (5 - k) * weights(k)["w"] for k in range(1, 6))
    torch.testing.assert_close(ema.average()["w"], expected, rtol=1e-13, atol=1e-15)
    assert ema.average()["batches"].item() == 5


def test_averages_are_copies():
    ema, swad, layer = Ema(decay=0.0), Swad(), nn.Linear(2, 2)
    for average in (ema, swad):
        average.add(layer.state_dict())
    swad.evaluated(1.0)
    before = layer.weight.detach().clone()
    nn.init.zeros_(layer.weight)
    for average in (ema, swad):
        taken = average.average()
        assert torch.equal(taken["weight"], before)
        taken["weight"].zero_()
        assert torch.equal(average.average()["weight"], before)


def test_bad_settings_and_calls_are_told():
    with pytest.raises(ConfigError, match=r"decay 1\.0"):
        Ema(decay=1.0)
    for settings in ({"optimum_patience": 0}, {"overfit_patience": 0}, {"tolerance": 0.9}):
        with pytest.raises(ConfigError, match=f"swad: {next(iter(settings))}"):
            Swad(**settings)
    with pytest.raises(DataError, match="no weights"):
        Ema().average()
    with pytest.raises(DataError, match="no weights"):
        Swad().average()
    swad = Swad()
    with pytest.raises(DataError, match="after 0 steps"):
        swad.evaluated(1.0)
    swad.add(weights(0))
    with pytest.raises(DataError, match="nan"):
        swad.evaluated(math.nan)
    with pytest.raises(ConfigError, match="the checkpoint has"):
        swad.restore({}, Swad(tolerance=1.2).state())
    with pytest.raises(ConfigError, match="the checkpoint has"):
        Ema(decay=0.9).restore({}, Ema(decay=0.99).state())
