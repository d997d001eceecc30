"""The report's figures as small inline SVG: no library, no script, text that stays text."""

import numpy as np
from markupsafe import Markup, escape

from spooflab.experiments.report.palette import ATTACK, BONAFIDE
from spooflab.experiments.scores import ScoreSet
from spooflab.experiments.statistics import Friedman

_FEW, _NAME = 10, 19
"""Algorithms that the classic diagram holds, and letters that a line has room for."""


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
    wide = (width - left - right) / bins - 0.8
    for (_, colour, sign), share in zip(sides, shares, strict=True):
        bars = "".join(
            f"M{at(float(start)) + 0.4:.1f} {middle:g}v{sign * tall:.1f}h{wide:.1f}v{-sign * tall:.1f}z"
            for start, tall in zip(edges[:-1], np.sqrt(share / highest) * reach, strict=True)
            if tall > 0
        )
        if bars:
            parts.append(f'<path d="{bars}" fill="{colour}"/>')
    parts.append(f'<line x1="{left}" y1="{middle}" x2="{width - right}" y2="{middle}" class="zero"/>')
    x = at(min(max(threshold, low), high))
    parts.append(f'<line x1="{x:.1f}" y1="{top - 4}" x2="{x:.1f}" y2="{height - foot + 3}" class="threshold"/>')
    anchor = "start" if x < width / 5 else "end" if x > width * 4 / 5 else "middle"
    parts.append(f'<text x="{x:.1f}" y="{height - 4}" text-anchor="{anchor}" class="tau">τ {threshold:.3g}</text>')
    if anchor != "start":
        parts.append(f'<text x="{left}" y="{height - 4}">{low:g}</text>')
    if anchor != "end":
        parts.append(f'<text x="{width - right}" y="{height - 4}" text-anchor="end">{high:g}</text>')
    return svg(width, height, "".join(parts), f"Score histogram, {title}")


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
    spacing = 20 if count <= 12 else 15
    height = axis + 18 + 9 * len(groups) + spacing * count

    def at(rank: float) -> float:
        return left + (rank - 1) / max(1, count - 1) * (width - left - right)

    wide = min(at(1 + difference) - left, width - left - right)
    parts = [
        f'<line x1="{left}" y1="18" x2="{left + wide:.1f}" y2="18" class="cd"/>',
        f'<text x="{left}" y="11">critical difference {difference:.2f}</text>',
        f'<line x1="{left}" y1="{axis}" x2="{width - right}" y2="{axis}" class="zero"/>',
    ]
    for tick in range(1, count + 1, 1 + count // 12):
        parts.append(f'<line x1="{at(tick):.1f}" y1="{axis - 5}" x2="{at(tick):.1f}" y2="{axis}" class="zero"/>')
        parts.append(f'<text x="{at(tick):.1f}" y="{axis - 9}" text-anchor="middle">{tick}</text>')
    for place, (first, last) in enumerate(groups):
        bar = axis + 9 + 9 * place
        x1, x2 = at(ranks[first][1]) - 4, at(ranks[last][1]) + 4
        parts.append(f'<line x1="{x1:.1f}" y1="{bar}" x2="{x2:.1f}" y2="{bar}" class="group"/>')
    for place, (name, rank) in enumerate(ranks):
        base = axis + 22 + 9 * len(groups) + spacing * place
        x = at(rank)
        end = x > width / 2
        parts.append(f'<path d="M{x:.1f} {axis}V{base - 4}" class="{"leader" if count <= 12 else "faint"}"/>')
        anchor, shift = ("end", -6) if end else ("start", 6)
        told = _shorten(name, int(((x if end else width - x) - 8) / _LETTER) - 6)
        parts.append(
            f'<text x="{x + shift:.1f}" y="{base}" text-anchor="{anchor}" class="name">{escape(told)} {rank:.2f}'
            f"<title>{escape(name)}</title></text>"
        )
        parts.append(f'<circle cx="{x:.1f}" cy="{base - 4}" r="3"/>')
    return svg(width, height, "".join(parts), "Critical-difference diagram of mean ranks")


_LETTER = 7.2
"""Width of a letter of a name, at most, in units of the drawing."""


def _shorten(name: str, letters: int) -> str:
    """Cut a name to its first letters where there is no room.

    >>> _shorten("mixstyle", 5)
    'mixs…'
    """
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


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
    return svg(width, bottom + 6, "".join(parts), "Mean ranks with half a critical difference to either side")


def _groups(ranks: list[float], difference: float) -> list[tuple[int, int]]:
    """Maximal runs of sorted ranks that span less than the critical difference."""
    runs: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(i for i in range(first, len(ranks)) if ranks[i] - ranks[first] < difference or i == first)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def svg(width: int, height: int, body: str, title: str) -> Markup:
    """Wrap a drawing that scales to its place. Whatever of `body` came from data must have been escaped there."""
    return Markup(  # noqa: S704  # our own drawing, data escaped above
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{body}</svg>'
    )
