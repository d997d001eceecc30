"""Empirical risk minimisation: the baseline that every other algorithm is compared with."""

import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.batch import Batch


class ERM(Algorithm):
    """Mean cross-entropy (Vapnik 1992). Balance comes from the sampler, so the loss itself has no weights."""

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`: the batch mean of −log p(label)."""
        return {"loss": F.cross_entropy(self.logits(batch.images), batch.label)}
