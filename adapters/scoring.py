"""Scores of an image set: the same for every batch size."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.at_rest import at_rest
from spooflab.adapters.frozen_part import fed_with_maps
from spooflab.adapters.image_set import ImageSet, Unlabelled

if TYPE_CHECKING:
    from spooflab.adapters.feature_cache import Maps


@torch.inference_mode()
def predict_scores(
    model: Algorithm, images: ImageSet | Unlabelled, batch_size: int = 64, *, maps: "Maps | None" = None
) -> npt.NDArray[np.float64]:
    """Score every image in order, (N,) bona fide likelihoods; the batch size changes speed only.

    The model is used in eval mode (batch statistics and mixing off) and put back as it was. With `maps`, what its
    frozen part made of these very images, the rest of it alone is run.
    """
    return _in_batches(model, model.predict, images, batch_size, maps)


@torch.inference_mode()
def predict_log_odds(model: Algorithm, images: ImageSet, batch_size: int = 64) -> npt.NDArray[np.float64]:
    """Return the log-odds (N,) that `predict_scores` makes likelihoods of, before the temperature."""
    return _in_batches(model, model.log_odds, images, batch_size)


def _in_batches(
    model: Algorithm,
    function: Callable[[Tensor], Tensor],
    images: ImageSet | Unlabelled,
    batch_size: int,
    maps: "Maps | None" = None,
) -> npt.NDArray[np.float64]:
    device = next(model.parameters()).device
    parts = []
    with at_rest(model), nullcontext() if maps is None else fed_with_maps(model):
        for start in range(0, len(images), batch_size):
            rows = range(start, min(start + batch_size, len(images)))
            chunk = images.images[rows.start : rows.stop]
            shown = as_input(chunk, device) if maps is None else maps.rows(rows, device)
            parts.append(function(shown).cpu().double())
    return torch.cat(parts).numpy() if parts else np.empty(0)


def as_input(chunk: Tensor, device: torch.device) -> Tensor:
    """Return uint8 images (B, 3, S, S) as a network takes them: float32 in [0, 1], channels last, on `device`."""
    return (chunk.to(device).float() / 255).contiguous(memory_format=torch.channels_last)


def even_batches(images: ImageSet, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """Yield the images in order as inputs, in ⌈N / batch_size⌉ batches whose lengths differ by one at most.

    For methods whose scores depend on the batch: none is then nearly empty.
    """
    count = -(-len(images) // batch_size)
    for part in images.images.tensor_split(count) if count else ():
        yield as_input(part, device)
