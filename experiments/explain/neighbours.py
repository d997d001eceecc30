"""Whether features cluster by a label, measured in feature space: who the neighbours are, against chance."""

from dataclasses import dataclass

import numpy as np

from spooflab.experiments.scores import FloatArray, IntArray, StrArray

NEIGHBOURS = 10
SHUFFLES = 999


@dataclass(frozen=True)
class Purity:
    """How much the neighbours of a row share its label.

    Attributes:
        labels: how many different ones.
        rows: how many rows.
        purity: mean share of the nearest neighbours with the row's own label.
        chance: its expectation where labels have nothing to do with places.
        chance_high: what 95 % of shuffles of the labels stay below.
        silhouette: mean of (b − a) / max(a, b) of Rousseeuw (1987), −1 to 1; 0 where clusters overlap wholly.
    """

    labels: int
    rows: int
    purity: float
    chance: float
    chance_high: float
    silhouette: float

    @property
    def excess(self) -> float:
        """Where the purity lies between chance (0) and neighbours all alike (1)."""
        return (self.purity - self.chance) / (1 - self.chance) if self.chance < 1 else 0.0

    @property
    def clustered(self) -> bool:
        """Whether the purity is above what shuffled labels reach."""
        return self.purity > self.chance_high


def nearest(features: FloatArray, count: int = NEIGHBOURS) -> IntArray:
    """Return the positions of each row's nearest other rows by Euclidean distance, (N, count)."""
    from sklearn.neighbors import NearestNeighbors

    found: IntArray = NearestNeighbors(n_neighbors=count).fit(features).kneighbors(return_distance=False)
    return found


def purity(features: FloatArray, labels: StrArray, *, seed: int = 0, shuffles: int = SHUFFLES) -> Purity | None:
    """Measure the neighbours of features (N, D) by their labels (N,); None with one label or too few rows.

    >>> places = np.repeat(np.arange(4.0), 20)[:, None]
    >>> purity(places, np.repeat(["a", "b", "c", "d"], 20)).purity
    1.0
    """
    from sklearn.metrics import silhouette_score

    names, number = np.unique(labels, return_inverse=True)
    total = len(labels)
    if len(names) < 2 or total < 3 * NEIGHBOURS:
        return None
    others = nearest(features)
    counts = np.bincount(number)
    rng = np.random.default_rng(seed)
    shuffled = [_share(rng.permutation(number), others) for _ in range(shuffles)]
    return Purity(
        labels=len(names),
        rows=total,
        purity=_share(number, others),
        chance=float((counts * (counts - 1)).sum() / (total * (total - 1))),
        chance_high=float(np.quantile(shuffled, 0.95)),
        silhouette=float(silhouette_score(features, number)),
    )


def _share(number: IntArray, others: IntArray) -> float:
    return float((number[others] == number[:, None]).mean())
