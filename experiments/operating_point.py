"""Where to put the threshold: the equal-error point of the rows given, among observed scores only.

No grid of thresholds is used: with saturated scores a grid on [0, 1] steps over the best point.
"""

from dataclasses import dataclass

import numpy as np

from spooflab.experiments.counting import Counts
from spooflab.experiments.scores import IntArray, ScoreSet


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and the error rates of the rows that it was chosen on.

    Attributes:
        threshold: accepted iff score >= threshold.
        bpcer: bona fide rejected, of the rows that it was chosen on.
        far: attacks accepted, pooled over species.
    """

    threshold: float
    bpcer: float
    far: float

    @property
    def eer(self) -> float:
        """Mean of both error rates where they are closest."""
        return (self.bpcer + self.far) / 2


def equal_error_candidate(counts: Counts) -> IntArray:
    """Return (R,) the candidate that minimises |BPCER − pooled FAR|, ties to the lower threshold.

    The comparison is made on products of integers, so equal differences are equal.
    """
    rejected, accepted = counts.rejected, counts.accepted(counts.attacks)
    difference = np.abs(rejected * counts.attack_total[:, None] - accepted * counts.genuine_total[:, None])
    best: IntArray = np.argmin(difference, axis=1)
    return best


def missing_class(scores: ScoreSet) -> str | None:
    """Say why no threshold can be read from these rows, or None when one can."""
    if not len(scores):
        return "no rows"
    if scores.attack.all():
        return f"one class only: {len(scores)} attacks, no bona fide"
    if not scores.attack.any():
        return f"one class only: {len(scores)} bona fide, no attack"
    if np.isnan(scores.score).all():
        return "every score is a failure to acquire (NaN)"
    return None


def equal_error_point(scores: ScoreSet) -> OperatingPoint | None:
    """Choose the threshold of the equal-error point; None where `missing_class` says why.

    >>> equal_error_point(ScoreSet.build([0.9, 0.8, 0.3, 0.1], [False, False, True, True])).threshold
    0.8
    """
    if missing_class(scores):
        return None
    counts = Counts(scores)
    candidate = int(equal_error_candidate(counts)[0])
    return OperatingPoint(
        threshold=counts.threshold(candidate),
        bpcer=float(counts.rejected[0, candidate] / counts.genuine_total[0]),
        far=float(counts.accepted(counts.attacks)[0, candidate] / counts.attack_total[0]),
    )
