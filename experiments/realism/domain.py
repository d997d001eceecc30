"""Can a classifier tell simulated from real captures of people that it has not seen? Its AUC, and how sure it is.

.5 means that it cannot. The classifier is a ridge-penalised logistic regression on features and their squares,
cross-validated by subject groups; pictures are compared within the fold that one classifier scored, so that nothing
depends on how folds differ. With few subjects a classifier that has nothing to learn ends below .5 as often as above,
and further off than independent pictures would: the null, one half of the real subjects against the other, shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spooflab.experiments.scores import BoolArray, FloatArray, IntArray, StrArray
from spooflab.experiments.statistics import cluster_draws, percentile

PENALTY = 0.003
"""`C` of scikit-learn: features are many, subjects few; a looser one learns the subjects."""
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
        log_odds: (R, N) of being real.
    """

    fold: IntArray
    log_odds: FloatArray


@dataclass(frozen=True)
class DomainAuc:
    """An AUC between simulated and real pictures.

    Attributes:
        auc: its estimate.
        low, high: 95 % bootstrap over subjects, the classifiers as they were trained.
        null: mean AUC of one half of the real subjects against the other, None where they are too few.
        null_high: the value that 95 % of the halvings stay below.
    """

    auc: float
    low: float
    high: float
    null: float | None
    null_high: float | None

    @property
    def told_apart(self) -> bool:
        """Whether the whole interval lies above what two halves of the real pictures reach."""
        return self.low > max(0.5, self.null_high or 0.5)


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
    log_odds = np.zeros(fold.shape)
    for repeat in range(len(fold)):
        for number in np.unique(fold[repeat]):
            test = fold[repeat] == number
            train = ~test
            if len(np.unique(domain.real[train])) == 2:
                log_odds[repeat, test] = _classified(domain.table[train], domain.real[train], domain.table[test])
    return CrossFit(fold, log_odds)


def _classified(train: FloatArray, real: BoolArray, test: FloatArray) -> FloatArray:
    from sklearn.linear_model import LogisticRegression

    scaled, shown = standardised(train, test)
    model = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=500)
    model.fit(with_squares(scaled), real)
    said: FloatArray = model.decision_function(with_squares(shown))
    return said


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
    for fold, odds in zip(fit.fold, fit.log_odds, strict=True):
        for number in np.unique(fold):
            here, there = (np.flatnonzero((fold == number) & side) for side in (~real, real))
            ahead = odds[there][:, None] - odds[here][None]
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


def domain_auc(
    domain: Domain, fit: CrossFit, *, folds: int, halvings: int, weights: FloatArray, seed: int
) -> DomainAuc:
    """Return the AUC of cross-fitted scores with its interval and its null.

    Args:
        domain: the pictures.
        fit: of `cross_fit`.
        folds: of the null's classifiers.
        halvings: of the real subject groups.
        weights: (B, N) of `subject_weights`.
        seed: of the halvings.
    """
    auc = float(within_folds_auc(fit, domain.real)[0])
    low, high = percentile(within_folds_auc(fit, domain.real, weights)) or (0.0, 1.0)
    null = null_aucs(domain, folds=folds, halvings=halvings, seed=seed)
    if not len(null):
        return DomainAuc(auc, low, high, None, None)
    return DomainAuc(auc, low, high, float(null.mean()), float(np.quantile(null, _NULL_QUANTILE)))


def null_aucs(domain: Domain, *, folds: int, halvings: int, seed: int) -> FloatArray:
    """Return the AUC of one half of the real groups against the other, for each halving; empty below 4 groups."""
    rows = np.flatnonzero(domain.real)
    groups = np.unique(domain.group[rows])
    if len(groups) < 4:
        return np.empty(0)
    rng = np.random.default_rng(seed)
    out = []
    for number in range(halvings):
        chosen = rng.permutation(groups)[: len(groups) // 2]
        half = Domain(domain.table[rows], np.isin(domain.group[rows], chosen), domain.group[rows], domain.subject[rows])
        fit = cross_fit(half, deal(half, folds=folds, repeats=1, seed=seed + number))
        out.append(float(within_folds_auc(fit, half.real)[0]))
    return np.asarray(out)[np.isfinite(out)]


def beyond_camera(domain: Domain, plain: Domain) -> Domain:
    """Return the pictures with each side's features less the mean of that side's bona fide pictures.

    What is left is how attack and bona fide differ on each side: a camera or a face that is simulated a little off
    moves both alike.
    """
    table = domain.table.copy()
    for side in (False, True):
        table[domain.real == side] -= np.nanmean(plain.table[plain.real == side], axis=0)
    return Domain(table, domain.real, domain.group, domain.subject)


def names_of(values: Sequence[str]) -> StrArray:
    """Return an array of strings."""
    return np.asarray(values, dtype=np.str_)
