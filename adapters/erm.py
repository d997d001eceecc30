"""Empirical risk minimisation: the baseline that every other algorithm is compared with."""

from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.class_loss import ClassLoss, Kind


class ERM(Algorithm):
    """Mean class loss (Vapnik 1992), cross-entropy unless told otherwise. Balance comes from the sampler.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains; plays no part.
        loss: kind of `ClassLoss`, whose other settings these are:
        gamma, smoothing: of `focal`, and of `cross_entropy`.
        cost_false_accept, cost_false_reject, attack_rate: the stakes.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int,
        loss: Kind = "cross_entropy",
        gamma: float = 2.0,
        smoothing: float = 0.0,
        cost_false_accept: float = 1.0,
        cost_false_reject: float = 1.0,
        attack_rate: float = 0.5,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        self.class_loss = ClassLoss(
            loss,
            gamma=gamma,
            smoothing=smoothing,
            cost_false_accept=cost_false_accept,
            cost_false_reject=cost_false_reject,
            attack_rate=attack_rate,
        )

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`: the batch mean of the class loss."""
        return {"loss": self.class_loss.mean(self.logits(batch.images), batch.label)}
