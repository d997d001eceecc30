"""Batch norm's running statistics, taken anew: those that came along with averaged weights are of other weights."""

from collections.abc import Iterable

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.batch import Batch


def gathers_statistics(model: Algorithm) -> bool:
    """Whether training moves running statistics of this model (in training mode)."""
    return bool(_layers(model))


def renew_statistics(model: Algorithm, batches: Iterable[Batch]) -> None:
    """Set the running statistics to the plain mean over `batches` of what each brings (Izmailov et al. 2018, § 3.2).

    Batches pass through `update`, as in training, so that statistics are of what the algorithm trains on: for ERM
    this is `torch.optim.swa_utils.update_bn`. The weights stay. Frozen layers, and layers that no batch reaches, keep
    what they have.

    Args:
        model: in training mode; what else its `update` remembers of batches changes as well.
        batches: at least one.
    """
    layers = _layers(model)
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = None  # a mean that counts, of which the first batch overwrites what was there
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked.zero_()
    try:
        for batch in batches:
            with torch.enable_grad():  # some algorithms differentiate in `update`
                model.update(batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def _layers(model: Algorithm) -> list[_BatchNorm]:
    layers = (layer for layer in model.modules() if isinstance(layer, _BatchNorm))
    return [layer for layer in layers if layer.training and layer.track_running_stats]
