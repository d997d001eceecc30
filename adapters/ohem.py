"""Online hard example mining: learn from the samples of the batch that the network finds hardest."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import ATTACK, BONAFIDE, Batch
from spooflab.errors import ConfigError


class OHEM(Algorithm):
    """Mean cross-entropy over the highest losses of the batch (Shrivastava et al. 2016, section 4).

    Another class loss ranks as well as it teaches: with stakes, the dearest mistakes are the hardest samples.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        keep: share of the batch that is kept, in (0, 1]; ⌈keep·B⌉ samples. The paper keeps 1/16 of thousands of
            regions; with image batches of tens, 25–50 % is usual.
        per_class: keep that share of each class instead of the batch, so that a batch's hard attacks cannot push out
            all bona fides. The paper ranks the whole batch (False).
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"keep": (0.25, 0.5, "linear")}

    def __init__(self, backbone: Backbone, *, num_domains: int = 1, keep: float = 0.5, per_class: bool = False) -> None:
        super().__init__(backbone, num_domains=num_domains)
        if not 0 < keep <= 1:
            raise ConfigError(f"ohem: keep {keep}", wanted="a share in (0, 1]")
        self.keep, self.per_class = keep, per_class

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` over the kept samples and `loss_all` over the whole batch."""
        losses = self.class_loss(self.logits(batch.images), batch.label)
        kept = hard_examples(losses.detach(), self.keep, batch.label if self.per_class else None)
        return {"loss": losses[kept].mean(), "loss_all": losses.detach().mean()}


def hard_examples(losses: Tensor, keep: float, label: Tensor | None = None) -> Tensor:
    """Return the positions of the ⌈keep·n⌉ highest of n losses (B,), per class where `label` (B,) is given.

    Equal losses are kept in the batch's order.
    """
    if label is None:
        order = torch.argsort(losses, descending=True, stable=True)
        return order[: math.ceil(keep * len(losses))]
    parts = []
    for value in (ATTACK, BONAFIDE):
        rows = torch.nonzero(label == value)[:, 0]
        parts.append(rows[hard_examples(losses[rows], keep)])
    return torch.cat(parts)
