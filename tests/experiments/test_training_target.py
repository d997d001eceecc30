"""Which rows of a fold a training is handed: test images reach the ones that adapt, and no others."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from spooflab.adapters import ImageSet
from spooflab.experiments import training
from spooflab.experiments.run_spec import RunSpec


@pytest.mark.parametrize(("algorithm", "adapts"), [("erm", False), ("dann", False), ("atdoc", True)])
def test_test_images_reach_the_trainings_that_adapt(
    algorithm: str, adapts: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = tuple(f"k{i}" for i in range(12))
    labels = torch.arange(12) % 2
    images = ImageSet(torch.zeros(12, 3, 16, 16, dtype=torch.uint8), labels, labels, keys, ["x"] * 12)
    seen: dict[str, Any] = {}

    def fit(config: Any, **sets: Any) -> SimpleNamespace:
        seen.update(sets)
        return SimpleNamespace(model=None, best_step=1, seconds=0.0, dev_history=[])

    monkeypatch.setattr(training, "_images", lambda *_: images)
    monkeypatch.setattr("spooflab.adapters.fit", fit)
    monkeypatch.setattr("spooflab.adapters.predict_scores", lambda model, rows, size, maps: np.zeros(len(rows)))
    spec = RunSpec(
        label="",
        train_config={"algorithm": algorithm, "size": 16},
        seed=0,
        fold="f",
        held_out=(),
        train=keys[:6],
        dev=keys[6:8],
        test=keys[8:],
        data=tmp_path,
        fingerprint="",
    )
    training.train_and_score(spec, tmp_path)
    assert list(seen["train"].keys) == list(keys[:6])
    assert (seen["target"] is None) is not adapts
    if adapts:
        assert list(seen["target"].keys) == list(keys[8:])
