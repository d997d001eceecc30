"""The page's figures as inline SVG: bands of spectra, noise over luma, strips of scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

SYNTHETIC_INK, REAL_INK, CONTROL_INK = "#C4541A", "#0B7A75", "#6b6f76"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 360, 220, 44, 10, 10, 36
Ticks = Sequence[tuple[float, str]]


def spectra_figure(entry: dict[str, Any], title: str) -> Markup:
    """Draw both sides' radial spectra: mean lines and bands from the 10th to the 90th percentile of single pictures."""
    edges = np.asarray(entry["edges"])
    x = np.log10(np.sqrt(edges[:-1] * edges[1:]))
    ticks = [(float(np.log10(v)), f"{v:g}") for v in (0.02, 0.05, 0.1, 0.2, 0.5)]
    return _bands(x, entry, ticks, "cycles per stored pixel", "power, dB", title)


def noise_figure(entry: dict[str, Any], title: str) -> Markup:
    """Draw both sides' noise-level functions."""
    ticks = [(v, f"{v:g}") for v in (0.0, 0.2, 0.4, 0.6, 0.8)]
    return _bands(np.asarray(entry["luma"]), entry, ticks, "luma of flat blocks", "noise variance, dB", title)


def _bands(x: np.ndarray, entry: dict[str, Any], ticks: Ticks, x_name: str, y_name: str, title: str) -> Markup:
    sides = (("synthetic", SYNTHETIC_INK, "7 3"), ("real", REAL_INK, ""))
    lines = {
        side: {k: 10 * np.array([np.nan if v is None else v for v in entry[side][k]]) for k in ("mean", "low", "high")}
        for side, _, _ in sides
    }
    everything = np.concatenate([v for side in lines.values() for v in side.values()])
    if not np.isfinite(everything).any():
        return Markup('<p class="small">Too few flat blocks.</p>')
    low, high = float(np.nanmin(everything)), float(np.nanmax(everything))
    pad = max(1.0, 0.06 * (high - low))
    y_ticks = _round_ticks(low, high)
    place = _Axes((float(x[0]), float(x[-1])), (low - pad, high + pad))
    parts = [place.frame(ticks, y_ticks, x_name, y_name)]
    for side, ink, _ in sides:
        known = np.isfinite(lines[side]["low"])
        upper = place.points(x[known], lines[side]["high"][known])
        lower = place.points(x[known][::-1], lines[side]["low"][known][::-1])
        parts.append(f'<polygon points="{upper} {lower}" fill="{ink}" opacity=".16"/>')
    for side, ink, dash in sides:
        known = np.isfinite(lines[side]["mean"])
        style = f' stroke-dasharray="{dash}"' if dash else ""
        points = place.points(x[known], lines[side]["mean"][known])
        parts.append(f'<polyline points="{points}" fill="none" stroke="{ink}" stroke-width="2"{style}/>')
    return _svg(_WIDTH, _HEIGHT, "".join(parts), title)


def scores_figure(entry: dict[str, Any], bonafide: dict[str, Any] | None, title: str) -> Markup:
    """Draw the scores of each kind of picture as a strip: every picture a stroke, the median a bar."""
    kinds = [
        ("simulated", "simulated attack", SYNTHETIC_INK),
        ("control", "its control", CONTROL_INK),
        ("real", "real attack", REAL_INK),
    ]
    rows = [(label, entry[key], ink) for key, label, ink in kinds if entry.get(key)]
    if bonafide:
        rows += [
            ("simulated bona fide", bonafide["simulated"], SYNTHETIC_INK),
            ("real bona fide", bonafide["real"], REAL_INK),
        ]
    everything = np.concatenate([np.asarray(values) for _, values, _ in rows])
    low, high = (float(v) for v in np.percentile(everything, (0.5, 99.5)))
    high = high if high > low else low + 1
    left, row_height, foot = 122, 24, 30
    height = 8 + row_height * len(rows) + foot

    def at(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (_WIDTH - left - 12)

    parts = []
    for place, (label, values, ink) in enumerate(rows):
        top = 8 + row_height * place
        parts.append(f'<text x="{left - 8}" y="{top + 14}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<line x1="{left}" x2="{_WIDTH - 12}" y1="{top + 10}" y2="{top + 10}" class="grid"/>')
        strokes = "".join(f"M{at(v):.1f} {top + 3}v14" for v in values)
        parts.append(f'<path d="{strokes}" stroke="{ink}" stroke-width="1.2" opacity=".3" fill="none"/>')
        middle = at(float(np.median(values)))
        parts.append(f'<rect x="{middle - 1.7:.1f}" y="{top}" width="3.4" height="20" rx="1.5" fill="{ink}"/>')
    for value in _round_ticks(low, high):
        parts.append(f'<text x="{at(value[0]):.1f}" y="{height - 16}" text-anchor="middle">{value[1]}</text>')
    parts.append(
        f'<text x="{(left + _WIDTH) / 2}" y="{height - 3}" text-anchor="middle" class="axis">'
        "score, bona fide to the right</text>"
    )
    return _svg(_WIDTH, height, "".join(parts), title)


class _Axes:
    """Places of values within a figure."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = x, y

    def at_x(self, value: float) -> float:
        """Return a value's place across."""
        return _LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (_WIDTH - _LEFT - _RIGHT)

    def at_y(self, value: float) -> float:
        """Return a value's place down."""
        bottom = _HEIGHT - _BOTTOM
        return bottom - (value - self.y[0]) / (self.y[1] - self.y[0]) * (bottom - _TOP)

    def points(self, x: np.ndarray, y: np.ndarray) -> str:
        """Return the points of a line."""
        return " ".join(f"{self.at_x(a):.1f},{self.at_y(b):.1f}" for a, b in zip(x, y, strict=True))

    def frame(self, x_ticks: Ticks, y_ticks: Ticks, x_name: str, y_name: str) -> str:
        """Return the box, its grid, ticks and names."""
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        parts = [f'<rect x="{_LEFT}" y="{_TOP}" width="{right - _LEFT}" height="{bottom - _TOP}" class="plot"/>']
        for value, text in x_ticks:
            if self.x[0] <= value <= self.x[1]:
                x = self.at_x(value)
                parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" class="grid"/>')
                parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{text}</text>')
        for value, text in y_ticks:
            y = self.at_y(value)
            parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
            parts.append(f'<text x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{text}</text>')
        parts.append(
            f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 5}" text-anchor="middle" class="axis">{x_name}</text>'
        )
        centre = (_TOP + bottom) / 2
        parts.append(
            f'<text x="11" y="{centre}" text-anchor="middle" class="axis" transform="rotate(-90 11 {centre})">'
            f"{y_name}</text>"
        )
        return "".join(parts)


def _round_ticks(low: float, high: float) -> Ticks:
    """Four to eight round numbers between two."""
    step = 10 ** np.floor(np.log10(max(high - low, 1e-9) / 4))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= 7)
    first = np.ceil(low / step) * step
    return [(float(v), f"{v + 0.0:g}") for v in np.round(np.arange(first, high + 1e-9, step), 10)]


def _svg(width: int, height: int, body: str, title: str) -> Markup:
    # Every text in `body` that comes from data was escaped where it was put in.
    return Markup(  # noqa: S704  # our own drawing, data escaped above
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{body}</svg>'
    )
