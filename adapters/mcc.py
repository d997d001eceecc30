"""Minimum class confusion: target predictions that do not waver between the classes."""

from typing import Any, ClassVar

from torch import Tensor

from spooflab.adapters.adapt_layers import adapt_layers
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.target_penalty import Side, TargetPenalty
from spooflab.errors import ConfigError


class MCC(TargetPenalty):
    """Cross-entropy plus λ · the target's mean class confusion (Jin et al. 2020).

    With Y the target's softmax at temperature T, and weights W_i ∝ 1 + exp(−H(Y_i)) of mean 1 held constant, the
    confusion Yᵀ W Y is normalised by rows, and its off-diagonal mass is divided by the number of classes.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        weight: λ.
        temperature: T > 0.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "weight": (0.1, 10.0, "log"),
        "temperature": (1.0, 5.0, "linear"),
    }
    confusion: Any  # pytorch-adapt is untyped

    def __init__(
        self, backbone: Backbone, *, num_domains: int = 1, weight: float = 1.0, temperature: float = 2.5
    ) -> None:
        super().__init__(backbone, num_domains=num_domains, weight=weight)
        if temperature <= 0:
            raise ConfigError(f"mcc: temperature {temperature}", wanted="a value > 0")
        self.temperature = temperature
        self.confusion = adapt_layers("mcc").MCCLoss(T=temperature)

    def penalty(self, source: Side, target: Side, batch: Batch) -> Tensor:
        """Return the target's confusion."""
        confusion: Tensor = self.confusion(target.logits)
        return confusion
