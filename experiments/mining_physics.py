"""Which physics fooled the detector: fields whose values go with being accepted, among independent draws."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spooflab.experiments.mining_records import Record
from spooflab.experiments.scores import FloatArray
from spooflab.experiments.statistics import holm

LEAST = 8
"""Fewest samples on either side of a comparison."""


@dataclass(frozen=True)
class Effect:
    """One physical field of one species.

    Attributes:
        field: dotted name, unit in it.
        effect: AUC of the field between fooling and other draws of the prior; above ½ fooling draws are higher.
        p: Holm-corrected over all fields of the species.
        prior, fooling, mined: medians of the prior, of its fooling draws, and of what fooled among the searched.
    """

    field: str
    effect: float
    p: float
    prior: float
    fooling: float
    mined: float | None


def effects(records: Sequence[Record], species: str) -> list[Effect]:
    """Compare fooling draws of the prior with the others (Mann-Whitney), strongest first.

    Only draws that no search had a hand in are compared: a search drifts along fields that play no part, and its
    samples depend on each other. What it found stands beside, as a median. Fields that share one cause appear together.
    """
    rows = [r for r in records if r.species == species and r.made]
    prior = [r for r in rows if r.trial["phase"] in ("prior", "start")]
    mined = [r for r in rows if r.trial["phase"] in ("search", "draw", "bonafide") and r.trial["fooled"]]
    fooled = np.array([r.trial["fooled"] for r in prior], dtype=bool)
    if min(fooled.sum(), (~fooled).sum()) < LEAST:
        return []
    names = sorted({name for r in prior for name in r.physics})
    found = []
    for name in names:
        values = np.array([r.physics.get(name, np.nan) for r in prior])
        known = np.isfinite(values)
        high, low = values[known & fooled], values[known & ~fooled]
        if min(len(high), len(low)) < LEAST or np.ptp(values[known]) == 0:
            continue
        auc, p = mann_whitney(high, low)
        theirs = [r.physics[name] for r in mined if name in r.physics]
        median = float(np.median(theirs)) if len(theirs) >= LEAST else None
        found.append((name, auc, p, float(np.median(values[known])), float(np.median(high)), median))
    corrected = holm([row[2] for row in found])
    made = [Effect(n, auc, p, a, b, c) for (n, auc, _, a, b, c), p in zip(found, corrected, strict=True)]
    return sorted(made, key=lambda e: (-abs(e.effect - 0.5), e.field))


def mann_whitney(high: FloatArray, low: FloatArray) -> tuple[float, float]:
    """Return P(high > low) + ½ P(equal), and the two-sided p of the tie-corrected normal approximation."""
    from scipy.stats import mannwhitneyu

    found = mannwhitneyu(high, low, alternative="two-sided", method="asymptotic")
    return float(found.statistic) / (len(high) * len(low)), float(found.pvalue)


def paired_difference(left: Sequence[float], right: Sequence[float], level: float = 0.95) -> dict[str, float | None]:
    """Return mean and Student t interval of `left` - `right`, paired by seed; no interval for one pair."""
    from scipy.stats import t

    apart = np.asarray(left) - np.asarray(right)
    mean = float(apart.mean())
    if len(apart) < 2:
        return {"mean": mean, "low": None, "high": None}
    reach = float(t.ppf((1 + level) / 2, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart)))
    return {"mean": mean, "low": mean - reach, "high": mean + reach}
