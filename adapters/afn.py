"""Stepwise adaptive feature norm: features of both domains that grow, since longer ones transfer better."""

from typing import Any, ClassVar

from torch import Tensor

from spooflab.adapters.adapt_layers import adapt_layers
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.target_penalty import Side, TargetPenalty
from spooflab.errors import ConfigError


class AFN(TargetPenalty):
    """Cross-entropy plus λ · the mean of (‖f‖₀ + Δr − ‖f‖)² over each domain (Xu et al. 2019).

    ‖f‖₀ is the present norm held constant, so the term's value is always Δr² per domain and only its gradient,
    −2 Δr along f/‖f‖, speaks. The paper's dropout that keeps the L2 norm and its optional entropy term are left out.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        weight: λ.
        growth: Δr > 0, the growth asked for in one step.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "weight": (1e-3, 1.0, "log"),
        "growth": (0.1, 2.0, "log"),
    }
    stretch: Any  # pytorch-adapt is untyped

    def __init__(self, backbone: Backbone, *, num_domains: int = 1, weight: float = 0.05, growth: float = 1.0) -> None:
        super().__init__(backbone, num_domains=num_domains, weight=weight)
        if growth <= 0:
            raise ConfigError(f"afn: growth {growth}", wanted="a value > 0")
        self.growth = growth
        self.stretch = adapt_layers("afn").AdaptiveFeatureNorm(step_size=growth)

    def penalty(self, source: Side, target: Side, batch: Batch) -> Tensor:
        """Return the source's term plus the target's."""
        term: Tensor = self.stretch(source.features) + self.stretch(target.features)
        return term
