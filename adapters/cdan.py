"""Conditional adversarial adaptation: source and target alike in features and predictions together."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.adapters.adapt_layers import adapt_layers
from spooflab.adapters.adversary import Schedule, check_adversary, discriminator, reversal_weight
from spooflab.adapters.algorithm import Algorithm, Setting
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.dann_target import domain_figures
from spooflab.adapters.paired_features import paired_features
from spooflab.adapters.tent import entropy


class CDAN(Algorithm):
    """Cross-entropy plus a source-or-target classifier on features ⊗ predictions (Long et al. 2018).

    The discriminator sees the outer product of the features and the softmax predictions behind a gradient reversal.
    With entropy weighting (CDAN+E) an image counts by 1 + exp(−H(p)), relative to its domain's other images.

    Two classes keep the product at 2 · dim, so the paper's random projection for large products is not needed.
    Predictions are held constant inside the product and the weights, as in the authors' code for the product; their
    code also lets the (reversed) gradient through the weights, pytorch-adapt's hook does not. That hook divides the
    weights by the batch's largest instead of its domain's sum; it trains with label swapping, in two optimiser steps.

    Args:
        backbone: network from images to features.
        num_domains: unused: all sources together are one domain.
        weight: λ, or its final value under the Ganin schedule.
        schedule: `ganin` (as the paper) or `constant`.
        entropy_weighting: CDAN+E, the paper's better variant.
        hidden: width of the discriminator's two hidden layers; 1024 in the paper.
    """

    setting: ClassVar[Setting] = "adaptation"
    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (1e-2, 1e2, "log")}
    reversal: Any  # pytorch-adapt is untyped

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        weight: float = 1.0,
        schedule: Schedule = "ganin",
        entropy_weighting: bool = True,
        hidden: int = 1024,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_adversary("cdan", schedule, weight, hidden)
        self.weight, self.entropy_weighting, self.hidden = weight, entropy_weighting, hidden
        self.schedule: Schedule = schedule
        self.reversal = adapt_layers("cdan").GradientReversal()
        self.discriminator = discriminator(2 * backbone.dim, hidden, 2)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, its parts `class` and `domain`, the discriminator's accuracy, and λ."""
        source, target = paired_features(self.backbone, batch)
        features = torch.cat([source, target])
        logits = self.head(features)
        class_loss = self.class_loss.mean(logits[: len(source)], batch.label)
        factor = reversal_weight(self.weight, self.schedule, batch.progress)
        self.reversal.update_weight(factor)
        scores = self.discriminator(outer_product(self.reversal(features), logits.detach().softmax(1)))
        weights = entropy_weights(logits.detach()) if self.entropy_weighting else None
        domain_loss, accuracy = domain_figures(scores, len(source), weights)
        return {
            "loss": class_loss + domain_loss,
            "class": class_loss.detach(),
            "domain": domain_loss.detach(),
            "domain_accuracy": accuracy,
            "weight": torch.tensor(factor),
        }


def outer_product(features: Tensor, predictions: Tensor) -> Tensor:
    """(N, dim) ⊗ (N, C) to (N, C · dim): the features once per class, times its probability."""
    return (predictions[:, :, None] * features[:, None, :]).flatten(1)


def entropy_weights(logits: Tensor) -> Tensor:
    """Return 1 + exp(−H(softmax)) of (N, C) logits, in (1, 2]: sure predictions count for more."""
    return 1 + torch.exp(-entropy(logits))
