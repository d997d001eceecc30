"""`spooflab report`: write a study's report again from its run folders."""

import json as json_module
import sys
from pathlib import Path
from typing import Any

import tyro


def report(
    directory: tyro.conf.Positional[Path],
    /,
    *,
    show: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    json: bool = False,
) -> int:
    """Rebuild `report.html`, `summary.json`, `results.parquet` and `tables/` from the run folders alone.

    Args:
        directory: folder of the study.
        show: a column that the figures of a wide study draw besides the best and the baseline; may be given again.
        json: print the summary as JSON.

    Returns:
        0 when every cell of the study is done, 1 when any is missing, failed or damaged.
    """
    from spooflab.experiments.report import write_report

    summary = write_report(directory, show)
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
