"""`spooflab compare`: by how much two studies differ, and how sure that is."""

import json as json_module
import sys
from pathlib import Path
from typing import Any

import tyro


def compare(
    first: tyro.conf.Positional[Path],
    second: tyro.conf.Positional[Path],
    /,
    *,
    out: Path | None = None,
    paired: bool = False,
    json: bool = False,
) -> int:
    """Compare two studies: what differs in their set-up, and in their errors, with intervals (second − first).

    Columns are matched by their heading, folds by their name. On the same data set the same test people are resampled
    on both sides (paired); otherwise each study's by themselves, and the answer says so.

    Args:
        first: folder of a study.
        second: folder of the study that is held against it.
        out: folder for comparison.html and comparison.json; without it nothing is written.
        paired: refuse what is not paired row by row.
        json: print the comparison as JSON.
    """
    from spooflab.experiments.comparison import compare_studies
    from spooflab.experiments.report.compare_page import render_comparison
    from spooflab.experiments.results import load_results
    from spooflab.experiments.run_folder import write_atomic

    studies = load_results(first), load_results(second)
    told = compare_studies(*studies, require_pairs=paired)
    if out is not None:
        page = render_comparison(told, studies, (str(first), str(second)))
        write_atomic(out / "comparison.json", (json_module.dumps(told, indent=1, allow_nan=False) + "\n").encode())
        write_atomic(out / "comparison.html", page.encode())
    if json:
        sys.stdout.write(json_module.dumps(told, allow_nan=False) + "\n")
    else:
        _show(told, out)
    return 0


_LINES = 12


def _show(told: dict[str, Any], out: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from spooflab.experiments.summary import percent, signed

    console = Console(soft_wrap=True)
    console.print(told["answer"], style="bold", highlight=False, markup=False)
    for sentence in told["certainty"]:
        console.print(sentence, highlight=False, markup=False)
    table = Table("algorithm", "first", "second", "difference", f"{100 * told['columns'][0]['level']:.4g} % interval")
    for c in told["columns"]:
        bounds = "–" if c["low"] is None else f"{signed(c['low'])} to {signed(c['high'])}"
        table.add_row(c["algorithm"], percent(c["first"]), percent(c["second"]), signed(c["difference"]), bounds)
    console.print(table, markup=False)
    for part, lines in told["differs"].items():
        console.print(f"{part}:", style="bold", highlight=False)
        for line in lines[:_LINES]:
            console.print(f"  {line['key']}: {line['first']} → {line['second']}", highlight=False, markup=False)
        if len(lines) > _LINES:
            console.print(f"  and {len(lines) - _LINES} more", highlight=False)
    if out is not None:
        console.print(str(out / "comparison.html"), highlight=False, markup=False)
