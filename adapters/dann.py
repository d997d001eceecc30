"""Domain-adversarial training: features from which a discriminator cannot read the domain."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

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
from spooflab.errors import ConfigError


class DANN(Algorithm):
    """Cross-entropy plus a domain classifier behind a gradient reversal (Ganin et al. 2016), for D ≥ 2 domains.

    The discriminator minimises the domain cross-entropy; the backbone receives −λ times its gradient (equations 13-15
    of the paper). All samples of both classes go to the discriminator, and no target domain is needed: the domains
    are the training ones, as in domain generalisation. Where the domain tells the class (domains made of species),
    the reversal works against the label: use domains that both classes have, such as the capture device.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains, at least 2.
        weight: λ, or its final value under the Ganin schedule; searched in 1e-2…1e2.
        schedule: `constant` (as most domain-generalisation code), or `ganin`: λ·(2 / (1 + exp(−10 p)) − 1) with p the
            share of training done (the paper's section 5.2).
        hidden: width of the discriminator's two hidden layers.
        gradient_penalty: factor of the squared norm of the domain loss's gradient by the features; 0 is off.
        d_steps: optimiser steps of the discriminator for each one of the backbone, at least 1. The last is taken by all
            together (the paper's only one), those before it by the discriminator alone, on the same batch. DomainBed
            spends a batch on each, by an optimiser of its own (β₁ .5); here all share the training's.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "weight": (1e-2, 1e2, "log"),
        "gradient_penalty": (1e-2, 10.0, "log"),
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
        hidden: int = 256,
        gradient_penalty: float = 0.0,
        d_steps: int = 1,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_several_domains("dann", num_domains)
        check_adversary("dann", schedule, weight, hidden, d_steps)
        if gradient_penalty < 0:
            raise ConfigError(f"dann: gradient_penalty {gradient_penalty}", wanted="a value ≥ 0")
        self.weight, self.gradient_penalty, self.d_steps = weight, gradient_penalty, d_steps
        self.schedule: Schedule = schedule
        self.reversal = adapt_layers("dann").GradientReversal()
        self.discriminator = discriminator(backbone.dim, hidden, num_domains)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, its parts `class` and `domain`, the discriminator's accuracy, and λ."""
        features = self.backbone(batch.images)
        class_loss = self.class_loss.mean(self.head(features), batch.label)
        factor = reversal_weight(self.weight, self.schedule, batch.progress)
        self.reversal.update_weight(factor)
        reversed_features = self.reversal(features)
        scores = self.discriminator(reversed_features)
        domain_loss = F.cross_entropy(scores, batch.domain)
        if self.gradient_penalty:
            domain_loss = domain_loss + self.gradient_penalty * _penalty(scores, batch.domain, reversed_features)
        return {
            "loss": class_loss + domain_loss,
            "class": class_loss.detach(),
            "domain": domain_loss,
            "domain_accuracy": (scores.argmax(1) == batch.domain).float().mean(),
            "weight": torch.tensor(factor),
        }

    def step(self, batches: Sequence[Batch], engine: Engine) -> dict[str, Tensor]:
        """Make the discriminator's own steps, then one of all."""
        train_adversary_alone(
            self, self.discriminator, lambda losses: losses["domain"], batches, engine, self.d_steps - 1
        )
        return super().step(batches, engine)


def _penalty(scores: Tensor, domain: Tensor, features: Tensor) -> Tensor:
    total = F.cross_entropy(scores, domain, reduction="sum")
    (slope,) = torch.autograd.grad(total, features, create_graph=True)
    return slope.square().sum(1).mean()
