"""Fishr: the same variance of the head's per-sample gradients in all domains."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import check_range, check_several_domains, domain_rows, penalty_weight, wide
from spooflab.errors import ConfigError


class Fishr(Algorithm):
    """Cross-entropy plus the spread of the domains' gradient variances (Rame, Dancette and Cord 2022).

    v_d is the variance (n below), over a domain's samples, of the class loss's gradient by each weight of the head.
    L = R + λ · mean_d mean over weights of (v̄_d − mean v̄)², where v̄_d = v_d + γ / (1 − γ) · m_d and m_d is the moving
    average of the v_d before, m_d ← γ m_d + (1 − γ) v_d, without gradient. That is the authors' code and DomainBed's,
    down to the factor 1 / (1 − γ), which keeps v_d's gradient whatever γ is, and to m_d = 0 at first (hence the
    warm-up). The paper sums over weights where the code, for which λ = 1000 was found, takes the mean.

    A sample's gradient by a linear head is ∂ℓ/∂logits ⊗ (φ, 1), whatever the class loss ℓ is (for cross-entropy the
    first factor is p − y), so BackPACK is not needed. The domains are those of the batch with two samples; others keep
    their m_d, and fewer than two give 0. m_d is a buffer and moves in training mode alone, once per micro-batch. R is
    the batch mean: λ = 0 is ERM, and so is the warm-up. Annealing and Adam as in `IRM`.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains, at least 2.
        weight: λ once warm-up is over.
        anneal: share of the training that is warm-up, as ERM (DomainBed: 1 500 of 5 000 steps).
        ema: γ in [0, 1).

    Attributes:
        gradient_variance: (D, 2 · (dim + 1)) m_d.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "weight": (1e1, 1e4, "log"),
        "anneal": (0.0, 1.0, "linear"),
        "ema": (0.9, 0.99, "linear"),
    }

    gradient_variance: Tensor

    def __init__(
        self, backbone: Backbone, *, num_domains: int, weight: float = 1000.0, anneal: float = 0.3, ema: float = 0.95
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_several_domains("fishr", num_domains)
        check_range("fishr", 0, weight=weight)
        check_range("fishr", 0, 1, anneal=anneal)
        if not 0 <= ema < 1:
            raise ConfigError(f"fishr: ema {ema}", wanted="a value in [0, 1)")
        self.weight, self.anneal, self.ema = weight, anneal, ema
        self.register_buffer("gradient_variance", torch.zeros(num_domains, 2 * (backbone.dim + 1)))

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, its parts `class` and `penalty`, and the penalty's `weight`."""
        features = self.backbone(batch.images)
        logits = self.head(features)
        risk = self.class_loss.mean(logits, batch.label)
        penalty = self._spread(
            head_gradients(features, self.class_loss.slopes(wide(logits), batch.label)), batch.domain
        )
        factor = penalty_weight(self.weight, anneal=self.anneal, progress=batch.progress, early=0.0)
        return {
            "loss": risk + factor * penalty,
            "class": risk.detach(),
            "penalty": penalty.detach(),
            "weight": torch.tensor(factor),
        }

    def _spread(self, gradients: Tensor, domain: Tensor) -> Tensor:
        numbers, rows = domain_rows(domain, least=2)
        if not rows:
            return gradients.sum() * 0
        variance = torch.stack([gradients[own].var(0, correction=0) for own in rows])
        before = self.gradient_variance[numbers].to(variance)
        if self.training:
            average = self.ema * before + (1 - self.ema) * variance.detach()
            self.gradient_variance[numbers] = average.to(self.gradient_variance)
        smooth = variance + self.ema / (1 - self.ema) * before
        return smooth.var(0, correction=0).mean()


def head_gradients(features: Tensor, slopes: Tensor) -> Tensor:
    """Return each sample's gradient of its loss by a linear head's weight and bias, differentiable itself.

    Args:
        features: (B, d).
        slopes: (B, K) gradients of the losses by that head's outputs.

    Returns:
        (B, K · (d + 1)), class by class: d by the weight's row, one by the bias.
    """
    inputs = F.pad(wide(features), (0, 1), value=1.0)
    return (slopes[:, :, None] * inputs[:, None, :]).flatten(1)
