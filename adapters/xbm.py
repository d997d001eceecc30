"""Cross-batch memory: features of earlier batches as further pairs or triplets for the batch at hand."""

from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import check_range, wide
from spooflab.errors import ConfigError

Pairs = Literal["contrastive", "semihard"]
_EMPTY = -1


class XBM(Algorithm):
    """Class loss plus a metric loss of the batch against a memory of recent features (Wang et al. 2020).

    Each step stores the batch's features in a ring of `memory` entries in place of the oldest, then compares the
    batch with all entries but its own. Features change slowly once training has settled, so that old ones still tell
    which attack lies next to a bona fide face; a batch alone rarely has such a pair. Gradients flow through the batch.

    - `contrastive`: cosine similarity S of features; 1 - S of pairs of one class, S - margin of those of two classes
      above the margin; each mean over the pairs that are not 0 (the paper sums, and divides by the batch's size).
    - `semihard`: max(0, d_ap - d_an + margin) over triplets with d_ap < d_an ≤ d_ap + margin (Schroff et al. 2015,
      section 3.2), d the distance of unit features.

    Losses and miners are pytorch-metric-learning's. Its `CrossBatchMemory` keeps the ring in plain attributes that no
    state has; here it is in buffers, so that a resumed training goes on with the same memory. The paper fills its ring
    after a warm-up of 1000 steps: here it is filled at once and used from `start` on. Classes are attack and bona
    fide.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        weight: of the metric loss.
        memory: entries of the ring, at least as many as a (micro-)batch has samples.
        pairs: see above.
        margin: similarity that two classes may have (`contrastive`, paper 0.5), or distance kept (`semihard`, 0.2).
        start: share of the training before the memory is used.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "weight": (0.03, 3.0, "log"),
        "margin": (0.1, 0.7, "linear"),
        "memory": (64, 2048, "log"),
    }
    memory_features: Tensor
    memory_label: Tensor
    memory_next: Tensor

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        weight: float = 0.3,
        memory: int = 512,
        pairs: Pairs = "contrastive",
        margin: float = 0.5,
        start: float = 0.1,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_range("xbm", 0, weight=weight)
        check_range("xbm", 0, 2, margin=margin)
        check_range("xbm", 0, 1, start=start)
        if pairs not in get_args(Pairs) or memory < 2:
            raise ConfigError(
                f"xbm: pairs {pairs!r}, memory {memory}", wanted=f"one of {', '.join(get_args(Pairs))}, 2 or more"
            )
        self.weight, self.memory, self.margin, self.start = weight, int(memory), margin, start
        self.pairs: Pairs = pairs
        self.metric, self.miner = _metric(pairs, margin)
        self.register_buffer("memory_features", torch.zeros(self.memory, backbone.dim))
        self.register_buffer("memory_label", torch.full((self.memory,), _EMPTY))
        self.register_buffer("memory_next", torch.zeros((), dtype=torch.int64))

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its parts `class` and `metric` (before its weight)."""
        features = self.backbone(batch.images)
        class_loss = self.class_loss.mean(self.head(features), batch.label)
        slots = self._store(features.detach(), batch.label)
        metric = self._against_memory(wide(features), batch.label, slots)
        weight = self.weight if batch.progress >= self.start else 0.0
        return {
            "loss": class_loss + weight * metric,
            "class": class_loss.detach(),
            "metric": metric.detach(),
        }

    def _store(self, features: Tensor, label: Tensor) -> Tensor:
        """Put the batch in place of the oldest entries, and return where: (B,) int64."""
        if len(label) > self.memory:
            raise ConfigError(f"xbm: memory {self.memory} for a batch of {len(label)}", wanted="at least the batch")
        slots = (self.memory_next + torch.arange(len(label), device=label.device)) % self.memory
        self.memory_features[slots] = features.to(self.memory_features)
        self.memory_label[slots] = label
        self.memory_next.add_(len(label)).remainder_(self.memory)
        return slots

    def _against_memory(self, features: Tensor, label: Tensor, slots: Tensor) -> Tensor:
        from pytorch_metric_learning.utils.loss_and_miner_utils import get_all_pairs_indices

        filled = torch.nonzero(self.memory_label != _EMPTY)[:, 0]
        stored, stored_label = self.memory_features[filled].to(features), self.memory_label[filled]
        with torch.autocast(features.device.type, enabled=False):
            if self.miner is None:
                found = get_all_pairs_indices(label, stored_label)
            else:
                found = self.miner(features, label, stored, stored_label)
            # The library's own removal leaves a batch of one paired with itself.
            other = filled[found[1]] != slots[found[0]]
            found = (found[0][other], found[1][other], *(rest[other] if self.miner else rest for rest in found[2:]))
            loss: Tensor = self.metric(features, label, found, stored, stored_label)
        return loss


def _metric(pairs: Pairs, margin: float) -> tuple[Any, Any]:
    """Return pytorch-metric-learning's loss, and its miner where the pairs are not all of them."""
    try:
        from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
        from pytorch_metric_learning.losses import ContrastiveLoss, TripletMarginLoss
        from pytorch_metric_learning.miners import TripletMarginMiner
    except ImportError as error:
        raise ConfigError(
            "xbm needs pytorch-metric-learning", wanted="the extra `adapt`", next_step="pip install 'spooflab[adapt]'"
        ) from error
    if pairs == "contrastive":
        return ContrastiveLoss(pos_margin=1, neg_margin=margin, distance=CosineSimilarity()), None
    unit = LpDistance(normalize_embeddings=True)
    return TripletMarginLoss(margin=margin, distance=unit), TripletMarginMiner(margin, "semihard", distance=unit)
