"""A fold's cells start from one training that saw what they may see, made once."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from spooflab.adapters import ImageSet, TrainConfig, fit, load_model
from spooflab.errors import ConfigError, DataError
from spooflab.experiments import training
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.study import plan_study, run_study
from spooflab.experiments.study_config import StudyConfig
from spooflab.experiments.warm_start import pretraining, warm_start

TINY: dict[str, Any] = {"options": {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24]}}
TRAIN: dict[str, Any] = {
    "backbone": {**TINY, "frozen_stages": 2},
    "augment": {"views": 2},
    "size": 32,
    "steps": 4,
    "batch_size": 8,
    "eval_every": 4,
    "checkpoint_every": None,
    "device": "cpu",
}


def study(**changes: Any) -> StudyConfig:
    whole = {"algorithms": [{"name": "erm"}, {"name": "irm"}], "train": TRAIN, "pretrain": {"steps": 3}, "cache": True}
    return StudyConfig.model_validate(whole | changes)


@pytest.fixture
def index(indexed: Callable[..., pa.Table]) -> pa.Table:
    return indexed(subjects=12, species=("bonafide", "print_a4", "replay_phone"))


def images(keys: tuple[str, ...]) -> ImageSet:
    gen = torch.Generator().manual_seed(0)
    labels = torch.arange(len(keys)) % 2
    pixels = torch.randint(0, 255, (len(keys), 3, 32, 32), generator=gen, dtype=torch.uint8)
    return ImageSet(pixels, labels, torch.zeros_like(labels), keys, ["x"] * len(keys))


def specs(index: pa.Table, tmp_path: Path, **changes: Any) -> list[RunSpec]:
    return plan_study(study(**changes), data=tmp_path, index=index).runs


def test_what_a_run_starts_from_is_part_of_what_it_is(index: pa.Table, tmp_path: Path):
    fresh, warm, longer = (
        specs(index, tmp_path, pretrain=p)[0] for p in (None, {"steps": 3}, {"steps": 5, "backbone": TINY})
    )
    assert len({run.run_id for run in (fresh, warm, longer)}) == 3
    assert "pretrain" not in fresh.identity
    assert pretraining(fresh) is None
    start = pretraining(warm)
    assert start is not None
    assert start.train_config["backbone"]["frozen_stages"] == 0
    assert (start.train, start.dev, start.test) == (warm.train, warm.dev, ())
    # One start for all algorithms of a fold and seed, and nothing of another fold's.
    runs = specs(index, tmp_path)
    assert len({pretraining(run).run_id for run in runs}) == len({run.fold for run in runs}) == len(runs) / 2  # type: ignore[union-attr]


def test_a_start_is_made_once_and_again_where_it_is_damaged(index: pa.Table, tmp_path: Path):
    run = specs(index, tmp_path)[0]
    train, dev = images(run.train), images(run.dev)
    folder = warm_start(run, tmp_path, train=train, dev=dev)
    assert folder is not None
    weights = folder / "model.safetensors"
    made, content = weights.stat().st_mtime_ns, weights.read_bytes()
    assert warm_start(replace(run, label="another"), tmp_path, train=train, dev=dev) == folder
    assert weights.stat().st_mtime_ns == made
    weights.write_bytes(content[:-1])
    warm_start(run, tmp_path, train=train, dev=dev)
    assert weights.read_bytes() == content
    # Frozen stages stay as the start had them; the head is the run's own.
    config = TrainConfig.model_validate(run.train_config)
    fit(config, train=train, dev=dev, seed=1, out=tmp_path / "run", start=folder)
    before, after = (load_model(path).state_dict() for path in (folder, tmp_path / "run"))
    kept = {name for name in before if torch.equal(before[name], after[name]) and "batches" not in name}
    frozen = ("embedder.", "stages.0", "stages.1")
    assert kept == {name for name in before if any(part in name for part in frozen) and "batches" not in name}


def test_a_start_that_does_not_fit_is_told(index: pa.Table, tmp_path: Path):
    run = specs(index, tmp_path)[0]
    train, dev = images(run.train), images(run.dev)
    folder = warm_start(run, tmp_path, train=train, dev=dev)
    other = TrainConfig.model_validate({**TRAIN, "backbone": {"name": "resnet-tiny"}})
    with pytest.raises(DataError, match="no usable model"):
        fit(other, train=train, dev=dev, seed=0, out=tmp_path / "other", start=folder)
    with pytest.raises(DataError, match="no usable model"):
        fit(other, train=train, dev=dev, seed=0, out=tmp_path / "other", start=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="pretrain"):
        specs(index, tmp_path, pretrain={"stepz": 3})


def test_a_study_warms_up_and_runs_its_frozen_part_once(
    index: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(training, "_images", lambda _data, keys, *_: images(keys))
    plan = plan_study(study(), data=tmp_path, index=index)
    scores = {}

    def task(run: RunSpec, out: Path) -> None:
        scores[run.run_id] = training.train_and_score(run, out / "runs" / run.run_id / "training", out)

    outcome = run_study(plan, tmp_path / "out", command="", workers=0, task=task)
    assert (outcome.finished, outcome.failed) == (len(plan.runs), 0)
    starts = sorted(path.name for path in (tmp_path / "out" / "pretrained").iterdir())
    assert starts == sorted({pretraining(run).run_id for run in plan.runs})  # type: ignore[union-attr]
    assert {json.loads(p.read_text())["fold"] for p in (tmp_path / "out").glob("pretrained/*/identity.json")} == {
        run.fold for run in plan.runs
    }
    assert len(list((tmp_path / "out" / "features").iterdir())) == len(starts)
    run = plan.runs[0]
    uncached = training.train_and_score(replace(run, cache=False), tmp_path / "uncached", tmp_path / "out")
    assert abs(uncached.test - scores[run.run_id].test).max() < 1e-5
