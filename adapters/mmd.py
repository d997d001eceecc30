"""Maximum mean discrepancy: the same distribution of features in all domains, told by kernels."""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import check_range, check_several_domains, wide
from spooflab.adapters.kernel_mmd import squared_distances
from spooflab.errors import ConfigError


class MMD(Algorithm):
    """Cross-entropy plus the squared kernel distance of the domains' features (Gretton et al. 2012; Li et al. 2018).

    L = R + γ · mean over pairs of domains of mean k(x_i, x_i) + mean k(x_j, x_j) − 2 mean k(x_i, x_j), with
    k(x, y) = Σ_p exp(−10^p ‖x − y‖²): Gretton's biased estimate (a sample is also compared with itself), which is
    never negative, as in DomainBed. The pairs are those of the batch's domains; one domain gives 0. R is
    the batch mean: γ = 0 is ERM. Li et al. add an adversarial autoencoder, which DomainBed and this leave out.
    Distances are differences of coordinates rather than DomainBed's ‖x‖² + ‖y‖² − 2 xy, which rounds where it is
    multiplied by 10³. pytorch-adapt's loss scales kernels by the batch's mean distance, so it is not this one.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains, at least 2.
        weight: γ.
        powers: p of the kernels; DomainBed sums over 10^−3…10^3. Squared distances far from all 10^−p give no gradient.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (1e-1, 1e1, "log")}

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int,
        weight: float = 1.0,
        powers: Sequence[int] = (-3, -2, -1, 0, 1, 2, 3),
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_several_domains("mmd", num_domains)
        check_range("mmd", 0, weight=weight)
        if not powers or any(abs(power) > 30 for power in powers):
            raise ConfigError(f"mmd: powers {list(powers)}", wanted="at least one power of ten in −30…30")
        self.weight, self.powers = weight, tuple(powers)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its parts `class` and `penalty`."""
        features = self.backbone(batch.images)
        risk = self.class_loss.mean(self.head(features), batch.label)
        penalty = kernel_distance(features, batch.domain, self.powers)
        return {"loss": risk + self.weight * penalty, "class": risk.detach(), "penalty": penalty.detach()}


def kernel_distance(features: Tensor, domain: Tensor, powers: Sequence[int]) -> Tensor:
    """Return the mean of MMD² over all pairs of domains, as `MMD` says; 0 for one domain.

    Args:
        features: (B, d).
        domain: (B,) int64.
        powers: kernels exp(−10^p ‖x − y‖²).
    """
    present, slot, counts = torch.unique(domain, return_inverse=True, return_counts=True)
    if len(present) < 2:
        return features.sum() * 0
    points = wide(features)
    with torch.autocast(features.device.type, enabled=False):
        squared = squared_distances(points)
        kernel = torch.stack([torch.exp(-(10.0**power) * squared) for power in powers]).sum(0)
        share = F.one_hot(slot, len(present)).to(points) / counts
        means = share.T @ kernel @ share  # (D, D): mean kernel between domains
    within = means.diagonal()
    pairs = torch.triu_indices(len(present), len(present), 1, device=means.device)
    distances: Tensor = within[pairs[0]] + within[pairs[1]] - 2 * means[pairs[0], pairs[1]]
    return distances.mean()
