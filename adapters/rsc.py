"""RSC: learn without the features that the network leans on most."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.errors import ConfigError


class RSC(Algorithm):
    """Cross-entropy with the most predictive features muted (Huang et al. 2020, representation self-challenging).

    For each sample, the share `feature_drop` of the features with the largest gradient of the true class's score is set
    to 0 (equations 1-3 of the paper). Of the batch, the share `batch_drop` whose true-class probability falls most
    thereby is learned muted, the rest as it is (section 3.3). Nothing is muted in `predict`.

    As in DomainBed, the pooled feature vector is muted; the authors mute places or channels of the last feature map, by
    the toss of a coin. With the linear head here, the gradient is the class's row of the head. Shares are rounded to
    whole features and samples, ties go to the first; DomainBed compares with interpolated percentiles and so mutes at
    least one of each. With either share 0 this is ERM, to the bit. Domains play no part.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        feature_drop: share of the features that is muted, [0, 1).
        batch_drop: share of the batch that is learned so, [0, 1].
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "feature_drop": (0.0, 0.5, "linear"),
        "batch_drop": (0.0, 0.5, "linear"),
    }

    def __init__(
        self, backbone: Backbone, *, num_domains: int = 1, feature_drop: float = 1 / 3, batch_drop: float = 1 / 3
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        if not 0 <= feature_drop < 1 or not 0 <= batch_drop <= 1:
            raise ConfigError(
                f"rsc: feature_drop {feature_drop}, batch_drop {batch_drop}", wanted="shares in [0, 1) and [0, 1]"
            )
        self.feature_drop, self.batch_drop = feature_drop, batch_drop

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`: cross-entropy with the muted features."""
        features = self.backbone(batch.images)
        muted = muted_features(self.head, features.detach(), batch.label, self.feature_drop, self.batch_drop)
        return {"loss": self.class_loss.mean(self.head(features.masked_fill(muted, 0)), batch.label)}


def muted_features(head: nn.Module, features: Tensor, label: Tensor, feature_drop: float, batch_drop: float) -> Tensor:
    """Return which features (B, dim) are muted, bool; `features` are detached."""
    probe = features.clone().requires_grad_()
    with torch.enable_grad():
        logits = head(probe)
        (slope,) = torch.autograd.grad(logits.gather(1, label[:, None]).sum(), probe)
    muted = _largest(slope, feature_drop)
    with torch.no_grad():
        fall = _true_probability(logits, label) - _true_probability(head(features.masked_fill(muted, 0)), label)
        return muted & _largest(fall[None], batch_drop)[0][:, None]


def _largest(values: Tensor, share: float) -> Tensor:
    """Mark the round(share · n) largest of each row's n values."""
    count = round(share * values.shape[1])
    order = torch.argsort(values, dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros_like(values, dtype=torch.bool).scatter_(1, order, value=True)


def _true_probability(logits: Tensor, label: Tensor) -> Tensor:
    return logits.softmax(1).gather(1, label[:, None])[:, 0]
