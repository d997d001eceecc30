"""Explain a study: where features lie, where networks look, and what physics goes with being accepted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spooflab
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.explain.cells import choose_cells, data_of, require_same_data
from spooflab.experiments.explain.network import ExplainSettings, explain_network
from spooflab.experiments.explain.physics import explain_physics
from spooflab.experiments.results import load_results
from spooflab.experiments.run_folder import write_atomic
from spooflab.json_text import parse_json

FORMAT = 1
FOLDER, EXPLAIN_FILE = "explain", "explain.json"
Progress = Callable[[str], None]


def explain_study(
    out: Path,
    *,
    data: Path | None = None,
    fold: str | None = None,
    algorithm: str | None = None,
    seed: int | None = None,
    to: Path | None = None,
    settings: ExplainSettings | None = None,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Explain one cell per fold and the physics of one algorithm; write `explain.json` and pictures, and return it.

    What the folder holds of other cells and algorithms stays.

    Args:
        out: folder of the study.
        data: folder of its data set; None takes the one that the runs recorded.
        fold: this fold alone.
        algorithm: column to explain; None takes the one with the lowest mean error.
        seed: training seed; None takes each fold's lowest for the network, and all for the physics.
        to: folder of the results; None takes `out`/explain, where the report looks for them.
        settings: how much is looked at.
        progress: told what is being done.

    Raises:
        ConfigError: no such fold, algorithm or seed, or captum is not installed.
        DataError: runs, networks or the data set are gone, or the data set is another one.
    """
    from spooflab.reader import read_index

    _require_captum()
    settings = settings or ExplainSettings()
    results = load_results(out)
    cells = choose_cells(results, fold=fold, algorithm=algorithm, seed=seed)
    root = data_of(cells, data)
    index = read_index(root)
    to = out / FOLDER if to is None else to
    found = _read_earlier(to)
    found |= {"format": FORMAT, "spooflab": spooflab.__version__}
    for cell in cells:
        progress(f"{cell.label} · {cell.fold} · seed {cell.seed}")
        require_same_data(cell, index, root)
        found["cells"][cell.run] = explain_network(results, cell, index, root, to, settings)
        _write(to, found)
    label = cells[0].label
    progress(f"{label}: recorded physics")
    found["physics"][label] = explain_physics(results, label, index, fold=fold, seed=seed, root=settings.seed)
    _write(to, found)
    return found


def _require_captum() -> None:
    try:
        import captum  # noqa: F401  # asked for before an hour's work, not after it
    except ImportError as error:
        raise ConfigError(f"spooflab explain: {error}", next_step="pip install 'spooflab[study]'") from error


def _read_earlier(to: Path) -> dict[str, Any]:
    path = to / EXPLAIN_FILE
    if path.is_file():
        found = read_explained(path)
        if found.get("format") == FORMAT:
            return found
    return {"cells": {}, "physics": {}}


def read_explained(path: Path) -> dict[str, Any]:
    """Return the content of an `explain.json`.

    Raises:
        DataError: it is not one.
    """
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"holds {type(found).__name__}")
    except ValueError as error:
        raise DataError(
            f"{path}: {error}", wanted="the file that spooflab explain wrote", next_step=f"rm {path}"
        ) from error
    return found


def _write(to: Path, found: dict[str, Any]) -> None:
    write_atomic(to / EXPLAIN_FILE, (json.dumps(found, sort_keys=True, allow_nan=False) + "\n").encode())
