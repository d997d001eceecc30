"""Cross-entropy on the source plus one term that the target's unlabelled images enter."""

from typing import ClassVar, NamedTuple

from torch import Tensor

from spooflab.adapters.algorithm import Algorithm, Setting
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.paired_features import full_precision, paired_features
from spooflab.errors import ConfigError, DataError


class Side(NamedTuple):
    """One domain's part of a batch: `features` (N, dim) and `logits` (N, 2), float32 or better."""

    features: Tensor
    logits: Tensor


class TargetPenalty(Algorithm):
    """Base of the methods that minimise cross-entropy(source) + λ · penalty(source, target).

    A subclass writes `penalty`. All sources together are the source domain. Batch norm, where the backbone has it,
    sees both domains at once (`paired_features`).

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        weight: λ ≥ 0.
    """

    setting: ClassVar[Setting] = "adaptation"
    least: ClassVar[int] = 1
    """Images of each domain that a (micro-)batch needs."""

    def __init__(self, backbone: Backbone, *, num_domains: int, weight: float) -> None:
        super().__init__(backbone, num_domains=num_domains)
        if weight < 0:
            raise ConfigError(f"{type(self).__name__}: weight {weight}", wanted="a value ≥ 0")
        self.weight = weight

    def penalty(self, source: Side, target: Side, batch: Batch) -> Tensor:
        """Return the scalar that λ multiplies."""
        raise NotImplementedError

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its parts `class` and `transfer` (before λ)."""
        source, target = paired_features(self.backbone, batch)
        if min(len(source), len(target)) < self.least:
            raise DataError(
                f"{type(self).__name__}: {len(source)} source and {len(target)} target images in a (micro-)batch",
                wanted=f"at least {self.least} of each",
                next_step="a larger batch_size, or fewer micro-batches (accumulate)",
            )
        sides = [Side(features, self.head(features)) for features in (source, target)]
        class_loss = self.class_loss.mean(sides[0].logits, batch.label)
        with full_precision(*sides[0], *sides[1]) as (fs, ls, ft, lt):
            transfer = self.penalty(Side(fs, ls), Side(ft, lt), batch)
        return {
            "loss": class_loss + self.weight * transfer,
            "class": class_loss.detach(),
            "transfer": transfer.detach(),
        }
