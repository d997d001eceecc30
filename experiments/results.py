"""What the runs of a study say: read from their folders alone, one row per cell, missing cells as missing."""

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from spooflab.atomic import read_plain
from spooflab.errors import DataError
from spooflab.experiments.metrics import NAMES, Metrics, evaluate
from spooflab.experiments.protocols import column
from spooflab.experiments.run import score_set
from spooflab.experiments.run_folder import RunFolder
from spooflab.experiments.scores import ScoreSet, StrArray
from spooflab.experiments.statistics import Interval, Judged, intervals
from spooflab.experiments.study import STUDY_FILE
from spooflab.json_text import json_object

_PLAN = "the plan that spooflab study wrote"
_RUN = re.compile(r"\w[\w.-]*", re.ASCII)


@dataclass(frozen=True)
class Cell:
    """One cell of the grid: a finished run with its figures, a failure with its reason, or nothing yet.

    Attributes:
        run, label, fold, seed: which cell.
        status: `done`, `failed` or `missing`.
        record: run.json of a finished run, or the failure record.
        scores, worst: tables of a finished run.
    """

    run: str
    label: str
    fold: str
    seed: int
    status: str
    record: dict[str, Any] = field(default_factory=dict, repr=False)
    scores: pa.Table | None = field(default=None, repr=False)
    worst: pa.Table | None = field(default=None, repr=False)

    @cached_property
    def test(self) -> ScoreSet:
        """Test rows."""
        return score_set(self.scores, "test")

    @cached_property
    def dev(self) -> ScoreSet:
        """Dev rows, of the training sources alone."""
        return score_set(self.scores, "dev")

    @cached_property
    def test_devices(self) -> StrArray:
        """Capture device of each test row, in the order of `test`."""
        assert self.scores is not None
        device: StrArray = column(self.scores, "device")[column(self.scores, "split") == "test"]
        return device

    @cached_property
    def metrics(self) -> Metrics:
        """Figures of the test rows at the dev rows' threshold, counted anew from the scores."""
        return evaluate(self.test, dev=self.dev)

    @property
    def judged(self) -> Judged | None:
        """Test rows with their threshold, for paired comparisons; None without both classes or a threshold."""
        metrics = self.metrics
        return (
            None
            if metrics.acer is None or metrics.threshold is None
            else Judged(self.test, metrics.threshold, self.seed)
        )


@dataclass(frozen=True)
class Results:
    """All cells of a study with what its plan said.

    Attributes:
        cells: in grid order.
        study: study.json, or what could be told from the runs where it is gone.
        damaged: runs whose files differ from their marker.
        folder: where they were read from; None for results put together otherwise.
    """

    cells: tuple[Cell, ...]
    study: dict[str, Any]
    damaged: tuple[str, ...] = ()
    folder: Path | None = None

    @property
    def algorithms(self) -> list[str]:
        """Columns, in the study's order."""
        return list(dict.fromkeys(cell.label for cell in self.cells))

    @cached_property
    def settings(self) -> dict[str, str]:
        """Column → what it may see: `generalisation`, `adaptation` or `test_time`; empty where nothing tells."""
        told = {cell.label: str(cell.record.get("setting", "")) for cell in self.cells if cell.status == "done"}
        planned = self.study.get("settings", {})
        return {label: str(planned.get(label) or told.get(label, "")) for label in self.algorithms}

    @property
    def folds(self) -> list[str]:
        """Rows, in the study's order."""
        return list(dict.fromkeys(cell.fold for cell in self.cells))

    @property
    def seeds(self) -> list[int]:
        """Training seeds, ascending."""
        return sorted({cell.seed for cell in self.cells})

    @property
    def metric(self) -> str:
        """The figure that algorithms are compared by."""
        return str(self.study.get("config", {}).get("metric", "acer"))

    @property
    def replicates(self) -> int:
        """Resamples of the bootstrap."""
        return int(self.study.get("config", {}).get("bootstrap", 2000))

    def at(self, label: str, fold: str) -> list[Cell]:
        """Return the cells of all seeds of one algorithm and fold."""
        return [cell for cell in self.cells if cell.label == label and cell.fold == fold]

    def done(self) -> list[Cell]:
        """Return the finished cells."""
        return [cell for cell in self.cells if cell.status == "done"]


def load_results(out: Path) -> Results:
    """Read a study's folder. Without study.json the runs present are all that is known.

    Raises:
        DataError: there is neither a plan nor a finished run.
    """
    plan = out / STUDY_FILE
    study = json_object(read_plain(plan), plan, wanted=_PLAN) if plan.is_file() else {}
    if not isinstance(study.get("config", {}), dict):
        raise DataError(f"{plan}: its config is {type(study['config']).__name__}", wanted=_PLAN)
    grid = _planned(study.get("grid"), plan) if study else _present(out)
    if not grid:
        raise DataError(f"{out}: no study.json and no finished run", wanted="the folder that spooflab study wrote")
    cells, damaged = [], []
    for entry in grid:
        folder = RunFolder(out / "runs" / entry["run"])
        try:
            cells.append(_cell(entry, folder))
        except DataError as error:
            damaged.append(str(error))
            cells.append(Cell(**entry, status="failed", record={"reason": error.seen, "retry": error.next_step}))
    return Results(tuple(cells), study, tuple(damaged), out)


def _planned(grid: Any, plan: Path) -> list[dict[str, Any]]:
    """Check what a plan says of its cells: `run` becomes a folder's name."""
    kinds = {"run": str, "label": str, "fold": str, "seed": int}
    for entry in grid if isinstance(grid, list) else [grid]:
        if not isinstance(entry, dict) or {key: type(value) for key, value in entry.items()} != kinds:
            raise DataError(f"{plan}: a cell is {entry!r:.80}", wanted=_PLAN)
        if not _RUN.fullmatch(entry["run"]):
            raise DataError(f"{plan}: run {entry['run']!r:.80}", wanted="letters, digits, '.', '_' and '-'")
    return list(grid)


def _present(out: Path) -> list[dict[str, Any]]:
    """Return the cells whose runs are finished, where no plan tells them."""
    grid = []
    for path in sorted(out.glob("runs/*/done")):
        record = json_object(read_plain(path.parent / "run.json"), path.parent / "run.json")
        try:
            identity = record["identity"]
            own = {"run": record["run"], "label": record["label"], "fold": identity["fold"], "seed": identity["seed"]}
        except (KeyError, TypeError) as error:
            raise DataError(f"{path.parent / 'run.json'}: {error!r}", wanted="the record of a finished run") from error
        grid += _planned([own], path.parent / "run.json")
    grid.sort(key=lambda entry: (entry["fold"], entry["label"], entry["seed"]))
    return grid


def _cell(entry: dict[str, Any], folder: RunFolder) -> Cell:
    if folder.done:
        record, scores, worst = folder.read()
        return Cell(**entry, status="done", record=record, scores=scores, worst=worst)
    failure = folder.failure
    return Cell(**entry, status="failed" if failure else "missing", record=failure or {})


def results_table(results: Results) -> pa.Table:
    """Return one row per cell: every figure with its interval, oracle columns and gap, counts, and provenance.

    Times and machines are not among them (`times_table` has these): a study that was interrupted, or ran elsewhere,
    ends with the same table where its runs do.
    """
    rows = [{"setting": results.settings[c.label]} | _row(c, results.replicates) for c in results.cells]
    return pa.Table.from_pylist(rows, schema=_schema())


def times_table(results: Results) -> pa.Table:
    """Return one row per finished cell: seconds of its training and of the whole cell, and the machine."""
    fields = [("run", pa.string()), ("algorithm", pa.string()), ("fold", pa.string()), ("seed", pa.int64())]
    fields += [("seconds", pa.float64()), ("cell_seconds", pa.float64()), ("machine", pa.string())]
    rows = [
        {"run": c.run, "algorithm": c.label, "fold": c.fold, "seed": c.seed}
        | {name: c.record.get(name) for name in ("seconds", "cell_seconds")}
        | {"machine": json.dumps(c.record.get("machine", {}), sort_keys=True)}
        for c in results.done()
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def _schema() -> pa.Schema:
    text, number, whole = pa.string(), pa.float64(), pa.int64()
    fields = [("run", text), ("algorithm", text), ("setting", text), ("fold", text), ("seed", whole), ("status", text)]
    fields += [("held_out", pa.list_(text)), ("threshold", number), ("threshold_source", text), ("unit", text)]
    for name in NAMES:
        fields += [(name, number), (f"{name}_low", number), (f"{name}_high", number), (f"{name}_interval", text)]
    fields += [(n, number) for n in ("oracle_threshold", "oracle_acer", "oracle_hter", "gap_acer", "gap_hter")]
    fields += [(f"oracle_selection_{n}", number) for n in ("step", "eer", "chosen_eer", "gap")]
    fields += [("apcer_by_species", text)]
    fields += [
        (n, whole) for n in ("bonafide", "attack", "subjects", "failures", "train_rows", "dev_rows", "best_step")
    ]
    fields += [("data", text), ("code_version", text), ("notes", pa.list_(text))]
    return pa.schema(fields)


def _row(cell: Cell, replicates: int) -> dict[str, Any]:
    base = {"run": cell.run, "algorithm": cell.label, "fold": cell.fold, "seed": cell.seed, "status": cell.status}
    if cell.status != "done":
        return base | {"notes": [str(cell.record.get("reason", "not run yet"))]}
    metrics, record = cell.metrics, cell.record
    figures = {name: getattr(metrics, name) for name in NAMES}
    found, notes = intervals(cell.test, metrics.threshold, figures, replicates=replicates)
    row = base | figures | {name: getattr(metrics, name) for name in _schema().names if name in _FROM_METRICS}
    for name, interval in found.items():
        row |= {f"{name}_low": interval.low, f"{name}_high": interval.high, f"{name}_interval": interval.method}
    counts = metrics.counts
    return row | {
        "held_out": record["identity"]["held_out"],
        "apcer_by_species": json.dumps(metrics.apcer_by_species, sort_keys=True),
        **{name: counts[name] for name in ("bonafide", "attack", "subjects", "failures")},
        **{f"oracle_selection_{name}": value for name, value in record.get("oracle_selection", {}).items()},
        "train_rows": record["rows"]["train"],
        "dev_rows": record["rows"]["dev"],
        "best_step": record["best_step"],
        "data": record["identity"]["data"],
        "code_version": record["code_version"],
        "notes": [*metrics.notes, *notes],
    }


_FROM_METRICS = (
    *("threshold", "threshold_source", "unit", "oracle_threshold", "oracle_acer", "oracle_hter"),
    *("gap_acer", "gap_hter"),
)


def row_interval(row: dict[str, Any], name: str) -> Interval | None:
    """Return the interval of one figure of a row of `results_table`."""
    if row.get(f"{name}_low") is None:
        return None
    return Interval(row[name], row[f"{name}_low"], row[f"{name}_high"], row[f"{name}_interval"])
