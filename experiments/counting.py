"""Exact counts of errors at every threshold at once, for one or many weightings of the same rows.

All thresholds that can differ are the observed scores and one above them all, so rows are ranked once, and each
weighting (all ones for the estimate, resampled subjects for the bootstrap) needs only cumulative sums. Counts are
int64, so ties and comparisons are exact.
"""

import numpy as np
from numpy.typing import NDArray

from spooflab.experiments.scores import FloatArray, IntArray, ScoreSet

WeightArray = NDArray[np.int64]


class Counts:
    """Accepted attacks and rejected bona fides at each candidate threshold.

    Candidate k of 0…K is the k-th lowest observed score; candidate K lies just above the highest.

    Args:
        scores: the rows to count.
        weights: (R, N) int64 repetitions of each row in each of R replicates; None counts each row once (R = 1).
    """

    def __init__(self, scores: ScoreSet, weights: WeightArray | None = None) -> None:
        finite = ~np.isnan(scores.score)
        self.values: FloatArray = np.unique(scores.score[finite])
        size = len(self.values)
        # Bin 0 holds failed bona fides (rejected at every candidate), bin K + 1 failed attacks (accepted at every one).
        bins = np.where(scores.attack, size + 1, 0).astype(np.int64)
        bins[finite] = np.searchsorted(self.values, scores.score[finite]) + 1
        if weights is None:
            weights = np.ones((1, len(scores)), dtype=np.int64)
        self.bins = size + 2
        self.genuine = self._histogram(bins, ~scores.attack, weights)
        names = scores.species
        self.species = {
            name: self._histogram(bins, scores.attack & (names == name), weights) for name in scores.attack_species
        }
        self.attacks = sum(self.species.values(), np.zeros_like(self.genuine))
        self.genuine_total = self.genuine.sum(1)
        self.attack_total = self.attacks.sum(1)

    def _histogram(self, bins: IntArray, rows: NDArray[np.bool_], weights: WeightArray) -> IntArray:
        """Sum the weights of `rows` per bin: (R, K + 2)."""
        order = np.flatnonzero(rows)
        order = order[np.argsort(bins[order], kind="stable")]
        running = np.zeros((len(weights), len(order) + 1), dtype=np.int64)
        np.cumsum(weights[:, order], axis=1, out=running[:, 1:])
        edges = np.searchsorted(bins[order], np.arange(self.bins + 1))
        return np.diff(running[:, edges], axis=1)

    @property
    def rejected(self) -> IntArray:
        """(R, K + 1) weight of bona fides rejected at each candidate."""
        return np.cumsum(self.genuine, axis=1)[:, :-1]

    @staticmethod
    def accepted(histogram: IntArray) -> IntArray:
        """(R, K + 1) weight of a histogram's rows accepted at each candidate."""
        return np.cumsum(histogram[:, ::-1], axis=1)[:, ::-1][:, 1:]

    def threshold(self, candidate: int) -> float:
        """Return candidate `k` as a score; the last is the next float above every observed score."""
        if candidate < len(self.values):
            return float(self.values[candidate])
        return float(np.nextafter(self.values[-1], np.inf))
