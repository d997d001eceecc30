"""Figures on a plain square: reliability diagrams, cost curves, and rates by device, as inline SVG."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from spooflab.experiments.report.palette import ATTACK, BONAFIDE
from spooflab.experiments.scores import FloatArray

_SIDE, _LEFT, _TOP, _BOTTOM, _RIGHT = 300, 40, 10, 36, 10
_WIDE, _HIGH = _SIDE - _LEFT - _RIGHT, _SIDE - _TOP - _BOTTOM
_INK, _SOFT = "#0072B2", "#8a8d94"


def reliability(test: Sequence[Mapping[str, Any]], dev: Sequence[Mapping[str, Any]], title: str) -> Markup:
    """Draw the share of bona fide over the mean score: test bins with their intervals, dev dashed, truth diagonal."""
    parts = [
        _frame("score: stated likelihood of bona fide", "share that is bona fide"),
        f'<line x1="{_x(0):.1f}" y1="{_y(0):.1f}" x2="{_x(1):.1f}" y2="{_y(1):.1f}" class="diagonal"/>',
        _line([entry["stated"] for entry in dev], [entry["seen"] for entry in dev], _SOFT, dash="5 3"),
        _line([entry["stated"] for entry in test], [entry["seen"] for entry in test], _INK),
    ]
    for entry in test:
        x = f"{_x(entry['stated']):.1f}"
        told = (
            f"stated {entry['stated']:.2f}, seen {entry['seen']:.2f} "
            f"({entry['low']:.2f} to {entry['high']:.2f}), {entry['rows']} rows"
        )
        parts.append(
            f'<line x1="{x}" y1="{_y(entry["low"]):.1f}" x2="{x}" y2="{_y(entry["high"]):.1f}" stroke="{_INK}" '
            f'stroke-width="1.4" opacity=".55"/><circle cx="{x}" cy="{_y(entry["seen"]):.1f}" r="3.4" fill="{_INK}">'
            f"<title>{escape(told)}</title></circle>"
        )
    return _svg(_SIDE, _SIDE, "".join(parts), f"Reliability diagram, {title}")


def cost_curve(
    stake: Sequence[float], lines: Mapping[str, Sequence[float]], marks: Sequence[float], title: str
) -> Markup:
    """Draw normalised expected cost over the stake of attacks; grey is what looking at nothing costs.

    Args:
        stake: where the lines are given, 0 to 1.
        lines: `dev_eer`, `dev_cost` and `oracle`.
        marks: stakes of the study's own costs, as ticks.
        title: of the figure.
    """
    at = np.asarray(stake)
    idle = np.minimum(at, 1 - at)
    parts = [_frame("stake of attacks x", "normalised expected cost", top=0.5)]
    for mark in marks:
        parts.append(
            f'<line x1="{_x(mark):.1f}" y1="{_TOP}" x2="{_x(mark):.1f}" y2="{_SIDE - _BOTTOM}" class="threshold" '
            f'opacity=".45"/>'
        )
    parts.append(_line(at, 2 * idle, "#c9c5ba", width=1.4))
    parts.append(_line(at, 2 * np.asarray(lines["oracle"]), _SOFT, dash="2 2.5"))
    parts.append(_line(at, 2 * np.asarray(lines["dev_eer"]), ATTACK, dash="7 3"))
    parts.append(_line(at, 2 * np.asarray(lines["dev_cost"]), _INK))
    return _svg(_SIDE, _SIDE, "".join(parts), f"Cost curve, {title}")


def device_rates(devices: Mapping[str, Mapping[str, Any]], metric: str, title: str) -> Markup:
    """Draw APCER and BPCER of each device at dev's threshold, joined; the ring is at the device's own (oracle)."""
    left, right, row, top = 104, 14, 24, 8
    height = top + row * len(devices) + 36
    highest = max([max(d["apcer"], d["bpcer"], d[f"oracle_{metric}"]) for d in devices.values()], default=0.0)
    end = next(e for e in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if highest <= e)

    def at(rate: float) -> float:
        return left + rate / end * (_SIDE - left - right)

    bottom = top + row * len(devices)
    parts = []
    for tick in np.linspace(0, end, 5):
        x = f"{at(float(tick)):.1f}"
        parts.append(f'<line x1="{x}" y1="{top}" x2="{x}" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{100 * tick:g}</text>')
    middle = (left + _SIDE - right) / 2
    parts.append(f'<text x="{middle}" y="{height - 5}" text-anchor="middle" class="axis">error rate, %</text>')
    for place, (name, rates) in enumerate(devices.items()):
        y = top + row * place + row / 2
        apcer, bpcer, own = at(rates["apcer"]), at(rates["bpcer"]), at(rates[f"oracle_{metric}"])
        told = (
            f"{name}: APCER {100 * rates['apcer']:.1f} %, BPCER {100 * rates['bpcer']:.1f} %; "
            f"own threshold (oracle) {100 * rates[f'oracle_{metric}']:.1f} %"
        )
        parts.append(
            f"<g><title>{escape(told)}</title>"
            f'<text x="{left - 8}" y="{y + 3.5}" text-anchor="end">{escape(_short(name))}</text>'
            f'<line x1="{apcer:.1f}" y1="{y}" x2="{bpcer:.1f}" y2="{y}" class="leader"/>'
            f'<circle cx="{own:.1f}" cy="{y}" r="4.6" fill="none" stroke="#1d1d1f" stroke-width="1.3"/>'
            f'<rect x="{apcer - 3.6:.1f}" y="{y - 3.6}" width="7.2" height="7.2" fill="{ATTACK}"/>'
            f'<circle cx="{bpcer:.1f}" cy="{y}" r="3.8" fill="{BONAFIDE}"/></g>'
        )
    return _svg(_SIDE, height, "".join(parts), f"Error rates by device, {title}")


def _short(name: str) -> str:
    return name if len(name) <= 17 else f"{name[:16]}…"


def _x(value: float) -> float:
    return _LEFT + value * _WIDE


def _y(value: float) -> float:
    return _SIDE - _BOTTOM - value * _HIGH


def _line(
    x: Sequence[float] | FloatArray, y: Sequence[float] | FloatArray, colour: str, *, dash: str = "", width: float = 1.9
) -> str:
    points = " ".join(f"{_x(float(a)):.1f},{_y(min(float(b), 1.0)):.1f}" for a, b in zip(x, y, strict=True))
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>'


def _frame(across: str, up: str, top: float = 1.0) -> str:
    """Axes from 0 to 1 and from 0 to `top`, with a light grid."""
    bottom, right = _SIDE - _BOTTOM, _SIDE - _RIGHT
    parts = [f'<rect x="{_LEFT}" y="{_TOP}" width="{_WIDE}" height="{_HIGH}" class="plot"/>']
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        x, y = f"{_x(tick):.1f}", f"{_y(tick):.1f}"
        parts.append(f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}" class="grid"/>')
        parts.append(f'<line x1="{_LEFT}" y1="{y}" x2="{right}" y2="{y}" class="grid"/>')
        parts.append(f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{_LEFT - 6}" y="{_y(tick) + 3.5:.1f}" text-anchor="end">{top * tick:g}</text>')
    parts.append(
        f'<text x="{_LEFT + _WIDE / 2}" y="{_SIDE - 5}" text-anchor="middle" class="axis">{escape(across)}</text>'
    )
    centre = _TOP + _HIGH / 2
    parts.append(
        f'<text x="11" y="{centre}" text-anchor="middle" class="axis" transform="rotate(-90 11 {centre})">{escape(up)}'
        "</text>"
    )
    return "".join(parts)


def _svg(width: int, height: int, body: str, title: str) -> Markup:
    # Every text in `body` that comes from data was escaped where it was put in.
    return Markup(  # noqa: S704  # our own drawing, data escaped above
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{body}</svg>'
    )
