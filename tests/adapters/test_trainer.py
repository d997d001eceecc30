"""The trainer: exact resumption, the guard against numbers that are none, early stopping, refusals."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from interrupted import StopHere, final_state, log_rows, stop_at, weights
from interrupted import small as config

from spooflab.adapters import (
    ALGORITHMS,
    ERM,
    Algorithm,
    Batch,
    Engine,
    ImageSet,
    TrainConfig,
    fit,
    load_model,
    predict_scores,
)
from spooflab.adapters.checkpoints import load_checkpoint, save_checkpoint
from spooflab.adapters.dev_figures import dev_figures
from spooflab.adapters.lent_accelerator import lent_accelerator, own_randomness
from spooflab.adapters.model_files import build_algorithm
from spooflab.adapters.optimiser import learning_rate
from spooflab.adapters.trainer import _Run
from spooflab.errors import ConfigError, DataError

Toy = Callable[..., ImageSet]


def resumes_to_the_same_bytes(plan: TrainConfig, sets: dict[str, ImageSet], stops: Sequence[int], out: Path) -> None:
    whole = fit(plan, **sets, seed=4, out=out / "whole")
    for step in stops:
        with pytest.raises(StopHere):
            fit(plan, **sets, seed=4, out=out / "cut", progress=stop_at(step))
    resumed = fit(plan, **sets, seed=4, out=out / "cut")
    assert weights(out / "cut") == weights(out / "whole")
    assert final_state(out / "cut") == final_state(out / "whole")
    assert resumed.dev_history == whole.dev_history
    assert resumed.best_step == whole.best_step
    assert log_rows(out / "cut") == log_rows(out / "whole")


@pytest.mark.parametrize("algorithm", ["erm", "dann"])
def test_resumes_to_the_same_bytes(algorithm: str, toy: Toy, tmp_path: Path):
    sets = {"train": toy(48), "dev": toy(16, root=1)}
    # Before the first checkpoint, and between two later ones.
    resumes_to_the_same_bytes(config(algorithm=algorithm), sets, (4, 12), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_resumes_to_the_same_bytes(algorithm: str, toy: Toy, tmp_path: Path):
    sets = {"train": toy(48), "dev": toy(16, root=1)}
    if ALGORITHMS[algorithm].setting == "adaptation":
        sets["target"] = toy(20, root=2)
    hparams = {"pretrain": 0.3} if algorithm == "adda" else {}
    resumes_to_the_same_bytes(config(algorithm=algorithm, hparams=hparams, steps=12), sets, (8,), tmp_path)


@pytest.mark.slow
def test_two_processes_share_a_training_and_resume(tmp_path: Path):
    script = Path(__file__).parents[1] / "kits" / "two_processes.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]

    def run(launcher: Sequence[str], name: str, stop: int = 0) -> subprocess.CompletedProcess[str]:
        command = [*launcher, str(script), str(tmp_path / name), str(stop)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    for launcher, name in ((torchrun, "two"), ([sys.executable], "one")):
        done = run(launcher, name)
        assert done.returncode == 0, done.stderr
    assert "StopHere" in run(torchrun, "cut", 8).stderr
    assert run(torchrun, "cut").returncode == 0
    assert weights(tmp_path / "cut") == weights(tmp_path / "two")
    assert final_state(tmp_path / "cut") == final_state(tmp_path / "two")
    assert log_rows(tmp_path / "cut") == log_rows(tmp_path / "two")
    # Without batch norm two halves of a batch are the batch, but for the order of sums.
    ones, twos = (
        {row["step"]: row["loss"] for row in log_rows(tmp_path / name) if row["event"] == "dev"}
        for name in ("one", "two")
    )
    assert twos == pytest.approx(ones, rel=1e-3)
    assert len(set(ones.values())) == len(ones) > 2


def test_a_dropout_network_resumes_to_the_same_bytes(toy: Toy, tmp_path: Path):
    options = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    vit = config(backbone={"name": "vit-tiny", "options": {**options, "hidden_dropout_prob": 0.2}}, steps=10)
    sets = {"train": toy(32), "dev": toy(16, root=1)}
    fit(vit, **sets, seed=0, out=tmp_path / "whole")
    with pytest.raises(StopHere):
        fit(vit, **sets, seed=0, out=tmp_path / "cut", progress=stop_at(8))
    torch.rand(7)  # another place in the global stream
    fit(vit, **sets, seed=0, out=tmp_path / "cut")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


@pytest.mark.parametrize(
    "damage", ["truncated", *(pytest.param(name, marks=pytest.mark.slow) for name in ("flipped", "no_state", "empty"))]
)
def test_a_torn_checkpoint_falls_back_to_the_one_before(damage: str, toy: Toy, tmp_path: Path):
    sets = {"train": toy(48), "dev": toy(16, root=1)}
    fit(config(), **sets, seed=4, out=tmp_path / "whole")
    with pytest.raises(StopHere):
        fit(config(), **sets, seed=4, out=tmp_path / "cut", progress=stop_at(12))
    newest = tmp_path / "cut" / "checkpoints" / "step-00000010"
    data = bytearray((newest / "state.safetensors").read_bytes())
    if damage == "truncated":
        (newest / "state.safetensors").write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[-5] ^= 1
        (newest / "state.safetensors").write_bytes(data)
    elif damage == "no_state":
        (newest / "state.json").unlink()
    else:
        (newest / "state.json").write_text("")
    fit(config(), **sets, seed=4, out=tmp_path / "cut")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    events = [json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    torn = [row for row in events if row["event"] == "torn_checkpoint"]
    assert torn == [{"event": "torn_checkpoint", "name": "step-00000010", "resumed_at": 5}]


def test_checkpoints_keep_two_and_leave_no_partial(tmp_path: Path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"w": torch.full((2,), float(step))}, {"note": step})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]
    found, torn = load_checkpoint(tmp_path)
    assert found is not None
    assert (found.state["step"], found.tensors["w"].tolist(), torn) == (3, [3.0, 3.0], [])
    assert load_checkpoint(tmp_path / "nothing") == (None, [])


def test_a_finished_run_is_not_trained_again(toy: Toy, tmp_path: Path):
    sets = {"train": toy(48), "dev": toy(16, root=1)}
    first = fit(config(), **sets, seed=4, out=tmp_path)
    before = weights(tmp_path)
    again = fit(config(), **sets, seed=4, out=tmp_path, progress=stop_at(0))
    assert weights(tmp_path) == before
    assert again.dev_history == first.dev_history


@pytest.mark.parametrize(
    ("change", "named"), [({"lr": 1e-4}, "lr"), ({"seed": 5}, "seed"), ({"train": 40}, "train"), ({"dev": 18}, "dev")]
)
def test_another_run_is_refused_by_name(change: dict[str, float], named: str, toy: Toy, tmp_path: Path):
    fit(config(steps=5), train=toy(48), dev=toy(16, root=1), seed=4, out=tmp_path)
    changed = config(steps=5, **{k: v for k, v in change.items() if k == "lr"})
    train, dev = toy(int(change.get("train", 48))), toy(int(change.get("dev", 16)), root=1)
    with pytest.raises(ConfigError, match=f"another {named}"):
        fit(changed, train=train, dev=dev, seed=int(change.get("seed", 4)), out=tmp_path)


def test_changed_pixels_are_another_run(toy: Toy, tmp_path: Path):
    train = toy(48)
    fit(config(steps=5), train=train, dev=toy(16, root=1), seed=4, out=tmp_path)
    train.images[3, 0, 0, 0] ^= 1
    with pytest.raises(ConfigError, match="another train"):
        fit(config(steps=5), train=train, dev=toy(16, root=1), seed=4, out=tmp_path)


def test_global_random_state_is_left_alone(toy: Toy, tmp_path: Path):
    states = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy())  # noqa: NPY002  # the state itself is looked at
    fit(config(steps=4, algorithm="mixstyle"), train=toy(16), dev=toy(16, root=1), seed=0, out=tmp_path)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert np.array_equal(states[2], np.random.get_state()[1])  # noqa: NPY002  # as above


def test_algorithms_at_one_seed_see_the_same_start_and_batches(toy: Toy, tmp_path: Path):
    runs = []
    for name in ("erm", "dann", "mixstyle", "ohem"):
        settings = config(algorithm=name)
        with lent_accelerator(settings, tmp_path) as accelerator, own_randomness(torch.device("cpu")):
            run = _Run(settings, accelerator, toy(48), toy(16, root=1), 9, tmp_path, None)
            runs.append((run.model.backbone.state_dict(), run.model.head.state_dict(), run._batches()[0]))
    for backbone, head, batch in runs[1:]:
        assert all(torch.equal(value, runs[0][0][key]) for key, value in backbone.items())
        assert all(torch.equal(value, runs[0][1][key]) for key, value in head.items())
        assert torch.equal(batch.images, runs[0][2].images)
        assert list(batch.keys) == list(runs[0][2].keys)


class PlainEngine:
    """The least that `Algorithm.step` asks for."""

    def __init__(self, model: Algorithm) -> None:
        self.model, self.last = model, []

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        return self.model(batch)

    def backward(self, loss: torch.Tensor, *, last: bool = True) -> None:
        loss.backward()
        self.last.append(last)

    def optimise(self) -> None:
        self.last.append(None)


def test_accumulated_gradients_are_those_of_the_whole_batch():
    options = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = build_algorithm(config(backbone={"name": "vit-tiny", "options": options}), num_domains=3).double()
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows, gradients, losses = torch.arange(8), [], []
    for parts in (1, 4):
        engine = PlainEngine(model.train())
        batches = [Batch(images[r], r % 2, r % 3) for r in rows.chunk(parts)]
        model.zero_grad()
        losses.append(model.step(batches, engine)["loss"])
        gradients.append([p.grad.clone() for p in model.parameters()])
        assert engine.last == [False] * (parts - 1) + [True, None]
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_accumulation_trains_on_the_same_images(toy: Toy, tmp_path: Path):
    keys = []
    for parts in (1, 4):
        settings = config(accumulate=parts)
        with lent_accelerator(settings, tmp_path) as accelerator, own_randomness(torch.device("cpu")):
            run = _Run(settings, accelerator, toy(48), toy(16, root=1), 9, tmp_path, None)
            batches = run._batches()
            keys.append([key for batch in batches for key in batch.keys])
            assert [len(batch) for batch in batches] == [8 // parts] * parts
            assert set(run.step()) == {"loss"}
    assert keys[0] == keys[1]


def test_early_stop_returns_the_best_weights(toy: Toy, tmp_path: Path):
    settings = config(steps=200, eval_every=4, patience=3, lr=5e-3, monitor="loss", checkpoint_every=None)
    noise = toy(16, root=1, strength=0.0)  # nothing to learn: dev gets worse while train is memorised
    result = fit(settings, train=toy(16, strength=0.0), dev=noise, seed=0, out=tmp_path)
    assert result.stopped_early
    assert result.steps == result.best_step + 3 * 4
    losses = {row["step"]: row["loss"] for row in result.dev_history}
    assert min(losses.values()) == losses[result.best_step]
    scores = predict_scores(result.model, noise, 16)
    assert dev_figures(scores, noise.labels.numpy())["loss"] == pytest.approx(losses[result.best_step], abs=1e-9)


def test_the_guard_names_step_and_keys(toy: Toy, tmp_path: Path):
    train = toy(8, domains=1)
    seen: list[int] = []

    def poison(done: int, total: int, figures: dict[str, float]) -> None:
        seen.append(done)

    huge = config(steps=30, lr=1e30, warmup_steps=0, clip_norm=1e30, checkpoint_every=None, log_every=1, batch_size=8)
    with pytest.raises(
        DataError, match=r"step \d+: (loss|gradient norm) is (nan|inf); batch keys: .*toy-0-0003"
    ) as error:
        fit(huge, train=train, dev=toy(16, root=1), seed=0, out=tmp_path, progress=poison)
    step = int(str(error.value).split("step ")[1].split(":")[0])
    assert seen == list(range(1, step + 1))
    assert "lower lr" in error.value.next_step


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["erm", "dann", "mixstyle", "ohem"])
def test_bf16_trains_on_the_cpu_and_precisions_may_alternate(algorithm: str, toy: Toy, tmp_path: Path):
    losses = {}
    for precision in ("bf16", "no"):
        settings = config(algorithm=algorithm, steps=8, precision=precision)
        result = fit(settings, train=toy(48), dev=toy(16, root=1), seed=0, out=tmp_path / precision)
        assert next(result.model.parameters()).dtype == torch.float32
        assert "forward" not in vars(result.model)
        losses[precision] = result.dev_history[-1]["loss"]
    assert losses["bf16"] != losses["no"]
    assert losses["bf16"] == pytest.approx(losses["no"], rel=0.2)


class TwoPasses(ERM):
    """A stand-in for flat-minima methods: a gradient, a move uphill, another gradient, back, one optimiser step."""

    def step(self, batches: Sequence[Batch], engine: Engine) -> dict[str, torch.Tensor]:
        engine.backward(engine.losses(batches[0])["loss"])
        moves = [0.01 * p.grad.sign() for p in self.parameters()]
        self.zero_grad()
        with torch.no_grad():
            for parameter, move in zip(self.parameters(), moves, strict=True):
                parameter += move
        losses = engine.losses(batches[0])
        engine.backward(losses["loss"])
        with torch.no_grad():
            for parameter, move in zip(self.parameters(), moves, strict=True):
                parameter -= move
        engine.optimise()
        return {"loss": losses["loss"].detach()}


def test_an_algorithm_may_take_the_step_into_its_own_hands(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(ALGORITHMS, "two_passes", TwoPasses)
    sets = {"train": toy(48), "dev": toy(16, root=1)}
    settings = config(algorithm="two_passes")
    fit(settings, **sets, seed=0, out=tmp_path / "whole")
    fit(config(), **sets, seed=0, out=tmp_path / "erm")
    assert weights(tmp_path / "whole") != weights(tmp_path / "erm")
    with pytest.raises(StopHere):
        fit(settings, **sets, seed=0, out=tmp_path / "cut", progress=stop_at(12))
    fit(settings, **sets, seed=0, out=tmp_path / "cut")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_the_tracker_gets_every_figure_of_the_log(toy: Toy, tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plan = config(tracker="tensorboard", steps=6, eval_every=3, algorithm="dann", averaging="swad")
    fit(plan, train=toy(16), dev=toy(16, root=1), seed=0, out=tmp_path)
    (events,) = tmp_path.rglob("events.out.tfevents.*")
    tracked = EventAccumulator(str(events)).Reload()
    scalars = {(tag, e.step): e.value for tag in tracked.Tags()["scalars"] for e in tracked.Scalars(tag)}
    expected = {}
    for row in map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines()):
        event, step = row.pop("event"), row.pop("step", None)
        names = {"train": row, "dev": ("eer", "loss"), "averaged": ("eer", "loss")}.get(event, ())
        expected |= {(name if event == "train" else f"{event}_{name}", step): row[name] for name in names}
    assert {"loss", "lr", "images_per_s", "data_share", "dev_eer", "averaged_loss"} < {tag for tag, _ in expected}
    assert scalars == pytest.approx(expected, rel=1e-6)  # events are float32


def test_the_log_tells_what_waits_for_data(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    batches = _Run._batches

    def slowly(self: _Run, step: int | None = None) -> list[Batch]:
        time.sleep(0.05)
        return batches(self, step)

    monkeypatch.setattr(_Run, "_batches", slowly)
    fit(config(steps=4, eval_every=1), train=toy(16), dev=toy(16, root=1), seed=0, out=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    for row in (row for row in rows if row["event"] == "train"):
        assert 0.05 <= row["data_s"] < row["data_s"] / row["data_share"] * 1.01
        assert 8 / row["images_per_s"] == pytest.approx(row["data_s"] / row["data_share"], rel=0.02)


def test_fp16_on_the_cpu_is_refused_with_the_choices(toy: Toy, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"fp16.*on a CPU"):
        fit(config(precision="fp16"), train=toy(16), dev=toy(16, root=1), seed=0, out=tmp_path)
    fit(config(steps=2), train=toy(16), dev=toy(16, root=1), seed=0, out=tmp_path)  # the refusal left nothing behind


def test_unusable_sets_are_named(toy: Toy, tmp_path: Path):
    good = toy(16)
    bona_fide = good.subset([i for i in range(16) if good.labels[i] == 1])
    for name, bad, message in [
        ("train", bona_fide, "train set of 8 has no attack image"),
        ("dev", bona_fide, "dev set of 8 has no attack image"),
        ("train", good.subset([]), "train set is empty"),
        ("dev", toy(16, size=48), r"dev images are \(48, 48\)"),
    ]:
        with pytest.raises(DataError, match=message):
            fit(config(), **{"train": good, "dev": good, name: bad}, seed=0, out=tmp_path)  # type: ignore[arg-type]


def test_unknown_names_list_the_choices():
    for fields, message in [
        ({"algorithm": "ermm"}, "choices: erm, dann, mixstyle, ohem"),
        ({"algorithm": "ohem", "hparams": {"kep": 0.5}}, "choices: num_domains, keep, per_class"),
        ({"batch_size": 10, "accumulate": 4}, "does not divide"),
    ]:
        with pytest.raises(ValueError, match=message):
            config(**fields)


def test_one_domain_is_enough_for_erm_and_too_few_for_dann(toy: Toy, tmp_path: Path):
    sets = {"train": toy(16, domains=1), "dev": toy(16, root=1)}
    assert fit(config(steps=2), **sets, seed=0, out=tmp_path / "erm").steps == 2
    with pytest.raises(ConfigError, match="at least 2"):
        fit(config(steps=2, algorithm="dann"), **sets, seed=0, out=tmp_path / "dann")


def test_a_model_folder_that_does_not_fit_is_refused(toy: Toy, tmp_path: Path):
    sets = {"train": toy(16), "dev": toy(16, root=1)}
    fit(config(steps=2), **sets, seed=0, out=tmp_path / "a")
    fit(config(steps=2, algorithm="dann"), **sets, seed=0, out=tmp_path / "b")
    with pytest.raises(DataError, match="no usable model"):
        load_model(tmp_path / "nothing")
    (tmp_path / "a" / "model.safetensors").write_bytes(weights(tmp_path / "b"))
    with pytest.raises(DataError, match="not the file that"):
        load_model(tmp_path / "a")


def test_learning_rate_warms_up_and_falls_to_zero():
    settings = config(steps=103, warmup_steps=3, lr=1.0)
    rates = [learning_rate(settings, step) for step in range(103)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[53] == pytest.approx(0.5)
    assert 0 < rates[-1] < 1e-3
    assert all(a > b for a, b in pairwise(rates[3:]))
    constant = config(steps=103, warmup_steps=3, lr=1.0, schedule="constant")
    assert [learning_rate(constant, step) for step in range(103)] == [*rates[:3], *[1.0] * 100]
