"""Values of the report's section on why detectors fail, from what `spooflab explain` left beside the runs."""

import base64
import shlex
from pathlib import Path
from typing import Any

from spooflab.atomic import read_plain
from spooflab.experiments.explain.explain import EXPLAIN_FILE, FOLDER, FORMAT, read_explained
from spooflab.experiments.explain.words import doubts, explained_words, left_out, p_words, verdict, way
from spooflab.experiments.report.scatter import marks, scatter
from spooflab.experiments.results import Results

_CHARTS = (("species", "by species"), ("device", "by device"), ("class", "by class"))
_ALONE = 5
"""Parameters shown of the univariate table."""


def explain_view(results: Results) -> dict[str, Any]:
    """Return the section's values; without results the command that makes them."""
    folder = results.folder
    command = f"spooflab explain {shlex.quote(str(folder or 'STUDY'))}"
    path = None if folder is None else folder / FOLDER / EXPLAIN_FILE
    found = read_explained(path) if path is not None and path.is_file() else {}
    if path is None or found.get("format") != FORMAT:
        return {"command": command, "cells": [], "physics": [], "stale": 0}
    done = {cell.run for cell in results.done()}
    order = {cell.run: place for place, cell in enumerate(results.cells)}
    runs = sorted((run for run in found["cells"] if run in done), key=order.__getitem__)
    physics = {label: own for label, own in found["physics"].items() if set(own["runs"]) <= done}
    stale = len(found["cells"]) - len(runs) + len(found["physics"]) - len(physics)
    return {
        "command": command,
        "cells": [_cell(found["cells"][run], path.parent) for run in runs],
        "physics": [_physics(label, own) for label, own in physics.items()],
        "stale": stale,
    }


def _cell(cell: dict[str, Any], folder: Path) -> dict[str, Any]:
    name = f"{cell['label']} · {cell['fold']} · seed {cell['seed']}"
    embedding, saliency = cell["embedding"], cell["saliency"]
    tested = [part == "test" for part in embedding["labels"]["part"]]
    charts = [
        {
            "title": title,
            "svg": scatter(embedding["places"], embedding["labels"][by], tested, f"{name}, features {title}"),
            "marks": marks(sorted(set(embedding["labels"][by]))),
        }
        for by, title in _CHARTS
    ]
    return {
        "name": name,
        "charts": charts,
        "tested": sum(tested),
        "trained": len(tested) - sum(tested),
        "dimensions": embedding["dimensions"],
        "purity": [(line["of"], line["figures"]) for line in embedding["purity"]],
        "methods": [
            {"name": method, "alike": own["alike"], "lines": own["lines"], "words": _verdict(own["lines"])}
            for method, own in saliency["methods"].items()
        ],
        "attacks": saliency["attacks"],
        "gap": saliency.get("gap"),
        "notes": doubts(saliency) + left_out(saliency),
        "cam": saliency["stage"] is not None,
        "pictures": [_picture(card, folder) for card in saliency["pictures"]],
    }


def _verdict(lines: list[dict[str, Any]]) -> str:
    return verdict(next(line for line in lines if line["of"] == "all"))


def _picture(card: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = folder / Path(card["file"]).name
    image = "data:image/jpeg;base64," + base64.b64encode(read_plain(path)).decode() if path.is_file() else ""
    return {**card, "image": image}


def _physics(label: str, found: dict[str, Any]) -> dict[str, Any]:
    sets = list(found["species"].items())
    if found["all"] is not None:
        sets.append(("all species", found["all"]))
    lines = [
        {
            "name": name,
            "words": explained_words(own),
            "rows": own["rows"],
            "people": own["people"],
            "parameters": own["parameters"],
            "named": [
                row | {"toward": way(row["direction"]), "p": p_words(row["p"])}
                for row in own["importances"]
                if row["p"] < 0.05
            ],
            "alone": [row | {"p": p_words(row["p"])} for row in own["univariate"][:_ALONE]],
        }
        for name, own in sets
    ]
    return {"label": label, "lines": lines, "seeds": found["seeds"], "folds": found["folds"]}
