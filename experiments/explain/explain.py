"""Explain a study: where features lie, where networks look, and what physics goes with being accepted."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

import spooflab
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.explain.cells import (
    choose_cells,
    data_of,
    load_network,
    require_same_data,
    training_keys,
)
from spooflab.experiments.explain.embedding import flat_map, penultimate
from spooflab.experiments.explain.importance import (
    Explained,
    explain_acceptance,
    mean_by_key,
    readiness_ranks,
)
from spooflab.experiments.explain.looks import choose_species, play, read_attacks, show, shown_rows
from spooflab.experiments.explain.neighbours import purity
from spooflab.experiments.explain.parameters import read_parameters
from spooflab.experiments.protocols import column
from spooflab.experiments.results import Cell, Results, load_results
from spooflab.experiments.run_folder import write_atomic
from spooflab.experiments.run_spec import balanced_rows
from spooflab.experiments.scores import IntArray

if TYPE_CHECKING:
    from spooflab.adapters.algorithm import Algorithm

FORMAT = 1
FOLDER, EXPLAIN_FILE = "explain", "explain.json"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class ExplainSettings:
    """How much is looked at.

    Attributes:
        sample: rows of the test part, and of the training part, whose features are mapped.
        attacks: attacks that the pointing game is played on, per cell.
        shown: pictures of accepted attacks, and of detected ones, per cell.
        seed: of every sample, shuffle, forest and map.
    """

    sample: int = 240
    attacks: int = 96
    shown: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"sample": 40, "attacks": 8, "shown": 0, "seed": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ConfigError(f"--{name} {getattr(self, name)}", wanted=f"{value} or more")


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
        found["cells"][cell.run] = _explain_cell(results, cell, index, root, to, settings)
        _write(to, found)
    label = cells[0].label
    progress(f"{label}: recorded physics")
    found["physics"][label] = _explain_physics(results, label, index, fold=fold, seed=seed, root=settings.seed)
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
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(
            f"{path}: {error}", wanted="the file that spooflab explain wrote", next_step=f"rm {path}"
        ) from error
    return found


def _write(to: Path, found: dict[str, Any]) -> None:
    write_atomic(to / EXPLAIN_FILE, (json.dumps(found, sort_keys=True, allow_nan=False) + "\n").encode())


def _explain_cell(
    results: Results, cell: Cell, index: pa.Table, data: Path, to: Path, settings: ExplainSettings
) -> dict[str, Any]:
    assert results.folder is not None  # read from a folder
    train = training_keys(results, cell, index)
    model = load_network(results.folder, cell)
    place = {key: row for row, key in enumerate(column(index, "key").tolist())}
    test = np.sort(np.array([place[key] for key in cell.test.key.tolist()], dtype=np.int64))
    return {
        "label": cell.label,
        "fold": cell.fold,
        "seed": cell.seed,
        "settings": asdict(settings),
        "embedding": _embedding(model, index, data, {"test": test, "train": train}, settings),
        "saliency": _saliency(model, cell, index, data, test, to, settings),
    }


def _embedding(
    model: "Algorithm", index: pa.Table, data: Path, parts: dict[str, IntArray], settings: ExplainSettings
) -> dict[str, Any]:
    from spooflab.adapters import ImageSet

    chosen = {name: balanced_rows(index, rows, settings.sample, settings.seed) for name, rows in parts.items()}
    rows = np.concatenate(list(chosen.values()))
    keys = column(index, "key")[rows].tolist()
    features = penultimate(model, ImageSet.load(data, keys, model.backbone.size).images)
    labels = {
        "species": column(index, "species")[rows],
        "device": column(index, "device_profile")[rows],
        "class": np.where(column(index, "label")[rows] == "attack", "attack", "bona fide"),
        "part": np.repeat(list(chosen), [len(own) for own in chosen.values()]),
    }
    attack, tested = labels["class"] == "attack", labels["part"] == "test"
    asked = {
        "class, test rows": ("class", tested),
        "species, attacks": ("species", attack),
        "device": ("device", np.ones(len(rows), dtype=bool)),
        "device, test rows": ("device", tested),
        "test or training row": ("part", np.ones(len(rows), dtype=bool)),
    }
    measured = [
        (title, purity(features[some], labels[by][some], seed=settings.seed)) for title, (by, some) in asked.items()
    ]
    places = flat_map(features, settings.seed)
    return {
        "keys": keys,
        "places": places.tolist(),
        "labels": {name: values.tolist() for name, values in labels.items()},
        "dimensions": features.shape[1],
        "purity": [
            {"of": title, "figures": p and asdict(p) | {"excess": p.excess, "clustered": p.clustered}}
            for title, p in measured
        ],
    }


def _saliency(
    model: "Algorithm",
    cell: Cell,
    index: pa.Table,
    data: Path,
    test: IntArray,
    to: Path,
    settings: ExplainSettings,
) -> dict[str, Any]:
    from spooflab.experiments.explain.saliency import cam_stage

    stage = cam_stage(model)
    attacks = test[column(index, "label")[test] == "attack"]
    playing, whole, bare = choose_species(data, index, attacks)
    open_rows = attacks[np.isin(column(index, "species")[attacks], playing)]
    game: dict[str, Any] = {"methods": {}, "attacks": 0}
    if len(open_rows):
        rows = balanced_rows(index, open_rows, settings.attacks, settings.seed)
        game = play(model, read_attacks(data, index, rows, cell, model.backbone.size), stage=stage, seed=settings.seed)
    pictures = _pictures(model, cell, index, data, to, settings.shown, stage)
    return {**game, "stage": stage, "playing": playing, "whole_frame": whole, "no_mask": bare, "pictures": pictures}


def _pictures(
    model: "Algorithm", cell: Cell, index: pa.Table, data: Path, to: Path, count: int, stage: int | None
) -> list[dict[str, Any]]:
    """Accepted attacks with what spoke for bona fide, and detected ones with what spoke for attack."""
    from spooflab.experiments.explain.saliency import ATTACK, BONAFIDE

    for earlier in to.glob(f"{cell.run}-*.jpg"):
        earlier.unlink()
    score = dict(zip(cell.test.key.tolist(), cell.test.score.tolist(), strict=True))
    cards = []
    for judged, rows, sign in zip(
        ("accepted", "detected"), shown_rows(cell, index, count), (BONAFIDE, ATTACK), strict=True
    ):
        if not len(rows):
            continue
        attacks = read_attacks(data, index, rows, cell, model.backbone.size)
        for row, strip in enumerate(show(model, attacks, np.arange(len(rows)), sign=sign, stage=stage)):
            key = attacks.keys[row]
            name = f"{cell.run}-{judged}-{key}.jpg"
            write_atomic(to / name, strip)
            known = None if np.isnan(score[key]) else score[key]
            cards.append({"judged": judged, "key": key, "species": attacks.species[row], "score": known, "file": name})
    return cards


def _explain_physics(
    results: Results, label: str, index: pa.Table, *, fold: str | None, seed: int | None, root: int
) -> dict[str, Any]:
    """Ask for each species, over the folds that judged it, and over all: which recorded physics goes with passing."""
    cells = [c for c in results.done() if c.label == label and fold in (None, c.fold) and seed in (None, c.seed)]
    tests = [cell.test for cell in cells]
    keys, readiness = mean_by_key(
        [test.key[test.attack] for test in tests],
        [readiness_ranks(test.score[test.attack], test.species[test.attack]) for test in tests],
    )
    place = {key: row for row, key in enumerate(column(index, "key").tolist())}
    rows = index.take(pa.array([place[key] for key in keys.tolist()], type=pa.int64()))
    species = column(rows, "species")

    def explain(some: Any, least_known: float) -> dict[str, Any]:
        own = rows.take(pa.array(np.flatnonzero(some)))
        parameters = read_parameters(own, least_known)
        people, groups = column(own, "subject_id"), column(own, "subject_group")
        return _plain(explain_acceptance(parameters, readiness[some], people, groups, seed=root))

    names = sorted(set(species.tolist()))
    found = {name: explain(species == name, 0.5) for name in names}
    # Over all species only what every attack has: where a parameter is unknown would tell which species it was.
    every = explain(np.ones(len(keys), dtype=bool), 1.0) if len(names) > 1 else None
    return {
        "species": found,
        "all": every,
        "runs": sorted(cell.run for cell in cells),
        "folds": sorted({cell.fold for cell in cells}),
        "seeds": sorted({cell.seed for cell in cells}),
    }


_KEPT = 12


def _plain(found: Explained) -> dict[str, Any]:
    """JSON-ready, with the strongest rows alone: hundreds of parameters are noise by the page."""
    short = asdict(found)
    return short | {"importances": short["importances"][:_KEPT], "univariate": short["univariate"][:_KEPT]}
