"""SA-FAS: keep the domains apart, and turn their boundaries between attack and bona fide into one."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooflab.adapters.algorithm import Algorithm, Engine
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import wide
from spooflab.errors import ConfigError

_BASE_TEMPERATURE = 0.07
"""Khosla et al.'s; the authors' code multiplies the contrast by temperature / 0.07."""


class SAFAS(Algorithm):
    """Separability and alignment (Sun et al. 2023).

    - Separability: supervised contrast of the normalised features, with one group for each domain and label.
    - Alignment (invariant risk minimisation, approached by projection): each domain has a hyperplane of its own,
      trained by cross-entropy on that domain; the mean over the domains present counts. (Another class loss is that of
      the scores 0 and its log-odds.) After each optimiser step of the training's later part, each hyperplane's
      direction β_e moves to α β_e + (1 − α) β_f, renormalised, with f the domain whose direction differs most from it.
      Lengths and biases stay.

    `predict` is the mean of the hyperplanes' likelihoods, and `head` holds one row for each of them: the log-odds of
    bona fide. Deviations from the authors' code: their contrast has two views of each image, so that each has a
    positive; here a batch has one view, and an image alone in its group is no anchor (0 where none has a positive).
    They start to align in epoch 20 of 100 and divide the cross-entropy by the number of all domains.

    With one domain there is nothing to align: cross-entropy with the contrast between bona fide and attack.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains.
        weight: w of the contrast.
        temperature: τ of the contrast.
        alpha: α, how much of its own direction a hyperplane keeps in one step.
        align_from: share of the training after which hyperplanes are aligned, [0, 1].
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "weight": (0.01, 1.0, "log"),
        "temperature": (0.05, 0.5, "log"),
        "alpha": (0.9, 0.999, "linear"),
    }

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        weight: float = 0.1,
        temperature: float = 0.1,
        alpha: float = 0.995,
        align_from: float = 0.2,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        if weight < 0 or temperature <= 0:
            raise ConfigError(f"safas: weight {weight}, temperature {temperature}", wanted="w ≥ 0, τ > 0")
        if not 0 < alpha <= 1 or not 0 <= align_from <= 1:
            raise ConfigError(f"safas: alpha {alpha}, align_from {align_from}", wanted="α in (0, 1], a share in [0, 1]")
        self.weight, self.temperature, self.alpha, self.align_from = weight, temperature, alpha, align_from
        self.head = nn.Linear(backbone.dim, num_domains)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its parts `class` and `contrast` (before its weight)."""
        features = self.backbone(batch.images)
        odds = self.head(features).gather(1, batch.domain[:, None])[:, 0]
        losses = self.class_loss.of_odds(odds, batch.label)
        class_loss = torch.stack([losses[batch.domain == d].mean() for d in torch.unique(batch.domain)]).mean()
        contrast = supervised_contrast(features, 2 * batch.domain + batch.label, self.temperature)
        return {
            "loss": class_loss + self.weight * contrast,
            "class": class_loss.detach(),
            "contrast": contrast.detach(),
        }

    def step(self, batches: Sequence[Batch], engine: Engine) -> dict[str, Tensor]:
        """Make one optimiser step, then align the hyperplanes; adds their mean cosine as `alignment`."""
        parts = super().step(batches, engine)
        if self.num_domains > 1:
            with torch.no_grad():
                parts["alignment"] = mean_cosine(self.head.weight)
                if batches[0].progress >= self.align_from:
                    self.head.weight.copy_(aligned(self.head.weight, self.alpha))
        return parts

    def logits(self, images: Tensor) -> Tensor:
        """(B, 2) log-likelihoods, attack and bona fide: the logarithm of the mean over the hyperplanes."""
        odds = wide(self.head(self.backbone(images)))
        both = torch.stack([F.logsigmoid(-odds), F.logsigmoid(odds)], dim=1)
        logits: Tensor = torch.logsumexp(both, dim=2) - math.log(self.num_domains)
        return logits


def supervised_contrast(features: Tensor, group: Tensor, temperature: float) -> Tensor:
    """Return the supervised contrastive loss (Khosla et al. 2020, L_out, times τ / 0.07) over anchors with positives.

    Args:
        features: (B, dim), normalised here.
        group: (B,) int64, equal for positives.
        temperature: τ.
    """
    unit = F.normalize(wide(features), dim=1)
    itself = torch.eye(len(group), dtype=torch.bool, device=group.device)
    positive = (group[:, None] == group[None, :]) & ~itself
    similarity = unit @ unit.T / temperature
    log_probability = similarity - similarity.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    anchors = positive.any(1)
    # Where no anchor has a positive, not even the sum over all others may be touched: it is −∞ for a batch of one.
    if not anchors.any():
        return 0 * unit.sum()
    per_anchor = torch.where(positive, log_probability, 0).sum(1) / positive.sum(1).clamp(min=1)
    return -(temperature / _BASE_TEMPERATURE) * per_anchor[anchors].mean()


def aligned(weight: Tensor, alpha: float) -> Tensor:
    """Turn each row (D, dim) towards the one that it differs most from; lengths stay."""
    length: Tensor = torch.linalg.vector_norm(weight, dim=1, keepdim=True)
    direction = weight / length.clamp(min=1e-12)
    cosine = (direction @ direction.T).fill_diagonal_(torch.inf)
    turned: Tensor = F.normalize(alpha * direction + (1 - alpha) * direction[cosine.argmin(1)], dim=1)
    return turned * length


def mean_cosine(weight: Tensor) -> Tensor:
    """Return the mean cosine of all pairs of rows (D, dim)."""
    direction = F.normalize(weight, dim=1)
    count = len(weight)
    return ((direction @ direction.T).sum() - direction.square().sum()) / (count * (count - 1))
