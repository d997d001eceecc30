"""Deep adaptation network: features with the same mean embedding as the target's under many kernels."""

from typing import ClassVar, get_args

import torch
from torch import Tensor

from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.kernel_mmd import Estimate, joint_kernel, mmd
from spooflab.adapters.target_penalty import Side, TargetPenalty
from spooflab.errors import ConfigError


class DAN(TargetPenalty):
    """Cross-entropy plus λ · MMD² of the features under a family of Gaussian kernels (Long et al. 2015).

    The family's bandwidths are γ · 2^(−r) … γ · 2^r in steps of √2, with γ the median squared distance of the
    batch's images; r = 8 in the paper. The paper learns the kernels' weights by a quadratic program over the linear
    estimate and adapts three layers; here the kernels weigh the same and one layer, the features, is adapted.
    pytorch-adapt's `MMDLoss` is not used: its bandwidth comes from the source alone with the zero distances of the
    diagonal among them, so that it is not symmetric, and not a number once half of the features coincide.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        weight: λ, searched by the paper in 0.1…2.
        reach_octaves: r ≥ 0; 0 is the one median kernel.
        estimate: `linear` in the paper; `quadratic` (all pairs) has the same mean and, with batches of tens of
            images, a far smaller variance.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (0.1, 10.0, "log")}
    least: ClassVar[int] = 2

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        weight: float = 1.0,
        reach_octaves: int = 8,
        estimate: Estimate = "quadratic",
    ) -> None:
        super().__init__(backbone, num_domains=num_domains, weight=weight)
        if reach_octaves < 0:
            raise ConfigError(f"dan: reach_octaves {reach_octaves}", wanted="a whole number ≥ 0")
        if estimate not in get_args(Estimate):
            raise ConfigError(f"dan: estimate {estimate!r}", wanted=f"one of {', '.join(get_args(Estimate))}")
        self.reach_octaves = reach_octaves
        self.estimate: Estimate = estimate

    def penalty(self, source: Side, target: Side, batch: Batch) -> Tensor:
        """Return MMD² of the features."""
        scales = 2.0 ** (0.5 * torch.arange(-2 * self.reach_octaves, 2 * self.reach_octaves + 1))
        kernel = joint_kernel([torch.cat([source.features, target.features])], [scales])
        return mmd(kernel, len(source.features), self.estimate)
