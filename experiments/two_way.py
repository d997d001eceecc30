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
from functools import cached_property, lru_cache
from itertools import combinations

import numpy as np

from spooflab.experiments.metrics import rates_at
from spooflab.experiments.scores import FloatArray, IntArray, StrArray
from spooflab.experiments.statistics import LEVEL, REPLICATES, Judged, cluster_draws, student_factors

_ROUNDING = 1e-14
"""Variance of rates that were counted alike but summed in another order."""

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
        both = (of_one - of_mean) / (seeds - 1)
        both = both if both > _ROUNDING else 0.0
        # Two or three seeds may agree by luck, or to the last image counted. Their noise on single people, which many
        # people tell, is the least that another training would differ by.
        spread = max(both, float(self.estimate.var(ddof=1)) / seeds)
        return Parts(max(0.0, of_mean - both), spread, both, self.subjects, seeds)

    def deviations(self, training: FloatArray | None = None) -> FloatArray:
        """Return (R,) draws of the mean's error, subjects and seeds each with the tails of its t.

        Empty where `parts` is None; NaN where a resample lacks a class.

        Args:
            training: (R,) draws of Student's t with K − 1 degrees of freedom to use for the seeds, so that several
                comparisons share theirs; None draws them.
        """
        parts = self.parts
        if parts is None:
            return np.empty(0)
        rng = np.random.default_rng([self.seed, 1])
        means = self.replicates.mean(0)
        centred = means - np.nanmean(means)
        total = float(np.nanvar(means))
        share = np.sqrt(parts.subject / total) if total > 0 else 0.0
        drawn: FloatArray = share * centred * student_factors(self.subjects, len(centred), rng)
        if parts.seeds > 1:
            told = rng.permutation(t_quantiles(parts.seeds - 1, len(centred))) if training is None else training
            drawn = drawn + np.sqrt(parts.seed) * told
        return drawn

    def interval(
        self, level: float = LEVEL, *, lowest: float = 0.0, highest: float = 1.0
    ) -> tuple[float, float] | None:
        """Return the bounds of the mean, kept within what the figure can be; None where `parts` is."""
        drawn = self.deviations()
        if not len(drawn):
            return None
        low, high = self.mean + np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
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


def critical_value(columns: Sequence[Resampled], level: float = LEVEL) -> float | None:
    """Return how many standard errors two columns must be apart, so that all pairs of `columns` together keep `level`.

    It is the quantile of the largest difference of any pair, each in its own standard errors, over common draws (the
    single-step maximum of Westfall & Young 1993): for one pair that of its own t, for many independent columns Tukey's
    studentised range, and less where columns are correlated. Each pair's spread over seeds is its own, so its draws of
    t come from trainings drawn anew for every column, not from one common spread.

    Returns:
        None where no difference varies.
    """
    seeds, replicates = columns[0].replicates.shape
    trainings = np.random.default_rng([columns[0].seed, 2]).standard_normal((len(columns), seeds, replicates))
    largest = np.full(replicates, np.nan)
    for one, other in combinations(range(len(columns)), 2):
        difference = columns[one] - columns[other]
        parts = difference.parts
        if parts is None or parts.error == 0:
            continue
        told = _t_of(trainings[one] - trainings[other]) if seeds > 1 else None
        # A resample without a class, which is NaN, stays out of this pair's comparison alone.
        largest = np.fmax(largest, np.abs(difference.deviations(told)) / parts.error)
    return None if np.isnan(largest).all() else float(np.nanquantile(largest, level))


def _t_of(values: FloatArray) -> FloatArray:
    """Return Student's t of each column of (K, R) values, moved to t's own quantiles in the order that they have.

    Drawn tails of few degrees of freedom are rough: of 2000 draws the quantile that matters rests on 100.
    """
    drawn = values.mean(0) / values.std(0, ddof=1)
    t: FloatArray = np.empty(values.shape[1])
    t[np.argsort(drawn, kind="stable")] = t_quantiles(len(values) - 1, values.shape[1])
    return t


@lru_cache(maxsize=4)
def t_quantiles(freedom: int, count: int) -> FloatArray:
    """Return the middles of `count` equally likely parts of Student's t, ascending."""
    from scipy.stats import t

    quantiles: FloatArray = t.ppf((np.arange(count) + 0.5) / count, freedom)
    return quantiles
