"""Can a classifier tell simulated from real captures of people that it has not seen? Its AUC, and how sure it is.

.5 means that it cannot. The classifier is Fisher's discriminant with a ridge on features and their squares,
cross-validated by subject groups; pictures are compared within the fold that one classifier scored, so that nothing
depends on how folds differ. With few subjects a classifier that has nothing to learn ends below .5 as often as above,
and further off than independent pictures would: the null, one half of the real subjects against the other, shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spooflab.experiments.scores import BoolArray, FloatArray, IntArray, StrArray
from spooflab.experiments.statistics import cluster_draws, percentile

RIDGE = 0.3
"""Penalty in units of the features' number: features are many, subjects few."""
SURE = 0.05
_KNOWN = 0.6
_FARTHEST = 4.0
"""Standard deviations at which a feature is cut off: one odd picture must not steer a fold."""
_NULL_QUANTILE = 0.95


@dataclass(frozen=True, eq=False)
class Domain:
    """Matched pictures of both sides, synthetic ones first.

    Attributes:
        table: (N, F) features.
        real: (N,) which are real.
        group: (N,) what folds keep together.
        subject: (N,) what the bootstrap resamples.
    """

    table: FloatArray
    real: BoolArray
    group: StrArray
    subject: StrArray

    @classmethod
    def join(cls, synthetic: "Half", real: "Half") -> "Domain":
        """Put two halves together."""
        return cls(
            np.concatenate([synthetic.table, real.table]),
            np.repeat([False, True], [len(synthetic.table), len(real.table)]),
            np.concatenate([synthetic.group, real.group]),
            np.concatenate([synthetic.subject, real.subject]),
        )


@dataclass(frozen=True, eq=False)
class Half:
    """Pictures of one side: features (n, F), subject groups and subjects (n,)."""

    table: FloatArray
    group: StrArray
    subject: StrArray


@dataclass(frozen=True, eq=False)
class CrossFit:
    """What classifiers said of pictures of groups that they had not seen.

    Attributes:
        fold: (R, N) fold of each picture in each repeat.
        score: (R, N) of being real, on a scale of its own in each fold.
    """

    fold: IntArray
    score: FloatArray


@dataclass(frozen=True)
class DomainAuc:
    """An AUC between simulated and real pictures.

    Attributes:
        auc: its estimate.
        low, high: 95 % bootstrap over subjects, the classifiers as they were trained.
        p: one-sided, of a permutation of subject groups between the sides.
        null: mean AUC of one half of the real subjects against the other, None where they are too few.
        null_high: the value that 95 % of the halvings stay below.
    """

    auc: float
    low: float
    high: float
    p: float
    null: float | None
    null_high: float | None

    @property
    def told_apart(self) -> bool:
        """Whether so large an AUC is rare among random dealings of the subjects to the sides."""
        return self.p < SURE


def usable(synthetic: FloatArray, real: FloatArray) -> BoolArray:
    """Return (F,) which features enough pictures of both sides show, and which are not constant."""
    known = np.minimum(np.isfinite(synthetic).mean(0), np.isfinite(real).mean(0)) >= _KNOWN
    both = np.concatenate([synthetic, real])
    spread = np.zeros(both.shape[1])
    spread[known] = np.nanstd(both[:, known], axis=0)
    found: BoolArray = spread > 1e-9
    return found


def folds_of(domain: Domain, folds: int, seed: int) -> IntArray:
    """Return (N,) fold numbers: a group, under whichever side's name, lies in one fold."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups = min(len(np.unique(domain.group[rows])) for rows in (domain.real, ~domain.real))
    dealt = StratifiedGroupKFold(max(2, min(folds, groups)), shuffle=True, random_state=seed % 2**32)
    out = np.zeros(len(domain.real), dtype=np.int64)
    for number, (_, rows) in enumerate(dealt.split(domain.table, domain.real, domain.group)):
        out[rows] = number
    return out


def deal(domain: Domain, *, folds: int, repeats: int, seed: int) -> IntArray:
    """Return (R, N) `folds_of` of each repeat."""
    return np.stack([folds_of(domain, folds, seed + 7919 * repeat) for repeat in range(repeats)])


def cross_fit(domain: Domain, fold: IntArray) -> CrossFit:
    """Score every picture by classifiers that saw none of its subject group; `fold` is of `deal`."""
    return CrossFit(fold, fold_scores(domain.table, fold, domain.real[None])[:, 0])


def fold_scores(table: FloatArray, fold: IntArray, labels: BoolArray) -> FloatArray:
    """Return (R, P, N) scores of being real, for P labellings of the same pictures at once.

    Ridge regression on labels that are balanced by their number, which is Fisher's discriminant with a ridge. Only the
    right-hand side depends on the labels, so that a thousand permutations cost little more than one.

    Args:
        table: (N, F) features.
        fold: (R, N) of `deal`.
        labels: (P, N).
    """
    out = np.zeros((len(fold), *labels.shape))
    for repeat, dealt in enumerate(fold):
        for number in np.unique(dealt):
            test = dealt == number
            known, shown = (with_squares(part) for part in standardised(table[~test], table[test]))
            centre = known.mean(0)
            known -= centre
            wanted = labels[:, ~test]
            count = wanted.sum(1, keepdims=True)
            target = np.where(wanted, 1 / count.clip(1), -1 / (wanted.shape[1] - count).clip(1))
            kernel = known @ known.T + RIDGE * known.shape[1] * np.eye(len(known))
            out[repeat][:, test] = target @ np.linalg.solve(kernel, known @ (shown - centre).T)
    return out


def standardised(train: FloatArray, *others: FloatArray) -> tuple[FloatArray, ...]:
    """Return the tables less the training median, over its standard deviation; unknown values become 0."""
    middle = np.nanmedian(train, axis=0)
    spread = np.nanstd(train, axis=0).clip(1e-9)
    return tuple(np.nan_to_num(((table - middle) / spread).clip(-_FARTHEST, _FARTHEST)) for table in (train, *others))


def with_squares(scaled: FloatArray) -> FloatArray:
    """Return (N, 2 F): features and their squares, so that a wider or narrower spread is seen as well."""
    return np.concatenate([scaled, (scaled**2 - 1) / 2], axis=1)


def within_folds_auc(fit: CrossFit, real: BoolArray, weights: FloatArray | None = None) -> FloatArray:
    """Return (B,) the share of (synthetic, real) pairs of one fold in which the real one looks more real.

    Args:
        fit: scores.
        real: (N,).
        weights: (B, N) how often each picture counts; once by default.
    """
    counted = np.ones((1, len(real))) if weights is None else weights
    won, pairs = np.zeros(len(counted)), np.zeros(len(counted))
    for fold, score in zip(fit.fold, fit.score, strict=True):
        for number in np.unique(fold):
            here, there = (np.flatnonzero((fold == number) & side) for side in (~real, real))
            ahead = score[there][:, None] - score[here][None]
            order = (ahead > 0) + 0.5 * (ahead == 0)
            won += np.einsum("br,rs,bs->b", counted[:, there], order, counted[:, here], optimize=True)
            pairs += counted[:, there].sum(1) * counted[:, here].sum(1)
    with np.errstate(invalid="ignore"):
        auc: FloatArray = won / np.where(pairs > 0, pairs, np.nan)
    return auc


def subject_weights(subject: StrArray, side: BoolArray, replicates: int, seed: int) -> FloatArray:
    """Return (B, N) bootstrap weights: the subjects of each side are drawn with replacement by themselves."""
    weights = np.zeros((replicates, len(subject)))
    for place, rows in enumerate((~side, side)):
        names, member = np.unique(subject[rows], return_inverse=True)
        weights[:, rows] = cluster_draws(len(names), replicates, seed + place)[:, member]
    return weights


def labelled_aucs(fold: IntArray, score: FloatArray, labels: BoolArray) -> FloatArray:
    """Return (P,) within-fold AUCs of scores (R, P, N) under their own labels (P, N); ties are not expected."""
    won, pairs = np.zeros(len(labels)), np.zeros(len(labels))
    for dealt, scores in zip(fold, score, strict=True):
        for number in np.unique(dealt):
            rows = np.flatnonzero(dealt == number)
            ranks = np.argsort(np.argsort(scores[:, rows], axis=1), axis=1) + 1
            real = labels[:, rows]
            count = real.sum(1)
            won += (ranks * real).sum(1) - count * (count + 1) / 2
            pairs += count * (len(rows) - count)
    auc: FloatArray = won / np.maximum(pairs, 1)
    return auc


def domain_auc(
    domain: Domain, fit: CrossFit, *, permutations: int, halvings: int, weights: FloatArray, seed: int
) -> DomainAuc:
    """Return the AUC of cross-fitted scores with its interval, its p and its null.

    Args:
        domain: the pictures.
        fit: of `cross_fit`.
        permutations: of the subject groups over the sides, each with classifiers of its own.
        halvings: of the real subject groups.
        weights: (B, N) of `subject_weights`.
        seed: of permutations and halvings.
    """
    auc = float(within_folds_auc(fit, domain.real)[0])
    low, high = percentile(within_folds_auc(fit, domain.real, weights)) or (0.0, 1.0)
    p = permutation_p(domain, fit.fold, auc, permutations=permutations, seed=seed)
    null = null_aucs(domain, fit.fold, halvings=halvings, seed=seed)
    if not len(null):
        return DomainAuc(auc, low, high, p, None, None)
    return DomainAuc(auc, low, high, p, float(null.mean()), float(np.quantile(null, _NULL_QUANTILE)))


def permutation_p(domain: Domain, fold: IntArray, auc: float, *, permutations: int, seed: int) -> float:
    """Return the one-sided p of an AUC when the subject groups of both sides are dealt to the sides at random."""
    clusters, member = np.unique(np.char.add(np.where(domain.real, "r/", "s/"), domain.group), return_inverse=True)
    side = np.tile(np.char.startswith(clusters, "r/"), (permutations, 1))
    labels = np.random.default_rng(seed).permuted(side, axis=1)[:, member]
    reached = labelled_aucs(fold, fold_scores(domain.table, fold, labels), labels)
    return float((1 + (reached >= auc - 1e-12).sum()) / (1 + permutations))


def null_aucs(domain: Domain, fold: IntArray, *, halvings: int, seed: int) -> FloatArray:
    """Return the AUC of one half of the real groups against the other, for each halving; empty below 4 groups."""
    rows = np.flatnonzero(domain.real)
    groups, member = np.unique(domain.group[rows], return_inverse=True)
    if len(groups) < 4:
        return np.empty(0)
    half = np.tile(np.arange(len(groups)) < len(groups) // 2, (halvings, 1))
    labels = np.random.default_rng(seed).permuted(half, axis=1)[:, member]
    return labelled_aucs(fold[:1, rows], fold_scores(domain.table[rows], fold[:1, rows], labels), labels)


def names_of(values: Sequence[str]) -> StrArray:
    """Return an array of strings."""
    return np.asarray(values, dtype=np.str_)
