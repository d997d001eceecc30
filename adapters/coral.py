"""Correlation alignment: the same mean and covariance of features in all domains."""

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import check_range, check_several_domains, domain_rows, wide
from spooflab.errors import ConfigError

Scale = Literal["entries", "paper", "sum"]


class CORAL(Algorithm):
    """Cross-entropy plus the distance of the domains' covariances (Deep CORAL, Sun and Saenko 2016, equation 1).

    L = R + γ · mean over pairs of domains of s · ‖C_i − C_j‖² (+ s' · ‖μ_i − μ_j‖² with `mean`), C with n − 1 below.
    The pairs are those of the batch's domains, labels apart; the paper has two, source and target. A domain with one
    sample has no covariance and is left out; fewer than two others give 0. R is the batch mean: γ = 0 is ERM.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains, at least 2.
        weight: γ.
        mean: match the means too, as DomainBed does and the paper does not.
        scale: s and s' for d features: `entries`, the mean over matrix and vector, 1/d² and 1/d (DomainBed);
            `paper`, 1/(4d²) and 1/d; `sum`, 1 and 1.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (1e-1, 1e1, "log")}

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int,
        weight: float = 1.0,
        mean: bool = True,
        scale: Scale = "entries",
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_several_domains("coral", num_domains)
        check_range("coral", 0, weight=weight)
        if scale not in get_args(Scale):
            raise ConfigError(f"coral: scale {scale!r}", wanted=f"one of {', '.join(get_args(Scale))}")
        self.weight, self.mean = weight, mean
        self.scale: Scale = scale

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its parts `class` and `penalty`."""
        features = self.backbone(batch.images)
        risk = self.class_loss.mean(self.head(features), batch.label)
        penalty = moment_distance(features, batch.domain, mean=self.mean, scale=self.scale)
        return {"loss": risk + self.weight * penalty, "class": risk.detach(), "penalty": penalty.detach()}


def moment_distance(features: Tensor, domain: Tensor, *, mean: bool, scale: Scale) -> Tensor:
    """Return the mean squared distance of moments over all pairs of domains, as `CORAL` says.

    pytorch-adapt's loss takes a covariance as a difference of large numbers: in float32 it is 2 % off for features
    with a mean a thousand times their deviation. Here they are centred first.

    Args:
        features: (B, d).
        domain: (B,) int64.
        mean: add the distance of the means.
        scale: see `CORAL`.
    """
    _, rows = domain_rows(domain, least=2)
    if len(rows) < 2:
        return features.sum() * 0
    dim = features.shape[1]
    with torch.autocast(features.device.type, enabled=False):  # whose matrix products would be bf16
        parts = [wide(features[own]) for own in rows]
        centres = torch.stack([part.mean(0) for part in parts])
        centred = [part - centre for part, centre in zip(parts, centres, strict=True)]
        covariances = torch.stack([part.T @ part / (len(part) - 1) for part in centred])
    distance = _pair_distance(covariances) / {"entries": dim**2, "paper": 4 * dim**2, "sum": 1}[scale]
    if mean:
        distance = distance + _pair_distance(centres) / (1 if scale == "sum" else dim)
    return distance


def _pair_distance(values: Tensor) -> Tensor:
    # Over all pairs of D points, the mean of ‖a − b‖² is twice their (unbiased) variance: no loop over pairs.
    return 2 * values.var(0).sum()
