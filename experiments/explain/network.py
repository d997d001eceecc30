"""Everything about one trained network: the map of its features, and where it looks."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spooflab.errors import ConfigError
from spooflab.experiments.balanced_rows import balanced_rows
from spooflab.experiments.explain.cells import load_network, training_keys
from spooflab.experiments.explain.embedding import flat_map, penultimate
from spooflab.experiments.explain.looks import choose_species, play, read_attacks, show, shown_rows
from spooflab.experiments.explain.neighbours import purity
from spooflab.experiments.protocols import column
from spooflab.experiments.results import Cell, Results
from spooflab.experiments.run_folder import write_atomic
from spooflab.experiments.scores import IntArray

if TYPE_CHECKING:
    from spooflab.adapters.algorithm import Algorithm


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


def explain_network(
    results: Results, cell: Cell, index: pa.Table, data: Path, to: Path, settings: ExplainSettings
) -> dict[str, Any]:
    """Map the features of one cell's network, see where it looks, and write its pictures.

    Args:
        results: the study.
        cell: whose network.
        index, data: the data set's rows and folder.
        to: folder of the pictures.
        settings: how much is looked at.

    Raises:
        DataError: the network is gone, or the study cuts the data otherwise than the run did.
    """
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
