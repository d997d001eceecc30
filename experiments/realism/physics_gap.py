"""What of a detector's drop from bona fide to simulated attack is physics, and what a blur with noise and colour."""

from dataclasses import dataclass

import numpy as np

from spooflab.experiments.scores import FloatArray, StrArray
from spooflab.experiments.statistics import cluster_draws, percentile

Estimate = tuple[float, float, float]
"""A value and its 95 % bounds; NaN where there are none."""


@dataclass(frozen=True)
class Scored:
    """Scores (n,) of one kind of pictures, with their subjects (n,)."""

    score: FloatArray
    subject: StrArray


@dataclass(frozen=True)
class PhysicsGap:
    """One species as one detector sees it.

    Attributes:
        physics_share: (control - attack) / (bona fide - attack) of mean scores: the part of the simulated attack's
            drop that its matched control does not show.
        drop: bona fide less simulated attack.
        real_drop: real bona fide less real attack.
        to_real: Wasserstein distance of simulated attacks' scores to real attacks'.
        control_to_real: the same of the control's.
        closer: `control_to_real` less `to_real`; above 0 the physics brings scores nearer to real attacks.
    """

    physics_share: Estimate
    drop: Estimate
    real_drop: Estimate | None
    to_real: Estimate
    control_to_real: Estimate
    closer: Estimate

    @property
    def drops(self) -> bool:
        """Whether the detector tells the simulated attack from bona fide at all, on average."""
        return self.drop[1] > 0

    @property
    def surely_closer(self) -> bool:
        """Whether the simulated attack is closer to real attacks than its control."""
        return self.closer[1] > 0


def physics_gap(
    bonafide: Scored,
    attack: Scored,
    control: Scored,
    real: Scored,
    real_bonafide: Scored | None,
    *,
    replicates: int,
    seed: int,
) -> PhysicsGap:
    """Compare four kinds of scores; subjects of the simulated kinds are resampled together, real ones by themselves.

    Args:
        bonafide: simulated bona fide pictures.
        attack: simulated attacks.
        control: their matched controls, in their order.
        real: real attacks.
        real_bonafide: real bona fide pictures, None if there are none.
        replicates, seed: of the bootstrap.
    """
    simulated = [bonafide, attack, control]
    captured = [real] + ([real_bonafide] if real_bonafide else [])
    drawn = [_weights(kinds, replicates, seed + place) for place, kinds in enumerate((simulated, captured))]
    b, a, c = (_means(one, w) for one, w in zip(simulated, drawn[0], strict=True))
    r = [_means(one, w) for one, w in zip(captured, drawn[1], strict=True)]
    grid = np.linspace(0, 1, 101)[1:-1]
    quantiles = {
        name: _quantiles(one, w, grid)
        for name, one, w in (("a", attack, drawn[0][1]), ("c", control, drawn[0][2]), ("r", real, drawn[1][0]))
    }
    near, far = (np.abs(quantiles[k] - quantiles["r"]).mean(1) for k in ("a", "c"))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (c - a) / (b - a)
    return PhysicsGap(
        _estimate(share), _estimate(b - a), _estimate(r[1] - r[0]) if real_bonafide else None,
        _estimate(near), _estimate(far), _estimate(far - near),
    )  # fmt: skip


def _weights(kinds: list[Scored], replicates: int, seed: int) -> list[FloatArray]:
    """Return for each kind (1 + B, n) how often each picture counts: plain first, then resamples of subjects."""
    names = np.unique(np.concatenate([one.subject for one in kinds]))
    draws = np.concatenate([np.ones((1, len(names)), dtype=np.int64), cluster_draws(len(names), replicates, seed)])
    return [draws[:, np.searchsorted(names, one.subject)].astype(np.float64) for one in kinds]


def _means(one: Scored, weights: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: FloatArray = weights @ one.score / weights.sum(1)
    return mean


def _quantiles(one: Scored, weights: FloatArray, at: FloatArray) -> FloatArray:
    """Return (1 + B, Q) quantiles under each row of weights: the inverse of the distribution function."""
    order = np.argsort(one.score, kind="stable")
    ends = np.cumsum(weights[:, order], axis=1)
    out = np.full((len(weights), len(at)), np.nan)
    for row, reached in enumerate(ends):
        if reached[-1] > 0:
            place = np.searchsorted(reached / reached[-1], at - 1e-12)
            out[row] = one.score[order][place.clip(0, len(order) - 1)]
    return out


def _estimate(values: FloatArray) -> Estimate:
    low, high = percentile(values[1:]) or (float("nan"), float("nan"))
    return float(values[0]), low, high
