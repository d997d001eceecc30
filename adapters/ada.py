"""Adversarial data augmentation: learn from images that were pushed to where the detector fails."""

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.at_rest import at_rest
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import check_range
from spooflab.errors import ConfigError
from spooflab.seeds import generator

Distance = Literal["half_square", "mean_square"]


class ADA(Algorithm):
    """Class loss of images, and of fictitious ones near them at which it is high (Volpi et al. 2018).

    A fictitious image climbs from its own by n steps x ← x + η ∇ₓ(ℓ(x) − γ c(x, x₀)) and keeps the label. The cost of
    transport c is measured where meaning lies, between features z: ½‖z − z₀‖² in the paper, their mean square in its
    public code (`distance`), which also lets the batch share a step of η (η/B for each image; here each image climbs
    by η).

    The paper makes the fictitious images K times, from the whole training set, and adds them to it. Here a batch's are
    made when it is learnt from, with the weights of that moment, and then left: nothing grows, and a resumed run needs
    no images of its past. A batch has them with probability p; the public plan (10 000 images, 3 times 15 steps, for
    10 000 batches of 32) spends about as much on climbing as on learning, which p = 0.1 does here.

    The network climbs as it is in use: without dropout, its statistics at rest. Climbed images are cut to [0, 1] (the
    paper's are not). With p = 0 this is ERM, to the bit.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        gamma: γ, price of moving away.
        steps: n, steps of the climb.
        step_size: η.
        probability: p, that a batch has fictitious images.
        distance: see above.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "gamma": (1e-1, 1e1, "log"),
        "step_size": (1e-2, 1e1, "log"),
    }

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        gamma: float = 1.0,
        steps: int = 15,
        step_size: float = 1.0,
        probability: float = 0.1,
        distance: Distance = "half_square",
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_range("ada", 0, gamma=gamma, step_size=step_size)
        check_range("ada", 1, steps=steps)
        check_range("ada", 0, 1, probability=probability)
        if distance not in get_args(Distance):
            raise ConfigError(f"ada: distance {distance!r}", wanted=f"one of {', '.join(get_args(Distance))}")
        self.gamma, self.steps, self.step_size, self.probability = gamma, steps, step_size, probability
        self.distance: Distance = distance

    @property
    def needs_images(self) -> bool:
        """Whether no cached map will do: what is pushed is pixels."""
        return True

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, the mean over the images and the fictitious ones, and `climbed`, the share of the latter."""
        images, label = batch.images, batch.label
        climbs = float(torch.rand((), generator=generator(batch.seed, "ada"))) < self.probability
        if climbs:
            images, label = torch.cat([images, self.climb(images, label)]), label.repeat(2)
        loss = self.class_loss.mean(self.logits(images), label)
        return {"loss": loss, "climbed": torch.tensor(0.5 if climbs else 0.0)}

    def climb(self, images: Tensor, label: Tensor) -> Tensor:
        """Return the fictitious images (B, 3, H, W) in [0, 1] of `images` with labels (B,); no gradient is left."""
        with at_rest(self), torch.enable_grad():
            start = self.backbone(images).detach()
            moved = images.detach().clone()
            for _ in range(self.steps):
                moved.requires_grad_(True)
                features = self.backbone(moved)
                risen = self.class_loss(self.head(features), label).sum()
                height = risen - self.gamma * self._cost(features, start)
                (slope,) = torch.autograd.grad(height, moved)
                moved = (moved.detach() + self.step_size * slope).clamp(0, 1)
        return moved

    def _cost(self, features: Tensor, start: Tensor) -> Tensor:
        """Return the sum over the images of their cost of transport."""
        square = (features - start).square()
        return 0.5 * square.sum() if self.distance == "half_square" else square.mean(1).sum()
