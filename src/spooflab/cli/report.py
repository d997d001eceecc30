"""`spooflab report`: write a study's report again from its run folders."""

import json as json_module
import sys
from pathlib import Path
from typing import Any

import tyro


def report(directory: tyro.conf.Positional[Path], /, *, json: bool = False) -> int:
    """Rebuild `results.parquet`, `summary.json` and `report.html` from the run folders alone.

    Args:
        directory: folder of the study.
        json: print the summary as JSON.

    Returns:
        0 when every cell of the study is done, 1 when any is missing, failed or damaged.
    """
    from spooflab.experiments.report import write_report

    summary = write_report(directory)
    print_summary(summary, directory, as_json=json)
    return 0 if summary["runs"]["done"] == summary["runs"]["total"] else 1


def print_summary(summary: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """Print the answer and what is missing to stdout, or the whole summary as JSON."""
    if as_json:
        sys.stdout.write(json_module.dumps(summary) + "\n")
        return
    from rich.console import Console

    console = Console(soft_wrap=True)
    console.print(summary["answer"], style="bold", highlight=False)
    for sentence in summary["certainty"]:
        console.print(sentence, highlight=False)
    runs = summary["runs"]
    parts = [f"{runs['done']} done"] + [f"{runs[k]} {k}" for k in ("failed", "missing") if runs[k]]
    console.print(f"{' · '.join(parts)} · {out / 'report.html'}", highlight=False)
    for failure in summary["failures"]:
        console.print(f"  {failure['cell']}: {failure['reason']}", style="red", highlight=False, markup=False)
        console.print(f"    again: {failure['retry']}", highlight=False, markup=False)
