"""SSDG: bona fide faces of all domains as one class, attacks as one class for each domain."""

from typing import Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooflab.adapters.adapt_layers import adapt_layers
from spooflab.adapters.adversary import Schedule, reversal_weight
from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import ATTACK, BONAFIDE, Batch
from spooflab.adapters.domain_terms import wide
from spooflab.errors import ConfigError

Norm = Literal["unit", "root", "none"]


class SSDG(Algorithm):
    """Single-side domain generalisation (Jia et al. 2020): CE + λ₁ · triplet + λ₂ · adversary.

    - Asymmetric triplet loss: bona fides of all domains are one group, the attacks of each domain another. Hinge on
      d(anchor, positive) − d(anchor, negative) + margin over all triplets of the micro-batch, mean over those that
      violate it (as in the authors' code).
    - Single-side adversary: a discriminator tells the domains of the bona fides alone, and the features get minus its
      gradient, times Ganin's schedule of the training's progress (authors' code).

    Feature norms: `unit` divides by the length, as the paper says; `root` by √(2 · length), as the authors' code does;
    `none`. All losses and `predict` use these features. Deviations: the head's weights are not normalised (the paper
    normalises them too; the code rescales them across the classes before each pass), and the authors' extra layer
    between backbone and head, their dropout and their initialisation are left out. The code's λ₁ and λ₂ are 1 and 0.5,
    but 2 and 0.1 where OULU is held out.

    Where a part has nothing to say it is 0: the triplet where none violates (an image alone in its group is no
    anchor), the adversary without bona fides. With one domain the adversary is 0 throughout, and
    what is left is cross-entropy with the triplet loss between bona fide and attack.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains.
        triplet_weight: λ₁.
        adversary_weight: λ₂, multiplies the adversary's loss, and so its own learning as well.
        margin: of the triplet loss.
        norm: see above.
        schedule: of the reversal's weight, `ganin` (from 0 to 1) or `constant` (1).
        hidden: width of the discriminator's hidden layer.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "triplet_weight": (0.1, 10.0, "log"),
        "adversary_weight": (0.01, 1.0, "log"),
        "margin": (0.05, 0.5, "log"),
    }
    reversal: Any  # pytorch-adapt is untyped

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        triplet_weight: float = 1.0,
        adversary_weight: float = 0.5,
        margin: float = 0.1,
        norm: Norm = "unit",
        schedule: Schedule = "ganin",
        hidden: int = 512,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        if min(triplet_weight, adversary_weight, margin) < 0:
            raise ConfigError(
                f"ssdg: triplet_weight {triplet_weight}, adversary_weight {adversary_weight}, margin {margin}",
                wanted="values ≥ 0",
            )
        for key, value, known in (("norm", norm, get_args(Norm)), ("schedule", schedule, get_args(Schedule))):
            if value not in known:
                raise ConfigError(f"ssdg: {key} {value!r}", wanted=f"one of {', '.join(known)}")
        if hidden < 1:
            raise ConfigError(f"ssdg: hidden {hidden}", wanted="a width ≥ 1")
        self.triplet_weight, self.adversary_weight, self.margin = triplet_weight, adversary_weight, margin
        self.norm: Norm = norm
        self.schedule: Schedule = schedule
        self.reversal = adapt_layers("ssdg").GradientReversal()
        self.discriminator = nn.Sequential(nn.Linear(backbone.dim, hidden), nn.ReLU(), nn.Linear(hidden, num_domains))

    def features(self, images: Tensor) -> Tensor:
        """(B, dim) normalised features."""
        raw: Tensor = self.backbone(images)
        if self.norm == "none":
            return raw
        length = torch.linalg.vector_norm(raw, dim=1, keepdim=True).clamp(min=1e-12)
        normalised: Tensor = raw / (length if self.norm == "unit" else (2 * length).sqrt())
        return normalised

    def logits(self, images: Tensor) -> Tensor:
        """(B, 2) class scores: attack, bona fide."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its parts `class`, `triplet` and `adversary` (before their weights)."""
        features = self.features(batch.images)
        class_loss = self.class_loss.mean(self.head(features), batch.label)
        group = torch.where(batch.label == ATTACK, batch.domain + 1, 0)
        triplet = triplet_loss(features, group, self.margin)
        self.reversal.update_weight(reversal_weight(1.0, self.schedule, batch.progress))
        live = batch.label == BONAFIDE
        scores = self.discriminator(self.reversal(features[live]))
        # A sum over no samples: 0, with the graph that data-parallel training wants to see.
        adversary = F.cross_entropy(scores, batch.domain[live], reduction="sum") / live.sum().clamp(min=1)
        return {
            "loss": class_loss + self.triplet_weight * triplet + self.adversary_weight * adversary,
            "class": class_loss.detach(),
            "triplet": triplet.detach(),
            "adversary": adversary.detach(),
        }


def triplet_loss(features: Tensor, group: Tensor, margin: float) -> Tensor:
    """Return the mean hinge over all violating triplets of (B, dim) features in groups (B,); 0 where none violates.

    Takes memory for B³ numbers.
    """
    points = wide(features)
    # Differences, not products: equal features are 0 apart, and their gradient is 0 rather than infinite.
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    same = group[:, None] == group[None, :]
    positive = same & ~torch.eye(len(group), dtype=torch.bool, device=group.device)
    hinge = F.relu(distance[:, :, None] - distance[:, None, :] + margin)
    hinge = torch.where(positive[:, :, None] & ~same[:, None, :], hinge, 0)
    return hinge.sum() / (hinge > 0).sum().clamp(min=1)
