"""Risk extrapolation: equal risks in all domains."""

from typing import ClassVar

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import (
    ANNEAL_RANGE,
    check_range,
    check_several_domains,
    domain_risks,
    penalty_weight,
)


class VREx(Algorithm):
    """Cross-entropy plus the variance of the domains' risks (V-REx, Krueger et al. 2021).

    L = R + λ · mean_d (R_d − mean R_d)², over the domains of the batch; with one of them the variance is 0. R is the
    batch mean, which is the mean of the R_d where the domains have equally many samples (the paper has the sum: λ is
    then D times larger). λ = 0 is ERM. Annealing, early weight and Adam as in `IRM`.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains, at least 2.
        weight: λ once annealing is over.
        anneal: share of the training before that, with weight min(1, λ) (DomainBed: 500 of 5 000 steps, weight 1).
        rescale: divide the loss by λ where λ > 1, as the authors' code does to keep the gradients' size.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (1e-1, 1e5, "log"), "anneal": ANNEAL_RANGE}

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int,
        weight: float = 10.0,
        anneal: float = 0.1,
        rescale: bool = False,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_several_domains("vrex", num_domains)
        check_range("vrex", 0, weight=weight)
        check_range("vrex", 0, 1, anneal=anneal)
        self.weight, self.anneal, self.rescale = weight, anneal, rescale

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, its parts `class` and `penalty`, and the penalty's `weight`."""
        losses = self.class_loss(self.logits(batch.images), batch.label)
        risk, penalty = losses.mean(), domain_risks(losses, batch.domain)[1].var(correction=0)
        factor = penalty_weight(self.weight, anneal=self.anneal, progress=batch.progress, early=1.0)
        loss = risk + factor * penalty
        return {
            "loss": loss / max(factor, 1.0) if self.rescale else loss,
            "class": risk.detach(),
            "penalty": penalty.detach(),
            "weight": torch.tensor(factor),
        }
