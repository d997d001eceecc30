"""Which cells of a study are explained, and what each needs: its network and the rows that it was trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spooflab.errors import ConfigError, DataError
from spooflab.experiments.protocols import column
from spooflab.experiments.results import Cell, Results
from spooflab.experiments.run_spec import data_fingerprint, digest, training_rows
from spooflab.experiments.scores import IntArray

if TYPE_CHECKING:
    from spooflab.adapters.algorithm import Algorithm


def choose_cells(
    results: Results, *, fold: str | None = None, algorithm: str | None = None, seed: int | None = None
) -> list[Cell]:
    """Return one finished cell per fold: of the algorithm asked for, or of the best one, at its lowest finished seed.

    Raises:
        ConfigError: a name or seed that the study does not have, or a column that adapts at test time.
        DataError: no such cell is finished.
    """
    _require_known("fold", fold, results.folds)
    _require_known("algorithm", algorithm, results.algorithms)
    _require_known("seed", seed, results.seeds)
    algorithm = best_algorithm(results) if algorithm is None else algorithm
    if results.settings[algorithm] == "test_time":
        raise ConfigError(
            f"algorithm {algorithm} adapts at test time, and the network that it ends with is not kept",
            wanted="a column whose network is in runs/ID/training",
        )
    cells = [c for c in results.done() if c.label == algorithm and fold in (None, c.fold) and seed in (None, c.seed)]
    first: dict[str, Cell] = {}
    for cell in sorted(cells, key=lambda cell: cell.seed):
        first.setdefault(cell.fold, cell)
    if not first:
        asked = [f"{name} {value}" for name, value in (("fold", fold), ("seed", seed)) if value is not None]
        raise DataError(
            f"no finished run of {', '.join([algorithm, *asked])}",
            wanted="one or more",
            next_step=str(results.study.get("command", "")),
        )
    return [first[name] for name in results.folds if name in first]


def best_algorithm(results: Results) -> str:
    """Return the column with the lowest mean of the study's metric over its finished cells; adapted ones left out."""
    means: dict[str, list[float]] = {}
    for cell in results.done():
        value = getattr(cell.metrics, results.metric)
        if value is not None and results.settings[cell.label] != "test_time":
            means.setdefault(cell.label, []).append(value)
    if not means:
        raise DataError("no finished run with a figure to choose by", wanted="a study with finished runs")
    # Columns that lack folds are no match for those that have all.
    most = max(len(values) for values in means.values())
    return min((label for label, v in means.items() if len(v) == most), key=lambda label: float(np.mean(means[label])))


def _require_known(what: str, value: Any, known: list[Any]) -> None:
    if value is not None and value not in known:
        raise ConfigError(f"the study has no {what} {value!r}", wanted=f"one of {', '.join(map(str, known))}")


def data_of(cells: list[Cell], data: Path | None) -> Path:
    """Return the data set's folder: the one named, else the one that the runs recorded.

    Raises:
        DataError: it is gone.
    """
    root = data or Path(cells[0].record["data"])
    if not (root / "plan.json").is_file():
        raise DataError(
            f"{root}: the data set that the runs were judged on is not there",
            wanted="the same images, wherever they lie now",
            next_step="spooflab explain … --data FOLDER",
        )
    return root


def require_same_data(cell: Cell, index: pa.Table, data: Path) -> None:
    """Refuse a data set with other samples or images than those that the run was judged on."""
    if data_fingerprint(index) != cell.record["identity"]["data"]:
        raise DataError(
            f"{data}: its samples are not those of run {cell.run}",
            wanted="the data set that the study was run on (same keys, same images)",
            next_step="spooflab explain … --data FOLDER",
        )


def training_keys(results: Results, cell: Cell, index: pa.Table) -> IntArray:
    """Return the positions of the cell's training rows, cut again by the study's protocol and checked against the run.

    Raises:
        DataError: study.json is gone, or cuts the data otherwise now.
    """
    from spooflab.config import parse_config
    from spooflab.experiments.study_config import StudyConfig

    if not results.study:
        raise DataError(f"{results.folder}: study.json is gone", wanted="the plan, which says what was trained on")
    config = parse_config(results.study["config"], StudyConfig, origin="study.json")
    fold = next((fold for fold in config.protocol.folds(index) if fold.name == cell.fold), None)
    rows = None if fold is None else training_rows(index, fold, config.train_size, config.protocol.split.seed)
    if rows is None or digest(column(index, "key")[rows].tolist()) != cell.record["identity"]["rows"]["train"]:
        raise DataError(
            f"run {cell.run}: study.json does not cut the data into the rows that it was trained on",
            wanted="the study's own study.json and data set",
        )
    return rows


def load_network(out: Path, cell: Cell) -> "Algorithm":
    """Rebuild the network of a finished run, on the CPU.

    Raises:
        DataError: its files are gone or damaged.
    """
    from spooflab.adapters import load_model

    folder = out / "runs" / cell.run
    try:
        return load_model(folder / "training")
    except DataError as error:
        raise DataError(
            f"{cell.label} · {cell.fold} · seed {cell.seed}: the network to explain is gone: {error.seen}",
            wanted=error.wanted,
            next_step=f"delete {folder} and repeat the study's command to train it again",
        ) from error
