"""The report's curve of a synthetic-to-real study: error on real rows over the synthetic share of the training rows."""

from typing import Any

from markupsafe import Markup, escape

from spooflab.experiments.report.palette import Ink, inks
from spooflab.experiments.results import Results

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 460, 260, 40, 26, 10, 36


def ratio_curve_view(results: Results, summary: dict[str, Any]) -> dict[str, Any]:
    """Return the figure and its title where the protocol is `synthetic_to_real` with two ratios or more, else nothing.

    Args:
        results: the study's cells.
        summary: from `summarise`, whose matrix has one line per ratio.
    """
    protocol = results.study.get("config", {}).get("protocol", {})
    folds = [fold for fold in summary["matrix"] if fold.startswith("synthetic ")]
    if protocol.get("name") != "synthetic_to_real" or len(folds) < 2:
        return {}
    points: dict[str, list[tuple[float, dict[str, Any]]]] = {}
    for fold in folds:
        for label, entry in summary["matrix"][fold].items():
            if entry:
                points.setdefault(label, []).append((float(fold.removeprefix("synthetic ")), entry))
    found = [max(e["value"], e["high"] or 0.0) for told in points.values() for _, e in told]
    top = next((limit for limit in (0.1, 0.2, 0.4, 0.6, 0.8) if max(found, default=1.0) <= limit), 1.0)
    ink = inks(results.algorithms)
    body = _axes(top, sorted({r for told in points.values() for r, _ in told}))
    for place, (label, told) in enumerate(points.items()):
        aside = 3.0 * (place - (len(points) - 1) / 2)  # bars of one ratio stand side by side
        body += _line(label, sorted(told, key=lambda point: point[0]), ink[label], top, aside)
    head = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%" role="img" aria-label="Error over the synthetic share">'
    rows = {fold["name"]: fold["rows"]["train"] for fold in results.study.get("folds", [])}
    # Every text in the figure that comes from data was escaped where it was put in.
    return {"svg": Markup(f"{head}{body}</svg>"), "train_rows": max(rows.values(), default=0)}  # noqa: S704  # our own drawing


def _x(ratio: float) -> float:
    return _LEFT + ratio * (_WIDTH - _LEFT - _RIGHT)


def _y(rate: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - rate / top * (_HEIGHT - _TOP - _BOTTOM)


def _axes(top: float, ratios: list[float]) -> str:
    low = _HEIGHT - _BOTTOM
    parts = [
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_WIDTH - _LEFT - _RIGHT}" height="{low - _TOP}" class="plot"/>',
        f'<text x="{(_LEFT + _WIDTH) / 2:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">synthetic share</text>',
    ]
    parts += [f'<text x="{_x(r):.1f}" y="{low + 14}" text-anchor="middle">{100 * r:.0f} %</text>' for r in ratios]
    for step in range(5):
        rate, right = top * step / 4, _WIDTH - _RIGHT
        y = f"{_y(rate, top):.1f}"
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y}" dy="3" text-anchor="end">{100 * rate:.0f} %</text>')
    return "".join(parts)


def _line(label: str, told: list[tuple[float, dict[str, Any]]], ink: Ink, top: float, aside: float) -> str:
    dash = f' stroke-dasharray="{ink.dash}"' if ink.dash else ""
    points = " ".join(f"{_x(ratio) + aside:.1f},{_y(entry['value'], top):.1f}" for ratio, entry in told)
    parts = [f'<polyline points="{points}" fill="none" stroke="{ink.colour}" stroke-width="1.9"{dash}/>']
    for ratio, entry in told:
        x, y = _x(ratio) + aside, _y(entry["value"], top)
        if entry["low"] is not None:
            ends = f'y1="{_y(entry["low"], top):.1f}" y2="{_y(entry["high"], top):.1f}"'
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" {ends} stroke="{ink.colour}" opacity=".5"/>')
        title = f"{label}: {100 * entry['value']:.1f} % at {100 * ratio:.0f} % synthetic"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{ink.colour}"><title>{escape(title)}</title></circle>'
        )
    return "".join(parts)
