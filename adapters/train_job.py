"""Train once from a store: choose rows, split source-dev by subject, fit."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import pyarrow as pa
from pydantic import Field

from spooflab.adapters.algorithms import ALGORITHMS
from spooflab.adapters.backbone_source import check_source
from spooflab.adapters.image_set import ImageSet
from spooflab.adapters.train_config import TrainConfig
from spooflab.adapters.trainer import FitResult, Progress, fit
from spooflab.atomic import write_over
from spooflab.config import Config
from spooflab.errors import DataError
from spooflab.reader import read_index
from spooflab.records import keys_sha256
from spooflab.seeds import seed as named_seed

JOB = "job.json"
"""What was trained on which rows, beside the model: an export asks."""


class TrainJob(Config):
    """A training with its data: what `spooflab train` reads.

    What `without_species` and `without_devices` leave out is the unlabelled target of an algorithm that adapts
    (setting `adaptation`), and is not looked at by any other.
    """

    data: Path | None = Field(
        default=None, description="folder that `spooflab generate` wrote; the command line may name it"
    )
    seed: int = Field(default=0, ge=0)
    dev_share: float = Field(default=0.2, gt=0, lt=1, description="share of subject groups that become source-dev")
    without_species: tuple[str, ...] = Field(default=(), description="species left out, to be tested on later")
    without_devices: tuple[str, ...] = Field(default=(), description="device_id or device_profile left out")
    training: TrainConfig = TrainConfig()


def train(job: TrainJob, store_root: Path, out: Path, *, progress: Progress | None = None) -> FitResult:
    """Load the store's rows that `job` keeps, split them by subject group, and train into `out`.

    Raises:
        DataError: no store, nothing left to train on or to adapt to, or a class missing on one side of the split.
        ConfigError: settings that do not fit, or `out` holds another run.
    """
    check_source(job.training.backbone)  # before images are read, which takes longer
    sets = load_sets(job, store_root)
    result = fit(job.training, **sets, seed=job.seed, out=out, progress=progress)
    told = {"job": job.model_dump(mode="json"), "data": str(store_root), "dev_sha256": keys_sha256(sets["dev"].keys)}
    write_over(out / JOB, (json.dumps(told, indent=1) + "\n").encode())
    return result


class Sets(TypedDict):
    """What a training reads; `target` where its algorithm adapts."""

    train: ImageSet
    dev: ImageSet
    target: ImageSet | None


def load_sets(job: TrainJob, store_root: Path) -> Sets:
    """Load the images of `train`; errors are the same."""
    index = read_index(store_root)
    rows = chosen_rows(index, job)
    groups = index.column("subject_group").to_pylist()
    dev_groups = dev_subjects([groups[row] for row in rows], job.dev_share, job.seed)
    size, domain_by = job.training.size, job.training.domain_by
    images = ImageSet.load(store_root, index.take(rows), size, domain_by, maps=job.training.pixel.needs_maps)
    side = [groups[row] in dev_groups for row in rows]
    return {
        "train": images.subset([i for i, is_dev in enumerate(side) if not is_dev]),
        "dev": images.subset([i for i, is_dev in enumerate(side) if is_dev]),
        "target": _target(job, index, rows, store_root),
    }


def chosen_rows(index: pa.Table, job: TrainJob) -> list[int]:
    """Return the positions of the rows that `job` keeps, ordered by key.

    Raises:
        DataError: a species or device that the store does not have, or nothing left.
    """
    keys, species = index.column("key").to_pylist(), index.column("species").to_pylist()
    devices = list(zip(index.column("device_id").to_pylist(), index.column("device_profile").to_pylist(), strict=True))
    _known("without_species", job.without_species, set(species))
    _known("without_devices", job.without_devices, {name for pair in devices for name in pair})
    rows = [
        row
        for row in range(len(keys))
        if species[row] not in job.without_species and not set(devices[row]) & set(job.without_devices)
    ]
    if not rows:
        raise DataError("no row is left to train on", wanted="fewer without_species and without_devices")
    return sorted(rows, key=keys.__getitem__)


def dev_subjects(groups: Sequence[str], share: float, seed: int) -> set[str]:
    """Return the subject groups of source-dev: `share` of them, at least one and not all, ranked by a named hash."""
    names = sorted(set(groups), key=lambda name: (named_seed(seed, "dev", name), name))
    if len(names) < 2:
        raise DataError(f"{len(names)} subject group", wanted="at least 2: train and source-dev must share no subject")
    return set(names[: min(max(1, round(share * len(names))), len(names) - 1)])


def _target(job: TrainJob, index: pa.Table, kept: Sequence[int], store_root: Path) -> ImageSet | None:
    """Load what is left out, ordered by key, for an algorithm that adapts to it."""
    config = job.training
    if ALGORITHMS[config.algorithm].setting != "adaptation":
        return None
    left_out = sorted(set(index.column("key").to_pylist()) - set(index.take(kept).column("key").to_pylist()))
    if not left_out:
        raise DataError(
            f"{config.algorithm} adapts to what is left out, and nothing is",
            wanted="without_devices or without_species",
        )
    return ImageSet.load(store_root, left_out, config.size, config.domain_by)


def _known(option: str, wanted: Sequence[str], present: set[str]) -> None:
    unknown = sorted(set(wanted) - present)
    if unknown:
        raise DataError(f"{option}: {', '.join(unknown)} not in the data", wanted=f"of {', '.join(sorted(present))}")
