"""SagNet: decide by content and make the style useless for deciding."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import wide
from spooflab.errors import ConfigError
from spooflab.seeds import generator


class SagNet(Algorithm):
    """Style-agnostic network (Nam et al. 2021, algorithm 1), on the feature vector as in DomainBed.

    The style of a feature vector is its mean and deviation over the features, its content the normalised rest. The
    head learns from contents whose style is mixed with another image's (weight U(0, 1)). A second, style head learns
    from styles that carry another image's content. The backbone is kept from telling the class by style: λ times the
    mean of −log p over both classes, p from the style head. `predict` uses backbone and head as they are.

    The content loss is the class loss; the style head's stays cross-entropy, because it is an opponent, not a decision.
    The three losses are minimised in one step of one optimiser: the style head's loss does not reach the backbone, the
    adversarial one reaches it alone. DomainBed makes three steps, and draws the contents anew for the third; the
    authors' one forward pass is kept here. The paper works on the maps after a middle stage, with a second half-network
    for the style, and lets the adversarial loss touch the affine weights of batch norms alone. Domains play no part.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        weight: λ of the adversarial loss.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (0.01, 10.0, "log")}

    def __init__(self, backbone: Backbone, *, num_domains: int = 1, weight: float = 0.1) -> None:
        super().__init__(backbone, num_domains=num_domains)
        if weight < 0:
            raise ConfigError(f"sagnet: weight {weight}", wanted="a value ≥ 0")
        self.weight = weight
        self.style_head = nn.Linear(backbone.dim, 2)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its parts `content`, `style` and `adversarial` (before its weight)."""
        features = self.backbone(batch.images)
        gen = generator(batch.seed, "sagnet")
        share = torch.rand(len(batch), generator=gen, dtype=torch.float64)
        style_of, content_of = (torch.randperm(len(batch), generator=gen).to(features.device) for _ in range(2))
        content_loss = self.class_loss.mean(self.head(mix_vector_style(features, share, style_of)), batch.label)
        swapped = swap_vector_content(features, content_of)
        style_loss = F.cross_entropy(self.style_head(swapped.detach()), batch.label)
        frozen = {name: p.detach() for name, p in self.style_head.named_parameters()}
        adversarial = -F.log_softmax(functional_call(self.style_head, frozen, (swapped,)), dim=1).mean()
        return {
            "loss": content_loss + style_loss + self.weight * adversarial,
            "content": content_loss.detach(),
            "style": style_loss.detach(),
            "adversarial": adversarial.detach(),
        }


def mix_vector_style(features: Tensor, share: Tensor, partner: Tensor) -> Tensor:
    """Give each vector (B, dim) `share` (B,) of its own mean and variance and the rest of `partner`'s (B,)."""
    mean, variance, content = _split(features)
    own = share.to(mean)[:, None]
    return content * _root(torch.lerp(variance[partner], variance, own)) + torch.lerp(mean[partner], mean, own)


def swap_vector_content(features: Tensor, partner: Tensor) -> Tensor:
    """Give each vector (B, dim) the detached content of `partner` (B,) in its own mean and variance."""
    mean, variance, content = _split(features)
    return content[partner].detach() * _root(variance) + mean


def _split(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # Statistics in float32: a bf16 mean has three digits.
    features = wide(features)
    variance, mean = torch.var_mean(features, 1, keepdim=True)
    return mean, variance, (features - mean) / _root(variance)


def _root(variance: Tensor, eps: float = 1e-5) -> Tensor:
    return (variance + eps).sqrt()
