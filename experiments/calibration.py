"""Whether scores mean what they say: of rows with a bona fide likelihood of 0.8, are 80 % bona fide?

Conventions, since published figures differ by them:

- **Bins hold equal mass**, not equal width: scores of detectors crowd at 0 and 1, where bins of equal width leave most
  rows in two of them (Nguyen & O'Connor 2015). Equal scores are never split, so there may be fewer bins than asked for.
- **Classes weigh ½ each** (`class_balance`), whatever the rows' mixture: a likelihood that was learnt from even batches
  states the odds of even classes. Unweighted figures are those of scikit-learn.
- **Expected calibration error** is the mean over bins of |share of bona fide − mean score| (Naeini et al. 2015; Guo et
  al. 2017, equation 5). It is biased upwards: a perfectly calibrated detector has one above 0, the `floor`.
- **The debiased error** is the root of the mean square of the same gaps, less what chance adds to it (Kumar, Liang & Ma
  2019, definition 4.1); 0 where chance explains all.

Rows without a score state nothing and are left out; they are counted elsewhere.
"""

from dataclasses import dataclass

import numpy as np

from spooflab.experiments.scores import BoolArray, FloatArray, IntArray, ScoreSet

BINS = 15


@dataclass(frozen=True)
class Bins:
    """Rows grouped by score; every array has one entry per bin, lowest scores first.

    Attributes:
        rows: how many rows.
        weight: share of the total weight, sums to 1.
        stated: weighted mean score.
        seen: weighted share of bona fide.
        member: (N,) bin of each row that has a score.
    """

    rows: IntArray
    weight: FloatArray
    stated: FloatArray
    seen: FloatArray
    member: IntArray


@dataclass(frozen=True)
class Calibration:
    """How far stated likelihoods are from what was seen.

    Attributes:
        ece: expected calibration error.
        floor: the `ece` to expect of these rows from chance alone if every bin's score were right (rows independent).
        debiased: root of the mean squared gap without what chance adds.
        brier: mean squared difference of score and class; 0 is best.
        reliability, resolution, uncertainty, within: brier = reliability − resolution + uncertainty + within.
        bins: how many there were.
        rows: how many rows had a score.
    """

    ece: float
    floor: float
    debiased: float
    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float
    bins: int
    rows: int


def is_likelihood(scores: ScoreSet) -> bool:
    """Say whether every score lies in [0, 1], as a likelihood does; other scales state no probability."""
    seen = scores.score[~np.isnan(scores.score)]
    return bool(len(seen) and ((seen >= 0) & (seen <= 1)).all())


def class_balance(attack: BoolArray) -> FloatArray:
    """Return weights (N,) of mean 1 under which both classes weigh the same; ones where there is only one class."""
    if attack.all() or not attack.any():
        return np.ones(len(attack))
    weights: FloatArray = len(attack) / (2 * np.where(attack, attack.sum(), (~attack).sum()))
    return weights


def equal_mass_bins(score: FloatArray, bonafide: FloatArray, weight: FloatArray, bins: int = BINS) -> Bins:
    """Group rows into bins of equal weight, without splitting equal scores.

    A score belongs to the bin in which the middle of its own weight lies.

    Args:
        score: (N,) in [0, 1].
        bonafide: (N,) 1 for bona fide, 0 for attacks.
        weight: (N,) > 0.
        bins: at most so many.

    >>> equal_mass_bins(np.array([0.1, 0.2, 0.8, 0.8]), np.array([0, 0, 1, 1]), np.ones(4), 2).rows.tolist()
    [2, 2]
    """
    _, place = np.unique(score, return_inverse=True)
    mass = np.bincount(place, weight)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    # A middle on the border of two bins belongs to the upper one, however it was rounded.
    _, member = np.unique(np.floor(middle * bins + 1e-9)[place], return_inverse=True)
    total = np.bincount(member, weight)
    return Bins(
        rows=np.bincount(member),
        weight=total / total.sum(),
        stated=np.bincount(member, weight * score) / total,
        seen=np.bincount(member, weight * bonafide) / total,
        member=member,
    )


def calibration(scores: ScoreSet, *, bins: int = BINS, balanced: bool = True) -> Calibration | None:
    """Return the calibration of rows that have a score; None where there is none or it is no likelihood.

    The Brier score's parts are Murphy's (1973) over the bins; `within` is what binning hides (Stephenson, Coelho &
    Jolliffe 2008: within-bin variance less twice the covariance), 0 when every bin holds one score.

    Args:
        scores: the rows.
        bins: at most so many.
        balanced: whether both classes weigh ½; else each row weighs the same.
    """
    if not is_likelihood(scores):
        return None
    kept = ~np.isnan(scores.score)
    score, bonafide = scores.score[kept], (~scores.attack[kept]).astype(np.float64)
    weight = class_balance(scores.attack[kept]) if balanced else np.ones(len(score))
    found = equal_mass_bins(score, bonafide, weight, bins)
    gap = found.seen - found.stated
    chance = _chance(found, score, bonafide, weight)
    share = weight / weight.sum()
    base = float((share * bonafide).sum())
    apart = score - found.stated[found.member]
    off = bonafide - found.seen[found.member]
    return Calibration(
        ece=float((found.weight * np.abs(gap)).sum()),
        floor=float((found.weight * np.sqrt(2 * chance[0] / np.pi)).sum()),
        debiased=float(np.sqrt(max(0.0, (found.weight * (gap**2 - chance[1])).sum()))),
        brier=float((share * (score - bonafide) ** 2).sum()),
        reliability=float((found.weight * gap**2).sum()),
        resolution=float((found.weight * (found.seen - base) ** 2).sum()),
        uncertainty=base * (1 - base),
        within=float((share * (apart**2 - 2 * apart * off)).sum()),
        bins=len(found.rows),
        rows=len(score),
    )


def _chance(bins: Bins, score: FloatArray, bonafide: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Variance of each bin's gap by chance: if its scores were right, and as its rows show it.

    A gap is a weighted mean of bona fide − score over independent rows: its variance is Σ w² v / (Σ w)². The second is
    unbiased; where a bin's scores are equal and its weights too, it is ȳ (1 − ȳ) / (n − 1), as Kumar et al. have it. A
    bin of one row shows no variance and takes the first.
    """
    total = np.bincount(bins.member, weight)
    stated = np.bincount(bins.member, weight**2 * score * (1 - score)) / total**2
    left = 1 - np.bincount(bins.member, weight**2) / total**2  # (n − 1) / n for equal weights
    apart = bonafide - score - (bins.seen - bins.stated)[bins.member]
    shown = np.bincount(bins.member, weight**2 * apart**2) / total**2
    return stated, np.divide(shown, left, out=stated.copy(), where=left > 1e-12)
