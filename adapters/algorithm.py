"""The contract of every learning algorithm: a loss from a batch, a bona fide likelihood from images."""

from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from spooflab.adapters.accumulate import accumulate
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.class_loss import ClassLoss
from spooflab.adapters.pixel_head import PixelHead

Setting = Literal["generalisation", "adaptation", "test_time"]
"""What an algorithm may see: sources alone; unlabelled images of the target as well while it trains; or these only when
it is used. Figures of different settings are never compared without saying so."""


class Engine(Protocol):
    """What a trainer lends to `Algorithm.step`: precision, many processes and the optimiser are its business."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Run `update` under the trainer's precision (and process group)."""
        ...

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        """Add the loss's gradients; `last` marks the step's final micro-batch, after which processes reduce."""

    def optimise(self) -> None:
        """Clip, step the optimiser, clear the gradients."""


class Algorithm(nn.Module):
    """Base of all algorithms: a backbone, a two-class head, and `update` to be written.

    A subclass writes `update`; the default `step` does one optimiser step with it. An algorithm that needs several
    (flat minima, meta-learning) overrides `step`. Hyper-parameters are keyword-only with the paper's defaults and
    are validated by the constructor (`ConfigError`).

    What a wrong class costs is not the algorithm's business: wherever a method's paper has the cross-entropy of a
    labelled sample's class, the subclass takes `class_loss`, plain cross-entropy unless a training sets another.

    Args:
        backbone: network from images to (B, `dim`) features.
        num_domains: number of training domains; `Batch.domain` is below it.

    Attributes:
        class_loss: loss of attack against bona fide; replace it before training.
        pixel: head of pixel-wise supervision, whose losses `forward` adds to those of `update`; None without.
        score_temperature: what log-odds are divided by in use (`spooflab.adapters.temperature`).
        labels_in: which of the losses of `update` the backbone learns labels by.
        setting: see `Setting`.
        SEARCH: hyper-parameter -> (lowest, highest, "log" or "linear"): the range that a search draws it from.
    """

    setting: ClassVar[Setting] = "generalisation"
    labels_in: ClassVar[str] = "loss"
    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {}

    def __init__(self, backbone: Backbone, *, num_domains: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.num_domains = num_domains
        self.head = nn.Linear(backbone.dim, 2)
        self.class_loss = ClassLoss()
        self.pixel: PixelHead | None = None
        self.score_temperature = 1.0

    @property
    def selectable(self) -> bool:
        """Whether the weights are what the method is after; source-dev picks among such weights only."""
        return True

    @property
    def learns_labels(self) -> bool:
        """Whether `update` learns from labels at this point of the training; pixel-wise supervision goes with it."""
        return True

    @property
    def needs_images(self) -> bool:
        """Whether `update` changes images, or what is inside the backbone's frozen part: no cached map will do."""
        return False

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, a scalar to be minimised, and its parts (scalars, detached or not) for the log."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Call `update` and add pixel losses: mixed precision and data parallelism wrap `forward`."""
        return self.update(batch) if self.pixel is None else self.pixel.added(self, batch)

    def step(self, batches: Sequence[Batch], engine: Engine) -> dict[str, Tensor]:
        """Make one optimiser step from the micro-batches; return the mean of each loss part, detached."""
        total = accumulate(batches, engine, lambda losses: losses["loss"])
        engine.optimise()
        return total

    def logits(self, images: Tensor) -> Tensor:
        """(B, 2) class scores: attack, bona fide."""
        logits: Tensor = self.head(self.backbone(images))
        return logits

    @property
    def scores_by_class(self) -> bool:
        """Whether `predict` goes by `logits` alone, and not by a map of pixel-wise supervision."""
        return self.pixel is None or self.pixel.config.score == "class"

    def log_odds(self, images: Tensor) -> Tensor:
        """Return the log-odds (B,) of bona fide, before the temperature; float64 where the device has it."""
        if self.pixel is None or self.scores_by_class:
            return bonafide_log_odds(self.logits(images))
        with self.pixel.watching(self.backbone, lambda _images: True) as seen:
            odds = bonafide_log_odds(self.logits(images))
        return self.pixel.log_odds(seen[0], odds)

    def predict(self, images: Tensor) -> Tensor:
        """Return the bona fide likelihood (B,) in [0, 1]."""
        return torch.sigmoid(self.log_odds(images) / self.score_temperature)


def bonafide_log_odds(logits: Tensor) -> Tensor:
    """Return how far the second of two class scores (B, 2) is above the first, (B,).

    Float64 where the device has it: a float32 sigmoid reaches 1 at a log-odds of 17, and ties hide the ranking.
    """
    odds = logits.diff(dim=1)[:, 0]
    return odds.float() if odds.device.type == "mps" else odds.double()


def bonafide_likelihood(logits: Tensor) -> Tensor:
    """Return the softmax share (B,) of the second of two class scores (B, 2), in `bonafide_log_odds`' precision."""
    return torch.sigmoid(bonafide_log_odds(logits))
