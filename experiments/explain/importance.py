"""Which physics goes with being accepted: permutation importance of a model that is held to unseen people."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spooflab.experiments.explain.clustered_mean import ClusteredMean, clustered_mean
from spooflab.experiments.explain.parameters import Parameters, correlated_groups, spokesman
from spooflab.experiments.scores import FloatArray, IntArray
from spooflab.experiments.statistics import holm

LEVEL = 0.05
FOLDS = 5
FEWEST_ROWS = 30
FEWEST_GROUPS = 4
"""Fewest groups of people that a model can be held to; with fewer, every fold would leave most of them out."""

_TREES, _LEAF, _COLUMNS = 100, 3, 1 / 3
_REPEATS = 10


@dataclass(frozen=True)
class Importance:
    """What permuting one group of parameters costs.

    Attributes:
        name: the parameter that stands for the group.
        others: further parameters that move with it (|Spearman| of 0.7 and more).
        share, low, high: rise of the squared error, as a share of the spread of what is predicted, and its interval.
        p: two-sided, Holm-adjusted over all groups.
        direction: Spearman correlation of the parameter with how readily attacks are accepted.
    """

    name: str
    others: tuple[str, ...]
    share: float
    low: float
    high: float
    p: float
    direction: float


@dataclass(frozen=True)
class Univariate:
    """One parameter alone: Spearman's correlation with how readily attacks are accepted, p Holm-adjusted over all."""

    name: str
    rho: float
    p: float
    known: int


@dataclass(frozen=True)
class Explained:
    """What the recorded physics explains of one set of attacks.

    Attributes:
        rows, people, parameters: how many.
        skill: share of the spread that the model predicts of people it has not seen (out-of-fold R²); None where
            nothing could be fitted.
        skill_low, skill_high, skill_p: its interval over people, and one-sided p.
        importances: of all groups, largest first; empty where the model predicts no better than chance.
        univariate: of all parameters, strongest first.
        refused: why no parameter is named; empty where some may be.
    """

    rows: int
    people: int
    parameters: int
    skill: float | None = None
    skill_low: float | None = None
    skill_high: float | None = None
    skill_p: float | None = None
    importances: list[Importance] = field(default_factory=list)
    univariate: list[Univariate] = field(default_factory=list)
    refused: str = ""

    @property
    def named(self) -> list[Importance]:
        """Groups that surely matter, given that the model predicts at all."""
        return [found for found in self.importances if found.p < LEVEL]


def explain_acceptance(
    parameters: Parameters,
    readiness: FloatArray,
    people: Sequence[str] | NDArray[Any],
    groups: Sequence[str] | NDArray[Any],
    *,
    seed: int = 0,
) -> Explained:
    """Fit a random forest on the parameters and ask, on people it has not seen, what it loses without each.

    Two gates stand before a name. The forest must predict people whom it was not fitted on better than the mean does;
    otherwise its importances explain the forest and not the detector, and none is given. And the loss by permuting a
    group of parameters that move together, within the held-out people, must be above 0 after Holm. Both are tested by
    Student's t over people. (Permuting a parameter keeps its own distribution and breaks its dependence on all others,
    so a forest is asked about combinations that do not occur: Hooker, Mentch and Zhou 2021. Groups make that mild.)

    Args:
        parameters: of N attacks.
        readiness: (N,) how readily each is accepted, higher is worse.
        people: (N,) whom each shows; errors are taken as independent between people.
        groups: (N,) groups of people that share donors; no group is both fitted on and held out.
        seed: of forest and permutations.
    """
    rows, count = parameters.values.shape
    known = Explained(rows, len(set(people)), count)
    if reason := _too_little(parameters, readiness, people, groups):
        return replace(known, refused=reason)
    univariate = univariate_table(parameters, readiness, people)
    causes = correlated_groups(parameters)
    base, lost, rises = _held_out(parameters.values, readiness, np.asarray(groups), causes, seed)
    spread = float(base.mean())
    gain = clustered_mean(base - lost, people)
    assert gain is not None  # `_too_little` has asked
    known = replace(
        known,
        univariate=univariate,
        skill=gain.mean / spread,
        skill_low=gain.low / spread,
        skill_high=gain.high / spread,
        skill_p=gain.p,
    )
    if gain.p >= LEVEL:
        return replace(known, refused="the model predicts which attacks pass no better than their mean does")
    return replace(known, importances=_importances(parameters, causes, rises, spread, people, univariate))


def _too_little(parameters: Parameters, readiness: FloatArray, people: Any, groups: Any) -> str:
    rows, count = parameters.values.shape
    if rows < FEWEST_ROWS:
        return f"{rows} attacks, and {FEWEST_ROWS} are the least that a model is fitted on"
    if len(set(groups)) < FEWEST_GROUPS or len(set(people)) < FEWEST_GROUPS:
        return f"{len(set(groups))} groups of people, and {FEWEST_GROUPS} are the least that one is held to"
    if not count:
        return "no recorded parameter varies"
    if float(np.ptp(readiness)) == 0:
        return "all attacks are accepted alike"
    return ""


def _held_out(
    values: FloatArray, target: FloatArray, groups: NDArray[Any], causes: list[list[int]], seed: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return each row's squared error by the mean (N,), by the forest (N,), and its rise per permuted group (G, N)."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import GroupKFold

    base, lost = np.empty(len(target)), np.empty(len(target))
    rises = np.empty((len(causes), len(target)))
    folds = GroupKFold(min(FOLDS, len(set(groups.tolist()))))
    for number, (fit, held) in enumerate(folds.split(values, target, groups)):
        forest = RandomForestRegressor(
            _TREES, min_samples_leaf=_LEAF, max_features=_COLUMNS, random_state=seed, n_jobs=1
        ).fit(values[fit], target[fit])
        base[held] = (target[fit].mean() - target[held]) ** 2
        lost[held] = (forest.predict(values[held]) - target[held]) ** 2
        rng = np.random.default_rng((seed, number))
        for group, columns in enumerate(causes):
            # All repeats in one call: a forest's time is in its calls.
            moved = np.tile(values[held], (_REPEATS, 1, 1))
            for repeat in range(_REPEATS):
                moved[repeat][:, columns] = values[rng.permutation(held)][:, columns]
            guess = forest.predict(moved.reshape(-1, values.shape[1])).reshape(_REPEATS, -1)
            rises[group, held] = ((guess - target[held]) ** 2).mean(0) - lost[held]
    return base, lost, rises


def _importances(
    parameters: Parameters,
    causes: list[list[int]],
    rises: FloatArray,
    spread: float,
    people: Sequence[str] | NDArray[Any],
    univariate: list[Univariate],
) -> list[Importance]:
    means: list[ClusteredMean] = []
    for rise in rises:
        mean = clustered_mean(rise, people)
        assert mean is not None  # `_too_little` has asked
        means.append(mean)
    alone = {row.name: row.rho for row in univariate}
    out = []
    # Twice the one-sided p: the forest learns which way a null parameter happens to go from the other folds, which
    # happen to go the same way, so a chance correlation of either sign comes out as a rise of the error.
    adjusted = holm([min(1.0, 2 * mean.p) for mean in means])
    for columns, mean, p in zip(causes, means, adjusted, strict=True):
        names = [parameters.names[place] for place in columns]
        first = spokesman(names)
        figures = (mean.mean / spread, mean.low / spread, mean.high / spread)
        out.append(Importance(first, tuple(n for n in names if n != first), *figures, p, alone[first]))
    return sorted(out, key=lambda found: (found.p >= LEVEL, -found.share, found.name))


def univariate_table(
    parameters: Parameters, readiness: FloatArray, people: Sequence[str] | NDArray[Any]
) -> list[Univariate]:
    """Return every parameter's Spearman correlation with the readiness, strongest first.

    The mean product of standardised ranks is tested by t over people: what a person brings to each of their pictures
    (skin, hair) is as many observations as there are people.
    """
    found = []
    who = np.asarray(people)
    for name, values in zip(parameters.names, parameters.values.T, strict=True):
        rows = np.isfinite(values)
        product = _standard_ranks(values[rows]) * _standard_ranks(readiness[rows])
        mean = clustered_mean(product, who[rows])
        p = 1.0 if mean is None else 2 * min(mean.p, 1 - mean.p)
        found.append((name, float(product.mean()), min(p, 1.0), int(rows.sum())))
    adjusted = holm([row[2] for row in found])
    table = [Univariate(name, rho, p, known) for (name, rho, _, known), p in zip(found, adjusted, strict=True)]
    return sorted(table, key=lambda row: (-abs(row.rho), row.name))


def _standard_ranks(values: FloatArray) -> FloatArray:
    """Ranks of mean 0 and mean square 1; all 0 where nothing varies."""
    from scipy.stats import rankdata

    centred = rankdata(values) - (len(values) + 1) / 2
    size = float(np.sqrt((centred**2).mean()))
    standard: FloatArray = centred / size if size > 0 else np.zeros(len(values))
    return standard


def readiness_ranks(scores: FloatArray, species: NDArray[np.str_]) -> FloatArray:
    """Return how readily each attack passes, (N,) in (0, 1): its score's rank among the attacks of its species.

    Ranks, because scores of different networks have different scales and pile up at 0 and 1. A failure to acquire (NaN)
    counts as accepted: it ranks above all.
    """
    from scipy.stats import rankdata

    out = np.empty(len(scores))
    for name in np.unique(species):
        rows = species == name
        filled = np.where(np.isnan(scores[rows]), np.inf, scores[rows])
        out[rows] = (rankdata(filled) - 0.5) / rows.sum()
    return out


def mean_by_key(keys: Sequence[NDArray[np.str_]], values: Sequence[FloatArray]) -> tuple[NDArray[np.str_], FloatArray]:
    """Average values of the same key over runs; keys come sorted.

    >>> mean_by_key([np.array(["b", "a"]), np.array(["b"])], [np.array([1.0, 0.0]), np.array([0.0])])[1].tolist()
    [0.0, 0.5]
    """
    every, member = np.unique(np.concatenate(keys), return_inverse=True)
    places: IntArray = member.astype(np.int64)
    total = np.bincount(places, weights=np.concatenate(values))
    mean: FloatArray = total / np.bincount(places)
    return every, mean
