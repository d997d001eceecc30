"""What a study will take before it is run: time and disk, column by column, measured where there is a measure."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spooflab.experiments.executors import Executor
from spooflab.experiments.probe import Measured, Probe, timing_key
from spooflab.experiments.run_folder import RunFolder
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.study import Plan
from spooflab.experiments.warm_start import pretraining

FINISHED, PROBED, GUESSED = "finished runs", "measured steps", "a rough guess"
_PIXELS_PER_S = 4e6
"""Forward passes of the smallest backbone, pixels per second on one core (a training step counts as three)."""


@dataclass(frozen=True)
class ColumnPrice:
    """What the missing runs of one column take.

    Attributes:
        label: heading of the column.
        runs: missing ones.
        seconds: of each, the mean over its runs.
        bytes: that each leaves on disk, None where nothing tells.
        basis: `FINISHED` (the mean of this column's), `PROBED` or `GUESSED`.
    """

    label: str
    runs: int
    seconds: float
    bytes: float | None
    basis: str


@dataclass(frozen=True)
class Price:
    """What a study takes.

    Attributes:
        columns: those with missing runs; warm starts, images and cached features each count as one.
        lanes: cells at once.
        seconds: wall time with so many lanes.
        bytes: on disk, of the columns that tell it.
    """

    columns: list[ColumnPrice]
    lanes: int
    seconds: float
    bytes: float

    @property
    def basis(self) -> str:
        """What the total rests on, weakest first."""
        kinds = {column.basis for column in self.columns if column.runs}
        told = [kind for kind in (GUESSED, PROBED, FINISHED) if kind in kinds]
        return " and ".join(told) or "nothing is missing"

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "estimate_seconds": round(self.seconds),
            "estimate_basis": self.basis,
            "estimate_bytes": round(self.bytes),
            "lanes": self.lanes,
            "columns": [dict(vars(column)) for column in self.columns],
        }


def price_study(plan: Plan, out: Path, executor: Executor, probe: Probe | None = None) -> Price:
    """Price what is missing of a study.

    Args:
        plan: the study.
        out: its folder; the finished runs of a column are the best measure of the others.
        executor: where it will run; its lanes share the work.
        probe: measured on this machine, for columns of which no run is finished; None guesses them.
    """
    folder = {run.run_id: RunFolder(out / "runs" / run.run_id) for run in plan.runs}
    missing = [run for run in plan.runs if not folder[run.run_id].done]
    columns = []
    for label in dict.fromkeys(run.label for run in plan.runs):
        runs = [run for run in missing if run.label == label]
        if not runs:
            continue
        done = [folder[run.run_id] for run in plan.runs if run.label == label and folder[run.run_id].done]
        columns.append(_finished(label, runs, done) if done else _expected(label, runs, probe))
    columns += _shared(plan, missing, out, probe)
    work = sum(column.runs * column.seconds for column in columns)
    longest = max((column.seconds for column in columns if column.runs), default=0.0)
    lanes = max(1, min(executor.lanes, len(missing)))
    size = sum(column.runs * (column.bytes or 0) for column in columns)
    return Price(columns, lanes, max(work / lanes, longest), size)


def _finished(label: str, missing: list[RunSpec], done: list[RunFolder]) -> ColumnPrice:
    records = [folder.read()[0] for folder in done]
    seconds = sum(float(record.get("cell_seconds", record["seconds"])) for record in records) / len(records)
    size = sum(path.stat().st_size for folder in done for path in folder.path.rglob("*") if path.is_file())
    return ColumnPrice(label, len(missing), seconds, size / len(done), FINISHED)


def _expected(label: str, missing: list[RunSpec], probe: Probe | None) -> ColumnPrice:
    measured = [] if probe is None else [probe.settings.get(timing_key(run)) for run in missing]
    if measured and all(measured):
        pairs = [(run, m) for run, m in zip(missing, measured, strict=True) if m is not None]
        seconds = sum(_run_seconds(run, m) for run, m in pairs) / len(pairs)
        size = sum(_run_bytes(run, m) for run, m in pairs) / len(pairs)
        return ColumnPrice(label, len(missing), seconds, size, PROBED)
    return ColumnPrice(label, len(missing), sum(map(_guess, missing)) / len(missing), None, GUESSED)


def _run_seconds(run: RunSpec, measured: Measured) -> float:
    judged = len(run.dev) + len(run.test)
    if run.test_time is not None:
        return measured.setup + judged * measured.adapt
    config = run.train_config
    looks = math.ceil(config["steps"] / config["eval_every"])
    scored: int = looks * len(run.dev) + judged
    return measured.setup + int(config["steps"]) * measured.step + scored * measured.score


def _run_bytes(run: RunSpec, measured: Measured) -> float:
    """Weights, and two checkpoints of weights, best weights and the optimiser's two moments."""
    if run.test_time is not None:
        return 0.0
    return measured.model_bytes * (9 if run.train_config["checkpoint_every"] else 1)


def _guess(run: RunSpec) -> float:
    config, rows = run.train_config, len(run.train + run.dev + run.test)
    steps = 0 if run.test_time is not None else 3 * config["steps"] * config["batch_size"]
    return float((steps + rows) * config["size"] ** 2 / _PIXELS_PER_S)


def _shared(plan: Plan, missing: list[RunSpec], out: Path, probe: Probe | None) -> list[ColumnPrice]:
    """Price what runs have in common: trainings of test-time columns alone, warm starts, images, cached features."""
    from spooflab.experiments.warm_start import usable

    columns = []
    planned = {run.run_id for run in plan.runs}
    trained = {run.base.run_id: run.base for run in missing if run.test_time is not None}
    bases = [b for name, b in trained.items() if name not in planned and not RunFolder(out / "runs" / name).done]
    if bases:
        columns.append(_expected("trainings for test-time columns", bases, probe))
    starts = {s.run_id: s for run in missing if (s := pretraining(run)) is not None}
    unmade = [start for name, start in starts.items() if not usable(out / "pretrained" / name)]
    if unmade:
        columns.append(_expected("warm starts", unmade, probe))
    if probe is None:
        return columns
    sizes = {int(run.train_config["size"]) for run in missing}
    seconds = sum(len(plan.index) * probe.image[size] for size in sizes)
    if sizes:
        pixels = sum(3 * size**2 * len(plan.index) for size in sizes)
        columns.append(ColumnPrice("images, read once", 1, seconds, pixels, PROBED))
    cached = {
        (run.fold, run.seed if run.pretrain else None): (run, measured)
        for run in missing
        if run.cache and run.test_time is None and (measured := probe.settings.get(timing_key(run))) is not None
    }
    if cached and not (out / "features").is_dir():
        maps = {key: _maps(run) for key, (run, _) in cached.items()}
        total = sum(maps[key] * measured.feature for key, (_, measured) in cached.items())
        size = sum(maps[key] * measured.feature_bytes for key, (_, measured) in cached.items())
        columns.append(ColumnPrice("cached features", 1, total, size, PROBED))
    return columns


def _maps(run: RunSpec) -> int:
    """Return how many maps a fold's runs keep: each view of its training rows, and the other rows as they are."""
    return len(run.train) * int(run.train_config["augment"]["views"] or 0) + len(run.dev) + len(run.test)
