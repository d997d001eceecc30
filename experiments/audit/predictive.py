"""How well one figure tells the class by itself: cross-validated by subject groups, compared within devices only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spooflab.experiments.scores import BoolArray
from spooflab.seeds import seed

_FOLDS, _BLOCKS, _LEAVES = 5, 40, 6


@dataclass(frozen=True)
class Predictive:
    """An area under the ROC curve, 0.5 for chance, with its bounds.

    Attributes:
        auc: of out-of-fold predictions, pairs of rows of one stratum each.
        low, high: mean ± z standard errors of a jackknife over blocks of subject groups.
    """

    auc: float
    low: float
    high: float


def predictive(
    values: NDArray[np.float64], attack: BoolArray, strata: NDArray[np.int64], groups: NDArray[np.int64], *, z: float
) -> Predictive | None:
    """Judge one figure; None where no stratum has both classes, or there are fewer than three groups.

    A tree of six leaves on the figure's rank within its stratum is trained on four fifths of the groups and applied to
    the others, so that a middle range which tells the class is found as well as a high or low one.

    Args:
        values: (N,), NaN for a missing one, which ranks below all.
        attack: the class.
        strata: device of each row; a figure that only tells the device tells nothing here.
        groups: subject group of each row.
        z: width of the interval in standard errors.
    """
    ranks = within(values, strata)
    scores = out_of_fold(ranks[:, None], attack, groups)
    if scores is None:
        return None
    # Scores of two trees are not compared: their base rates differ, which would pull a useless figure below 0.5.
    cells = strata * _FOLDS + groups % _FOLDS
    auc = _auc(scores, attack, cells)
    if auc is None:
        return None
    blocks = groups % _BLOCKS
    left = [_auc(scores[blocks != b], attack[blocks != b], cells[blocks != b]) for b in np.unique(blocks)]
    kept = np.asarray([value for value in left if value is not None])
    error = float(np.sqrt((len(kept) - 1) * kept.var())) if len(kept) > 1 else 0.5
    return Predictive(auc, max(0.0, auc - z * error), min(1.0, auc + z * error))


def numbered(groups: NDArray[np.str_], root: int = 0) -> NDArray[np.int64]:
    """Return a number for each group by a hash of its name, so that row order means nothing."""
    names = sorted(np.unique(groups).tolist(), key=lambda name: seed(root, "audit", name))
    number = {name: place for place, name in enumerate(names)}
    return np.asarray([number[name] for name in groups.tolist()], dtype=np.int64)


def within(values: NDArray[np.float64], strata: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each value's mid-rank within its stratum, 0 … 1."""
    from scipy.stats import rankdata

    filled = np.where(np.isnan(values), -np.inf, values)
    out = np.empty(len(values))
    for stratum in np.unique(strata):
        rows = strata == stratum
        out[rows] = (rankdata(filled[rows]) - 0.5) / rows.sum()  # all tied: 0.5 in every stratum
    return out


def out_of_fold(
    features: NDArray[np.float64], attack: BoolArray, groups: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Return the likelihood of an attack (N,) by trees that saw none of the row's group; None with too few groups."""
    from sklearn.tree import DecisionTreeClassifier

    dealt = groups % _FOLDS
    if len(np.unique(dealt)) < 3:
        return None
    scores = np.full(len(attack), 0.5)
    for fold in np.unique(dealt):
        train = dealt != fold
        if attack[train].all() or not attack[train].any():
            continue
        least = max(5, int(train.sum()) // 100)
        tree = DecisionTreeClassifier(
            max_leaf_nodes=_LEAVES, min_samples_leaf=least, class_weight="balanced", random_state=0
        )
        tree.fit(features[train], attack[train])
        scores[~train] = tree.predict_proba(features[~train])[:, 1]
    return scores


def _auc(scores: NDArray[np.float64], attack: BoolArray, strata: NDArray[np.int64]) -> float | None:
    """Return the share of (attack, bona fide) pairs of one stratum in the right order, ties half."""
    from scipy.stats import rankdata

    won, pairs = 0.0, 0
    for stratum in np.unique(strata):
        rows = strata == stratum
        found = int(attack[rows].sum())
        others = int(rows.sum()) - found
        if found and others:
            won += rankdata(scores[rows])[attack[rows]].sum() - found * (found + 1) / 2
            pairs += found * others
    return won / pairs if pairs else None
