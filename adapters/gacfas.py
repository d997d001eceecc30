"""GAC-FAS: a flat minimum for every domain, reached along the gradient that all domains share."""

from typing import ClassVar

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.moved_weights import logits_at, slopes_of, trainable
from spooflab.errors import ConfigError


class GACFAS(Algorithm):
    """Gradient alignment (Le and Woo 2024): the gradient at θ plus the mean gradient at each domain's ascent point.

    With L the mean cross-entropy of the micro-batch and L_i that of its domain i, the ascent points are
    θ_i = θ + ρ ∇L_i(θ) / ‖∇L_i(θ)‖ − α ∇L(θ), and the step follows ∇L(θ) + mean_i ∇L_i(θ_i). The term in α draws the
    gradients at the ascent points towards that of the whole. `update` returns L(θ) + mean_i L_i(θ_i) with the
    displacement held constant, so that one backward pass gives this gradient, in any precision and micro-batch size;
    each micro-batch (and process) has ascent points of its own.

    `adaptive` scales the ascent of weights (not of biases) by their own size plus 0.01, after Kwon et al. 2021, as the
    authors' code does: ρ T² g / ‖T g‖; its constructor has ρ = 0.5 and α = 5e-4. There ∇L is what the backward passes
    of the domains' losses have added up so far; here it is the mean over the whole micro-batch for every domain.

    Batch norms see each domain apart at its ascent point and leave their running statistics alone there; a domain with
    one image enters it twice, because batch norm wants two values. Costs one backward pass through the micro-batch for
    each domain in it, and a second forward and backward pass. One domain: sharpness-aware gradient matching (Wang et
    al. 2023). Under fp16 the inner gradients are not scaled; bf16 has their range.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains.
        rho: ρ, length of the ascent.
        alpha: α, length of the step along the common gradient.
        adaptive: see above.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"rho": (0.01, 1.0, "log"), "alpha": (1e-5, 1e-2, "log")}

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        rho: float = 0.1,
        alpha: float = 2e-4,
        adaptive: bool = False,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        if rho < 0 or alpha < 0:
            raise ConfigError(f"gacfas: rho {rho}, alpha {alpha}", wanted="values ≥ 0")
        self.rho, self.alpha, self.adaptive = rho, alpha, adaptive

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its parts `here` (at the weights) and `ascent` (mean over the ascent points)."""
        weights = trainable(self)
        losses = self.class_loss(self.logits(batch.images), batch.label)
        rows = [torch.nonzero(batch.domain == d)[:, 0] for d in torch.unique(batch.domain)]
        slopes = [slopes_of(losses[index].mean(), weights) for index in rows]
        shares = [len(index) / len(batch) for index in rows]
        common = {name: sum(w * s[name] for w, s in zip(shares, slopes, strict=True)) for name in weights}
        ascents = []
        for index, slope in zip(rows, slopes, strict=True):
            climb = ascent(weights, slope, self.rho, adaptive=self.adaptive)
            moved = {name: p + (climb[name] - self.alpha * common[name]) for name, p in weights.items()}
            index = index.repeat(2) if len(index) == 1 else index
            logits = logits_at(self, moved, batch.images[index], keep_buffers=True)
            ascents.append(self.class_loss.mean(logits, batch.label[index]))
        here, there = losses.mean(), torch.stack(ascents).mean()
        return {"loss": here + there, "here": here.detach(), "ascent": there.detach()}


@torch.no_grad()
def ascent(
    weights: dict[str, Tensor], slopes: dict[str, Tensor], rho: float, *, adaptive: bool, eta: float = 0.01
) -> dict[str, Tensor]:
    """Return the displacement of length ρ along the gradient, or ρ T² g / ‖T g‖ with T = |weight| + eta."""
    scale = {
        name: p.abs() + eta if adaptive and name.endswith(".weight") else torch.ones((), dtype=p.dtype, device=p.device)
        for name, p in weights.items()
    }
    scaled = {name: scale[name] * g for name, g in slopes.items()}
    length = torch.stack([s.square().sum() for s in scaled.values()]).sum().sqrt()
    return {name: rho * scale[name] * s / length.clamp(min=1e-12) for name, s in scaled.items()}
