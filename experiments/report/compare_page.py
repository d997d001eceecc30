"""The comparison of two studies as one self-contained page."""

from typing import Any

import numpy as np

import spooflab
from spooflab.experiments.report.write import render_page
from spooflab.experiments.results import Results

_LINES = 60
"""Lines of a list that the page shows; comparison.json has all."""


def render_comparison(comparison: dict[str, Any], studies: tuple[Results, Results], names: tuple[str, str]) -> str:
    """Return the page of `compare_studies`' answer.

    Args:
        comparison: what `compare_studies` returned.
        studies: the two, in the same order.
        names: what the reader calls them, such as their folders.
    """
    return render_page(
        "compare.html.j2",
        {
            "comparison": comparison,
            "names": names,
            "titles": [study.study.get("config", {}).get("title") or "" for study in studies],
            "commands": [study.study.get("command", "") for study in studies],
            "runs": [len(study.done()) for study in studies],
            "code": [", ".join(sorted({c.record["code_version"] for c in study.done()})) for study in studies],
            "data": [(study.study.get("data") or {}).get("fingerprint", "unknown") for study in studies],
            "metric": comparison["metric"].upper(),
            "axis": _axis(comparison["columns"]),
            "differs": {part: lines[:_LINES] for part, lines in comparison["differs"].items()},
            "left_out": comparison["left_out"][:_LINES],
            "version": spooflab.__version__,
        },
    )


def _axis(columns: list[dict[str, Any]]) -> dict[str, Any]:
    """Symmetric axis of differences: its end, its ticks, and the place of a value in per cent of its width."""
    far = max(max(abs(c[name] or 0.0) for name in ("low", "high", "difference")) for c in columns)
    step = next((s for s in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if far / s <= 3), 0.5)
    end = step * max(1, int(np.ceil(far / step - 1e-9)))
    count = round(end / step)
    return {
        "ticks": [step * i for i in range(-count, count + 1)],
        "place": lambda value: round(50 + 50 * value / end, 2),
    }
