"""MixStyle: new styles by mixing the feature statistics of the batch's images."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from spooflab.adapters.backbones import Backbone, Change
from spooflab.adapters.batch import Batch
from spooflab.adapters.stage_change import Mix, StageChange, check_mix, draw_beta, draw_partners, feature_statistics
from spooflab.errors import ConfigError


class MixStyle(StageChange):
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

    NAME = "mixstyle"
    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "probability": (0.1, 1.0, "linear"),
        "alpha": (0.1, 1.0, "log"),
    }

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
        if alpha <= 0:
            raise ConfigError(f"{self.NAME}: alpha {alpha}", wanted="α > 0")
        check_mix(self.NAME, mix)
        super().__init__(backbone, num_domains=num_domains, probability=probability, layers=layers)
        self.alpha, self.mix = alpha, mix

    def change(self, batch: Batch, layer: int, gen: torch.Generator) -> Change:
        """Draw λ (B,) and partners (B,) for one stage."""
        partner = draw_partners(self.mix, batch.domain, gen)
        weight = draw_beta(self.alpha, len(batch), batch.seed, self.NAME, layer, "beta")
        return lambda features: self.mixed(features, weight, partner.to(features.device))

    def mixed(self, features: Tensor, weight: Tensor, partner: Tensor) -> Tensor:
        """Return a stage's output, mixed with that of the partners (B,) by weights (B,)."""
        return mix_style(features, weight, partner)


def mix_style(features: Tensor, weight: Tensor, partner: Tensor, eps: float = 1e-6) -> Tensor:
    """Give each image's features the mixed style σ_mix · (x − μ) / σ + μ_mix.

    Args:
        features: (B, C, H, W), or (B, N, C) tokens of a transformer.
        weight: (B,) λ, the share of the image's own statistics.
        partner: (B,) int64, whose statistics are mixed in.
        eps: added to the (unbiased) variance before the root.
    """
    with torch.no_grad():
        mean, deviation = feature_statistics(features, eps)
        share = weight.to(mean).view(-1, *[1] * (features.ndim - 1))
        mean_mix = share * mean + (1 - share) * mean[partner]
        scale = (share * deviation + (1 - share) * deviation[partner]) / deviation
    return ((features - mean) * scale + mean_mix).to(features.dtype)
