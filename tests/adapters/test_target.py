"""Unlabelled target images in the trainer: who is given them, what is seen of them, and exact resumption."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spooflab.adapters import ALGORITHMS, Batch, ImageSet, TrainConfig, fit, load_model, predict_scores
from spooflab.adapters.lent_accelerator import lent_accelerator, own_randomness
from spooflab.adapters.shuffled_walk import ShuffledWalk
from spooflab.adapters.trainer import _Run
from spooflab.errors import ConfigError, DataError

Toy = Callable[..., ImageSet]
ADAPTATION = [name for name, kind in ALGORITHMS.items() if kind.setting == "adaptation"]
STATEFUL = ["dann_target", "adda", "mcd", "swd", "atdoc"]


def config(algorithm: str = "dann_target", **changes: object) -> TrainConfig:
    fields: dict[str, object] = {
        "algorithm": algorithm,
        "backbone": {"options": {"embedding_size": 8, "hidden_sizes": [8, 8, 12, 16]}},
        "device": "cpu",
        "size": 32,
        "steps": 12,
        "batch_size": 8,
        "eval_every": 4,
        "checkpoint_every": 5,
        "log_every": 2,
        "warmup_steps": 3,
    }
    return TrainConfig.model_validate(fields | changes)


def sets(toy: Toy, targets: int = 20) -> dict[str, ImageSet]:
    return {"train": toy(48), "dev": toy(16, root=1), "target": toy(targets, root=2)}


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


class StopHere(Exception):
    pass


def stop_at(step: int) -> Callable[[int, int, dict[str, float]], None]:
    def tell(done: int, total: int, figures: dict[str, float]) -> None:
        if done >= step:
            raise StopHere

    return tell


# The walk.


def test_every_row_comes_once_before_any_comes_again():
    walk, rows = ShuffledWalk(7, batch_size=4, seed=0), []
    for step in range(14):
        drawn, epochs = walk.batch(step)
        assert len(drawn) == 4
        rows += zip(drawn, epochs, strict=True)
    orders = [[row for row, epoch in rows if epoch == e] for e in range(8)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) > 6
    assert Counter(row for row, _ in rows) == dict.fromkeys(range(7), 8)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 300), st.integers(1, 17), st.integers(1, 40), st.integers(0, 5))
def test_a_step_number_alone_decides_the_rows(step: int, batch_size: int, count: int, seed: int):
    walked = ShuffledWalk(count, batch_size=batch_size, seed=seed)
    for earlier in range(max(0, step - 3), step):
        walked.batch(earlier)
    assert walked.batch(step) == ShuffledWalk(count, batch_size=batch_size, seed=seed).batch(step)


def test_seeds_walk_differently():
    assert len({tuple(ShuffledWalk(30, batch_size=9, seed=s).batch(0)[0]) for s in range(4)}) == 4


# What the algorithm sees.


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["atdoc", "cdan"])
def test_target_labels_domains_and_species_change_nothing(algorithm: str, toy: Toy, tmp_path: Path):
    data = sets(toy)
    told = data["target"]
    lied = replace(told, labels=1 - told.labels, domains=told.domains + 7, species=["?"] * len(told))
    attacks_only = replace(told, labels=torch.zeros_like(told.labels))
    for name, target in (("told", told), ("lied", lied), ("attacks", attacks_only)):
        fit(config(algorithm), **{**data, "target": target}, seed=4, out=tmp_path / name)
    assert weights(tmp_path / "told") == weights(tmp_path / "lied") == weights(tmp_path / "attacks")
    moved = told.images.clone()
    moved[:, 0] //= 2
    fit(config(algorithm), **{**data, "target": replace(told, images=moved)}, seed=4, out=tmp_path / "moved")
    assert weights(tmp_path / "moved") != weights(tmp_path / "told")


def drawn(data: dict[str, ImageSet], out: Path, steps: int = 1, **changes: object) -> list[list[Batch]]:
    made = config(**changes)
    with lent_accelerator(made, out) as accelerator, own_randomness(torch.device("cpu")):
        run = _Run(made, accelerator, data["train"], data["dev"], 9, out, None, data["target"].unlabelled())
        batches = []
        for step in range(steps):
            run.done = step
            batches.append(run._batches())
    return batches


def test_batches_carry_the_rows_that_they_name(toy: Toy, tmp_path: Path):
    data = sets(toy)
    off = {"flip": 0.0, "shift": 0.0, "gain": 0.0}
    batches = [batch for (batch,) in drawn(data, tmp_path, 5, augment=off)]
    for batch in batches:
        assert batch.target is not None
        assert batch.target_rows is not None
        expected = data["target"].images[batch.target_rows] / 255
        torch.testing.assert_close(batch.target, expected, atol=1e-7, rtol=0)
        assert len(batch.target) == len(batch) == 8
    rows = torch.cat([batch.target_rows for batch in batches])
    assert sorted(rows.tolist()) == sorted([*range(20), *range(20)])


def test_target_images_are_augmented_as_the_source_is(toy: Toy, tmp_path: Path):
    data = sets(toy)
    (batch,) = drawn(data, tmp_path)[0]
    # Seen as a source set under the same keys, the same images get the same draws.
    from spooflab.adapters.augmentation import apply_augment, sample_augment

    made, rows = config(), batch.target_rows.tolist()
    params = sample_augment(made.augment, [data["target"].keys[r] for r in rows], [0] * 8, size=32, seed=9)
    assert torch.equal(batch.target, apply_augment(data["target"].images[rows], params))
    assert not torch.equal(batch.target, data["target"].images[rows] / 255)


def test_source_batches_do_not_depend_on_the_target(toy: Toy, tmp_path: Path):
    data = sets(toy)
    (with_target,) = drawn(data, tmp_path)[0]
    made = config("erm")
    with lent_accelerator(made, tmp_path) as accelerator, own_randomness(torch.device("cpu")):
        (plain,) = _Run(made, accelerator, data["train"], data["dev"], 9, tmp_path, None)._batches()
    assert torch.equal(plain.images, with_target.images)
    assert plain.target is None
    assert plain.target_rows is None


def test_micro_batches_and_processes_share_the_target_out(toy: Toy, tmp_path: Path):
    data = sets(toy)
    (whole,) = drawn(data, tmp_path)[0]
    parts = drawn(data, tmp_path, accumulate=4)[0]
    assert [len(part.target) for part in parts] == [2] * 4
    assert torch.equal(torch.cat([part.target for part in parts]), whole.target)
    made, shares = config(accumulate=2), []
    with lent_accelerator(made, tmp_path) as accelerator, own_randomness(torch.device("cpu")):
        run = _Run(made, accelerator, data["train"], data["dev"], 9, tmp_path, None, data["target"].unlabelled())
        for process in range(2):
            run.accelerator = SimpleNamespace(
                num_processes=2, process_index=process, device=torch.device("cpu"), is_main_process=True
            )
            shares += run._batches()
    assert torch.equal(torch.cat([part.target_rows for part in shares]), whole.target_rows)
    assert torch.equal(torch.cat([part.target for part in shares]), whole.target)


def test_a_target_smaller_than_a_batch_comes_round_again(toy: Toy, tmp_path: Path):
    (batch,) = drawn(sets(toy, targets=3), tmp_path)[0]
    assert sorted(Counter(batch.target_rows.tolist()).values()) == [2, 3, 3]


def test_batches_refuse_rows_that_do_not_fit():
    images, label = torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match="target_rows"):
        Batch(images, label, label, target=images, target_rows=torch.arange(3))
    with pytest.raises(ValueError, match="target_rows"):
        Batch(images, label, label, target_rows=torch.arange(2))


# Who is given a target.


def test_an_adaptive_algorithm_needs_a_target(toy: Toy, tmp_path: Path):
    data = sets(toy)
    del data["target"]
    with pytest.raises(ConfigError, match="dann_target adapts to a target and was given none"):
        fit(config(), **data, seed=0, out=tmp_path)


@pytest.mark.parametrize("algorithm", ["erm", "dann", "cdann"])
def test_any_other_algorithm_is_refused_one(algorithm: str, toy: Toy, tmp_path: Path):
    with pytest.raises(ConfigError, match="'generalisation' and was given 20 target images"):
        fit(config(algorithm), **sets(toy), seed=0, out=tmp_path)


def test_unusable_targets_are_named(toy: Toy, tmp_path: Path):
    data = sets(toy)
    for target, message in [
        (data["target"].subset([]), "target set is empty"),
        (toy(16, size=48, root=2), r"target images are \(48, 48\)"),
        (data["train"].subset([5, 3]), r"2 target images are in train as well, first 'toy-0-0003'"),
        (data["dev"].subset([2]), "1 target images are in dev as well, first 'toy-1-0002'"),
    ]:
        with pytest.raises(DataError, match=message):
            fit(config(), **{**data, "target": target}, seed=0, out=tmp_path)


def test_a_target_of_one_class_will_do(toy: Toy, tmp_path: Path):
    data = sets(toy)
    attacks = data["target"].subset([i for i in range(20) if data["target"].labels[i] == 0])
    assert fit(config(steps=2), **{**data, "target": attacks}, seed=0, out=tmp_path).steps == 2


# Resumption.


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", STATEFUL)
def test_resumes_to_the_same_bytes(algorithm: str, toy: Toy, tmp_path: Path):
    data, made = sets(toy), config(algorithm)
    whole = fit(made, **data, seed=4, out=tmp_path / "whole")
    for step in (4, 8):
        with pytest.raises(StopHere):
            fit(made, **data, seed=4, out=tmp_path / "cut", progress=stop_at(step))
    resumed = fit(made, **data, seed=4, out=tmp_path / "cut")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert resumed.dev_history == whole.dev_history
    assert load_model(tmp_path / "cut").setting == "adaptation"


def test_adda_resumes_in_its_second_part(toy: Toy, tmp_path: Path):
    data, made = sets(toy), config("adda", hparams={"pretrain": 0.3})
    fit(made, **data, seed=4, out=tmp_path / "whole")
    with pytest.raises(StopHere):
        fit(made, **data, seed=4, out=tmp_path / "cut", progress=stop_at(8))
    result = fit(made, **data, seed=4, out=tmp_path / "cut")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert [row["step"] for row in result.dev_history] == [8, 12]  # step 4 saw the source alone
    assert result.best_step in (8, 12)


def test_another_target_is_another_run(toy: Toy, tmp_path: Path):
    data = sets(toy)
    fit(config(steps=5), **data, seed=4, out=tmp_path)
    same = replace(data["target"], labels=1 - data["target"].labels)
    assert fit(config(steps=5), **{**data, "target": same}, seed=4, out=tmp_path).steps == 5
    data["target"].images[3, 0, 0, 0] ^= 1
    with pytest.raises(ConfigError, match="another target"):
        fit(config(steps=5), **data, seed=4, out=tmp_path)
    with pytest.raises(ConfigError, match="another target"):
        fit(config(steps=5), **{**data, "target": toy(19, root=2)}, seed=4, out=tmp_path)


def test_the_guard_names_target_keys(toy: Toy, tmp_path: Path):
    huge = config(steps=30, lr=1e30, warmup_steps=0, clip_norm=1e30, checkpoint_every=None)
    with pytest.raises(DataError, match=r"batch keys: toy-0-.*; target keys: toy-2-"):
        fit(huge, **sets(toy), seed=0, out=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ADAPTATION)
def test_bf16_trains_on_the_cpu(algorithm: str, toy: Toy, tmp_path: Path):
    result = fit(config(algorithm, steps=4, precision="bf16"), **sets(toy), seed=0, out=tmp_path)
    assert next(result.model.parameters()).dtype == torch.float32


# A shift that adaptation undoes: more contrast and less light.


def target_error(algorithm: str, seed: int, toy: Toy, out: Path) -> float:
    """Mean of both classes' error rates on fresh target images at the threshold ½."""

    def harsh(images: ImageSet) -> ImageSet:
        return replace(images, images=(images.images * 1.3 - 20).clamp(0, 255).to(torch.uint8))

    made = config(algorithm, steps=120, batch_size=16, eval_every=20, lr=3e-3, warmup_steps=5, monitor="loss")
    target = {"target": harsh(toy(128, root=40 + seed))} if algorithm in ADAPTATION else {}
    train, dev, test = toy(96, root=10 + seed), toy(32, root=20 + seed), harsh(toy(128, root=30 + seed))
    model = fit(made, train=train, dev=dev, seed=seed, out=out / f"{algorithm}{seed}", **target).model
    wrong = (predict_scores(model, test) >= 0.5) != (test.labels.numpy() == 1)
    return float(sum(wrong[test.labels == label].mean() for label in (0, 1)) / 2)


@pytest.mark.slow
def test_adaptation_undoes_a_shift_over_three_seeds(toy: Toy, tmp_path: Path):
    # Not so on this toy at the defaults: AFN and SWD, which do no better than ERM; MCD and DAN, which gain less.
    names = ["erm", "dann_target", "adda", "coral_target", "mcc", "atdoc"]
    errors = {name: sum(target_error(name, seed, toy, tmp_path) for seed in range(3)) / 3 for name in names}
    erm = errors.pop("erm")
    assert erm > 0.04
    assert {name: value for name, value in errors.items() if value > erm / 2} == {}
