"""Deep CORAL with a target: features whose covariance is the target's."""

from typing import Any, ClassVar

from torch import Tensor

from spooflab.adapters.adapt_layers import adapt_layers
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.target_penalty import Side, TargetPenalty


class CORALTarget(TargetPenalty):
    """Cross-entropy plus λ · ‖C_s − C_t‖²_F / (4 d²) of the features' covariances (Sun and Saenko 2016, equations 1-3).

    Covariances are the unbiased ones; means are not aligned. The paper aligns the class scores of the last layer;
    here, as in most later code, it is the features before it.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        weight: λ. The paper sets it so that both terms are about equal at the end of training.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (0.1, 10.0, "log")}
    least: ClassVar[int] = 2
    distance: Any  # pytorch-adapt is untyped

    def __init__(self, backbone: Backbone, *, num_domains: int = 1, weight: float = 1.0) -> None:
        super().__init__(backbone, num_domains=num_domains, weight=weight)
        self.distance = adapt_layers("coral_target").CORALLoss()

    def penalty(self, source: Side, target: Side, batch: Batch) -> Tensor:
        """Return the distance of the covariances."""
        distance: Tensor = self.distance(source.features, target.features)
        return distance
