"""MixStyle: new styles by mixing the feature statistics of the batch's images."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone, Change
from spooflab.adapters.batch import Batch
from spooflab.errors import ConfigError
from spooflab.seeds import generator, seed

Mix = Literal["random", "crossdomain"]


class MixStyle(Algorithm):
    """Cross-entropy, with feature statistics of early stages mixed between images (Zhou et al. 2021, equations 3-6).

    After each chosen stage, with probability p, an image's features are normalised by their own per-channel mean and
    deviation and given λ times these plus (1 − λ) times another image's, λ ~ Beta(α, α) per image. Only `update`
    mixes; `predict` never does. Gradients do not flow through the statistics, as in the authors' code.

    Args:
        backbone: network whose `stages` are hooked.
        num_domains: number of training domains.
        probability: p, chance that a stage mixes in one update.
        alpha: α of the Beta distribution.
        mix: `random` pairs with a random permutation of the batch. `crossdomain` pairs each image with one drawn
            from the other domains. (The authors pair two halves of the batch; with D domains in any order that
            becomes a draw.) An image whose domain is alone in the batch keeps its style.
        layers: positions of the stages, counted from 0; the paper mixes after the first two or three of four.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        probability: float = 0.5,
        alpha: float = 0.1,
        mix: Mix = "random",
        layers: Sequence[int] = (0, 1),
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        if not 0 <= probability <= 1 or alpha <= 0:
            raise ConfigError(f"mixstyle: probability {probability}, alpha {alpha}", wanted="p in [0, 1], α > 0")
        if mix not in get_args(Mix):
            raise ConfigError(f"mixstyle: mix {mix!r}", wanted=f"one of {', '.join(get_args(Mix))}")
        unknown = [layer for layer in layers if not 0 <= layer < len(backbone.stages)]
        if unknown or not layers:
            raise ConfigError(f"mixstyle: layers {list(layers)}", wanted=f"stages in 0…{len(backbone.stages) - 1}")
        self.probability, self.alpha, self.mix, self.layers = probability, alpha, mix, tuple(layers)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`: cross-entropy with mixed styles."""
        plans = {layer: self._plan(batch, layer) for layer in self.layers}
        changes = {layer: _mixer(*plan) for layer, plan in plans.items() if plan is not None}
        with self.backbone.after_stages(changes):
            logits = self.logits(batch.images)
        return {"loss": F.cross_entropy(logits, batch.label)}

    def _plan(self, batch: Batch, layer: int) -> tuple[Tensor, Tensor] | None:
        """Draw λ (B,) and partners (B,) for one stage, or None where it does not mix this time."""
        gen = generator(batch.seed, "mixstyle", layer)
        if torch.rand((), generator=gen) >= self.probability:
            return None
        if self.mix == "random":
            partner = torch.randperm(len(batch), generator=gen)
        else:
            partner = cross_domain_partners(batch.domain.cpu(), gen)
        # torch.distributions.Beta has no generator argument; NumPy's does, and stays finite at small α.
        rng = np.random.default_rng(seed(batch.seed, "mixstyle", layer, "beta"))
        weight = torch.from_numpy(rng.beta(self.alpha, self.alpha, len(batch)))
        return weight, partner


def mix_style(features: Tensor, weight: Tensor, partner: Tensor, eps: float = 1e-6) -> Tensor:
    """Give each image's features the mixed style σ_mix · (x − μ) / σ + μ_mix.

    Args:
        features: (B, C, H, W), or (B, N, C) tokens of a transformer.
        weight: (B,) λ, the share of the image's own statistics.
        partner: (B,) int64, whose statistics are mixed in.
        eps: added to the (unbiased) variance before the root.
    """
    dims = (2, 3) if features.ndim == 4 else (1,)
    with torch.no_grad():
        # Statistics in float32: a bf16 mean has three digits.
        variance, mean = torch.var_mean(
            features if features.dtype == torch.float64 else features.float(), dims, keepdim=True
        )
        deviation = (variance + eps).sqrt()
        share = weight.to(mean).view(-1, *[1] * (features.ndim - 1))
        mean_mix = share * mean + (1 - share) * mean[partner]
        scale = (share * deviation + (1 - share) * deviation[partner]) / deviation
    return ((features - mean) * scale + mean_mix).to(features.dtype)


def cross_domain_partners(domain: Tensor, generator: torch.Generator) -> Tensor:
    """Draw for each row (B,) a uniform row of another domain; a row without one gets itself."""
    other = (domain[:, None] != domain[None, :]).double()
    alone = other.sum(1) == 0
    other[alone] = torch.eye(len(domain), dtype=torch.float64)[alone]
    return torch.multinomial(other, 1, generator=generator)[:, 0]


def _mixer(weight: Tensor, partner: Tensor) -> Change:
    return lambda features: mix_style(features, weight, partner.to(features.device))
