"""What a study could have found: the smallest difference that its own design and noise leave visible.

The rule is the one that the report decides by (`two_way`): two algorithms are told apart when their difference exceeds
c standard errors. Another study of the same design would estimate other variances: over n subjects and K seeds they are
χ² of n − 1 and K − 1 degrees of freedom about the true ones, and c follows which of them prevails. The power is the
mean, over all of these, of the probability that a normal deviate exceeds c estimated standard errors.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from spooflab.experiments.scores import FloatArray
from spooflab.experiments.statistics import LEVEL
from spooflab.experiments.two_way import Parts, Resampled, t_quantiles

POWER = 0.8
MOST = 10_000
"""More subjects than any study has: what needs more is said to be out of reach."""

TARGETS = (0.005, 0.01, 0.02, 0.05)
"""Differences of rates for which the numbers of subjects are told."""
SEEDS = (3, 5, 10, 20)
_MANY = 200
"""From so many values on, t and normal are the same to two digits."""


def pair_critical(subjects: int, seeds: int, share: FloatArray) -> FloatArray:
    """Return the standard errors that one pair's difference must exceed at the 5 % level.

    Args:
        subjects, seeds: n and K.
        share: of the difference's variance that comes from seeds, 0 to 1.

    >>> pair_critical(20, 3, np.array([0.0, 1.0])).round(2).tolist()  # t with 19 and with 2 degrees of freedom
    [2.09, 4.3]
    """
    grid, critical = _critical_table(min(subjects, _MANY), min(seeds, _MANY))
    out: FloatArray = np.interp(share, grid, critical)
    return out


@lru_cache(maxsize=256)
def _critical_table(subjects: int, seeds: int) -> tuple[FloatArray, FloatArray]:
    """Quantile of |√(1 − share) t_{n−1} + √share t_{K−1}| over the product of both laws' own quantiles."""
    from scipy.stats import t

    shares = np.linspace(0, 1, 21)
    if seeds == 1:
        return shares, np.full(len(shares), t.ppf((1 + LEVEL) / 2, subjects - 1))
    people, trainings = t_quantiles(subjects - 1, 100), t_quantiles(seeds - 1, 200)
    found = [
        np.quantile(np.abs(np.sqrt(1 - share) * people[:, None] + np.sqrt(share) * trainings), LEVEL)
        for share in shares[1:-1]
    ]
    ends = [t.ppf((1 + LEVEL) / 2, count - 1) for count in (subjects, seeds)]
    return shares, np.array([ends[0], *found, ends[1]])


def power_of(parts: Parts, difference: float, wider: float = 1.0) -> float:
    """Return the probability that a true difference is found, in the right direction.

    Args:
        parts: variances of the difference.
        difference: of rates, above 0.
        wider: how much more than one pair alone a comparison must exceed, for all pairs of the study together.
    """
    from scipy.stats import norm

    if parts.error == 0:
        return 1.0
    people = parts.subject * _variances(min(parts.subjects, _MANY) - 1)[:, None]
    trainings = np.zeros(1)
    if parts.seeds > 1:
        trainings = np.maximum(parts.both, parts.seed * _variances(min(parts.seeds, _MANY) - 1))
    seen = people + trainings
    critical = wider * pair_critical(parts.subjects, parts.seeds, trainings / seen)
    return float(norm.cdf((difference - critical * np.sqrt(seen)) / parts.error).mean())


@lru_cache(maxsize=256)
def _variances(freedom: int) -> FloatArray:
    """Return 60 equally likely values of an estimated variance over the true one."""
    from scipy.stats import chi2

    values: FloatArray = chi2.ppf((np.arange(60) + 0.5) / 60, freedom) / freedom
    return values


def smallest_difference(parts: Parts, wider: float = 1.0, power: float = POWER) -> float:
    """Return the true difference that is found with probability `power`, 0 where nothing varies.

    >>> parts = Parts(subject=1e-4, seed=0.0, both=0.0, subjects=10_000, seeds=1)
    >>> round(smallest_difference(parts), 3)  # 0.01 (1.96 + 0.84)
    0.028
    """
    from scipy.optimize import root_scalar

    if parts.error == 0:
        return 0.0
    high = parts.error
    while power_of(parts, high, wider) < power:
        high *= 2
    return float(root_scalar(lambda at: power_of(parts, at, wider) - power, bracket=(0.0, high), xtol=1e-7).root)


def with_design(parts: Parts, *, subjects: int, seeds: int) -> Parts:
    """Return what the variances would be with other numbers of test subjects and training seeds.

    Each keeps its size per subject and per seed. A study of one seed tells nothing of more.
    """
    both = parts.both * parts.subjects * parts.seeds / (subjects * seeds)
    pure = max(0.0, parts.seed - parts.both) * parts.seeds / seeds
    return Parts(parts.subject * parts.subjects / subjects, pure + both, both, subjects, seeds)


def subjects_needed(parts: Parts, difference: float, seeds: int, power: float = POWER) -> int | None:
    """Return the fewest test subjects that tell two algorithms `difference` apart with `seeds` trainings of each.

    The two are compared alone, at the 5 % level. More subjects never find less, so the number is found by bisection.

    Args:
        parts: variances of a study's difference.
        difference: of rates, above 0.
        seeds: 2 or more, or 1 where the study had one.
        power: probability to find it.

    Returns:
        None beyond 10 000 subjects.
    """

    def found(subjects: int) -> bool:
        return power_of(with_design(parts, subjects=subjects, seeds=seeds), difference) >= power

    if not found(MOST):
        return None
    low, high = 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def power_study(
    samples: Mapping[str, Resampled], differences: Sequence[Mapping[str, Any]], folds: int
) -> dict[str, Any]:
    """Return what the study's comparisons with the best could have found, what it would take, and a plain sentence.

    Args:
        samples: algorithm → its resampled figure.
        differences: the comparisons as the summary has them: `algorithm`, `minus`, `critical`, `pairs`.
        folds: how many were averaged; they are fixed, not sampled.

    Returns:
        Empty where there is no comparison or nothing varies.
    """
    found = []
    for line in differences:
        parts = (samples[line["algorithm"]] - samples[line["minus"]]).parts
        if parts is not None and parts.error > 0:
            alone = pair_critical(parts.subjects, parts.seeds, np.array(parts.seed / parts.error**2))
            wider = max(1.0, float(line["critical"] / alone)) if line["pairs"] > 1 else 1.0
            found.append((smallest_difference(parts, wider), str(line["algorithm"]), parts))
    if not found:
        return {}
    found.sort(key=lambda entry: entry[0])
    middle, _, typical = found[(len(found) - 1) // 2]
    critical = float(differences[0]["critical"])
    return {
        "sentence": _sentence(found, folds, str(differences[0]["minus"])),
        "power": POWER,
        "critical": critical,
        "smallest_difference": middle,
        "subjects": typical.subjects,
        "seeds": typical.seeds,
        "folds": folds,
        "comparisons": [
            {"algorithm": name, "smallest_difference": value, "error": parts.error}
            | {"subject_variance": parts.subject, "seed_variance": parts.seed}
            for value, name, parts in found
        ],
        "needed": [
            {"difference": target, "seeds": seeds, "subjects": subjects_needed(typical, target, seeds)}
            for target in TARGETS
            for seeds in (SEEDS if typical.seeds > 1 else (1,))
        ],
    }


def _sentence(found: Sequence[tuple[float, str, Parts]], folds: int, best: str) -> str:
    middle, _, parts = found[(len(found) - 1) // 2]
    span = f" ({_told(found[0][0])} to {_told(found[-1][0])} over the {len(found)} comparisons with {best})"
    design = (
        f"With {parts.subjects} test subjects, {parts.seeds} training seed{'s' * (parts.seeds != 1)} "
        f"and {folds} fold{'s' * (folds != 1)}"
    )
    power = f"with {100 * POWER:.0f} % probability"
    if middle >= 1:
        out = f"{design}, no difference at all would have been found {power}: so few trainings tell nothing."
    else:
        out = (
            f"{design}, a true difference of {_told(middle)} points{span * (len(found) > 1)} would have been found "
            f"{power}; smaller ones may exist and stay unseen."
        )
    target = max([one for one in TARGETS if one < middle], default=None)
    if target is None:
        return out
    if parts.seeds == 1:
        return f"{out} What more trainings would change cannot be told from one."
    plans = [(seeds, need) for seeds in SEEDS if (need := subjects_needed(parts, target, seeds)) is not None]
    if not plans:
        return f"{out} {100 * target:g} points are out of reach of {SEEDS[-1]} seeds and {MOST:,} subjects."
    seeds, need = min(plans, key=lambda plan: plan[0] * plan[1])
    wanted = f"To tell two algorithms {100 * target:g} points apart"
    return f"{out} {wanted}, it would take about {need:,} subjects and {seeds} seeds."


def _told(difference: float) -> str:
    return f"{100 * difference:.1f}" if difference < 1 else "over 100"
