"""Maximum classifier discrepancy: two classifiers find target images far from the source, features bring them near."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from spooflab.adapters.accumulate import accumulate, forget_gradients
from spooflab.adapters.algorithm import Algorithm, Engine, Setting
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.paired_features import paired_features
from spooflab.errors import ConfigError


class MCD(Algorithm):
    """Three optimiser phases per step (Saito et al. 2018).

    A: backbone and both classifiers minimise the sum of their cross-entropies on the source. B: the classifiers
    minimise that minus their discrepancy on the target. C: the backbone minimises the discrepancy, `repeat` times.
    The discrepancy is the mean of |p₁ − p₂| over target images and classes. A step therefore makes 2 + `repeat`
    optimiser steps, all with that step's learning rate.

    Both classifiers are linear, and a prediction is the softmax of their mean logits (the authors' sum them).
    Source and target pass the backbone together in every phase, where the authors pass what a phase needs.

    Args:
        backbone: network from images to features.
        num_domains: unused: all sources together are one domain.
        repeat: phases C per step, at least 1.
    """

    setting: ClassVar[Setting] = "adaptation"
    labels_in: ClassVar[str] = "class"
    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"repeat": (1, 8, "linear")}

    def __init__(self, backbone: Backbone, *, num_domains: int = 1, repeat: int = 4) -> None:
        super().__init__(backbone, num_domains=num_domains)
        if repeat < 1:
            raise ConfigError(f"{type(self).__name__}: repeat {repeat}", wanted="a whole number ≥ 1")
        self.repeat = repeat
        self.second_head = nn.Linear(backbone.dim, 2)

    def logits(self, images: Tensor) -> Tensor:
        """(B, 2) mean of both classifiers' scores."""
        features = self.backbone(images)
        logits: Tensor = (self.head(features) + self.second_head(features)) / 2
        return logits

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `class`, `discrepancy` and `loss`, their difference: the classifiers' objective in phase B."""
        source, target = paired_features(self.backbone, batch)
        first, second = self.head, self.second_head
        class_loss = self.class_loss.mean(first(source), batch.label)
        class_loss = class_loss + self.class_loss.mean(second(source), batch.label)
        discrepancy = self.discrepancy(first(target).softmax(1), second(target).softmax(1))
        return {"loss": class_loss - discrepancy, "class": class_loss, "discrepancy": discrepancy}

    def discrepancy(self, first: Tensor, second: Tensor) -> Tensor:
        """Return how far two predictions (T, 2) of the same images are apart."""
        return (first - second).abs().mean()

    def step(self, batches: Sequence[Batch], engine: Engine) -> dict[str, Tensor]:
        """Make the phases A, B and C; return phase A's parts, and the discrepancy that phase C left."""
        total = accumulate(batches, engine, lambda losses: losses["class"])
        engine.optimise()
        accumulate(batches, engine, lambda losses: losses["loss"])
        forget_gradients(self.backbone, self.pixel)
        engine.optimise()
        for _ in range(self.repeat):
            last = accumulate(batches, engine, lambda losses: losses["discrepancy"])
            forget_gradients(self.head, self.second_head, self.pixel)
            engine.optimise()
        return {**total, "discrepancy_after": last["discrepancy"]}
