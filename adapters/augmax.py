"""AugMax: random augmentations, mixed in the proportion that the detector likes least."""

from typing import ClassVar

import kornia.enhance as enhance
import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.at_rest import at_rest
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import check_range
from spooflab.seeds import generator

OPERATIONS = ("autocontrast", "equalize", "posterize", "solarize")
"""AugMix's operations that leave pixels where they are."""


class AugMax(Algorithm):
    """Class loss, plus the divergence of what is said of an image, of its AugMix and of its AugMax (Wang et al. 2021).

    Chains of one to three random operations make w augmented images of each image x. A mix (1 − m) x + m Σ wᵢ xᵢ with
    w ~ Dirichlet(1), m ~ Beta(1, 1) is AugMix (Hendrycks et al. 2020). AugMax climbs the class loss by n steps of sign
    gradient in m and in q, w = softmax(q), from uniform draws; an image that has been misjudged τ times stays (the
    authors' default, after friendly adversarial training). The loss is ℓ(x) + λ JS(p(x), p(AugMax), p(AugMix)), the
    divergence being the mean of the three KL divergences from their mean (as in the authors' code).

    Deviations: the authors' operations include rotations, shears and translations, which resample and so destroy moiré
    and halftone: they are left out. Their network has batch norms of its own for adversarial images (DuBIN): backbones
    come as they are here, and the three kinds of images pass one after another.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        weight: λ. The authors' code has 10.
        width: w, chains of each image.
        severity: of the operations, 0.1 to 10.
        steps: n.
        step_size: of the climb.
        patience: τ.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (1.0, 30.0, "log")}

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        weight: float = 10.0,
        width: int = 3,
        severity: float = 3.0,
        steps: int = 5,
        step_size: float = 0.1,
        patience: int = 1,
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_range("augmax", 0, weight=weight, step_size=step_size, steps=steps)
        check_range("augmax", 1, width=width, patience=patience)
        check_range("augmax", 0.1, severity=severity)
        self.weight, self.width, self.severity = weight, width, severity
        self.steps, self.step_size, self.patience = steps, step_size, patience

    @property
    def needs_images(self) -> bool:
        """Whether no cached map will do: what is mixed is pixels."""
        return True

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its parts `class_loss` and `divergence`."""
        images, gen = batch.images, generator(batch.seed, "augmax")
        hard = self.hardest(images, batch.label, chains(images, self.width, self.severity, gen), gen)
        drawn = chains(images, self.width, self.severity, gen)
        exponential = -torch.log1p(-torch.rand(len(images), self.width, generator=gen))
        shares = exponential / exponential.sum(1, keepdim=True)  # Dirichlet(1)
        amount = torch.rand(len(images), generator=gen)  # Beta(1, 1)
        mild = mix(images, drawn, amount.to(images), shares.to(images))
        logits = [self.logits(seen) for seen in (images, hard, mild)]
        class_loss = self.class_loss.mean(logits[0], batch.label)
        divergence = jensen_shannon(logits)
        return {
            "loss": class_loss + self.weight * divergence,
            "class_loss": class_loss.detach(),
            "divergence": divergence.detach(),
        }

    def hardest(self, images: Tensor, label: Tensor, augmented: Tensor, gen: torch.Generator) -> Tensor:
        """Return the AugMax (B, 3, H, W) of `images` with their chains (w, B, 3, H, W); no gradient is left."""
        amount = torch.rand(len(images), generator=gen).to(images).requires_grad_(True)
        heights = torch.rand(len(images), self.width, generator=gen).to(images).requires_grad_(True)
        budget = torch.full_like(label, self.patience)
        with at_rest(self), torch.enable_grad():
            for _ in range(self.steps):
                logits = self.logits(mix(images, augmented, amount, heights.softmax(1)))
                budget = budget - (logits.detach().argmax(1) != label).long()
                climbs = (budget > 0).to(images)
                risen = self.class_loss(logits, label).sum()
                slopes = torch.autograd.grad(risen, (amount, heights))
                step = self.step_size * climbs
                amount = (amount + step * slopes[0].sign()).detach().clamp(0, 1).requires_grad_(True)
                heights = (heights + step[:, None] * slopes[1].sign()).detach().requires_grad_(True)
        return mix(images, augmented, amount.detach(), heights.detach().softmax(1))


def mix(images: Tensor, augmented: Tensor, amount: Tensor, shares: Tensor) -> Tensor:
    """Return (1 − m) x + m Σ wᵢ xᵢ.

    Args:
        images: (B, 3, H, W) x.
        augmented: (w, B, 3, H, W) xᵢ.
        amount: (B,) m.
        shares: (B, w) wᵢ.
    """
    blend = torch.einsum("wbchr,bw->bchr", augmented, shares)
    return torch.lerp(images, blend, amount.view(-1, 1, 1, 1))


def jensen_shannon(logits: list[Tensor]) -> Tensor:
    """Return the mean KL divergence of the distributions of K logits (B, C) from their mean, mean over the batch."""
    each = torch.stack([row.log_softmax(1) for row in logits])
    middle = each.exp().mean(0).clamp(1e-7, 1).log()
    return (each.exp() * (each - middle)).sum(2).mean()


def chains(images: Tensor, width: int, severity: float, gen: torch.Generator) -> Tensor:
    """Return `width` augmented versions (w, B, 3, H, W) of images (B, 3, H, W) in [0, 1], on the grid of 1/255.

    Each is one to three operations in a row, drawn for each image; a level is uniform from 0.1 to `severity`. Row i
    does not depend on the others.
    """
    with torch.no_grad():
        depth = torch.randint(1, 4, (width, len(images)), generator=gen)
        which = torch.randint(len(OPERATIONS), (3, width, len(images)), generator=gen)
        level = 0.1 + (severity - 0.1) * torch.rand(3, width, len(images), generator=gen)
        made = images.repeat(width, 1, 1, 1)
        for turn in range(3):
            for number, name in enumerate(OPERATIONS):
                at_work = (which[turn] == number) & (depth > turn)
                rows = torch.nonzero(at_work.flatten())[:, 0].to(images.device)
                if len(rows):
                    changed = operate(name, made[rows], level[turn].flatten()[rows.cpu()])
                    made = made.index_copy(0, rows, changed)
    return made.view(width, *images.shape)


def operate(name: str, images: Tensor, level: Tensor) -> Tensor:
    """Return images (B, 3, H, W) in [0, 1] after one operation at levels (B,), scaled as AugMix scales them."""
    images = (images * 255).round() / 255
    if name == "autocontrast":
        low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
        stretched = ((images - low) / (high - low).clamp_min(1 / 255)).mul(255).floor() / 255
        return torch.where(high > low, stretched, images)
    if name == "equalize":
        equal: Tensor = enhance.equalize(images)
        return equal
    if name == "posterize":
        bits = 4 - (level * 4 / 10).int()
        fewer: Tensor = enhance.posterize(images, bits.to(images.device))
        return fewer
    limit = (256 - (level * 256 / 10).int()).to(images) / 255
    return torch.where(images >= limit.view(-1, 1, 1, 1), 1 - images, images)
