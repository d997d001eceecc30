"""`spooflab explain`: why a study's detector fails, for the report."""

import json as json_module
import shlex
import sys
from pathlib import Path
from typing import Any

import tyro


def explain(
    directory: tyro.conf.Positional[Path],
    /,
    *,
    fold: str | None = None,
    algorithm: str | None = None,
    seed: int | None = None,
    data: Path | None = None,
    out: Path | None = None,
    sample: int = 240,
    attacks: int = 96,
    shown: int = 4,
    json: bool = False,
) -> int:
    """Say why a study's detector fails: its features, where it looks, and the physics of what it accepts.

    For one network per fold: a map of its features with the purity of neighbours, Grad-CAM and integrated gradients
    checked against the spoof masks, and which recorded parameters go with being accepted. The report shows it then.

    Args:
        directory: folder of the study.
        fold: this fold alone, instead of all.
        algorithm: column to explain, instead of the one with the lowest mean error.
        seed: training seed, instead of each fold's lowest (and all of them for the physics).
        data: folder of the data set, where it is no longer where the runs found it.
        out: folder of the results, instead of DIRECTORY/explain, where the report looks for them.
        sample: rows of the test part and of the training part on the map.
        attacks: attacks that the pointing game is played on, per fold.
        shown: pictures of accepted and of detected attacks, per fold.
        json: print the results as JSON.

    Returns:
        0 when all that was asked for is explained.
    """
    from rich.console import Console

    from spooflab.experiments.explain import EXPLAIN_FILE, FOLDER, ExplainSettings, explain_study

    settings = ExplainSettings(sample=sample, attacks=attacks, shown=shown)
    console = Console(stderr=True, soft_wrap=True)
    found = explain_study(
        directory,
        data=data,
        fold=fold,
        algorithm=algorithm,
        seed=seed,
        to=out,
        settings=settings,
        progress=lambda what: console.print(what, highlight=False, markup=False),
    )
    if json:
        sys.stdout.write(json_module.dumps(found) + "\n")
        return 0
    _show(found, (directory / FOLDER if out is None else out) / EXPLAIN_FILE)
    if out is None:
        Console(soft_wrap=True).print(f"in the report: spooflab report {shlex.quote(str(directory))}", highlight=False)
    return 0


def _show(found: dict[str, Any], path: Path) -> None:
    from rich.console import Console

    from spooflab.experiments.explain.words import physics_words, pointing_words, purity_words

    console = Console(soft_wrap=True)
    for cell in found["cells"].values():
        console.print(f"{cell['label']} · {cell['fold']} · seed {cell['seed']}", style="bold", highlight=False)
        for sentence in (*purity_words(cell["embedding"]), *pointing_words(cell["saliency"])):
            console.print(f"  {sentence}", highlight=False, markup=False)
    for label, physics in found["physics"].items():
        console.print(f"{label}: physics", style="bold", highlight=False)
        for sentence in physics_words(physics):
            console.print(f"  {sentence}", highlight=False, markup=False)
    console.print(str(path), highlight=False)
