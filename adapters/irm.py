"""Invariant risk minimisation: features on which one classifier is optimal in every domain at once."""

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import ANNEAL_RANGE, check_range, domain_rows, penalty_weight, wide
from spooflab.errors import ConfigError

Estimator = Literal["halves", "square"]


class IRM(Algorithm):
    """Cross-entropy plus the squared slope of each domain's risk by the logits' scale (IRMv1, Arjovsky et al. 2019).

    L = R + λ · mean_d ‖∂/∂w R_d(w · f)‖² at w = 1 (the paper's equation IRMv1), over the domains of the batch. A
    sample's slope is Σ_k f_k ∂ℓ/∂f_k, for cross-entropy Σ_k (p_k − y_k) f_k without a second differentiation; R and
    ℓ are the class loss. R is the batch mean, which is
    the mean of the R_d where the domains have equally many samples: λ = 0 is ERM. With one training domain the
    penalty remains, and asks that the scale of the logits be optimal, which is calibration rather than invariance.

    Departures from DomainBed: annealing is a share of the training (500 of its 5 000 steps), not a count, so that a
    batch alone decides the loss; the early weight is min(1, λ) rather than 1; and Adam's moments are not reset when
    the weight jumps, since the optimiser is the trainer's, which clips the gradient instead (or see `rescale`).

    Args:
        backbone: network from images to features.
        num_domains: number of training domains.
        weight: λ once annealing is over.
        anneal: share of the training before that, with weight min(1, λ). The default suits pretrained features: a
            network that starts from scratch has to learn some first, or λ = 100 keeps its logits small for good.
        estimator: `halves` multiplies the mean slopes of two halves of a domain's samples, an unbiased estimate (the
            paper's section 3.2, DomainBed). DomainBed takes every other row of a shuffled batch; here rows of a domain
            come with classes in turn, so that the halves would be the classes, and every other row *of each class* is
            taken. A domain with one sample has no two halves and is left out. `square` squares the mean slope of all
            samples (the authors' coloured-MNIST code): biased upwards by the slope's variance, and order-free.
        rescale: divide the loss by λ where λ > 1, as the authors' code does to keep the gradients' size.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (1e-1, 1e5, "log"), "anneal": ANNEAL_RANGE}

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        weight: float = 100.0,
        anneal: float = 0.1,
        estimator: Estimator = "halves",
        rescale: bool = False,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_range("irm", 0, weight=weight)
        check_range("irm", 0, 1, anneal=anneal)
        if estimator not in get_args(Estimator):
            raise ConfigError(f"irm: estimator {estimator!r}", wanted=f"one of {', '.join(get_args(Estimator))}")
        self.weight, self.anneal, self.rescale = weight, anneal, rescale
        self.estimator: Estimator = estimator

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, its parts `class` and `penalty`, and the penalty's `weight`."""
        logits = self.logits(batch.images)
        risk = self.class_loss.mean(logits, batch.label)
        scores = wide(logits)
        slopes = (self.class_loss.slopes(scores, batch.label) * scores).sum(1)
        penalty = slope_penalty(slopes, batch.label, batch.domain, self.estimator)
        factor = penalty_weight(self.weight, anneal=self.anneal, progress=batch.progress, early=1.0)
        loss = risk + factor * penalty
        return {
            "loss": loss / max(factor, 1.0) if self.rescale else loss,
            "class": risk.detach(),
            "penalty": penalty.detach(),
            "weight": torch.tensor(factor),
        }


def slope_penalty(slopes: Tensor, label: Tensor, domain: Tensor, estimator: Estimator) -> Tensor:
    """Return the mean over domains of the squared mean of `slopes` (B,), as `IRM` says.

    Zero where no domain has the two samples that `halves` needs.
    """
    _, rows = domain_rows(domain, least=2 if estimator == "halves" else 1)
    if not rows:
        return slopes.sum() * 0
    if estimator == "square":
        return torch.stack([slopes[own].mean().square() for own in rows]).mean()
    in_turn = [own[torch.argsort(label[own], stable=True)] for own in rows]
    return torch.stack([slopes[own[::2]].mean() * slopes[own[1::2]].mean() for own in in_turn]).mean()
