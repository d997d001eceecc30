"""Error rates of presentation attack detection (ISO/IEC 30107-3), with exact ties and no grid of thresholds.

A score is the likelihood of bona fide; a row is accepted iff score >= threshold. APCER is the maximum over species.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spooflab.experiments.counting import Counts, WeightArray
from spooflab.experiments.operating_point import equal_error_candidate, equal_error_point, missing_class
from spooflab.experiments.scores import BoolArray, FloatArray, IntArray, ScoreSet

RATES = ("apcer", "bpcer", "acer", "hter")
"""Figures that depend on a threshold fixed elsewhere."""
CURVE = ("eer", "auc", "bpcer10", "bpcer20", "bpcer100", "tpr_at_fpr1")
"""Figures read off the evaluated rows' own curve."""
NAMES = RATES + CURVE


@dataclass(frozen=True)
class Metrics:
    """All figures of one evaluation; None where they do not exist, and `notes` says why.

    Attributes:
        threshold: the threshold judged, fixed outside these rows unless `threshold_source` says otherwise.
        threshold_source: `dev`, `given`, `oracle` (the rows themselves), or `none`.
        apcer, bpcer, acer, hter: at `threshold`.
        eer, auc, bpcer10, bpcer20, bpcer100, tpr_at_fpr1: of the evaluated rows' own curve.
        apcer_by_species: share of each species accepted at `threshold`.
        oracle_threshold, oracle_acer, oracle_hter: at these rows' own equal-error point; never a headline.
        gap_acer, gap_hter: honest minus oracle.
        counts: rows per class, species and subject, and failures.
        failures: keys of rows without a score; each counted as an error of the side that it hurts.
        unit: what was counted, image or clip.
    """

    threshold: float | None
    threshold_source: str
    apcer: float | None = None
    bpcer: float | None = None
    acer: float | None = None
    hter: float | None = None
    eer: float | None = None
    auc: float | None = None
    bpcer10: float | None = None
    bpcer20: float | None = None
    bpcer100: float | None = None
    tpr_at_fpr1: float | None = None
    apcer_by_species: dict[str, float | None] = field(default_factory=dict)
    oracle_threshold: float | None = None
    oracle_acer: float | None = None
    oracle_hter: float | None = None
    gap_acer: float | None = None
    gap_hter: float | None = None
    counts: dict[str, Any] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    unit: str = "image"
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON-ready values, keys in lower case."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        }


def rates_at(
    scores: ScoreSet, threshold: float, weights: WeightArray | None = None, member: IntArray | None = None
) -> dict[str, FloatArray]:
    """Return apcer, bpcer, acer, hter, far and `apcer:SPECIES` at a fixed threshold, each (R,); NaN where undefined.

    Args:
        scores: the rows to count.
        threshold: accepted iff score >= threshold.
        weights: (R, N) repetitions of each row in R replicates, or None for one count of all.
        member: (N,) cluster of each row; `weights` is then (R, clusters), which is much faster.
    """
    accepted = np.where(np.isnan(scores.score), scores.attack, scores.score >= threshold)
    groups = {"": ~scores.attack, "*": scores.attack}
    groups |= {name: scores.attack & (scores.species == name) for name in scores.attack_species}
    wrong = np.stack([rows & (accepted if name else ~accepted) for name, rows in groups.items()])
    counted = np.concatenate([wrong, np.stack(list(groups.values()))]).astype(np.float64)
    if weights is None:
        totals = counted.sum(1)[None]
    elif member is None:
        totals = weights @ counted.T
    else:
        totals = weights @ np.stack([np.bincount(member, row, minlength=weights.shape[1]) for row in counted], axis=1)
    errors, sizes = totals[:, : len(groups)], totals[:, len(groups) :]
    share = np.divide(errors, sizes, out=np.full(errors.shape, np.nan), where=sizes > 0)
    rates = dict(zip(groups, share.T, strict=True))
    bpcer, far = rates.pop(""), rates.pop("*")
    apcer = _nanmax(list(rates.values()), len(bpcer))
    out = {"apcer": apcer, "bpcer": bpcer, "acer": (apcer + bpcer) / 2, "hter": (far + bpcer) / 2, "far": far}
    return out | {f"apcer:{name}": values for name, values in rates.items()}


def curve_figures(scores: ScoreSet, weights: WeightArray | None = None) -> dict[str, FloatArray]:
    """Return eer, auc, bpcer10/20/100, tpr_at_fpr1 and the oracle rates, each (R,); NaN where a class is missing.

    BPCER10/20/100 is the BPCER at the lowest threshold whose *maximum* APCER is within 10 / 5 / 1 %; 1 where failed
    attacks alone exceed the budget. The true-positive rate at 1 % is a budget on the pooled false-positive rate.
    """
    counts = Counts(scores, weights)
    rejected, accepted = counts.rejected, counts.accepted(counts.attacks)
    genuine, attacks = counts.genuine_total, counts.attack_total
    usable = (genuine > 0) & (attacks > 0)
    rows = np.arange(len(genuine))
    best = equal_error_candidate(counts)

    def rate(errors: IntArray, total: IntArray) -> FloatArray:
        return _ratio(errors, total, usable & (total > 0))

    bpcer, far = rate(rejected[rows, best], genuine), rate(accepted[rows, best], attacks)
    species = [(counts.accepted(h), h.sum(1)) for h in counts.species.values()]
    apcer = _nanmax([rate(curve[rows, best], total) for curve, total in species], len(rows))
    out = {"eer": (bpcer + far) / 2, "auc": _auc(counts, usable), "oracle_acer": (apcer + bpcer) / 2}
    out["oracle_hter"] = out["eer"]
    for one_in in (10, 20, 100):
        out[f"bpcer{one_in}"] = rate(_rejected_within(rejected, species, genuine, one_in), genuine)
    within = _rejected_within(rejected, [(accepted, attacks)], genuine, 100)
    out["tpr_at_fpr1"] = rate(genuine - within, genuine)
    return out


def _rejected_within(
    rejected: IntArray, groups: list[tuple[IntArray, IntArray]], genuine: IntArray, one_in: int
) -> IntArray:
    """Weight of bona fides rejected at the lowest candidate where each group accepts at most one in `one_in`."""
    within = np.ones(rejected.shape, dtype=np.bool_)
    for accepted, total in groups:
        within &= accepted * one_in <= total[:, None]
    found = np.take_along_axis(rejected, np.argmax(within, axis=1)[:, None], axis=1)[:, 0]
    return np.where(within.any(axis=1), found, genuine)


def _auc(counts: Counts, usable: BoolArray) -> FloatArray:
    """Mann–Whitney: share of (bona fide, attack) pairs ranked rightly, ties one half."""
    below = np.cumsum(counts.attacks, axis=1)
    twice = (counts.genuine * (2 * below - counts.attacks)).sum(1)
    return _ratio(twice, 2 * counts.genuine_total * counts.attack_total, usable)


def _ratio(part: IntArray, whole: IntArray, where: BoolArray) -> FloatArray:
    """Part / whole where asked, NaN elsewhere."""
    out: FloatArray = np.full(len(whole), np.nan)
    np.divide(part, whole, out=out, where=where)
    return out


def _nanmax(values: list[FloatArray], size: int) -> FloatArray:
    """Maximum that leaves out NaN; NaN only where all are."""
    out: FloatArray = np.fmax.reduce(values) if values else np.full(size, np.nan)
    return out


def evaluate(test: ScoreSet, *, dev: ScoreSet | None = None, threshold: float | None = None) -> Metrics:
    """Compute every figure of the test rows at a threshold fixed on the dev rows.

    Args:
        test: rows to judge. Its species need not occur in `dev`.
        dev: rows that fix the threshold (equal-error point).
        threshold: a threshold fixed elsewhere, instead of `dev`.

    Returns:
        Without `dev` and `threshold`, the figures at the test rows' own equal-error point, marked
        `threshold_source="oracle"`.
    """
    notes: list[str] = []
    source = "given" if threshold is not None else "oracle" if dev is None else "dev"
    if source == "dev" and dev is not None:
        point = equal_error_point(dev)
        threshold = point.threshold if point else None
        if point is None:
            source = "none"
            notes.append(f"dev rows give no threshold: {missing_class(dev)}")
        elif dev.failures:
            notes.append(f"{len(dev.failures)} dev rows without a score, counted as errors")
    if reason := missing_class(test):
        notes.append(f"test rows: {reason}")
    own = equal_error_point(test)
    if source == "oracle":
        threshold, source = (own.threshold, source) if own else (None, "none")
        notes.append("no dev rows: the threshold is the equal-error point of the rows judged, so all rates are oracle")
    if test.failures:
        notes.append(f"{len(test.failures)} {test.unit}s without a score, counted as errors of the side they hurt")
    figures = curve_figures(test) if len(test) else {}
    if threshold is not None and len(test):
        figures |= rates_at(test, threshold)
    values = {name: _plain(figures.get(name)) for name in (*NAMES, "oracle_acer", "oracle_hter")}
    return Metrics(
        threshold=threshold,
        threshold_source=source,
        apcer_by_species={name: _plain(figures.get(f"apcer:{name}")) for name in test.attack_species},
        oracle_threshold=own.threshold if own else None,
        gap_acer=_minus(values["acer"], values["oracle_acer"]),
        gap_hter=_minus(values["hter"], values["oracle_hter"]),
        counts=_count(test),
        failures=test.failures,
        unit=test.unit,
        notes=tuple(notes),
        **values,
    )


def det_points(scores: ScoreSet) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (threshold, maximum APCER, BPCER) at every candidate threshold, lowest first."""
    counts = Counts(scores)
    curves = [counts.accepted(h)[0] / h.sum() for h in counts.species.values()]
    thresholds = np.array([counts.threshold(k) for k in range(len(counts.values) + 1)])
    return thresholds, np.max(curves, axis=0), counts.rejected[0] / counts.genuine_total[0]


def _count(scores: ScoreSet) -> dict[str, Any]:
    attacks = {name: int((scores.species[scores.attack] == name).sum()) for name in scores.attack_species}
    return {
        "bonafide": int((~scores.attack).sum()),
        "attack": int(scores.attack.sum()),
        "attack_by_species": attacks,
        "subjects": len(np.unique(scores.subject)),
        "failures": len(scores.failures),
    }


def _plain(values: FloatArray | None) -> float | None:
    return None if values is None or np.isnan(values[0]) else float(values[0])


def _minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right
