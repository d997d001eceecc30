"""ATDOC: pseudo-labels of target images from their neighbours among target images seen before."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.target_penalty import Side, TargetPenalty
from spooflab.errors import ConfigError, DataError


class ATDOC(TargetPenalty):
    """Cross-entropy plus λ · p · cross-entropy with the neighbours' labels (Liang et al. 2021).

    This is their neighbourhood aggregation. A bank holds one unit feature and one prediction per target image. An
    image's soft label q̂ is the mean prediction of its k nearest bank entries by cosine, itself left out; the term is
    the mean over the target of −q̂_c log p_c with c = argmax q̂, and grows with the share of training done, p.
    Predictions enter the bank sharpened and freed of class imbalance: s_c = p_c^(1/T), divided by the batch's sum of
    s_c, rows scaled to sum 1.

    Deviations: entries not yet filled are no neighbours, where the authors begin with random features and even
    predictions. Their code leaves the rows unscaled and divides the term by the sum of weights instead.
    pytorch-adapt's layer does the first without the second, so that its term is smaller by the batch's size. The bank
    has a fixed number of entries, since a model must be rebuilt without its data: target row r has entry
    r mod `memory`. It is part of the model's state, hence of checkpoints. With many processes each sees what the first
    one stored.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        weight: λ at the end of training.
        neighbours: k.
        temperature: T > 0 of the sharpening.
        memory: entries of the bank; as many as target images for the paper's method.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (0.02, 2.0, "log"), "neighbours": (1, 20, "log")}
    bank_features: Tensor
    bank_predictions: Tensor

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        weight: float = 0.2,
        neighbours: int = 5,
        temperature: float = 0.5,
        memory: int = 4096,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains, weight=weight)
        if not 1 <= neighbours < memory or temperature <= 0:
            raise ConfigError(
                f"atdoc: neighbours {neighbours}, memory {memory}, temperature {temperature}",
                wanted="1 ≤ neighbours < memory, temperature > 0",
            )
        self.neighbours, self.temperature, self.memory = neighbours, temperature, memory
        self.register_buffer("bank_features", torch.zeros(memory, backbone.dim))
        # A row of zeros is an entry not yet filled: a prediction sums to 1.
        self.register_buffer("bank_predictions", torch.zeros(memory, 2))

    def penalty(self, source: Side, target: Side, batch: Batch) -> Tensor:
        """Return p · the weighted cross-entropy with the neighbours' labels, then store the batch."""
        if batch.target_rows is None:
            raise DataError("atdoc: the batch does not say which target images it has", wanted="Batch.target_rows")
        slots = batch.target_rows % self.memory
        unit = F.normalize(target.features.detach())
        label = neighbour_labels(unit, slots, self.bank_features, self.bank_predictions, self.neighbours)
        confidence, best = label.max(1)
        term = (confidence * F.cross_entropy(target.logits, best, reduction="none")).mean()
        self._store(slots, unit, sharpened(target.logits.detach().softmax(1), self.temperature))
        return batch.progress * term

    def _store(self, slots: Tensor, unit: Tensor, predictions: Tensor) -> None:
        # Two images of a batch may share an entry; which write wins must not be left to the device.
        later = torch.triu(slots[:, None] == slots[None, :], diagonal=1).any(1)
        self.bank_features[slots[~later]] = unit[~later].to(self.bank_features)
        self.bank_predictions[slots[~later]] = predictions[~later].to(self.bank_predictions)


def neighbour_labels(unit: Tensor, slots: Tensor, features: Tensor, predictions: Tensor, neighbours: int) -> Tensor:
    """Return the mean prediction (N, 2) of each row's nearest filled entries by cosine, its own entry left out.

    Args:
        unit: (N, dim) features of length 1.
        slots: (N,) int64, each row's own entry.
        features: (M, dim), unit length.
        predictions: (M, 2); a row of zeros is an entry not yet filled.
        neighbours: k; where fewer entries are filled, all of them count; where none is, the label is zeros.
    """
    cosine = unit @ features.to(unit).T
    cosine = cosine.masked_fill(predictions.sum(1) == 0, -torch.inf)
    cosine = cosine.scatter(1, slots[:, None], -torch.inf)
    nearest, index = cosine.topk(neighbours, dim=1)
    found = (nearest > -torch.inf).to(unit)
    return (predictions.to(unit)[index] * found[:, :, None]).sum(1) / found.sum(1, keepdim=True).clamp_min(1)


def sharpened(predictions: Tensor, temperature: float) -> Tensor:
    """Return p^(1/T) divided by its class sums over the batch, rows scaled to sum 1: (N, 2)."""
    sharp = predictions ** (1 / temperature)
    balanced = sharp / sharp.sum(0).clamp_min(torch.finfo(sharp.dtype).tiny)
    return balanced / balanced.sum(1, keepdim=True)
