"""Detection error trade-off and ROC figures as inline SVG, with a bootstrap band and the operating point's interval."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from scipy.special import ndtri

from spooflab.experiments.counting import Counts
from spooflab.experiments.metrics import rates_at
from spooflab.experiments.report.palette import Ink
from spooflab.experiments.report.plots import svg
from spooflab.experiments.scores import FloatArray, IntArray, ScoreSet
from spooflab.experiments.statistics import cluster_draws

_SIDE, _LEFT, _TOP, _BOTTOM, _RIGHT = 300, 40, 10, 36, 10
_BAND_POINTS = 33
_BAND_REPLICATES = 1000
_CHUNK_CELLS = 2_000_000

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """One line of a figure; an algorithm's further seeds are drawn faintly, without a dot.

    Attributes:
        name: of the algorithm.
        scores: test rows.
        threshold: where the dot lies, fixed on dev rows.
        ink: how the line is drawn.
        faint: a further training seed.
        apcer, bpcer: intervals at the threshold, drawn as a cross.
        band: whether a pointwise 95 % band is drawn, test subjects resampled.
    """

    name: str
    scores: ScoreSet
    threshold: float
    ink: Ink
    faint: bool = False
    apcer: Bounds | None = None
    bpcer: Bounds | None = None
    band: bool = False


@dataclass(frozen=True)
class _Axes:
    """What is drawn over what: BPCER (or its complement) over an attack rate, on one scale for both axes."""

    title: str
    x_name: str
    y_name: str
    ticks: tuple[float, ...]
    unit: Callable[[FloatArray], FloatArray]
    pooled: bool
    """The attack rate is that of all attacks together, not of the worst species."""
    upright: bool
    """The share of bona fide accepted is drawn, not rejected."""

    def x(self, rate: FloatArray) -> FloatArray:
        return _LEFT + self.unit(rate) * (_SIDE - _LEFT - _RIGHT)

    def y(self, bpcer: FloatArray) -> FloatArray:
        return _SIDE - _BOTTOM - self.unit(1 - bpcer if self.upright else bpcer) * (_SIDE - _TOP - _BOTTOM)


_LOW, _HIGH = 0.005, 0.95


def _probit(rate: FloatArray) -> FloatArray:
    """Place of a rate on a probit axis, 0 to 1; rates off the axis lie on its ends."""
    low, high = ndtri(_LOW), ndtri(_HIGH)
    place: FloatArray = (ndtri(np.clip(rate, _LOW, _HIGH)) - low) / (high - low)
    return place


_DET = _Axes(
    "DET curves", "APCER, %", "BPCER, %", (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8), _probit, False, upright=False
)
_ROC = _Axes(
    "ROC curves",
    "attacks accepted, %",
    "bona fide accepted, %",
    (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    lambda rate: rate,
    True,
    upright=True,
)


def det(curves: list[Curve], title: str) -> Markup:
    """Draw BPCER over maximum APCER on probit axes; the dot is the operating point that the dev rows fixed."""
    return _figure(_DET, curves, title)


def roc(curves: list[Curve], title: str) -> Markup:
    """Draw bona fide accepted over attacks accepted (all species pooled, so the area below is the AUC)."""
    return _figure(_ROC, curves, title)


def _figure(axes: _Axes, curves: list[Curve], title: str) -> Markup:
    bands = [_band(axes, curve) for curve in curves if curve.band]
    lines = [_line(axes, curve) for curve in curves]
    dots = [_dot(axes, curve) for curve in curves if not curve.faint]
    return svg(_SIDE, _SIDE, "".join([_grid(axes), *bands, *lines, *dots]), f"{axes.title}, {title}")


def _line(axes: _Axes, curve: Curve) -> str:
    attack, bpcer = (rates[0] for rates in _rates(Counts(curve.scores), axes.pooled))
    points = " ".join(f"{x:g},{y:g}" for x, y in _corners(axes.x(attack), axes.y(bpcer)))
    dash = f' stroke-dasharray="{curve.ink.dash}"' if curve.ink.dash else ""
    dash += ' stroke-width="1" opacity=".4"' if curve.faint else ' stroke-width="1.9"'
    return f'<polyline points="{points}" fill="none" stroke="{curve.ink.colour}"{dash}/>'


def _corners(xs: FloatArray, ys: FloatArray) -> list[tuple[float, float]]:
    """Points to a tenth of a unit, without repetitions and without those on a straight step between two others."""
    out: list[tuple[float, float]] = []
    for x, y in zip(np.round(xs, 1).tolist(), np.round(ys, 1).tolist(), strict=True):
        if out and out[-1] == (x, y):
            continue
        if len(out) > 1 and (out[-2][0] == out[-1][0] == x or out[-2][1] == out[-1][1] == y):
            out.pop()
        out.append((x, y))
    return out


def _dot(axes: _Axes, curve: Curve) -> str:
    rates = rates_at(curve.scores, curve.threshold)
    apcer, bpcer = float(rates["apcer"][0]), float(rates["bpcer"][0])
    # rates_at knows the pooled rate of all attacks by HTER = (FAR + BPCER) / 2.
    attack = 2 * float(rates["hter"][0]) - bpcer if axes.pooled else apcer
    x, y = axes.x(np.array([attack]))[0], axes.y(np.array([bpcer]))[0]
    told = f"{curve.name}: APCER {100 * apcer:.1f} %{_told(curve.apcer)}, BPCER {100 * bpcer:.1f} %{_told(curve.bpcer)}"
    cross = []
    if curve.apcer and not axes.pooled:
        low, high = axes.x(np.array(curve.apcer))
        cross.append(f"M{low:.1f} {y:.1f}H{high:.1f}")
    if curve.bpcer:
        low, high = axes.y(np.array(curve.bpcer))
        cross.append(f"M{x:.1f} {low:.1f}V{high:.1f}")
    drawn = f'<path d="{"".join(cross)}" stroke="{curve.ink.colour}" class="cross"/>' if cross else ""
    return (
        f'{drawn}<circle cx="{x:.1f}" cy="{y:.1f}" r="4.2" fill="{curve.ink.colour}" stroke="#fff" stroke-width="1.4">'
        f"<title>{escape(told)}</title></circle>"
    )


def _told(bounds: Bounds | None) -> str:
    return f" ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})" if bounds else ""


def _band(axes: _Axes, curve: Curve) -> str:
    budgets = _budgets(axes)
    found = curve_band(curve.scores, budgets, pooled=axes.pooled)
    if found is None:
        return ""
    xs = axes.x(budgets)
    edges = [*zip(xs, axes.y(found[1]), strict=True), *reversed([*zip(xs, axes.y(found[0]), strict=True)])]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in edges)
    return f'<polygon points="{points}" fill="{curve.ink.colour}" class="band"/>'


def _budgets(axes: _Axes) -> FloatArray:
    """Attack rates that are evenly spaced on the axis."""
    fine = np.linspace(0, 1, 2001) if axes.upright else np.geomspace(_LOW, _HIGH, 2001)
    budgets: FloatArray = np.interp(np.linspace(0, 1, _BAND_POINTS), axes.unit(fine), fine)
    return budgets


def curve_band(
    scores: ScoreSet, budgets: FloatArray, *, pooled: bool, replicates: int = _BAND_REPLICATES, seed: int = 0
) -> tuple[FloatArray, FloatArray] | None:
    """Return pointwise 95 % bounds of BPCER where the attack rate is within each budget; None for a single subject.

    Whole subjects are resampled. At a budget, BPCER is that of the lowest threshold that keeps it, as BPCER10 is.

    Args:
        scores: test rows.
        budgets: (G,) attack rates.
        pooled: of all attacks together; otherwise of the worst species.
        replicates, seed: of the resampling.
    """
    subjects, member = np.unique(scores.subject, return_inverse=True)
    if len(subjects) < 2:
        return None
    draws = cluster_draws(len(subjects), replicates, seed)
    step = max(1, _CHUNK_CELLS // len(scores))
    found = np.concatenate(
        [
            _within(scores, draws[start : start + step][:, member], budgets, pooled)
            for start in range(0, replicates, step)
        ]
    )
    found = found[~np.isnan(found).any(1)]
    if len(found) * 2 <= replicates:
        return None
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    return low, high


def _within(scores: ScoreSet, weights: IntArray, budgets: FloatArray, pooled: bool) -> FloatArray:
    """BPCER of each replicate at each budget: (R, G); a budget that no threshold keeps rejects everybody."""
    attack, bpcer = _rates(Counts(scores, weights), pooled)
    out = np.empty((len(weights), len(budgets)))
    for place, budget in enumerate(budgets):
        kept = attack <= budget
        value = np.take_along_axis(bpcer, np.argmax(kept, axis=1)[:, None], axis=1)[:, 0]
        out[:, place] = np.where(kept.any(1), value, 1.0)
    out[np.isnan(attack).any(1) | np.isnan(bpcer).any(1)] = np.nan
    return out


def _rates(counts: Counts, pooled: bool) -> tuple[FloatArray, FloatArray]:
    """Attack rate and BPCER at every candidate threshold, each (R, K + 1); NaN where a replicate lacks a class."""

    def share(part: IntArray, whole: IntArray) -> FloatArray:
        out: FloatArray = np.full(part.shape, np.nan)
        np.divide(part, whole[:, None], out=out, where=whole[:, None] > 0)
        return out

    groups = [counts.attacks] if pooled else list(counts.species.values())
    rates = [share(counts.accepted(group), group.sum(1)) for group in groups]
    return np.fmax.reduce(rates), share(counts.rejected, counts.genuine_total)


def _grid(axes: _Axes) -> str:
    bottom, right = _SIDE - _BOTTOM, _SIDE - _RIGHT
    # Where both errors are equal (DET); where scores say nothing (ROC).
    parts = [
        f'<rect x="{_LEFT}" y="{_TOP}" width="{right - _LEFT}" height="{bottom - _TOP}" class="plot"/>',
        f'<line x1="{_LEFT}" y1="{bottom}" x2="{right}" y2="{_TOP}" class="diagonal"/>',
    ]
    ticks = np.array(axes.ticks)
    for rate, x, y in zip(axes.ticks, axes.x(ticks), axes.y(1 - ticks if axes.upright else ticks), strict=True):
        text = f"{100 * rate:g}"
        parts.append(f'<path d="M{x:.1f} {_TOP}V{bottom}M{_LEFT} {y:.1f}H{right}" class="grid"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{text}</text>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{text}</text>')
    middle, centre = (_LEFT + right) / 2, (_TOP + bottom) / 2
    parts.append(f'<text x="{middle}" y="{_SIDE - 5}" text-anchor="middle" class="axis">{axes.x_name}</text>')
    parts.append(
        f'<text x="11" y="{centre}" text-anchor="middle" class="axis" transform="rotate(-90 11 {centre})">'
        f"{axes.y_name}</text>"
    )
    return "".join(parts)
