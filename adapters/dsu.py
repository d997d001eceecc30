"""DSU: feature statistics as uncertain quantities, drawn around themselves."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from spooflab.adapters.backbones import Backbone, Change
from spooflab.adapters.batch import Batch
from spooflab.adapters.stage_change import StageChange, feature_statistics
from spooflab.errors import ConfigError
from spooflab.seeds import generator


class DSU(StageChange):
    """Cross-entropy, with feature mean and deviation drawn from normal distributions (Li et al. 2022).

    After each chosen stage, with probability p, the channel means of an image get Gaussian noise whose deviation is
    that of the means over the batch, and the channel deviations likewise: x ← (σ + ε_σ Σ_σ)(x − μ) / σ + μ + ε_μ Σ_μ.
    Gradients flow through all statistics, as in the authors' code. The domains play no part.

    The authors also perturb after the first convolution and its pooling; here only stages can be hooked. In a batch of
    one the statistics have no spread and only the `eps` under its root is left of the noise.

    Args:
        backbone: network whose `stages` are hooked.
        num_domains: unused; part of the contract.
        probability: p, chance that a stage draws in one update.
        factor: multiplies the noise.
        layers: positions of the stages, counted from 0.
    """

    NAME = "dsu"
    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "probability": (0.1, 1.0, "linear"),
        "factor": (0.1, 2.0, "log"),
    }

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        probability: float = 0.5,
        factor: float = 1.0,
        layers: Sequence[int] = (0, 1, 2, 3),
    ) -> None:
        if factor < 0:
            raise ConfigError(f"dsu: factor {factor}", wanted="a value ≥ 0")
        super().__init__(backbone, num_domains=num_domains, probability=probability, layers=layers)
        self.factor = factor

    def change(self, batch: Batch, layer: int, gen: torch.Generator) -> Change:
        """Return the stage's change; its noise (2, B, C) is named by the batch and the stage."""

        def perturb(features: Tensor) -> Tensor:
            channels = features.shape[1] if features.ndim == 4 else features.shape[2]
            named = generator(batch.seed, "dsu", layer, "noise")
            noise = self.factor * torch.randn(2, len(features), channels, generator=named, dtype=torch.float64)
            return perturb_statistics(features, noise)

        return perturb


def perturb_statistics(features: Tensor, noise: Tensor, eps: float = 1e-6) -> Tensor:
    """Move each image's channel means and deviations by `noise` times their deviation over the batch.

    Args:
        features: (B, C, H, W), or (B, N, C) tokens of a transformer.
        noise: (2, B, C), of the means and of the deviations.
        eps: added to every (unbiased) variance before its root; a batch of one has variance 0.
    """
    mean, deviation = feature_statistics(features, eps)
    shape = mean.shape
    new_mean = mean + noise[0].to(mean).view(shape) * _spread(mean, eps)
    new_deviation = deviation + noise[1].to(mean).view(shape) * _spread(deviation, eps)
    return ((features - mean) / deviation * new_deviation + new_mean).to(features.dtype)


def _spread(statistic: Tensor, eps: float) -> Tensor:
    return (statistic.var(0, correction=min(1, len(statistic) - 1), keepdim=True) + eps).sqrt()
