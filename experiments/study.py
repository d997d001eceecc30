"""A study: the grid of algorithms × folds × seeds, each cell run once, resumed, and reported with what is missing."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from spooflab.errors import ConfigError, DataError
from spooflab.experiments.data_provenance import describe_data
from spooflab.experiments.executors import Executor, Task, chosen_executor, within
from spooflab.experiments.fold import Fold
from spooflab.experiments.leakage import require_no_leak
from spooflab.experiments.near_duplicates import near_duplicates
from spooflab.experiments.protocols import column
from spooflab.experiments.run import failure_record, run_cell
from spooflab.experiments.run_folder import Busy, RunFolder, write_atomic
from spooflab.experiments.run_spec import RunSpec, data_fingerprint, training_rows
from spooflab.experiments.study_config import AlgorithmConfig, FoldSettings, StudyConfig
from spooflab.experiments.training import drop_images, make_start
from spooflab.experiments.warm_start import pretrain_settings, pretraining
from spooflab.location import location_of

STUDY_FILE = "study.json"


@dataclass(frozen=True)
class Plan:
    """What a study will do, before anything runs.

    Attributes:
        config: the study.
        data: folder of the data set.
        index: its rows.
        folds: of the protocol, each proven free of leaks.
        leaks: by fold, what its parts share.
        runs: fold by fold, so that processes find a fold's images in memory.
    """

    config: StudyConfig
    data: Path
    index: pa.Table
    folds: list[Fold]
    leaks: dict[str, list[dict[str, Any]]]
    runs: list[RunSpec]

    def describe(self, command: str) -> dict[str, Any]:
        """Return the plan as JSON-ready values, all that a report needs besides the runs."""
        species, labels = column(self.index, "species"), column(self.index, "label")
        folds = [
            {
                "name": fold.name,
                "held_out": list(fold.unseen),
                "column": fold.column,
                "note": fold.note,
                "rows": {part: len(rows) for part, rows in fold.parts.items()},
                "bonafide": {part: int((labels[rows] == "bonafide").sum()) for part, rows in fold.parts.items()},
                "species": {part: sorted(set(species[rows].tolist())) for part, rows in fold.parts.items()},
                "problem": fold.problem(self.index),
                "leaks": self.leaks[fold.name],
            }
            for fold in self.folds
        ]
        return {
            "config": self.config.model_dump(mode="json"),
            "protocol": (type(self.config.protocol).__doc__ or "").strip(),
            "command": command,
            "data": describe_data(self.index, self.data),
            "folds": folds,
            "algorithms": [algorithm.title for algorithm in self.config.algorithms],
            "settings": {run.label: run.setting for run in self.runs},
            "grid": [{"run": r.run_id, "label": r.label, "fold": r.fold, "seed": r.seed} for r in self.runs],
        }


def plan_study(config: StudyConfig, *, data: Path | None, index: pa.Table, cache: Path | None = None) -> Plan:
    """Cut the data into folds, prove that none leaks, and lay out the grid.

    Args:
        config: the study.
        data: folder of the data set; None takes the configuration's.
        index: the data set's rows.
        cache: folder that keeps what the checks made of the pictures; None makes it anew.

    Raises:
        ConfigError: training settings that the trainer does not know.
        DataError: a fold leaks, or the data cannot be cut.
    """
    root = data_folder(config, data)
    folds = config.protocol.folds(index)
    near = near_duplicates(index, root, cache=None if cache is None else cache / "phash.parquet")
    leaks = {
        fold.name: [check.to_json() for check in require_no_leak(index, fold, near=near, disjoint=config.disjoint)]
        for fold in folds
    }
    keys = column(index, "key")
    fingerprint = data_fingerprint(index)
    pretrain = (
        None if config.pretrain is None else _checked(pretrain_settings(config.pretrain, config.train), "pretrain")
    )
    _require_known_folds(config, folds)
    adapted = {algorithm.title: test_time_settings(algorithm) for algorithm in config.algorithms}
    selected = {algorithm.title: algorithm.selection or config.selection for algorithm in config.algorithms}
    if pretrain is not None and "leave_one_domain_out" in selected.values():
        raise ConfigError(
            "selection leave_one_domain_out with pretrain: the start has seen the domain that is left out",
            wanted="one of the two",
        )
    runs = []
    for fold in folds:
        settings = {a.title: train_settings(config, a.title, fold.name) for a in config.algorithms}
        train = training_rows(index, fold, config.train_size, config.protocol.split.seed)
        blank = RunSpec(
            label="",
            train_config={},
            seed=0,
            fold=fold.name,
            held_out=fold.unseen,
            train=tuple(keys[train].tolist()),
            dev=tuple(keys[fold.dev].tolist()),
            test=tuple(keys[fold.test].tolist()),
            data=root,
            fingerprint=fingerprint,
            pretrain=pretrain,
            cache=config.cache,
            oracle=config.oracle,
            tracker=config.tracker,
        )
        for seed in config.seeds:
            runs += [
                replace(
                    blank,
                    label=title,
                    train_config=s,
                    seed=seed,
                    test_time=adapted[title],
                    selection="leave_one_domain_out" if selected[title] == "leave_one_domain_out" else "",
                )
                for title, s in settings.items()
            ]
    same = len(runs) - len({run.run_id for run in runs})
    if same:
        raise ConfigError(f"{same} runs are the same as another", wanted="algorithms that differ in their settings")
    return Plan(config, root, index, folds, leaks, runs)


def train_settings(config: StudyConfig, title: str, fold: str = "") -> dict[str, Any]:
    """Return every training setting of one column, defaults filled in and checked by the trainer's own schema.

    Args:
        config: the study.
        title: heading of the column.
        fold: whose own settings (`by_fold`) count as well.
    """
    algorithm = next(a for a in config.algorithms if a.title == title)
    own = algorithm.by_fold.get(fold, FoldSettings())
    hparams = {**algorithm.hparams, **own.hparams}
    merged = {**config.train, **algorithm.train, **own.train, "algorithm": algorithm.name, "hparams": hparams}
    selection = algorithm.selection or config.selection
    if selection not in ("source_dev", "leave_one_domain_out"):
        if merged.get("monitor", selection) != selection:
            raise ConfigError(
                f"algorithm {title}: selection {selection} and train.monitor {merged['monitor']}", wanted="one of them"
            )
        merged["monitor"] = selection
    return _checked(merged, f"algorithm {title}")


def _checked(settings: dict[str, Any], origin: str) -> dict[str, Any]:
    from spooflab.adapters import TrainConfig
    from spooflab.adapters.backbone_source import check_source
    from spooflab.config import parse_config

    config = parse_config(settings, TrainConfig, origin=origin)
    check_source(config.backbone)
    return config.model_dump(mode="json")


def _require_known_folds(config: StudyConfig, folds: list[Fold]) -> None:
    names = [fold.name for fold in folds]
    for algorithm in config.algorithms:
        unknown = sorted(set(algorithm.by_fold) - set(names))
        if unknown:
            raise ConfigError(
                f"algorithm {algorithm.title}: by_fold names {', '.join(unknown)}", wanted=f"some of {', '.join(names)}"
            )


def test_time_settings(algorithm: AlgorithmConfig) -> dict[str, Any] | None:
    """Return the test-time method of a column with every hyper-parameter, None for a column without one.

    Raises:
        ConfigError: unknown or unusable, or the algorithm adapts while it trains already.
    """
    from spooflab.adapters import ALGORITHMS
    from spooflab.experiments.at_test_time import method_settings

    if algorithm.test_time is None:
        return None
    origin = f"algorithm {algorithm.title}"
    if algorithm.name in ALGORITHMS and ALGORITHMS[algorithm.name].setting == "adaptation":
        raise ConfigError(
            f"{origin}: {algorithm.name} adapts while it trains, and test_time {algorithm.test_time} after it",
            wanted="one setting per column: test_time on an algorithm for generalisation",
        )
    return method_settings(algorithm.test_time, algorithm.test_time_hparams, origin=origin)


def data_folder(config: StudyConfig, data: Path | None) -> Path:
    """Return the data set's folder: the argument, else the configuration's.

    Raises:
        ConfigError: neither names one.
    """
    root = data or config.data
    if root is None:
        raise ConfigError("the study names no data", wanted="data: FOLDER in the file, or --data FOLDER")
    location_of(root)  # a URL is no folder, and is told so
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder",
            wanted="a data set",
            next_step=f"spooflab generate --out {shlex.quote(str(root))}",
        )
    return root


@dataclass
class Outcome:
    """How the cells of a study ended."""

    finished: int = 0
    cached: int = 0
    failed: int = 0

    @property
    def exit_code(self) -> int:
        """0 when every cell is done, else 1."""
        return 1 if self.failed else 0


def run_study(
    plan: Plan,
    out: Path,
    *,
    command: str,
    workers: int | None = None,
    executor: Executor | None = None,
    task: Task = run_cell,
    progress: Callable[[RunSpec, str | None], None] | None = None,
) -> Outcome:
    """Run every cell that is not done yet. A cell that fails is recorded, and the others go on.

    Cells that another process is running are waited for, and run here if it leaves them unfinished.

    Args:
        plan: what to run.
        out: folder of the study; a later call with the same plan goes on where this one stopped.
        command: shell command that repeats this study, for messages.
        workers: cells at once; None takes the configuration's.
        executor: where cells run; None takes the configuration's.
        task: what runs one cell; other processes must be able to import it, unless there are none.
        progress: told of each cell, and why it failed if it did.
    """
    config = plan.config
    executor = executor or chosen_executor(config.executor, config.workers, workers=workers)
    write_atomic(out / STUDY_FILE, (json.dumps(plan.describe(command), indent=1, sort_keys=True) + "\n").encode())
    folder = {run.run_id: RunFolder(out / "runs" / run.run_id) for run in plan.runs}
    problems = {fold.name: fold.problem(plan.index) for fold in plan.folds}
    outcome = Outcome(cached=sum(f.done for f in folder.values()))
    pending = [run for run in plan.runs if not folder[run.run_id].done]

    def report(run: RunSpec, error: BaseException | None) -> None:
        if error is None:
            outcome.finished += 1
        else:
            outcome.failed += 1
            folder[run.run_id].fail(failure_record(run, error, command))
        if progress:
            progress(run, None if error is None else str(error).split("\n")[0])

    for run in pending:
        if problem := problems[run.fold]:
            report(run, DataError(problem, wanted="both classes in train, dev and test"))
    # Trainings first: what adapts at test time then finds its model instead of waiting for it.
    runnable = sorted((run for run in pending if not problems[run.fold]), key=lambda run: run.test_time is not None)
    # Ahead of the cells, so that none waits for another's start. What fails here fails, and is told, in its cells.
    starts = {start.run_id: run for run in reversed(runnable) if (start := pretraining(run)) is not None}
    begin = within(config.run_minutes, make_start, executor)
    executor.run(list(reversed(starts.values())), begin, out, lambda _run, _error: None)
    limited = within(config.run_minutes, task, executor)
    while runnable:
        elsewhere: list[RunSpec] = []

        def ended(run: RunSpec, error: BaseException | None, elsewhere: list[RunSpec] = elsewhere) -> None:
            if isinstance(error, Busy):
                elsewhere.append(run)
            else:
                report(run, error)

        executor.run(runnable, limited, out, ended)
        for run in elsewhere:
            with folder[run.run_id].lease(wait=True):  # until that process is through with it, or dead
                pass
        runnable = elsewhere
    if all(run.done for run in folder.values()):
        drop_images(out)
    return outcome
