"""Trainings whose weights are averaged: what comes out is the average, and an interrupted run gives the same bytes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from interrupted import StopHere, final_state, small, stop_at, weights
from torch.optim.swa_utils import AveragedModel, update_bn

from spooflab.adapters import ALGORITHMS, ImageSet, TrainConfig, fit, load_model, predict_scores
from spooflab.adapters.averaging import loss_valley
from spooflab.adapters.batch_statistics import renew_statistics
from spooflab.adapters.dev_figures import dev_figures
from spooflab.adapters.lent_accelerator import lent_accelerator, own_randomness
from spooflab.adapters.model_files import build_algorithm
from spooflab.adapters.trainer import _Run

Toy = Callable[..., ImageSet]
# A valley that ends: the loss of noise rises as soon as training images are learnt by heart.
SWAD = {"kind": "swad", "optimum_patience": 2, "overfit_patience": 2, "tolerance": 1.01, "statistics_steps": 3}
EMA = {"kind": "ema", "decay": 0.8, "statistics_steps": 3}


def by_hand(config: TrainConfig, data: dict[str, ImageSet], out: Path) -> list[dict[str, torch.Tensor]]:
    """Make the plain steps; return the weights after each."""
    with lent_accelerator(config, out) as accelerator, own_randomness(torch.device("cpu")):
        run = _Run(config, accelerator, data["train"], data["dev"], 0, out, None)
        seen = []
        for _ in range(config.steps):
            run.step()
            run.done += 1
            seen.append({k: v.clone() for k, v in run.model.state_dict().items()})
        return seen


def sets(toy: Toy, strength: float = 40.0) -> dict[str, ImageSet]:
    return {"train": toy(32, strength=strength), "dev": toy(16, root=1, strength=strength)}


def test_ema_is_that_of_the_plain_steps(toy: Toy, tmp_path: Path):
    config = small(steps=6, eval_every=3, averaging=EMA)
    result = fit(config, **sets(toy), seed=0, out=tmp_path)
    steps = by_hand(config, sets(toy), tmp_path)
    expected = {k: v.double() for k, v in steps[0].items()}
    for after in steps[1 : result.best_step]:
        expected = {k: 0.8 * v + 0.2 * after[k].double() for k, v in expected.items()}
    got = dict(result.model.named_parameters())
    for name, value in got.items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-7)
    scores = predict_scores(load_model(tmp_path), sets(toy)["dev"])
    assert dev_figures(scores, sets(toy)["dev"].labels.numpy())["loss"] == pytest.approx(result.dev["loss"], abs=1e-9)
    assert result.dev in result.dev_history


@pytest.mark.slow
def test_swad_is_the_mean_over_the_valley_of_the_plain_loss(toy: Toy, tmp_path: Path):
    config = small(steps=60, eval_every=3, lr=5e-3, schedule="constant", averaging=SWAD)
    plain = fit(config.model_copy(update={"averaging": small().averaging}), **sets(toy, 0), seed=0, out=tmp_path / "a")
    result = fit(config, **sets(toy, 0), seed=0, out=tmp_path / "b")
    losses = [row["loss"] for row in plain.dev_history]
    assert [row["loss"] for row in result.dev_history] == losses[: len(result.dev_history)]
    valley = loss_valley(losses, optimum_patience=2, overfit_patience=2, tolerance=1.01)
    assert valley.start is not None
    assert valley.end is not None
    first, last = 3 * valley.start, 3 * (valley.end + 1)
    assert result.stopped_early
    assert (result.steps, result.best_step) == (last + 2 * 3, last)
    inside = by_hand(config, sets(toy, 0), tmp_path)[first:last]
    for name, value in result.model.named_parameters():
        mean = torch.stack([step[name].double() for step in inside]).mean(0)
        torch.testing.assert_close(value.double(), mean, rtol=1e-5, atol=1e-6)
    events = [json.loads(line) for line in (tmp_path / "b" / "log.jsonl").read_text().splitlines()]
    (averaged,) = (row for row in events if row["event"] == "averaged")
    assert (averaged["after_step"], averaged["to_step"], averaged["loss"]) == (first, last, result.dev["loss"])
    assert json.loads((tmp_path / "b" / "model.json").read_text())["dev"] == result.dev


@pytest.mark.slow
@pytest.mark.parametrize("averaging", [EMA, SWAD], ids=["ema", "swad"])
def test_an_interrupted_average_gives_the_same_bytes(averaging: dict[str, object], toy: Toy, tmp_path: Path):
    config = small(averaging=averaging)
    whole = fit(config, **sets(toy), seed=4, out=tmp_path / "whole")
    with pytest.raises(StopHere):
        fit(config, **sets(toy), seed=4, out=tmp_path / "cut", progress=stop_at(12))
    resumed = fit(config, **sets(toy), seed=4, out=tmp_path / "cut")
    again = fit(config, **sets(toy), seed=4, out=tmp_path / "cut", progress=stop_at(0))
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert final_state(tmp_path / "cut") == final_state(tmp_path / "whole")
    assert whole.dev_history == resumed.dev_history == again.dev_history
    assert whole.dev == resumed.dev == again.dev
    assert (tmp_path / "cut" / "log.jsonl").read_text().count('"averaged"') == (averaging is SWAD)


@pytest.mark.slow
def test_averages_begin_with_the_weights_that_count(toy: Toy, tmp_path: Path):
    config = small(algorithm="adda", hparams={"pretrain": 0.5}, averaging={"kind": "ema", "decay": 0.0})
    averaged = fit(config, **sets(toy), seed=0, out=tmp_path / "ema", target=toy(24, root=2))
    assert [row["step"] for row in averaged.dev_history] == [12, 16]  # at 8 the source alone had been seen
    never = small(algorithm="adda", hparams={"pretrain": 0.99}, steps=4, averaging=SWAD)
    assert len(fit(never, **sets(toy), seed=0, out=tmp_path / "swad", target=toy(24, root=2)).dev_history) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("averaging", ["ema", "swad"])
def test_every_algorithm_can_be_averaged(name: str, averaging: str, toy: Toy, tmp_path: Path):
    target = toy(24, root=2) if ALGORITHMS[name].setting == "adaptation" else None
    config = small(algorithm=name, steps=6, eval_every=2, averaging=averaging)
    result = fit(config, **sets(toy), seed=0, out=tmp_path, target=target)
    scores = predict_scores(load_model(tmp_path), sets(toy)["dev"])
    assert dev_figures(scores, sets(toy)["dev"].labels.numpy())["loss"] == pytest.approx(result.dev["loss"], abs=1e-9)


def test_statistics_are_those_of_pytorchs_update_bn(toy: Toy, tmp_path: Path):
    config = small()
    with lent_accelerator(config, tmp_path) as accelerator, own_randomness(torch.device("cpu")):
        run = _Run(config, accelerator, toy(32), toy(16, root=1), 0, tmp_path, None)
        batches = [batch for step in range(4) for batch in run._batches(step)]
        theirs = AveragedModel(run.model)
        update_bn([batch.images for batch in batches], theirs.module.backbone)
        renew_statistics(run.model, batches)
    buffers = dict(run.model.named_buffers())
    moved = {k: v for k, v in theirs.module.named_buffers() if "running" in k}
    assert moved
    for name, value in moved.items():
        torch.testing.assert_close(buffers[name], value)
        assert not torch.equal(value, torch.full_like(value, "var" in name))


def test_frozen_layers_keep_their_statistics(toy: Toy):
    config = small(backbone={**small().backbone.model_dump(), "tuning": "frozen"})
    model = build_algorithm(config, num_domains=1).train()
    before = {k: v.clone() for k, v in model.named_buffers()}
    images = toy(8)
    from spooflab.adapters import Batch

    renew_statistics(model, [Batch(images.images.float() / 255, images.labels, torch.zeros(8, dtype=torch.int64))])
    assert all(torch.equal(v, before[k]) for k, v in model.named_buffers())


def test_short_name_and_settings_that_contradict():
    assert small(averaging="swad").averaging.kind == "swad"
    with pytest.raises(ValueError, match="leave patience out"):
        small(averaging="swad", patience=3)
