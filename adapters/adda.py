"""Adversarial discriminative domain adaptation: a target encoder whose features pass for the source encoder's."""

import copy
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from spooflab.adapters.accumulate import accumulate
from spooflab.adapters.adversary import check_adversary, discriminator
from spooflab.adapters.algorithm import Algorithm, Engine, Setting
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.dann_target import domain_figures
from spooflab.errors import ConfigError


class ADDA(Algorithm):
    """First cross-entropy on the source, then an adversarial encoder for the target (Tzeng et al. 2017, section 4).

    For the share `pretrain` of the training, backbone and head learn the source. Then a frozen copy of the backbone
    stays the source encoder, in evaluation mode; the head stays as it is; the backbone goes on as target encoder. A
    discriminator learns to tell the copy's source features from the backbone's target features, and the backbone
    learns with inverted labels that its own pass for source (the paper's equation 9). Both take one optimiser step
    together. Predictions are the target encoder's, for source images too, so that a source-dev figure falls when the
    encoder leaves the source; source-dev picks among weights of the second part only.

    The optimiser's moments outlast the change of part. pytorch-adapt's hook moves the encoder only while the
    discriminator is right about more than 60 % of a batch; the paper has no such rule, and neither has this.

    Args:
        backbone: network from images to features.
        num_domains: unused: all sources together are one domain.
        pretrain: share of the training in (0, 1) that learns the source. The paper trains until that has converged,
            then adapts at a lower rate; from 0.7 on the trainer's cosine leaves a fifth of the rate and less.
        weight: factor of the encoder's loss.
        hidden: width of the discriminator's two hidden layers.
    """

    setting: ClassVar[Setting] = "adaptation"
    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "pretrain": (0.3, 0.9, "linear"),
        "weight": (1e-2, 10.0, "log"),
    }
    adapting: Tensor

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        pretrain: float = 0.7,
        weight: float = 1.0,
        hidden: int = 500,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_adversary("adda", "constant", weight, hidden)
        if not 0 < pretrain < 1:
            raise ConfigError(f"adda: pretrain {pretrain}", wanted="a share in (0, 1)")
        self.pretrain, self.weight, self.hidden = pretrain, weight, hidden
        self.source = copy.deepcopy(backbone).requires_grad_(False)
        self.discriminator = discriminator(backbone.dim, hidden, 2)
        # Part of the state, so that a resumed training knows in which part it is.
        self.register_buffer("adapting", torch.zeros((), dtype=torch.bool))

    @property
    def selectable(self) -> bool:
        """Whether the second part has begun."""
        return bool(self.adapting)

    @property
    def learns_labels(self) -> bool:
        """Whether the first part lasts."""
        return not self.adapting

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the source encoder always stays in evaluation mode."""
        super().train(mode)
        self.source.eval()
        return self

    def begin_adapting(self) -> None:
        """Freeze what the source has taught: copy the backbone into the source encoder."""
        self.source.load_state_dict(self.backbone.state_dict())
        self.adapting.fill_(True)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` of the present part: cross-entropy, or `domain` + weight · `fool`."""
        return self._adversarial(batch) if self.adapting else self._supervised(batch)

    def step(self, batches: Sequence[Batch], engine: Engine) -> dict[str, Tensor]:
        """Make one optimiser step of the part that the batches' progress is in."""
        if batches[0].progress >= self.pretrain and not self.adapting:
            self.begin_adapting()
        total = accumulate(batches, engine, lambda losses: losses["loss"])
        # What a part does not train gets no step: with gradients of 0 it would still decay and move by its moments.
        (self.head if self.adapting else self.discriminator).zero_grad(set_to_none=True)
        if self.adapting and self.pixel is not None:
            self.pixel.zero_grad(set_to_none=True)
        engine.optimise()
        return total

    def _supervised(self, batch: Batch) -> dict[str, Tensor]:
        batch.unlabelled()  # asked for from the first step on, not only when the second part begins
        features = self.backbone(batch.images)
        loss = self.class_loss.mean(self.head(features), batch.label)
        # Data parallelism wants a gradient, if only 0, for every parameter.
        return {"loss": loss + _nothing(self.discriminator, features), "class": loss.detach()}

    def _adversarial(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            source = self.source(batch.images)
        target = self.backbone(batch.unlabelled())
        scores = self.discriminator(torch.cat([source, target.detach()]))
        domain, accuracy = domain_figures(scores, len(source))
        fixed = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        fooled: Tensor = functional_call(self.discriminator, fixed, (target,))
        fool = F.cross_entropy(fooled, torch.zeros(len(target), dtype=torch.int64, device=target.device))
        return {
            "loss": domain + self.weight * fool + _nothing(self.head, target),
            "domain": domain.detach(),
            "fool": fool.detach(),
            "domain_accuracy": accuracy,
        }


def _nothing(module: nn.Module, features: Tensor) -> Tensor:
    zero: Tensor = 0.0 * module(features.detach()).sum()
    return zero
