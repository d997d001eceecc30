"""Domain-adversarial training with a target: features that do not tell it from the sources."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters.adapt_layers import adapt_layers
from spooflab.adapters.adversary import Schedule, check_adversary, discriminator, reversal_weight
from spooflab.adapters.algorithm import Algorithm, Setting
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.paired_features import paired_features


class DANNTarget(Algorithm):
    """Cross-entropy plus a source-or-target classifier behind a gradient reversal (Ganin et al. 2016, equations 9-15).

    The paper's own setting; `DANN` is its form for many labelled domains without a target. The domain loss is the
    mean of both domains' mean cross-entropies; the paper adds them.

    Args:
        backbone: network from images to features.
        num_domains: unused: all sources together are one domain.
        weight: λ, or its final value under the Ganin schedule.
        schedule: `ganin` (the paper's section 5.2) or `constant`.
        hidden: width of the discriminator's two hidden layers.
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
        hidden: int = 256,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_adversary("dann_target", schedule, weight, hidden)
        self.weight, self.hidden = weight, hidden
        self.schedule: Schedule = schedule
        self.reversal = adapt_layers("dann_target").GradientReversal()
        self.discriminator = discriminator(backbone.dim, hidden, 2)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, its parts `class` and `domain`, the discriminator's accuracy, and λ."""
        return self.losses(*paired_features(self.backbone, batch), batch)

    def losses(self, source: Tensor, target: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return what `update` does, from features (B, dim) and (T, dim)."""
        class_loss = self.class_loss.mean(self.head(source), batch.label)
        factor = reversal_weight(self.weight, self.schedule, batch.progress)
        self.reversal.update_weight(factor)
        scores = self.discriminator(self.reversal(torch.cat([source, target])))
        domain_loss, accuracy = domain_figures(scores, len(source))
        return {
            "loss": class_loss + domain_loss,
            "class": class_loss.detach(),
            "domain": domain_loss.detach(),
            "domain_accuracy": accuracy,
            "weight": torch.tensor(factor),
        }


def domain_figures(scores: Tensor, sources: int, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the domain loss and the accuracy of scores (N, 2), whose first `sources` rows are of domain 0.

    The loss is the mean of the two domains' cross-entropies, each the `weights`-average (N,) of its images'.
    """
    domain = (torch.arange(len(scores), device=scores.device) >= sources).long()
    losses = F.cross_entropy(scores, domain, reduction="none")
    weights = torch.ones_like(losses) if weights is None else weights.to(losses)
    parts = [
        (weights[side] * losses[side]).sum() / weights[side].sum() for side in (slice(sources), slice(sources, None))
    ]
    return (parts[0] + parts[1]) / 2, (scores.argmax(1) == domain).float().mean()
