"""The report's figures as small inline SVG: no library, no script, text that stays text."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from scipy.special import ndtri

from spooflab.experiments.metrics import det_points
from spooflab.experiments.report.palette import ATTACK, BONAFIDE, Ink
from spooflab.experiments.scores import FloatArray, ScoreSet
from spooflab.experiments.statistics import Friedman

_LOW, _HIGH = 0.005, 0.95
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
_FEW, _NAME = 10, 19
"""Algorithms that the classic diagram holds, and letters that a line has room for."""
_SIDE, _LEFT, _TOP, _BOTTOM, _RIGHT = 300, 40, 10, 36, 10


@dataclass(frozen=True)
class Curve:
    """One line of a detection error trade-off figure; an algorithm's further seeds are drawn faintly, without a dot."""

    name: str
    scores: ScoreSet
    threshold: float
    ink: Ink
    faint: bool = False


def det(curves: list[Curve], title: str) -> Markup:
    """Draw BPCER over maximum APCER on probit axes; the dot is the operating point that the dev rows fixed."""
    parts = [_det_grid()]
    dots = []
    for curve in curves:
        _, apcer, bpcer = det_points(curve.scores)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(_det_x(apcer), _det_y(bpcer), strict=True))
        dash = f' stroke-dasharray="{curve.ink.dash}"' if curve.ink.dash else ""
        dash += ' stroke-width="1" opacity=".4"' if curve.faint else ' stroke-width="1.9"'
        parts.append(f'<polyline points="{points}" fill="none" stroke="{curve.ink.colour}"{dash}/>')
        if curve.faint:
            continue
        at_apcer, at_bpcer = _rates(curve.scores, curve.threshold)
        x, y = _det_x(np.array([at_apcer]))[0], _det_y(np.array([at_bpcer]))[0]
        label = f"{curve.name}: APCER {100 * at_apcer:.1f} %, BPCER {100 * at_bpcer:.1f} %"
        dots.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.2" fill="{curve.ink.colour}" stroke="#fff" stroke-width="1.4">'
            f"<title>{escape(label)}</title></circle>"
        )
    return _svg(_SIDE, _SIDE, "".join(parts + dots), f"DET curves, {title}")


def _rates(scores: ScoreSet, threshold: float) -> tuple[float, float]:
    from spooflab.experiments.metrics import rates_at

    rates = rates_at(scores, threshold)
    return float(rates["apcer"][0]), float(rates["bpcer"][0])


def _det_unit(rate: FloatArray) -> FloatArray:
    """Place of a rate on a probit axis, 0 to 1; rates off the axis lie on its ends."""
    low, high = ndtri(_LOW), ndtri(_HIGH)
    place: FloatArray = (ndtri(np.clip(rate, _LOW, _HIGH)) - low) / (high - low)
    return place


def _det_x(rate: FloatArray) -> FloatArray:
    return _LEFT + _det_unit(rate) * (_SIDE - _LEFT - _RIGHT)


def _det_y(rate: FloatArray) -> FloatArray:
    return _SIDE - _BOTTOM - _det_unit(rate) * (_SIDE - _TOP - _BOTTOM)


def _det_grid() -> str:
    bottom, right = _SIDE - _BOTTOM, _SIDE - _RIGHT
    parts = [
        f'<rect x="{_LEFT}" y="{_TOP}" width="{right - _LEFT}" height="{bottom - _TOP}" class="plot"/>',
        f'<line x1="{_LEFT}" y1="{bottom}" x2="{right}" y2="{_TOP}" class="diagonal"/>',
    ]
    ticks = np.array(_TICKS)
    for rate, x, y in zip(_TICKS, _det_x(ticks), _det_y(ticks), strict=True):
        text = f"{100 * rate:g}"
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" class="grid"/>')
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{text}</text>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{text}</text>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{_SIDE - 5}" text-anchor="middle" class="axis">APCER, %</text>')
    centre = (_TOP + bottom) / 2
    parts.append(
        f'<text x="11" y="{centre}" text-anchor="middle" class="axis" transform="rotate(-90 11 {centre})">'
        "BPCER, %</text>"
    )
    return "".join(parts)


def histogram(scores: ScoreSet, threshold: float, title: str, bins: int = 40) -> Markup:
    """Draw bona fide upwards and attacks downwards over the score; heights are square roots of the class's share."""
    width, height, left, right, top, foot = 300, 116, 4, 4, 5, 17
    seen = scores.score[~np.isnan(scores.score)]
    low, high = (min(0.0, float(seen.min())), max(1.0, float(seen.max()))) if len(seen) else (0.0, 1.0)
    edges = np.linspace(low, high, bins + 1)
    middle = top + (height - top - foot) / 2
    reach = (height - top - foot) / 2 - 1

    def at(value: float) -> float:
        return left + (value - low) / (high - low) * (width - left - right)

    parts = []
    sides = [(~scores.attack, BONAFIDE, -1), (scores.attack, ATTACK, 1)]
    shares = [np.histogram(scores.score[rows], edges)[0] / max(1, rows.sum()) for rows, _, _ in sides]
    highest = max(float(np.max(shares)), 1e-12)
    for (_, colour, sign), share in zip(sides, shares, strict=True):
        for start, tall in zip(edges[:-1], np.sqrt(share / highest) * reach, strict=True):
            if tall > 0:
                y = middle - tall if sign < 0 else middle
                wide = (width - left - right) / bins - 0.8
                parts.append(
                    f'<rect x="{at(float(start)) + 0.4:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}" '
                    f'fill="{colour}"/>'
                )
    parts.append(f'<line x1="{left}" y1="{middle}" x2="{width - right}" y2="{middle}" class="zero"/>')
    x = at(min(max(threshold, low), high))
    parts.append(f'<line x1="{x:.1f}" y1="{top - 4}" x2="{x:.1f}" y2="{height - foot + 3}" class="threshold"/>')
    anchor = "start" if x < width / 5 else "end" if x > width * 4 / 5 else "middle"
    parts.append(f'<text x="{x:.1f}" y="{height - 4}" text-anchor="{anchor}" class="tau">τ {threshold:.3g}</text>')
    if anchor != "start":
        parts.append(f'<text x="{left}" y="{height - 4}">{low:g}</text>')
    if anchor != "end":
        parts.append(f'<text x="{width - right}" y="{height - 4}" text-anchor="end">{high:g}</text>')
    return _svg(width, height, "".join(parts), f"Score histogram, {title}")


def critical_difference(test: Friedman) -> Markup:
    """Draw mean ranks on a line with the critical difference; algorithms that one bar covers are not told apart."""
    ranks = sorted(test.mean_ranks.items(), key=lambda item: item[1])
    difference = test.critical_difference or 0.0
    count = len(ranks)
    if count > _FEW:
        return _many_ranks(ranks, difference)
    width, left, right = 360, 16, 16
    groups = _groups([rank for _, rank in ranks], difference)
    axis = 50
    height = axis + 18 + 9 * len(groups) + 20 * count

    def at(rank: float) -> float:
        return left + (rank - 1) / max(1, count - 1) * (width - left - right)

    wide = min(at(1 + difference) - left, width - left - right)
    parts = [
        f'<line x1="{left}" y1="18" x2="{left + wide:.1f}" y2="18" class="cd"/>',
        f'<text x="{left}" y="11">critical difference {difference:.2f}</text>',
        f'<line x1="{left}" y1="{axis}" x2="{width - right}" y2="{axis}" class="zero"/>',
    ]
    for tick in range(1, count + 1):
        parts.append(f'<line x1="{at(tick):.1f}" y1="{axis - 5}" x2="{at(tick):.1f}" y2="{axis}" class="zero"/>')
        parts.append(f'<text x="{at(tick):.1f}" y="{axis - 9}" text-anchor="middle">{tick}</text>')
    for place, (first, last) in enumerate(groups):
        bar = axis + 9 + 9 * place
        x1, x2 = at(ranks[first][1]) - 4, at(ranks[last][1]) + 4
        parts.append(f'<line x1="{x1:.1f}" y1="{bar}" x2="{x2:.1f}" y2="{bar}" class="group"/>')
    for place, (name, rank) in enumerate(ranks):
        base = axis + 22 + 9 * len(groups) + 20 * place
        x = at(rank)
        end = x > width / 2
        parts.append(f'<path d="M{x:.1f} {axis}V{base - 4}" class="leader"/>')
        anchor, shift = ("end", -6) if end else ("start", 6)
        parts.append(
            f'<text x="{x + shift:.1f}" y="{base}" text-anchor="{anchor}" class="name">{escape(name)} {rank:.2f}</text>'
        )
        parts.append(f'<circle cx="{x:.1f}" cy="{base - 4}" r="3"/>')
    return _svg(width, height, "".join(parts), "Critical-difference diagram of mean ranks")


def _many_ranks(ranks: list[tuple[str, float]], difference: float) -> Markup:
    """Draw each mean rank in a line of its own, half a critical difference to either side.

    Two algorithms are told apart where their bars do not meet. The band is the best one's: whoever it touches may be as
    good.
    """
    width, left, right, row, top = 360, 132, 14, 15, 34
    count = len(ranks)
    bottom = top + row * count

    def at(rank: float) -> float:
        return left + (min(max(rank, 0.5), count + 0.5) - 0.5) / count * (width - left - right)

    best = ranks[0][1]
    step = next(s for s in (1, 2, 5, 10, 20) if count / s <= 10)
    x1, x2 = at(best - difference / 2), at(best + difference / 2)
    parts = [
        f'<text x="0" y="11">critical difference {difference:.2f}; bars that meet are not told apart</text>',
        f'<rect x="{x1:.1f}" y="{top}" width="{x2 - x1:.1f}" height="{bottom - top}" fill="#0072B2" opacity=".09"/>',
    ]
    for tick in [1, *range(step, count + 1, step)] if step > 1 else range(1, count + 1):
        x = f"{at(tick):.1f}"
        parts.append(f'<line x1="{x}" y1="{top}" x2="{x}" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{x}" y="{top - 5}" text-anchor="middle">{tick}</text>')
    for place, (name, rank) in enumerate(ranks):
        y = top + row * (place + 0.5)
        low, high = at(rank - difference / 2), at(rank + difference / 2)
        colour = "#1d1d1f" if rank - best < difference else "#8a8d94"
        short = name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
        parts.append(
            f'<g class="rank"><title>{escape(name)}: mean rank {rank:.2f}</title>'
            f'<text x="{left - 8}" y="{y + 3.5}" text-anchor="end">{escape(short)} {rank:.1f}</text>'
            f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{colour}" stroke-width="1.6"/>'
            f'<circle cx="{at(rank):.1f}" cy="{y}" r="3" fill="{colour}"/></g>'
        )
    return _svg(width, bottom + 6, "".join(parts), "Mean ranks with half a critical difference to either side")


def _groups(ranks: list[float], difference: float) -> list[tuple[int, int]]:
    """Maximal runs of sorted ranks that span less than the critical difference."""
    runs: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(i for i in range(first, len(ranks)) if ranks[i] - ranks[first] < difference or i == first)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def _svg(width: int, height: int, body: str, title: str) -> Markup:
    # Every text in `body` that comes from data was escaped where it was put in.
    return Markup(  # noqa: S704  # our own drawing, data escaped above
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{body}</svg>'
    )
