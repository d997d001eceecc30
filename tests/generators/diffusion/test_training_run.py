"""All stages in a row: killed between two of them, a run goes on to the same files; settings name a run."""

from pathlib import Path
from typing import Any

import pytest

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.training.config import DiffusionTrainConfig, SwapPlan
from spooflab.generators.diffusion.training.denoiser import DenoiserStage
from spooflab.generators.diffusion.training.examples import ExampleFolder
from spooflab.generators.diffusion.training.identity import IdentityStage
from spooflab.generators.diffusion.training.material import MaterialStage
from spooflab.generators.diffusion.training.run import prepare, train
from spooflab.generators.diffusion.training.swap import SwapStage

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn.t accept a copy")  # within diffusers


class _Killed(BaseException):
    pass


def _die(*_: Any) -> None:
    raise _Killed


@pytest.mark.slow
def test_a_run_killed_before_each_stage_ends_the_same(
    training: DiffusionTrainConfig, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stage begins with weights that depend on what this process did before."""
    (tmp_path / "examples").symlink_to(trained / "examples")
    for stage in (IdentityStage, DenoiserStage, SwapStage, MaterialStage):
        with monkeypatch.context() as patched:
            patched.setattr(stage, "draw", _die)
            with pytest.raises(_Killed):
                train(training, tmp_path)
    model = train(training, tmp_path)
    files = sorted(p.relative_to(trained) for p in (trained / "model").rglob("*") if p.is_file())
    assert len(files) > 12
    for name in files:
        assert (model.parent / name).read_bytes() == (trained / name).read_bytes(), name


@pytest.mark.slow
def test_a_longer_plan_goes_on_and_other_shapes_are_refused(
    training: DiffusionTrainConfig, trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "examples").symlink_to(trained / "examples")
    none = SwapPlan(steps=0)
    short = training.model_copy(update=dict.fromkeys(("identity", "denoiser", "material", "swap"), none))
    train(short, tmp_path)
    longer = short.model_copy(update={"vae": training.vae.model_copy(update={"steps": 3})})
    train(longer, tmp_path)
    assert len((tmp_path / "vae" / "log.jsonl").read_text().splitlines()) == 2
    other = longer.model_copy(update={"shape": training.shape.model_copy(update={"vae": (8, 8, 24)})})
    with pytest.raises(DataError, match="other settings"):
        train(other, tmp_path)
    with pytest.raises(ConfigError, match="other faces or sizes"):
        train(longer.model_copy(update={"people_seed": 5}), tmp_path)


@pytest.mark.slow
def test_a_lost_shard_is_made_again(training: DiffusionTrainConfig, trained: Path, tmp_path: Path) -> None:
    again = prepare(training, tmp_path, workers=1)
    shard = tmp_path / "00000.npz"
    assert shard.read_bytes() == (trained / "examples" / shard.name).read_bytes()
    shard.unlink()
    assert len(prepare(training, tmp_path, workers=1)) == len(again)


@pytest.mark.slow
def test_workers_make_the_same_examples(
    training: DiffusionTrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two shards by two processes, each to the bytes that one alone makes."""
    many = training.model_copy(
        update={"faces": training.faces.model_copy(update={"subjects": 18, "sessions": 1}), "masks": 0.1}
    )
    prepare(many, tmp_path / "two", workers=2)
    monkeypatch.setattr(ExampleFolder, "read", lambda _: None)
    prepare(many, tmp_path / "one", workers=1)
    for name in ("00000.npz", "00001.npz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
