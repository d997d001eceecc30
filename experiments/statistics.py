"""How sure a figure is: clustered bootstrap, exact binomial intervals, and tests over folds with plain sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from spooflab.errors import ConfigError
from spooflab.experiments.counting import WeightArray
from spooflab.experiments.metrics import NAMES, RATES, curve_figures, rates_at
from spooflab.experiments.scores import FloatArray, IntArray, ScoreSet

LEVEL = 0.95
REPLICATES = 2000
_CHUNK_CELLS = 2_000_000
"""Weights held at once: 16 MB of int64, so memory does not grow with the number of replicates."""


@dataclass(frozen=True)
class Interval:
    """An estimate between two bounds.

    Attributes:
        estimate: the figure itself.
        low, high: bounds at the stated level.
        method: how they were found.
    """

    estimate: float
    low: float
    high: float
    method: str


def clopper_pearson(errors: int, total: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of one binomial rate (Clopper & Pearson 1934); rows are taken as independent.

    >>> [round(v, 4) for v in clopper_pearson(0, 10)]
    [0.0, 0.3085]
    """
    from scipy.stats import beta

    if not 0 <= errors <= total or total == 0:
        raise ValueError(f"{errors} errors of {total}: wanted 0 <= errors <= total, total > 0")
    tail = (1 - level) / 2
    low = 0.0 if errors == 0 else float(beta.ppf(tail, errors, total - errors + 1))
    high = 1.0 if errors == total else float(beta.ppf(1 - tail, errors + 1, total - errors))
    return low, high


def cluster_draws(clusters: int, replicates: int, seed: int) -> IntArray:
    """Return (R, clusters) how often each cluster occurs in each resample with replacement."""
    if replicates < 1 or clusters < 1:
        raise ConfigError(f"bootstrap of {clusters} subjects with {replicates} replicates", wanted="at least 1 of each")
    rng = np.random.default_rng(seed)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=replicates)


def bootstrap(
    scores: ScoreSet, threshold: float | None, *, replicates: int = REPLICATES, seed: int = 0
) -> dict[str, FloatArray]:
    """Resample subjects and recount every figure: name to (R,) values, NaN where a replicate lacks a class.

    The threshold stays where it is: it was fixed on other rows.

    Args:
        scores: rows to resample, whole subjects at a time.
        threshold: where to judge the rates; None leaves them out.
        replicates: resamples, 2000 or more for a report.
        seed: of the resampling.
    """
    subjects, member = np.unique(scores.subject, return_inverse=True)
    draws = cluster_draws(len(subjects), replicates, seed)
    return _recount(scores, threshold, draws, member)


def _recount(scores: ScoreSet, threshold: float | None, draws: IntArray, member: IntArray) -> dict[str, FloatArray]:
    parts = [curve_figures(scores, weights) for weights in _chunks(draws, member)]
    out = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return out if threshold is None else out | rates_at(scores, threshold, draws, member)


def _chunks(draws: IntArray, member: IntArray) -> Iterator[WeightArray]:
    step = max(1, _CHUNK_CELLS // max(1, len(member)))
    for start in range(0, len(draws), step):
        yield draws[start : start + step][:, member]


def student_factors(size: int, replicates: int, rng: np.random.Generator) -> FloatArray:
    """Return (R,) factors that give resampled deviations of a mean of `size` values the tails of Student's t.

    Times a normal draw, each is a draw of t with size − 1 degrees of freedom. Resampling knows neither that a variance
    seen in few values may be too small, nor that dividing by `size` makes it so.
    """
    factors: FloatArray = np.sqrt((size - 1) / rng.chisquare(size - 1, replicates))
    return factors


def widened(values: FloatArray, size: int, seed: int = 0) -> FloatArray:
    """Return resampled rates with the variance and the tails that a mean of `size` clusters has, within [0, 1].

    With 8 clusters, 95 % of plain resamples cover the truth about 88 % of the time.
    """
    if size < 2 or np.isnan(values).all():
        return values
    middle = np.nanmean(values)
    factors = np.sqrt(size / (size - 1)) * student_factors(size, len(values), np.random.default_rng([seed, 1]))
    out: FloatArray = np.clip(middle + (values - middle) * factors, 0.0, 1.0)
    return out


def percentile(values: FloatArray, level: float = LEVEL) -> tuple[float, float] | None:
    """Return the percentile bounds of the defined replicates, or None when fewer than half are defined."""
    defined = values[~np.isnan(values)]
    if len(defined) * 2 <= len(values):
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def intervals(
    scores: ScoreSet, threshold: float | None, estimates: dict[str, float | None], *, replicates: int, seed: int = 0
) -> tuple[dict[str, Interval], list[str]]:
    """Return an interval for each figure that exists, and the reasons where there is none.

    Where resampling cannot show the doubt of a rate (`needs_exact`), an exact binomial interval stands there instead.
    """
    clusters = len(np.unique(scores.subject))
    if clusters < 2:
        return {}, ["one subject only: no interval can be resampled"]
    samples = bootstrap(scores, threshold, replicates=replicates, seed=seed)
    out: dict[str, Interval] = {}
    notes: list[str] = []
    for name in NAMES:
        value = estimates.get(name)
        if value is None or name not in samples:
            continue
        bounds = percentile(widened(samples[name], clusters, seed))
        if bounds is None:
            notes.append(f"{name}: most resamples lack a class, no interval")
        elif name in RATES and threshold is not None and needs_exact(scores, threshold, name):
            out[name] = Interval(value, *exact_bounds(scores, threshold, name), "clopper-pearson")
        else:
            out[name] = Interval(value, *bounds, "bootstrap")
    return out, notes


def rate_errors(scores: ScoreSet, threshold: float) -> tuple[tuple[int, int], dict[str, tuple[int, int]]]:
    """Return (errors, rows) of the bona fides and of each attack species at a threshold, failures as errors."""
    failed = np.isnan(scores.score)
    accepted = np.where(failed, scores.attack, scores.score >= threshold)
    genuine = ~scores.attack
    attacks = {name: scores.attack & (scores.species == name) for name in scores.attack_species}
    return (
        (int((genuine & ~accepted).sum()), int(genuine.sum())),
        {name: (int((accepted & rows).sum()), int(rows.sum())) for name, rows in attacks.items()},
    )


def needs_exact(scores: ScoreSet, threshold: float, name: str) -> bool:
    """Say whether resampling is blind for `name`: a rate in it is 0 or 1, or rests on one subject.

    Every resample then repeats that rate, however few rows it was counted on.
    """
    sides = [~scores.attack] * (name != "apcer") + [scores.attack] * (name != "bpcer")
    if any(len(np.unique(scores.subject[side])) < 2 for side in sides):
        return True
    rates = rates_at(scores, threshold)
    bpcer = float(rates["bpcer"][0])
    attacks = 2 * float(rates["hter"][0]) - bpcer if name == "hter" else float(rates["apcer"][0])
    seen = [bpcer] * (name != "apcer") + [attacks] * (name != "bpcer")
    return any(abs(rate - round(rate)) < 1e-12 for rate in seen)


def exact_bounds(scores: ScoreSet, threshold: float, name: str) -> tuple[float, float]:
    """Return bounds from Clopper–Pearson, rows taken as independent.

    For a mean (or maximum) of several rates each is taken at a level that keeps the whole (Bonferroni).
    """
    genuine, attacks = rate_errors(scores, threshold)
    if name == "hter":
        attacks = {"all": (sum(e for e, _ in attacks.values()), sum(n for _, n in attacks.values()))}
    rates = (name != "apcer") + len(attacks) * (name != "bpcer")
    level = 1 - (1 - LEVEL) / rates
    low_b, high_b = clopper_pearson(*genuine, level)
    bounds = [clopper_pearson(*pair, level) for pair in attacks.values()]
    low_a, high_a = max(b[0] for b in bounds), max(b[1] for b in bounds)
    if name == "bpcer":
        return low_b, high_b
    if name == "apcer":
        return low_a, high_a
    return (low_a + low_b) / 2, (high_a + high_b) / 2


@dataclass(frozen=True)
class Judged:
    """One set of test rows with the threshold that its own dev rows fixed, and the seed of its training."""

    scores: ScoreSet
    threshold: float
    seed: int = 0


@dataclass(frozen=True)
class PairTest:
    """Two algorithms compared over folds.

    Attributes:
        first, second: names.
        difference: mean of first − second over folds.
        p, p_holm: two-sided exact signed-rank p, raw and adjusted over all pairs.
    """

    first: str
    second: str
    difference: float
    p: float
    p_holm: float


def signed_rank_p(differences: FloatArray) -> float:
    """Two-sided Wilcoxon signed-rank p, exact with ties (mid-ranks) and zeros left out.

    All 2^n sign patterns are counted by convolution, so tied folds need no normal approximation.
    """
    from scipy.stats import rankdata

    kept = differences[differences != 0]
    if not len(kept):
        return 1.0
    twice = np.rint(2 * rankdata(np.abs(kept))).astype(np.int64)
    ways = np.zeros(int(twice.sum()) + 1)
    ways[0] = 1.0
    for rank in twice:
        moved = np.zeros_like(ways)
        moved[rank:] = ways[: len(ways) - rank]
        ways = (ways + moved) / 2
    seen = int(twice[kept > 0].sum())
    return float(min(1.0, 2 * min(ways[: seen + 1].sum(), ways[seen:].sum())))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number (Holm 1979): step down, never decreasing.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    steps = [min(1.0, (len(p_values) - place) * p_values[index]) for place, index in enumerate(order)]
    out = np.empty(len(p_values))
    out[order] = np.maximum.accumulate(steps) if steps else []
    return [float(value) for value in out]


def compare_pairs(table: FloatArray, names: Sequence[str]) -> list[PairTest]:
    """Test each pair of columns of a (folds, algorithms) table, adjusted by Holm."""
    pairs = list(combinations(range(len(names)), 2))
    raw = [signed_rank_p(table[:, i] - table[:, j]) for i, j in pairs]
    return [
        PairTest(names[i], names[j], float(np.mean(table[:, i] - table[:, j])), p, adjusted)
        for (i, j), p, adjusted in zip(pairs, raw, holm(raw), strict=True)
    ]


@dataclass(frozen=True)
class Friedman:
    """Friedman's test of a (folds, algorithms) table and Nemenyi's critical difference of mean ranks.

    Attributes:
        p: None where fewer than 3 algorithms or 2 folds leave nothing to test.
        mean_ranks: by algorithm, 1 is best (lowest error).
        critical_difference: mean ranks closer than this are not told apart at the 5 % level.
        reason: why there is no p.
        f_p: by Iman and Davenport's F (1980), which errs less than χ² where folds are few; None where χ² has its most.
    """

    p: float | None
    mean_ranks: dict[str, float]
    critical_difference: float | None
    reason: str = ""
    f_p: float | None = None


def friedman(table: FloatArray, names: Sequence[str]) -> Friedman:
    """Rank algorithms within folds and test whether any differs (Demšar 2006)."""
    from scipy.stats import f, friedmanchisquare, rankdata, studentized_range

    folds, count = table.shape
    ranks = {name: float(r) for name, r in zip(names, rankdata(table, axis=1).mean(0), strict=True)} if folds else {}
    if count < 3 or folds < 2:
        return Friedman(None, ranks, None, f"{count} algorithms over {folds} folds: Friedman needs 3 and 2")
    if np.all(table == table[:, :1]):
        return Friedman(1.0, ranks, None, "every algorithm has the same error in every fold")
    # studentized_range.ppf(inf) is slow to integrate; 10 000 degrees of freedom differ in the fourth digit.
    quantile = float(studentized_range.ppf(LEVEL, count, 10_000)) / np.sqrt(2)
    found = friedmanchisquare(*table.T)
    left = folds * (count - 1) - float(found.statistic)
    ratio = (folds - 1) * float(found.statistic) / left if left > 1e-9 else None
    return Friedman(
        float(found.pvalue),
        ranks,
        float(quantile * np.sqrt(count * (count + 1) / (6 * folds))),
        f_p=None if ratio is None else float(f.sf(ratio, count - 1, (count - 1) * (folds - 1))),
    )


def reach_sentence(folds: int, pairs: int = 1, level: float = 0.05) -> str:
    """Say in plain words whether `folds` folds can reach significance at all, with Holm over `pairs` comparisons.

    >>> reach_sentence(4)
    '4 folds cannot reach p < 0.05: the smallest two-sided signed-rank p with 4 folds is 0.125.'
    """
    smallest = smallest_p(folds, pairs)
    adjusted = f" after Holm's adjustment for {pairs} comparisons" if pairs > 1 else ""
    noun = "fold" if folds == 1 else "folds"
    found = f"the smallest two-sided signed-rank p with {folds} {noun}{adjusted} is {smallest:.3g}."
    if smallest >= level:
        return f"{folds} {noun} cannot reach p < {level:g}: {found}"
    return f"{folds} {noun} can reach p < {level:g}: {found}"


def smallest_p(folds: int, pairs: int = 1) -> float:
    """Smallest two-sided signed-rank p that `folds` folds allow, times `pairs` (Holm's first step)."""
    return min(1.0, 2.0 ** (1 - folds) * pairs) if folds > 0 else 1.0
