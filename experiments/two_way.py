"""How sure a mean over test subjects and training seeds is, when there are few of either.

Both are samples: of people, and of trainings. Resampling few values with replacement shows too little doubt (two seeds
show half of their variance), so what is drawn here is a two-way random-effects model: of the variance of a mean over n
subjects and K seeds,

    σ²_subject / n + σ²_seed / K + σ²_both / (n K),

the first part comes from resampled subjects, less what training noise adds to it; the others from the spread of the
seeds' own means. Each is drawn with the tails of Student's t for its number of subjects or seeds, as in the solution of
Behrens and Fisher for two unequal variances, which is known to be conservative (Robinson 1976, Annals of Statistics 4).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spooflab.experiments.metrics import rates_at
from spooflab.experiments.scores import FloatArray, IntArray, StrArray
from spooflab.experiments.statistics import LEVEL, REPLICATES, Judged, cluster_draws, student_factors

Figure = Callable[[dict[str, FloatArray]], FloatArray]
"""Makes one figure of the rates at a threshold, e.g. an expected loss."""


@dataclass(frozen=True)
class Parts:
    """Variances that make up the variance of a mean, as they enter it (already divided by n and K).

    Attributes:
        subject: other people like these.
        seed: other trainings like these, with all that a training does differently to single people.
        both: the part of `seed` that is a training's noise on single people, which more people would average out.
        subjects, seeds: n and K.
    """

    subject: float
    seed: float
    both: float
    subjects: int
    seeds: int

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return float(np.sqrt(self.subject + self.seed))

    @property
    def freedom(self) -> float:
        """Degrees of freedom by Satterthwaite (1946); infinite where there is no variance."""
        terms = [(self.subject, self.subjects - 1), (self.seed, self.seeds - 1)]
        below = sum(part**2 / degrees for part, degrees in terms if part > 0 and degrees > 0)
        return (self.subject + self.seed) ** 2 / below if below > 0 else float("inf")


@dataclass(frozen=True)
class Resampled:
    """A figure, by training seed: as counted, and recounted over resampled subjects.

    Attributes:
        estimate: (K,) the figure of each seed, mean over folds.
        replicates: (K, R) the same over R resamples of subjects; NaN where one lacks a class.
        subjects: how many were resampled.
        seed: of the noise that trainings are drawn with. Two columns of one comparison share it.
    """

    estimate: FloatArray
    replicates: FloatArray
    subjects: int
    seed: int = 0

    def __sub__(self, other: "Resampled") -> "Resampled":
        """Return the paired difference: same subjects, same seeds."""
        return Resampled(
            self.estimate - other.estimate, self.replicates - other.replicates, self.subjects, self.seed
        )  # fmt: skip

    @property
    def mean(self) -> float:
        """The figure over all seeds."""
        return float(self.estimate.mean())

    @cached_property
    def _defined(self) -> FloatArray:
        """(K, R') replicates that have the figure for every seed; none where most lack it."""
        kept = self.replicates[:, ~np.isnan(self.replicates).any(axis=0)]
        return kept if kept.shape[1] * 2 > self.replicates.shape[1] and self.subjects > 1 else kept[:, :0]

    @cached_property
    def parts(self) -> Parts | None:
        """Variances of the mean; None with one subject or where most resamples lack a class."""
        seeds, count = self._defined.shape
        if not count:
            return None
        unbiased = self.subjects / (self.subjects - 1)
        of_mean = unbiased * float(self._defined.mean(0).var())
        if seeds == 1:
            return Parts(of_mean, 0.0, 0.0, self.subjects, 1)
        of_one = unbiased * float(self._defined.var(axis=1).mean())
        both = max(0.0, (of_one - of_mean) / (seeds - 1))
        spread = float(self.estimate.var(ddof=1)) / seeds
        return Parts(max(0.0, of_mean - both), spread, min(both, spread), self.subjects, seeds)

    def deviations(self) -> FloatArray:
        """Return (R',) draws of the mean's error: subjects and seeds, each with the tails of its t."""
        parts = self.parts
        if parts is None:
            return np.empty(0)
        seeds = len(self.estimate)
        rng = np.random.default_rng([self.seed, 1])
        means = self.replicates.mean(0)
        kept = ~np.isnan(means)
        centred = means - means[kept].mean()
        total = float(centred[kept].var())
        share = np.sqrt(parts.subject / total) if total > 0 else 0.0
        drawn = share * centred * student_factors(self.subjects, len(centred), rng)
        if seeds > 1:
            weights = rng.standard_normal((len(centred), seeds)) / np.sqrt(seeds * (seeds - 1))
            noise = weights @ (self.estimate - self.mean)
            drawn = drawn + noise * student_factors(seeds, len(centred), rng)
        out: FloatArray = drawn[kept]
        return out

    def interval(
        self, level: float = LEVEL, *, lowest: float = 0.0, highest: float = 1.0
    ) -> tuple[float, float] | None:
        """Return the bounds of the mean, kept within what the figure can be; None where `parts` is."""
        drawn = self.deviations()
        if not len(drawn):
            return None
        low, high = self.mean + np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        return float(np.clip(low, lowest, highest)), float(np.clip(high, lowest, highest))


def resample(
    columns: dict[str, list[Judged]], figure: str | Figure, *, replicates: int = REPLICATES, seed: int = 0
) -> dict[str, Resampled]:
    """Resample the test subjects once for all columns, and recount a figure for each of their training seeds.

    Differences of two columns are paired: the same subjects, hence the same rows, and the same training seeds.

    Args:
        columns: algorithm to its cells (folds × seeds). Cells at one position must hold the same rows.
        figure: a threshold rate (`apcer`, `bpcer`, `acer`, `hter`), or a function of all of them.
        replicates, seed: of the resampling.

    Raises:
        ValueError: two columns differ in rows or seeds, so nothing is paired.
    """
    lists = list(columns.values())
    for others in lists[1:]:
        rows = [[(cell.seed, sorted(cell.scores.key.tolist())) for cell in cells] for cells in (lists[0], others)]
        if rows[0] != rows[1]:
            raise ValueError("columns were judged on different test rows or seeds: a paired comparison needs the same")
    subjects = np.unique(np.concatenate([cell.scores.subject for cells in lists for cell in cells]))
    draws = cluster_draws(len(subjects), replicates, seed)
    return {name: _column(cells, figure, subjects, draws, seed) for name, cells in columns.items()}


def _column(cells: list[Judged], figure: str | Figure, subjects: StrArray, draws: IntArray, seed: int) -> Resampled:
    # The first line of draws counts each subject once: the estimate itself.
    lines = np.concatenate([np.ones((1, len(subjects)), dtype=np.int64), draws])
    seeds = sorted({cell.seed for cell in cells})
    total, folds = np.zeros((len(seeds), len(lines))), np.zeros(len(seeds))
    for cell in cells:
        place = seeds.index(cell.seed)
        rates = rates_at(cell.scores, cell.threshold, lines, np.searchsorted(subjects, cell.scores.subject))
        total[place] += rates[figure] if isinstance(figure, str) else figure(rates)
        folds[place] += 1
    means = total / folds[:, None]
    return Resampled(means[:, 0], means[:, 1:], len(subjects), seed)


def critical_value(differences: Sequence[Resampled], level: float = LEVEL) -> float | None:
    """Return how many standard errors a difference must be from 0, so that all of `differences` together keep `level`.

    It is the quantile of the largest deviation among them, each in its own standard errors, over common draws (the
    single-step maximum of Westfall and Young 1993): correlated comparisons cost less than Bonferroni asks. For one
    difference it is the quantile of its own t.

    Returns:
        None where no difference varies.
    """
    largest: FloatArray | None = None
    for difference in differences:
        parts = difference.parts
        if parts is None or parts.error == 0:
            continue
        # Rows that one difference lacks (a resample without a class) are lacking for all.
        drawn = np.full(difference.replicates.shape[1], np.nan)
        drawn[~np.isnan(difference.replicates.mean(0))] = np.abs(difference.deviations()) / parts.error
        largest = drawn if largest is None else np.maximum(largest, drawn)
    if largest is None or np.isnan(largest).all():
        return None
    return float(np.nanquantile(largest, level))
