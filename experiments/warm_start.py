"""A fold's common start: one training on its training rows alone, from whose backbone all its algorithms set out."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spooflab.errors import DataError
from spooflab.experiments.run_spec import RunSpec
from spooflab.folder_lock import alone_in

if TYPE_CHECKING:
    from spooflab.adapters import ImageSet


def pretraining(spec: RunSpec) -> RunSpec | None:
    """Return the training that `spec` starts from, None where it starts afresh.

    It sees the same training and dev rows and the same seed: what the fold holds out stays unseen.
    """
    if spec.pretrain is None:
        return None
    return replace(spec, label="warm start", train_config=spec.pretrain, pretrain=None, test_time=None, test=())


def warm_start(spec: RunSpec, shared: Path, *, train: "ImageSet", dev: "ImageSet") -> Path | None:
    """Make the training that `spec` starts from, or find it made, and return its folder.

    Of several processes that ask for one, the first makes it and the others wait.

    Args:
        spec: a cell.
        shared: folder of the study; `pretrained/` is made in it.
        train: images of the cell's training rows.
        dev: images of its dev rows.
    """
    from spooflab.adapters import TrainConfig, fit

    before = pretraining(spec)
    if before is None:
        return None
    folder = shared / "pretrained" / before.run_id
    if usable(folder):
        return folder
    with alone_in(folder):
        if not usable(folder):
            config = TrainConfig.model_validate(before.train_config)
            fit(config, train=train, dev=dev, seed=before.seed, out=folder)
            (folder / "identity.json").write_text(json.dumps(before.identity, indent=1), encoding="utf-8")
    return folder


def pretrain_settings(pretrain: dict[str, Any], train: dict[str, Any]) -> dict[str, Any]:
    """Return the training settings of a warm start: those of the study, the whole backbone learning, then its own."""
    backbone = {k: v for k, v in train.get("backbone", {}).items() if k not in ("tuning", "frozen_stages")}
    return {**train, "backbone": backbone, "algorithm": "erm", **pretrain}


def usable(folder: Path) -> bool:
    """Return whether a folder holds a whole model."""
    from spooflab.adapters.model_files import read_model_files

    try:
        read_model_files(folder)
    except DataError:
        return False
    return True
