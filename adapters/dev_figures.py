"""Source-dev figures that pick the weights: equal error rate and class-balanced log loss."""

import numpy as np
import numpy.typing as npt

from spooflab.errors import DataError


def dev_figures(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> dict[str, float]:
    """Return `eer` and `loss` of bona fide likelihoods.

    The threshold lies among the observed scores or above all of them and minimises |FRR − FAR|, ties to the lower;
    the EER is the mean of both rates there. The loss is the mean over the two classes of the mean −log p(label).

    Raises:
        DataError: a class is missing, or a score is not finite.
    """
    if not np.isfinite(scores).all():
        raise DataError(f"{int((~np.isfinite(scores)).sum())} dev scores are not finite", wanted="numbers in [0, 1]")
    genuine, attacks = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    if not len(genuine) or not len(attacks):
        raise DataError(f"dev set has {len(genuine)} bona fide and {len(attacks)} attack images", wanted="both classes")
    thresholds = np.append(np.unique(scores), np.inf)
    rejected = np.searchsorted(genuine, thresholds, side="left")
    accepted = len(attacks) - np.searchsorted(attacks, thresholds, side="left")
    # Compared as integers: a difference of two rounded rates would break ties by rounding.
    best = int(np.argmin(np.abs(rejected * len(attacks) - accepted * len(genuine))))
    floor = np.finfo(np.float64).tiny
    loss = -(np.log(np.maximum(genuine, floor)).mean() + np.log(np.maximum(1 - attacks, 2.0**-53)).mean()) / 2
    return {"eer": float((rejected[best] / len(genuine) + accepted[best] / len(attacks)) / 2), "loss": float(loss)}
