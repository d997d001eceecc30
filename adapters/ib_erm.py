"""Information bottleneck: features that vary no more than the label needs."""

from typing import ClassVar

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import ANNEAL_RANGE, check_range, domain_rows, penalty_weight, wide


class IBERM(Algorithm):
    """Cross-entropy plus the variance of the features (IB-ERM, Ahuja et al. 2021).

    L = R + λ · mean_d mean over features of Var_d(φ), with n − 1 below, over the domains of the batch that have two
    samples; none gives 0. The variance bounds the features' entropy, which is what the paper minimises. As in
    DomainBed it is taken within domains; one training domain leaves its plain variance. R is the batch mean: λ = 0 is
    ERM. λ is 0 until `anneal`. Annealing and Adam as in `IRM`.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains.
        weight: λ once annealing is over.
        anneal: share of the training before that, as ERM (DomainBed: 500 of 5 000 steps). As for `IRM`, too little
            for a network that starts from scratch.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (1e-1, 1e5, "log"), "anneal": ANNEAL_RANGE}

    def __init__(self, backbone: Backbone, *, num_domains: int = 1, weight: float = 100.0, anneal: float = 0.1) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_range("ib_erm", 0, weight=weight)
        check_range("ib_erm", 0, 1, anneal=anneal)
        self.weight, self.anneal = weight, anneal

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, its parts `class` and `penalty`, and the penalty's `weight`."""
        features = self.backbone(batch.images)
        risk = self.class_loss.mean(self.head(features), batch.label)
        penalty = feature_variance(wide(features), batch.domain)
        factor = penalty_weight(self.weight, anneal=self.anneal, progress=batch.progress, early=0.0)
        return {
            "loss": risk + factor * penalty,
            "class": risk.detach(),
            "penalty": penalty.detach(),
            "weight": torch.tensor(factor),
        }


def feature_variance(features: Tensor, domain: Tensor) -> Tensor:
    """Return the mean over domains with two samples, and over features (B, d), of the variance within; else 0."""
    _, rows = domain_rows(domain, least=2)
    if not rows:
        return features.sum() * 0
    return torch.stack([features[own].var(0).mean() for own in rows]).mean()
