"""Batch spectral penalisation: adversarial adaptation that keeps features discriminable."""

from typing import Any, ClassVar

from torch import Tensor

from spooflab.adapters.adapt_layers import adapt_layers
from spooflab.adapters.adversary import Schedule
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.dann_target import DANNTarget
from spooflab.adapters.paired_features import full_precision, paired_features
from spooflab.errors import ConfigError


class BSP(DANNTarget):
    """`DANNTarget` plus β · Σ_{i≤k} (σ²_{s,i} + σ²_{t,i}) (Chen et al. 2019).

    σ are the singular values of the batch's source and target feature matrices, largest first: adversarial training
    puts what transfers into a few directions, and without the others the classes cannot be told apart.

    Args:
        backbone: network from images to features.
        num_domains: unused: all sources together are one domain.
        weight: λ of the adversary, or its final value under the Ganin schedule.
        schedule: `ganin` (as the paper) or `constant`.
        hidden: width of the discriminator's two hidden layers.
        spectral_weight: β.
        directions: k ≥ 1.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "weight": (1e-2, 1e2, "log"),
        "spectral_weight": (1e-5, 1e-2, "log"),
    }
    spectral: Any  # pytorch-adapt is untyped

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        weight: float = 1.0,
        schedule: Schedule = "ganin",
        hidden: int = 256,
        spectral_weight: float = 1e-4,
        directions: int = 1,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains, weight=weight, schedule=schedule, hidden=hidden)
        if spectral_weight < 0 or directions < 1:
            raise ConfigError(
                f"bsp: spectral_weight {spectral_weight}, directions {directions}",
                wanted="spectral_weight ≥ 0, directions ≥ 1",
            )
        self.spectral_weight, self.directions = spectral_weight, directions
        self.spectral = adapt_layers("bsp").BatchSpectralLoss(k=directions)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return what `DANNTarget` does, and the part `spectral` (before β)."""
        source, target = paired_features(self.backbone, batch)
        losses = self.losses(source, target, batch)
        with full_precision(source, target) as (x, y):
            spectral = self.spectral(x) + self.spectral(y)
        return {**losses, "loss": losses["loss"] + self.spectral_weight * spectral, "spectral": spectral.detach()}
