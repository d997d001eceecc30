"""Class-conditional domain-adversarial training: features from which, within a class, no one can read the domain."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooflab.adapters.adapt_layers import adapt_layers
from spooflab.adapters.adversary import (
    Schedule,
    check_adversary,
    discriminator,
    reversal_weight,
    train_adversary_alone,
)
from spooflab.adapters.algorithm import Algorithm, Engine
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import check_several_domains


class CDANN(Algorithm):
    """Cross-entropy plus reversed domain classifiers, one per class and one prior-normalised (Li et al. 2018, ECCV).

    Domains are the training ones; no target is needed. A class's discriminator sees that class alone, and every
    domain's mean counts the same in it. The prior-normalised one sees all images, weighted so that both classes count
    the same within every domain: a domain made of attacks mostly is then not recognised by that. The discriminators'
    losses (mean over classes, plus the prior-normalised one) are minimised by them and reach the backbone times −λ.

    DomainBed's CDANN is another form: one discriminator on the features plus an embedding of the class.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains, at least 2.
        weight: λ, or its final value under the Ganin schedule; searched in 1e-2…1e2.
        schedule: `ganin` or `constant`.
        prior_normalised: whether the discriminator of all images is there.
        hidden: width of the discriminators' two hidden layers.
        d_steps: optimiser steps of the discriminators for each one of the backbone, as `DANN` has them.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "weight": (1e-2, 1e2, "log"),
        "d_steps": (1, 8, "linear"),
    }
    reversal: Any  # pytorch-adapt is untyped

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int,
        weight: float = 1.0,
        schedule: Schedule = "ganin",
        prior_normalised: bool = True,
        hidden: int = 256,
        d_steps: int = 1,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_several_domains("cdann", num_domains)
        check_adversary("cdann", schedule, weight, hidden, d_steps)
        self.weight, self.prior_normalised, self.hidden = weight, prior_normalised, hidden
        self.d_steps = d_steps
        self.schedule: Schedule = schedule
        self.reversal = adapt_layers("cdann").GradientReversal()
        self.discriminators = nn.ModuleList(
            discriminator(backbone.dim, hidden, num_domains) for _ in range(2 + prior_normalised)
        )

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, its parts `class`, `conditional` and, where it is used, `prior_normalised`, and λ."""
        features = self.backbone(batch.images)
        class_loss = self.class_loss.mean(self.head(features), batch.label)
        factor = reversal_weight(self.weight, self.schedule, batch.progress)
        self.reversal.update_weight(factor)
        hidden = self.reversal(features)
        losses = torch.stack(
            [F.cross_entropy(net(hidden), batch.domain, reduction="none") for net in self.discriminators]
        )
        weights = domain_weights(batch.label, batch.domain, self.num_domains, losses.dtype)
        # A class that the batch lacks has weights 0: its discriminator learns nothing, and all keep a gradient.
        parts = (weights[: len(losses)] * losses).sum(1)
        conditional = parts[:2].mean()
        loss = class_loss + conditional
        named = {"class": class_loss.detach(), "conditional": conditional, "weight": torch.tensor(factor)}
        if self.prior_normalised:
            loss = loss + parts[2]
            named["prior_normalised"] = parts[2]
        return {"loss": loss, **named}

    def step(self, batches: Sequence[Batch], engine: Engine) -> dict[str, Tensor]:
        """Make the discriminators' own steps, then one of all."""
        names = ("conditional", "prior_normalised") if self.prior_normalised else ("conditional",)
        train_adversary_alone(
            self,
            self.discriminators,
            lambda losses: torch.stack([losses[name] for name in names]).sum(),
            batches,
            engine,
            self.d_steps - 1,
        )
        return super().step(batches, engine)


def domain_weights(label: Tensor, domain: Tensor, num_domains: int, dtype: torch.dtype) -> Tensor:
    """Return image weights (3, B), each row summing to 1 or 0: for class 0, for class 1, prior-normalised.

    A cell (class, domain) of n images gives each 1/n, shared evenly: in the first two rows among the class's domains;
    in the third among the batch's domains, and within a domain among the classes it has. With micro-batches or many
    processes, each part of the batch is weighted by itself.
    """
    cell = F.one_hot(2 * domain + label, 2 * num_domains).to(dtype)
    count = cell.sum(0).view(-1, 2)
    have = (count > 0).to(dtype)
    each = 1 / count.clamp_min(1)
    by_class = have * each / have.sum(0, keepdim=True).clamp_min(1)
    domains = (have.sum(1) > 0).sum()
    by_domain = have * each / have.sum(1, keepdim=True).clamp_min(1) / domains
    only = torch.eye(2, dtype=dtype, device=label.device)
    rows = torch.stack([by_class * only[0], by_class * only[1], by_domain])
    weights: Tensor = rows.flatten(1) @ cell.T
    return weights
