"""A mean whose rows come in clusters: Student t over clusters, which pictures of one person are not independent of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spooflab.experiments.scores import FloatArray
from spooflab.experiments.statistics import LEVEL

FEWEST_CLUSTERS = 4


@dataclass(frozen=True)
class ClusteredMean:
    """A mean with its interval.

    Attributes:
        mean, low, high: estimate and two-sided bounds.
        p: one-sided, of a mean that is not above 0.
        clusters: how many.
    """

    mean: float
    low: float
    high: float
    p: float
    clusters: int


def clustered_mean(
    values: FloatArray, clusters: Sequence[str] | NDArray[Any], level: float = LEVEL
) -> ClusteredMean | None:
    """Return the mean of values (N,) with the cluster-robust error of Liang and Zeger (1986); None with few clusters.

    The error is that of the clusters' sums about the mean, times C / (C − 1), with C − 1 degrees of freedom.

    >>> found = clustered_mean(np.array([1.0, 2.0, 3.0, 4.0]), ["a", "b", "c", "d"])
    >>> round(found.mean, 3), round(found.high, 3)
    (2.5, 4.554)
    """
    from scipy.stats import t

    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    count = len(names)
    if count < FEWEST_CLUSTERS:
        return None
    mean = float(values.mean())
    sums = np.bincount(member, weights=values - mean)
    error = float(np.sqrt(count / (count - 1) * (sums**2).sum()) / len(values))
    if error < 1e-12:
        return ClusteredMean(mean, mean, mean, 0.0 if mean > 1e-12 else 1.0, count)
    reach = float(t.ppf((1 + level) / 2, count - 1)) * error
    return ClusteredMean(mean, mean - reach, mean + reach, float(t.sf(mean / error, count - 1)), count)
