"""Empirical risk minimisation: the baseline that every other algorithm is compared with."""

from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.batch import Batch


class ERM(Algorithm):
    """Mean class loss, cross-entropy unless a training's `class_loss` says otherwise (Vapnik 1992).

    Balance comes from the sampler; domains play no part.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains.
    """

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`: the batch mean of the class loss."""
        return {"loss": self.class_loss.mean(self.logits(batch.images), batch.label)}
