"""Group distributionally robust optimisation: attend to the domain with the highest risk."""

from typing import ClassVar

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import check_range, check_several_domains, domain_risks, wide


class GroupDRO(Algorithm):
    """Risks weighted by q, which grows where the risk is high (Sagawa et al. 2020, algorithm 1).

    q_d ← q_d · exp(η R_d) for the domains of the batch, q ← q / Σ q, then L = Σ_d q_d R_d. A domain that the batch
    lacks keeps its q and adds nothing, as in the algorithm, which visits one group a step; so a batch with few
    domains has a small loss. q starts uniform and is a buffer: checkpoints keep it. It moves in training mode alone,
    once per micro-batch, so that accumulation multiplies η. With several processes the first one's batches
    decide it. η = 0 with equally many samples of each domain is ERM. The groups are the domains, as in DomainBed (in
    the paper, label × attribute), without the paper's group adjustments.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains, at least 2.
        eta: η, step size of the weights; the paper and DomainBed have 0.01.

    Attributes:
        domain_weights: (D,) q, summing to 1.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"eta": (1e-3, 1e-1, "log")}

    domain_weights: Tensor

    def __init__(self, backbone: Backbone, *, num_domains: int, eta: float = 1e-2) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_several_domains("groupdro", num_domains)
        check_range("groupdro", 0, eta=eta)
        self.eta = eta
        self.register_buffer("domain_weights", torch.full((num_domains,), 1.0 / num_domains))

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, the `worst` of the domains' risks, and the largest of their weights."""
        losses = self.class_loss(self.logits(batch.images), batch.label)
        present, risks = domain_risks(losses, batch.domain)
        if self.training:
            self._attend(present, risks.detach())
        # Indexing copies: the next micro-batch may change the buffer before this one's gradient is taken.
        loss = (self.domain_weights[present] * risks).sum()
        return {"loss": loss, "worst": risks.detach().max(), "largest_weight": self.domain_weights.max()}

    @torch.no_grad()
    def _attend(self, present: Tensor, risks: Tensor) -> None:
        # A softmax of logarithms: exp(η R) overflows float32 at η R = 89.
        growth = torch.zeros_like(self.domain_weights).index_copy(
            0, present, (self.eta * wide(risks)).to(self.domain_weights)
        )
        self.domain_weights.copy_(torch.softmax(self.domain_weights.log() + growth, 0))
