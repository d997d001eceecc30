"""What errors cost: expected loss under a share of attacks and a price of each error, and which threshold keeps it low.

One presentation costs, on average, π c_fa FAR + (1 − π) c_fr BPCER: π the share of attacks among presentations in use,
c_fa and c_fr the price of an accepted attack and of a rejected bona fide. All that π and the prices say together is the
**stake** of attacks, the probability times cost of Drummond & Holte (2006, Machine Learning 65, equation 3):

    x = π c_fa / (π c_fa + (1 − π) c_fr),

since the loss is (π c_fa + (1 − π) c_fr) · (x FAR + (1 − x) BPCER). A cost curve draws the second factor over x: one
threshold is a straight line there, whatever the prices. FAR is pooled over attacks: a loss is a mean over what comes,
not the worst species.
"""

from dataclasses import dataclass

import numpy as np
from pydantic import Field, field_validator

from spooflab.config import Config
from spooflab.experiments.counting import Counts
from spooflab.experiments.operating_point import missing_class
from spooflab.experiments.scores import FloatArray, ScoreSet


class Costs(Config):
    """Prices of both errors, named as the class loss of a training names them, and the shares of attacks to expect."""

    cost_false_accept: float = Field(default=1.0, gt=0, description="cost of an accepted attack, in `currency`")
    cost_false_reject: float = Field(default=1.0, gt=0, description="cost of a rejected bona fide, in `currency`")
    attack_rates: tuple[float, ...] = Field(
        default=(0.001, 0.01, 0.1), min_length=1, max_length=6, description="shares of attacks among presentations"
    )
    currency: str = Field(default="", max_length=8, description="of the costs, e.g. EUR; empty counts false rejects")

    @field_validator("attack_rates")
    @classmethod
    def _shares(cls, rates: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < rate < 1 for rate in rates) or len(set(rates)) != len(rates):
            raise ValueError(f"attack_rates {list(rates)}: wanted different shares above 0 and below 1")
        return rates

    def stake(self, attack_rate: float) -> float:
        """Return x, the attacks' share of what errors can cost.

        >>> Costs(cost_false_accept=99, cost_false_reject=1).stake(0.01)
        0.5
        """
        accept, reject = attack_rate * self.cost_false_accept, (1 - attack_rate) * self.cost_false_reject
        return accept / (accept + reject)

    def loss(self, attack_rate: float, far: FloatArray, bpcer: FloatArray) -> FloatArray:
        """Return the expected loss of one presentation, in `currency`."""
        return attack_rate * self.cost_false_accept * far + (1 - attack_rate) * self.cost_false_reject * bpcer


@dataclass(frozen=True)
class Curve:
    """Error rates at every threshold that can differ, lowest first.

    Attributes:
        threshold: (C,) observed scores and the next number above them all.
        far: (C,) attacks accepted, pooled.
        bpcer: (C,) bona fide rejected.
    """

    threshold: FloatArray
    far: FloatArray
    bpcer: FloatArray

    def cost(self, stake: float) -> FloatArray:
        """Return (C,) normalised expected cost x FAR + (1 − x) BPCER of each threshold."""
        return stake * self.far + (1 - stake) * self.bpcer

    def cheapest(self, stake: float) -> int:
        """Return the place of the threshold with the least cost, ties to the lower."""
        cost = self.cost(stake)
        # Equal costs may differ in their last digit: they come from different sums.
        return int(np.flatnonzero(cost <= cost.min() + 1e-12)[0])


def cost_points(scores: ScoreSet) -> Curve | None:
    """Return the error rates at every threshold; None where a class or every score is missing."""
    if missing_class(scores):
        return None
    counts = Counts(scores)
    return Curve(
        threshold=np.append(counts.values, np.nextafter(counts.values[-1], np.inf)),
        far=counts.accepted(counts.attacks)[0] / counts.attack_total[0],
        bpcer=counts.rejected[0] / counts.genuine_total[0],
    )


def cheapest_threshold(dev: ScoreSet, stake: float) -> float | None:
    """Return the dev rows' threshold of least expected cost at a stake; None where they lack a class.

    >>> cheapest_threshold(ScoreSet.build([0.9, 0.4, 0.6, 0.1], [False, False, True, True]), 0.9)
    0.9
    """
    points = cost_points(dev)
    return None if points is None else float(points.threshold[points.cheapest(stake)])


def trivial_cost(stake: FloatArray) -> FloatArray:
    """Return the cost of looking at nothing: accepting all (x) or rejecting all (1 − x), whichever is less."""
    return np.minimum(stake, 1 - stake)
