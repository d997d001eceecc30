"""Batch nuclear-norm maximisation: target predictions that are sure and diverse."""

from typing import Any, ClassVar

from torch import Tensor

from spooflab.adapters.adapt_layers import adapt_layers
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.target_penalty import Side, TargetPenalty


class BNM(TargetPenalty):
    """Cross-entropy minus λ · ‖P_t‖_* / T of the target's (T, 2) softmax predictions (Cui et al. 2020).

    The nuclear norm is bounded by √(T · rank): it is largest where predictions are sure and both classes are
    predicted equally often, whether or not the target's classes are.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        weight: λ.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (0.1, 10.0, "log")}
    norm: Any  # pytorch-adapt is untyped

    def __init__(self, backbone: Backbone, *, num_domains: int = 1, weight: float = 1.0) -> None:
        super().__init__(backbone, num_domains=num_domains, weight=weight)
        self.norm = adapt_layers("bnm").BNMLoss()

    def penalty(self, source: Side, target: Side, batch: Batch) -> Tensor:
        """Return minus the nuclear norm per target image."""
        negative: Tensor = self.norm(target.logits)
        return negative
