"""What chooses a training's weights: figures of unlabelled target images, a step chosen beforehand, never test rows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from spooflab.adapters import ImageSet, TrainConfig, fit
from spooflab.adapters.target_validators import TARGET_MONITORS, target_figure
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.step_by_domains import step_by_domains

Toy = Callable[..., ImageSet]


def config(algorithm: str = "erm", **changes: object) -> TrainConfig:
    fields: dict[str, object] = {
        "algorithm": algorithm,
        "backbone": {"options": {"embedding_size": 8, "hidden_sizes": [8, 8, 12, 16]}},
        "device": "cpu",
        "size": 32,
        "steps": 8,
        "batch_size": 8,
        "eval_every": 2,
        "checkpoint_every": 4,
        "warmup_steps": 2,
    }
    return TrainConfig.model_validate(fields | changes)


def entropy(p: np.ndarray, axis: int = -1) -> np.ndarray:
    return -(p * np.log(p)).sum(axis)


def by_hand(name: str, scores: np.ndarray) -> float:
    """The validators of the papers, the better the higher."""
    p = np.stack([1 - scores, scores], axis=1)
    if name == "entropy":
        return float(-entropy(p).mean())
    if name == "im":
        return float(entropy(p.mean(0)) - entropy(p).mean())
    if name == "bnm":
        return float(np.linalg.svd(p, compute_uv=False).sum() / len(p))
    unit = p / np.linalg.norm(p, axis=1, keepdims=True)
    alike = unit @ unit.T / 0.05
    np.fill_diagonal(alike, -np.inf)
    share = np.exp(alike - alike.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    return float(-np.where(share > 0, share * np.log(np.where(share > 0, share, 1)), 0).sum(1).mean())


@pytest.mark.parametrize("name", TARGET_MONITORS)
def test_validators_are_those_of_their_papers(name: str) -> None:
    scores = np.random.default_rng(0).beta(0.6, 0.9, 40)
    assert target_figure(name, scores) == pytest.approx(-by_hand(name, scores), rel=1e-5)
    with pytest.raises(DataError, match="not all finite"):
        target_figure(name, np.array([0.2, np.nan]))


def test_a_target_figure_chooses_among_an_adaptations_weights(toy: Toy, tmp_path: Path) -> None:
    sets = {"train": toy(48), "dev": toy(16, root=1), "target": toy(20, root=2)}
    result = fit(config("bnm", monitor="im"), **sets, seed=0, out=tmp_path)
    best = min(result.dev_history, key=lambda row: (row["im"], row["loss"]))
    assert result.best_step == best["step"]
    assert all(-np.log(2) <= row["im"] <= 0 for row in result.dev_history)


def test_sources_alone_are_not_judged_by_the_target() -> None:
    with pytest.raises(ValidationError, match=r"monitor snd .* erm \(generalisation\) must not see"):
        config(monitor="snd")
    with pytest.raises(ValidationError, match="swad"):
        config("bnm", monitor="im", averaging="swad")


def test_a_step_chosen_beforehand_is_kept(toy: Toy, tmp_path: Path) -> None:
    sets = {"train": toy(48), "dev": toy(16, root=1)}
    short = fit(config(), **sets, seed=0, out=tmp_path / "a", keep=4)
    assert (short.best_step, short.steps, short.dev["step"]) == (4, 8, 4)
    for wrong in (3, 10):
        with pytest.raises(ConfigError, match=f"keep {wrong}"):
            fit(config(), **sets, seed=0, out=tmp_path / "b", keep=wrong)
    with pytest.raises(ConfigError, match="patience"):
        fit(config(patience=2), **sets, seed=0, out=tmp_path / "b", keep=4)


def test_the_oracle_is_noted_and_changes_nothing(toy: Toy, tmp_path: Path) -> None:
    sets = {"train": toy(48), "dev": toy(16, root=1)}
    plain = fit(config(), **sets, seed=0, out=tmp_path / "a")
    told = fit(config(), **sets, seed=0, out=tmp_path / "b", oracle=toy(20, root=3, strength=-60.0))
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    assert told.best_step == plain.best_step
    assert all({"oracle_eer", "oracle_loss"} <= set(row) for row in told.dev_history)
    assert [{k: v for k, v in row.items() if "oracle" not in k} for row in told.dev_history] == plain.dev_history


def test_a_step_is_chosen_on_domains_left_out(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over domains decides, and no training sees the domain that judges it."""
    errors = {0: {2: 0.3, 4: 0.1, 8: 0.5}, 1: {2: 0.1, 4: 0.2, 8: 0.0}, 2: {2: 0.2, 4: 0.1, 8: 0.2}}

    def fake(_: TrainConfig, *, train: ImageSet, dev: ImageSet, target: ImageSet | None, **__: object) -> object:
        (left,) = set(dev.domains.tolist())
        assert left not in train.domains.tolist()
        assert target is not None
        assert set(target.domains.tolist()) == {left}
        assert not set(target.keys) & {*train.keys, *dev.keys}
        rows = [{"step": float(s), "eer": e, "loss": 1.0} for s, e in errors[left].items()]
        return type("Result", (), {"dev_history": rows})()

    monkeypatch.setattr("spooflab.adapters.fit", fake)
    step, means = step_by_domains(config("bnm"), toy(48), toy(16, root=1), seed=0, out=tmp_path)
    assert step == 4
    assert [row["eer"] for row in means] == pytest.approx([0.2, 0.4 / 3, 0.7 / 3])
    with pytest.raises(DataError, match="one training domain"):
        step_by_domains(config("bnm"), toy(48, domains=1), toy(16, root=1), seed=0, out=tmp_path)
    with pytest.raises(ConfigError, match="fixed length"):
        step_by_domains(config(patience=3), toy(48), toy(16, root=1), seed=0, out=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["erm", "bnm"])
def test_left_out_domains_choose_the_same_step_each_time(algorithm: str, toy: Toy, tmp_path: Path) -> None:
    sets = (toy(48), toy(24, root=1))
    found = [step_by_domains(config(algorithm), *sets, seed=0, out=tmp_path / name) for name in "ab"]
    assert found[0] == found[1]
    step, means = found[0]
    assert [row["step"] for row in means] == [2, 4, 6, 8]
    assert step == min(means, key=lambda row: (row["eer"], row["loss"]))["step"]
    kept = fit(
        config(algorithm),
        train=sets[0],
        dev=sets[1],
        seed=0,
        out=tmp_path / "c",
        keep=step,
        target=None if algorithm == "erm" else toy(20, root=2),
    )
    assert kept.best_step == step
