"""Tent: minimise the entropy of the test predictions by the scales and offsets of the norm layers."""

import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from spooflab.adapters.algorithm import Algorithm, Setting, bonafide_likelihood
from spooflab.adapters.image_set import ImageSet
from spooflab.adapters.scoring import even_batches
from spooflab.errors import ConfigError, DataError


@dataclass(frozen=True)
class Tent:
    """Online entropy minimisation (Wang et al. 2021).

    For each batch in order: score it, then move the affine parameters of the backbone's norm layers along the
    gradient of the batch's mean entropy −Σ p log p, by Adam. A batch's scores come from before its own move, as in the
    authors' code with one step. So scores depend on the order of the images and on `batch_size`.

    Batch norms normalise with the batch's own statistics, never with the trained ones: a batch should hold both
    classes in the proportion they come in. Layer and group norms normalise each image by itself as ever, and only
    their affine parameters move; with such a backbone the first batch scores as without Tent. Dropout is off, where
    the authors' code leaves it on.

    Attributes:
        lr: Adam's rate; 1e-3 in the paper.
        steps: moves per batch; with more than one, the batch's scores come from before the last.
        batch_size: most images in a batch; batches are of even length. At least 2 with batch norm.
    """

    setting: ClassVar[Setting] = "test_time"
    online: ClassVar[bool] = True
    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"lr": (1e-5, 1e-2, "log")}

    lr: float = 1e-3
    steps: int = 1
    batch_size: int = 64

    def __post_init__(self) -> None:
        if self.lr < 0 or self.steps < 1 or self.batch_size < 1:
            raise ConfigError(
                f"tent: lr {self.lr}, steps {self.steps}, batch_size {self.batch_size}",
                wanted="lr ≥ 0, steps ≥ 1, batch_size ≥ 1",
            )

    @torch.inference_mode(False)
    def scores(self, model: Algorithm, images: ImageSet) -> npt.NDArray[np.float64]:
        """Return bona fide likelihoods (N,) in the images' order; `model` stays as it is.

        Raises:
            ConfigError: the backbone has no norm layer with affine parameters.
            DataError: a batch of one image for batch norms.
        """
        if not model.scores_by_class:
            raise ConfigError("tent: a model that scores by its pixels' map", wanted="pixel: {score: class}")
        own = copy.deepcopy(model).eval().requires_grad_(False)
        parameters = _prepare_norms(own.backbone)
        optimizer = torch.optim.Adam(parameters, lr=self.lr, betas=(0.9, 0.999))
        device = parameters[0].device
        batch_norm = any(isinstance(layer, _BatchNorm) for layer in own.backbone.modules())
        parts = []
        for batch in even_batches(images, self.batch_size, device):
            if batch_norm and len(batch) < 2:
                raise DataError("tent: a batch of one image, which batch norm would see alone", wanted="2 or more")
            for _ in range(self.steps):
                logits = _move(own, optimizer, batch)
            parts.append(bonafide_likelihood(logits / own.score_temperature).cpu().double())
        return torch.cat(parts).numpy() if parts else np.empty(0)


def entropy(logits: Tensor) -> Tensor:
    """Return −Σ p log p (B,) of the softmax of logits (B, C), in nats."""
    log_probability = logits.log_softmax(1)
    return -(log_probability.exp() * log_probability).sum(1)


def _move(model: Algorithm, optimizer: torch.optim.Optimizer, batch: Tensor) -> Tensor:
    """Return the batch's logits, then make one step on their mean entropy."""
    with torch.enable_grad():
        logits = model.logits(batch)
        torch.autograd.backward(entropy(logits).mean())
        optimizer.step()
        optimizer.zero_grad()
    return logits.detach()


def _prepare_norms(backbone: nn.Module) -> list[Tensor]:
    """Let batch norms use their batch's statistics; return the affine parameters of all norm layers, to be moved."""
    parameters = []
    for layer in backbone.modules():
        if isinstance(layer, _BatchNorm):
            # Without running statistics a batch norm normalises by the batch in evaluation mode too.
            layer.track_running_stats = False
            layer.running_mean = layer.running_var = None
        if isinstance(layer, _BatchNorm | nn.LayerNorm | nn.GroupNorm):
            parameters += [p.requires_grad_() for p in layer.parameters(recurse=False)]
    if not parameters:
        raise ConfigError("tent: the backbone has no norm layer with affine parameters", wanted="one or more")
    return parameters
