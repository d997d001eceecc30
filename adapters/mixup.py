"""Mixup: between images of different domains, and between their labels."""

from typing import ClassVar

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.stage_change import Mix, check_mix, draw_beta, draw_partners
from spooflab.errors import ConfigError
from spooflab.seeds import generator


class Mixup(Algorithm):
    """Mean of λ · CE(x̃, y) + (1 − λ) · CE(x̃, y′) with x̃ = λ x + (1 − λ) x′, λ ~ Beta(α, α) (Zhang et al. 2018).

    With x′ from another domain this is inter-domain mixup (Yan et al. 2020; Wang et al. 2020), as DomainBed has it.
    DomainBed pairs whole domains, with one λ for each pair, and cuts both to the shorter one; here each image draws its
    partner from the other domains of the micro-batch and its own λ, so that domains need not be equally many.
    Another class loss takes cross-entropy's place in both terms, each with its own label's weight and margin.
    An image without a partner stays as it is: one domain gives ERM to the bit under `crossdomain`, and Zhang's mixup
    under `random`.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains.
        alpha: α of the Beta distribution.
        mix: `crossdomain` draws the partner from the other domains, `random` permutes the micro-batch.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"alpha": (0.1, 10.0, "log")}

    def __init__(
        self, backbone: Backbone, *, num_domains: int = 1, alpha: float = 0.2, mix: Mix = "crossdomain"
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        if alpha <= 0:
            raise ConfigError(f"mixup: alpha {alpha}", wanted="α > 0")
        check_mix("mixup", mix)
        self.alpha, self.mix = alpha, mix

    @property
    def needs_images(self) -> bool:
        """Yes: images are mixed."""
        return True

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`: cross-entropy with mixed images and labels."""
        partner = draw_partners(self.mix, batch.domain, generator(batch.seed, "mixup")).to(batch.images.device)
        weight = draw_beta(self.alpha, len(batch), batch.seed, "mixup", "beta").to(batch.images)
        # lerp gives back its ends exactly when they are equal.
        images = torch.lerp(batch.images[partner], batch.images, weight.view(-1, 1, 1, 1))
        logits = self.logits(images)
        own = self.class_loss(logits, batch.label)
        other = self.class_loss(logits, batch.label[partner])
        return {"loss": torch.lerp(other, own, weight.to(own)).mean()}
