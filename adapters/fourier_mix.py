"""Fourier amplitude mix: the coarse spectrum of another domain's image under an image's own phase."""

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.stage_change import cross_domain_partners
from spooflab.augment.style.amplitude import low_amplitude, mix_amplitude
from spooflab.errors import ConfigError
from spooflab.seeds import generator

Share = Literal["uniform", "constant"]


class FourierMix(Algorithm):
    """Cross-entropy on images whose low-frequency amplitudes are mixed with those of another domain's image.

    Each image, with probability p, keeps its phase and its label and gets (1 − λ) times its own amplitude plus λ times
    that of an image drawn from the other domains of the micro-batch, for frequencies up to β·min(H, W) cycles. Two
    methods meet here: Fourier domain adaptation (Yang and Soatto 2020) swaps (`share="constant"`, α = 1);
    amplitude mix (Xu et al. 2021) draws λ ~ U(0, α). The latter mixes all frequencies; β < 0.5 keeps this
    from touching the halftone and moiré that tell an attack. Left out: the target domain and entropy term of the
    former, the teacher and consistency loss of the latter. Mixed images are cut to [0, 1], as in the latter's code.

    With one domain, or with p = 0, this is ERM, to the bit: an image without a partner is not transformed.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains.
        probability: p, chance that an image is mixed. (Xu et al. show each image both ways.)
        beta: β, the half-width of the mixed square of the spectrum as a share of the shorter side, (0, 0.5).
        alpha: λ, or its upper end, in (0, 1].
        share: `uniform` draws λ ~ U(0, α) for each image, `constant` takes α.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "probability": (0.1, 1.0, "linear"),
        "beta": (0.01, 0.1, "log"),
        "alpha": (0.1, 1.0, "linear"),
    }

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        probability: float = 0.5,
        beta: float = 0.1,
        alpha: float = 1.0,
        share: Share = "uniform",
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        if not 0 <= probability <= 1 or not 0 < beta < 0.5 or not 0 < alpha <= 1:
            raise ConfigError(
                f"fourier_mix: probability {probability}, beta {beta}, alpha {alpha}",
                wanted="p in [0, 1], β in (0, 0.5), α in (0, 1]",
            )
        if share not in get_args(Share):
            raise ConfigError(f"fourier_mix: share {share!r}", wanted=f"one of {', '.join(get_args(Share))}")
        self.probability, self.beta, self.alpha = probability, beta, alpha
        self.share: Share = share

    @property
    def needs_images(self) -> bool:
        """Yes: images are mixed."""
        return True

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, and `mixed`, the share of the images that were mixed."""
        gen = generator(batch.seed, "fourier_mix")
        partner = cross_domain_partners(batch.domain.cpu(), gen)
        draws = torch.rand(2, len(batch), generator=gen, dtype=torch.float64)
        weight = self.alpha * (draws[1] if self.share == "uniform" else torch.ones_like(draws[1]))
        chosen = torch.nonzero((draws[0] < self.probability) & (partner != torch.arange(len(batch))))[:, 0]
        images = swap_amplitudes(batch.images, chosen, partner[chosen], weight[chosen], self.beta)
        loss = self.class_loss.mean(self.logits(images), batch.label)
        return {"loss": loss, "mixed": torch.tensor(len(chosen) / len(batch))}


def swap_amplitudes(images: Tensor, rows: Tensor, partner: Tensor, weight: Tensor, beta: float) -> Tensor:
    """Return the images with the amplitudes of `rows` moved by `weight` towards those of `partner`.

    Args:
        images: (B, 3, H, W) in [0, 1].
        rows: (K,) int64, the images that change.
        partner: (K,) int64, whose amplitudes are mixed in.
        weight: (K,) λ, the share of the partner's amplitude.
        beta: highest mixed frequency as a share of the shorter side.
    """
    if not len(rows):
        return images
    rows, partner = rows.to(images.device), partner.to(images.device)
    cycles = int(beta * min(images.shape[-2:]))
    wanted = low_amplitude(images[partner], cycles)
    mixed = mix_amplitude(images[rows], wanted, weight.to(images), cycles=cycles).clamp(0, 1)
    return images.index_copy(0, rows, mixed)
