"""Algorithms that train on features changed at random after some stages: what they share, and whom an image meets."""

from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone, Change
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import wide
from spooflab.errors import ConfigError
from spooflab.seeds import generator, seed

Mix = Literal["random", "crossdomain"]
"""Whom an image is mixed with: any of the batch (a permutation), or one of another domain."""


class StageChange(Algorithm):
    """Cross-entropy on features that are changed after chosen stages; a subclass writes `change`.

    Each stage decides for itself, with the given probability, whether it changes the whole micro-batch. Only `update`
    changes anything; `predict` never does. With probability 0 this is ERM, to the bit.

    Args:
        backbone: network whose `stages` are hooked.
        num_domains: number of training domains.
        probability: p, chance that a stage changes its output in one update, [0, 1].
        layers: positions of the stages, counted from 0.
    """

    NAME: ClassVar[str]
    """Names the draws and the errors."""

    def __init__(self, backbone: Backbone, *, num_domains: int, probability: float, layers: Sequence[int]) -> None:
        super().__init__(backbone, num_domains=num_domains)
        if not 0 <= probability <= 1:
            raise ConfigError(f"{self.NAME}: probability {probability}", wanted="p in [0, 1]")
        unknown = [layer for layer in layers if not 0 <= layer < len(backbone.stages)]
        if unknown or not layers:
            raise ConfigError(f"{self.NAME}: layers {list(layers)}", wanted=f"stages in 0…{len(backbone.stages) - 1}")
        self.probability, self.layers = probability, tuple(layers)

    @property
    def needs_images(self) -> bool:
        """Whether a stage is changed before the last frozen one, whose output may be cached."""
        last = len(self.backbone.stages) if self.backbone.frozen else self.backbone.frozen_stages - 1
        return min(self.layers) < last

    def change(self, batch: Batch, layer: int, gen: torch.Generator) -> Change:
        """Draw, from `gen` and from generators named by (`batch.seed`, `NAME`, `layer`, …), what the stage does."""
        raise NotImplementedError

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`: cross-entropy on changed features."""
        changes: dict[int, Change] = {}
        for layer in self.layers:
            gen = generator(batch.seed, self.NAME, layer)
            if torch.rand((), generator=gen) < self.probability:
                changes[layer] = self.change(batch, layer, gen)
        with self.backbone.after_stages(changes):
            logits = self.logits(batch.images)
        return {"loss": self.class_loss.mean(logits, batch.label)}


def check_mix(name: str, mix: str) -> None:
    """Raise `ConfigError` unless `mix` is one of `Mix`."""
    if mix not in get_args(Mix):
        raise ConfigError(f"{name}: mix {mix!r}", wanted=f"one of {', '.join(get_args(Mix))}")


def draw_partners(mix: Mix, domain: Tensor, gen: torch.Generator) -> Tensor:
    """Draw for each row of `domain` (B,) the row that it is mixed with, (B,) int64 on the CPU."""
    if mix == "random":
        return torch.randperm(len(domain), generator=gen)
    return cross_domain_partners(domain.cpu(), gen)


def cross_domain_partners(domain: Tensor, generator: torch.Generator) -> Tensor:
    """Draw for each row (B,) a uniform row of another domain; a row without one gets itself."""
    other = (domain[:, None] != domain[None, :]).double()
    alone = other.sum(1) == 0
    other[alone] = torch.eye(len(domain), dtype=torch.float64)[alone]
    return torch.multinomial(other, 1, generator=generator)[:, 0]


def draw_beta(alpha: float, size: int, root: int, *names: str | int) -> Tensor:
    """Draw `size` values of Beta(alpha, alpha), float64 (size,), named by `root` and `names`."""
    # torch.distributions.Beta has no generator argument; NumPy's does, and stays finite at small α.
    return torch.from_numpy(np.random.default_rng(seed(root, *names)).beta(alpha, alpha, size))


def feature_statistics(features: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return the mean and √(variance + eps) of each image's channels over the positions.

    Args:
        features: (B, C, H, W), or (B, N, C) tokens of a transformer.
        eps: added to the unbiased variance; a single position has variance 0.

    Returns:
        Two tensors that broadcast against `features`, float32 or (for float64) float64.
    """
    dims = (2, 3) if features.ndim == 4 else (1,)
    positions = features[0].numel() // features.shape[1 if features.ndim == 4 else 2]
    variance, mean = torch.var_mean(wide(features), dims, correction=min(1, positions - 1), keepdim=True)
    return mean, (variance + eps).sqrt()
