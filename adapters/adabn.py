"""AdaBN: batch-norm statistics of the target in place of the source's."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from spooflab.adapters.algorithm import Algorithm, Setting
from spooflab.adapters.image_set import ImageSet
from spooflab.adapters.scoring import even_batches, predict_scores
from spooflab.errors import ConfigError


@dataclass(frozen=True)
class AdaBN:
    """Offline adaptation by normalisation (Li et al. 2016, algorithm 1).

    Every batch norm's mean and variance become those of its input over all target images and positions. Layers are
    done one after another, each with those before it already adapted, so that what is stored is exactly what the
    layer meets; the whole set is passed once per batch norm. Scores depend on which images the set has, and neither
    on their order nor on `batch_size`. The variance is that of the population, as batch norm itself uses it.

    pytorch-adapt's `AdaBNModel` replaces the layers of the model that it is given, takes two-dimensional ones alone
    and leaves the order of the layers to its caller.

    Attributes:
        batch_size: images in a pass; speed only.
    """

    setting: ClassVar[Setting] = "test_time"
    online: ClassVar[bool] = False
    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {}

    batch_size: int = 64

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"adabn: batch_size {self.batch_size}", wanted="1 or more")

    @torch.inference_mode()
    def scores(self, model: Algorithm, images: ImageSet) -> npt.NDArray[np.float64]:
        """Return bona fide likelihoods (N,) in the images' order; `model` stays as it is.

        Raises:
            ConfigError: the backbone has no batch norm.
        """
        own = copy.deepcopy(model).eval()
        device = next(own.parameters()).device
        if not any(isinstance(layer, _BatchNorm) for layer in own.backbone.modules()):
            raise ConfigError("adabn: the backbone has no batch norm", wanted="one or more; Tent takes other norms")
        if len(images):
            for layer in _layers_in_order(own, next(even_batches(images, self.batch_size, device))):
                mean, variance = _input_moments(own, layer, even_batches(images, self.batch_size, device))
                layer.running_mean, layer.running_var = mean.to(layer.weight), variance.to(layer.weight)
        return predict_scores(own, images, self.batch_size)


class _Enough(Exception):
    """The layer of interest has been reached."""


def _layers_in_order(model: Algorithm, batch: Tensor) -> list[Any]:
    """Return the backbone's batch norms as a batch meets them."""
    order: list[Any] = []
    handles = [
        layer.register_forward_pre_hook(lambda layer, _inputs: order.append(layer))
        for layer in model.backbone.modules()
        if isinstance(layer, _BatchNorm)
    ]
    try:
        model.backbone(batch)
    finally:
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(order))


def _input_moments(model: Algorithm, layer: Any, batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and population variance (C,) of what enters `layer`, over all batches, in float64 on the CPU."""
    parts: list[tuple[int, Tensor, Tensor]] = []

    def measure(_layer: Any, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float()
        dims = [d for d in range(x.ndim) if d != 1]
        variance, mean = torch.var_mean(x, dims, correction=0)
        parts.append((x.numel() // x.shape[1], mean.cpu().double(), variance.cpu().double()))
        raise _Enough

    handle = layer.register_forward_pre_hook(measure)
    try:
        for batch in batches:
            try:
                model.backbone(batch)
            except _Enough:
                continue
    finally:
        handle.remove()
    share = torch.tensor([count for count, _, _ in parts], dtype=torch.float64)
    share = (share / share.sum())[:, None]
    means, variances = torch.stack([m for _, m, _ in parts]), torch.stack([v for _, _, v in parts])
    mean = (share * means).sum(0)
    return mean, (share * (variances + (means - mean).square())).sum(0)
