"""`spooflab evaluate`: every figure of a detector, from a file of its scores."""

import json as json_module
import sys
from pathlib import Path
from typing import Any

import tyro

_TITLES = {
    "apcer": "APCER (worst species)",
    "bpcer": "BPCER",
    "acer": "ACER",
    "hter": "HTER",
    "eer": "EER",
    "auc": "AUC",
    "bpcer10": "BPCER at APCER ≤ 10 %",
    "bpcer20": "BPCER at APCER ≤ 5 %",
    "bpcer100": "BPCER at APCER ≤ 1 %",
    "tpr_at_fpr1": "TPR at FPR ≤ 1 %",
}


def evaluate(
    scores: tyro.conf.Positional[Path],
    /,
    *,
    json: bool = False,
    bootstrap: int = 2000,
    threshold: float | None = None,
) -> int:
    """Compute APCER, BPCER, ACER, HTER, EER, AUC and budgeted rates from a CSV of scores, with intervals.

    Columns: score (bona fide likelihood; empty is a failure to acquire), label (bonafide or attack), species, and
    optionally subject, device, split (dev or test) and clip. The threshold is fixed on the dev rows.

    Args:
        scores: CSV file.
        json: print JSON instead of a table.
        bootstrap: resamples of subjects.
        threshold: a threshold fixed elsewhere, instead of the dev rows' equal-error point.
    """
    import math

    from spooflab.errors import ConfigError
    from spooflab.experiments.score_file import judge, read_score_file

    if bootstrap < 1:
        raise ConfigError(f"--bootstrap {bootstrap}", wanted="1 or more; 2000 for a report")
    if threshold is not None and not math.isfinite(threshold):
        raise ConfigError(f"--threshold {threshold}", wanted="a finite number")
    told = judge(read_score_file(scores), replicates=bootstrap, threshold=threshold)
    if json:
        sys.stdout.write(json_module.dumps(told, allow_nan=False) + "\n")
    else:
        _show(told)
    return 0


def _show(told: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    counts = told["counts"]
    table = Table("", "value", "95 % interval", "", title=f"{counts['bonafide']} bona fide, {counts['attack']} attacks")
    for name, title in _TITLES.items():
        interval = told["intervals"].get(name)
        bounds = f"{_percent(interval['low'])} – {_percent(interval['high'])}" if interval else ""
        table.add_row(title, _percent(told[name]), bounds, interval["method"] if interval else "")
    for name, exact in told["apcer_exact"].items():
        bounds = f"{_percent(exact['low'])} – {_percent(exact['high'])}"
        table.add_row(f"  accepted: {name}", _percent(exact["rate"]), bounds, f"{exact['errors']} of {exact['of']}")
    for name, exact in told["bpcer_by_device"].items():
        if exact:
            bounds = f"{_percent(exact['low'])} – {_percent(exact['high'])}"
            table.add_row(f"  BPCER on {name}", _percent(exact["rate"]), bounds, f"{exact['errors']} of {exact['of']}")
    console.print(table)
    console.print(f"threshold {told['threshold']} from {told['threshold_source']} · unit: {told['unit']}")
    if told["oracle_acer"] is not None and told["threshold_source"] != "oracle":
        gap = "" if told["gap_acer"] is None else f", {100 * told['gap_acer']:.1f} points below the honest one"
        console.print(f"oracle ACER (threshold chosen on the test rows): {_percent(told['oracle_acer'])}{gap}")
    for key in told["failures"]:
        console.print(f"no score: {key}", highlight=False)
    for note in told["notes"]:
        console.print(f"note: {note}", style="yellow", highlight=False)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"
