"""Spectral decoupling: small logits, so that one easy feature does not starve the others of gradient."""

from typing import ClassVar

from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import check_range


class SD(Algorithm):
    """Cross-entropy plus the mean square of the logits (Pezeshki et al. 2021).

    L = R + λ · mean over samples and classes of f². The paper writes λ/2 · ‖f‖² for one logit and a sum over samples;
    for one logit per class DomainBed takes the mean, as here. Domains play no part. λ = 0 is ERM.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        weight: λ.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (1e-5, 1e-1, "log")}

    def __init__(self, backbone: Backbone, *, num_domains: int = 1, weight: float = 0.1) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_range("sd", 0, weight=weight)
        self.weight = weight

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its parts `class` and `penalty`."""
        logits = self.logits(batch.images)
        risk, penalty = self.class_loss.mean(logits, batch.label), logits.square().mean()
        return {"loss": risk + self.weight * penalty, "class": risk.detach(), "penalty": penalty.detach()}
