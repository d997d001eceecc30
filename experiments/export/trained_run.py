"""Which model is to be exported, and what is known of its training: a training's folder, or one cell of a study."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from spooflab.adapters.model_files import CARD, read_model_files
from spooflab.adapters.train_config import TrainConfig
from spooflab.adapters.train_job import JOB, TrainJob, chosen_rows, dev_subjects
from spooflab.atomic import read_plain
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.protocols import column
from spooflab.experiments.results import load_results
from spooflab.experiments.run_folder import DONE, RunFolder
from spooflab.experiments.run_spec import data_fingerprint
from spooflab.experiments.study import STUDY_FILE
from spooflab.json_text import json_object
from spooflab.reader import read_index
from spooflab.records import keys_sha256


@dataclass(frozen=True)
class TrainedRun:
    """A saved model with the rows that chose it and, of a study's cell, those that judged it.

    Attributes:
        folder: with the model's two files.
        card: its `model.json`.
        data: folder of the data set.
        index: the data set's rows.
        dev: keys of source-dev, in the order of training.
        test: keys that judged it; empty for a training by itself.
        seen: keys whose species and devices describe the training: train and dev, or dev alone (a study keeps no
            list of its training rows; dev rows come from the same sources).
        barred: keys that may not calibrate anything: what was left out, or judges.
        label, fold, held_out: of the cell; of a training, what it left out.
        recorded: the cell's score table, by PyTorch; None for a training by itself.
        train_rows: how many rows the weights were fitted on.
        train_species: what a study's plan says of the training rows' species; empty where there is none.
    """

    folder: Path
    card: dict[str, Any] = field(repr=False)
    data: Path
    index: pa.Table = field(repr=False)
    dev: tuple[str, ...] = field(repr=False)
    test: tuple[str, ...] = field(repr=False)
    seen: tuple[str, ...] = field(repr=False)
    barred: tuple[str, ...] = field(repr=False)
    label: str
    fold: str
    held_out: tuple[str, ...]
    train_rows: int
    recorded: pa.Table | None = field(default=None, repr=False)
    train_species: tuple[str, ...] = ()

    @property
    def config(self) -> TrainConfig:
        """How it was trained."""
        return TrainConfig.model_validate(self.card["config"])

    @property
    def fingerprint(self) -> str:
        """Hash of the data set's keys and images."""
        return data_fingerprint(self.index)

    def rows(self, keys: Sequence[str]) -> pa.Table:
        """Return the index rows of these keys, in this order."""
        place = {key: row for row, key in enumerate(column(self.index, "key").tolist())}
        return self.index.take(pa.array([place[key] for key in keys], type=pa.int64()))


@dataclass(frozen=True)
class Choice:
    """Which cell of a study's folder; None leaves it open, which is fine where only one is left."""

    algorithm: str | None = None
    fold: str | None = None
    seed: int | None = None

    @property
    def words(self) -> str:
        """How an error names it."""
        given = {"--algorithm": self.algorithm, "--fold": self.fold, "--seed": self.seed}
        return " ".join(f"{name} {value}" for name, value in given.items() if value is not None) or "no choice"


def find_run(path: Path, choice: Choice | None = None, *, data: Path | None = None) -> TrainedRun:
    """Read what `path` is: a training's folder, a cell's, or a study's with a choice of one cell.

    Args:
        path: `spooflab train --out`, `STUDY/runs/ID`, or `STUDY`.
        choice: of the cell, for a study's folder.
        data: folder of the data set, where it is no longer the one that the run names.

    Raises:
        ConfigError: no run, an open choice, or one whose network is not fixed after training.
        DataError: files or data that are not those of the run.
    """
    if choice is not None and choice != Choice() and not _is_study(path):
        raise ConfigError(f"{path} is one run, and {choice.words} chooses among several", wanted="a study's folder")
    if (path / CARD).is_file():
        cell = path.parent
        return _cell(cell, data) if (cell / DONE).is_file() and path.name == "training" else _training(path, data)
    if (path / "run.json").is_file() or (path / DONE).is_file():
        return _cell(path, data)
    if _is_study(path):
        return _cell(path / "runs" / _chosen(path, choice or Choice()), data)
    raise ConfigError(
        f"{path}: neither a training ({CARD}), nor a study's cell (run.json), nor a study (runs/)",
        wanted="the --out of spooflab train, STUDY/runs/ID, or STUDY with --algorithm, --fold and --seed",
    )


def _is_study(path: Path) -> bool:
    return (path / STUDY_FILE).is_file() or (path / "runs").is_dir()


def _chosen(study: Path, choice: Choice) -> str:
    cells = load_results(study).cells
    wanted = {"label": choice.algorithm, "fold": choice.fold, "seed": choice.seed}
    found = [c for c in cells if all(value in (None, getattr(c, name)) for name, value in wanted.items())]
    done = [cell for cell in found if cell.status == "done"]
    if len(done) == 1:
        return done[0].run
    among = found or list(cells)
    told = {name: sorted({getattr(cell, name) for cell in among}) for name in wanted}
    raise ConfigError(
        f"{study}: {choice.words} fits {len(found)} cells, {len(done)} of them finished",
        wanted=f"one finished cell; --algorithm of {', '.join(told['label'])}; --fold of {', '.join(told['fold'])}; "
        f"--seed of {', '.join(map(str, told['seed']))}",
    )


def _cell(path: Path, data: Path | None) -> TrainedRun:
    if not (path / DONE).is_file():
        raise DataError(f"{path}: the run is not finished", wanted="a finished cell", next_step="resume its study")
    record, scores, _ = RunFolder(path).read()
    if record["identity"].get("test_time"):
        raise ConfigError(
            f"{path}: {record['label']} adapts to the images that it judges, so no fixed network gives its scores",
            next_step="export the column that it starts from",
        )
    root = data or Path(record["data"])
    index = _index(root)
    if data_fingerprint(index) != record["identity"]["data"]:
        raise DataError(f"{root} is not the data set of {path}", wanted="the same samples", next_step="give --data")
    split, keys = column(scores, "split"), column(scores, "key")
    dev, test = (tuple(keys[split == part].tolist()) for part in ("dev", "test"))
    folder = path / "training"
    return TrainedRun(
        folder=folder,
        card=read_model_files(folder)[0],
        data=root,
        index=index,
        dev=dev,
        test=test,
        seen=dev,
        barred=test,
        label=record["label"],
        fold=record["identity"]["fold"],
        held_out=tuple(record["identity"]["held_out"]),
        train_rows=int(record["rows"]["train"]),
        recorded=scores,
        train_species=_planned_species(path.parent.parent / STUDY_FILE, record["identity"]["fold"]),
    )


def _planned_species(plan: Path, fold: str) -> tuple[str, ...]:
    if not plan.is_file():
        return ()
    folds = json_object(read_plain(plan), plan).get("folds", [])
    try:
        return next((tuple(entry["species"]["train"]) for entry in folds if entry["name"] == fold), ())
    except (KeyError, TypeError) as error:
        raise DataError(f"{plan}: its folds: {error!r}", wanted="the plan that spooflab study wrote") from error


def _training(path: Path, data: Path | None) -> TrainedRun:
    card = read_model_files(path)[0]
    try:
        told = json_object((path / JOB).read_text(encoding="utf-8"), path / JOB)
        job, digest = TrainJob.model_validate(told["job"]), told["dev_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: no usable {JOB}, which tells the rows of source-dev: {error}",
            wanted="the folder of a spooflab train of this version",
            next_step="repeat the training, or export a study's cell",
        ) from error
    root = data or Path(told["data"])
    index = _index(root)
    kept = index.take(chosen_rows(index, job))
    groups, keys = column(kept, "subject_group").tolist(), column(kept, "key").tolist()
    held = dev_subjects(groups, job.dev_share, job.seed)
    dev = tuple(key for key, group in zip(keys, groups, strict=True) if group in held)
    if keys_sha256(dev) != digest:
        raise DataError(f"{root} is not the data set of {path}", wanted="the same samples", next_step="give --data")
    barred = tuple(sorted(set(column(index, "key").tolist()) - set(keys)))
    return TrainedRun(
        folder=path,
        card=card,
        data=root,
        index=index,
        dev=dev,
        test=(),
        seen=tuple(keys),
        barred=barred,
        label=job.training.algorithm,
        fold="",
        held_out=(*job.without_species, *job.without_devices),
        train_rows=len(keys) - len(dev),
    )


def _index(root: Path) -> pa.Table:
    try:
        return read_index(root)
    except DataError as error:
        raise DataError(f"data of the run: {error.seen}", wanted=error.wanted, next_step="give --data DIR") from error
