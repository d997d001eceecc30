"""Where a detector puts images: the features before its last layer, and a flat map of them."""

from typing import TYPE_CHECKING

import numpy as np

from spooflab.experiments.scores import FloatArray, IntArray

if TYPE_CHECKING:
    from torch import Tensor

    from spooflab.adapters.algorithm import Algorithm

PERPLEXITY = 30.0
"""Of the map (van der Maaten and Hinton 2008), but at most a third of the points."""

SIDE = 1000
"""Places along a side of the map, of which only relative places mean anything."""


def penultimate(model: "Algorithm", images: "Tensor", batch_size: int = 64) -> FloatArray:
    """Return what the head is given for each image, (N, D): the network as in use.

    Args:
        model: trained network.
        images: (N, 3, S, S) uint8.
        batch_size: changes speed only.
    """
    import torch

    from spooflab.adapters.at_rest import at_rest
    from spooflab.adapters.scoring import as_input

    device = next(model.parameters()).device
    seen: list[Tensor] = []
    handle = model.head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].double().cpu()))
    try:
        with torch.inference_mode(), at_rest(model):
            for start in range(0, len(images), batch_size):
                model.logits(as_input(images[start : start + batch_size], device))
    finally:
        handle.remove()
    features: FloatArray = torch.cat(seen).numpy()
    return features


def flat_map(features: FloatArray, seed: int = 0) -> IntArray:
    """Place features (N, D) on a square of `SIDE` by t-SNE from their principal components: (N, 2) whole numbers.

    The same features give the same places, byte for byte: one thread, and nothing left to chance but `seed`.
    Distances and areas of such a map mean little; `spooflab.experiments.explain.neighbours` measures instead.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # which scikit-learn brings

    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    with threadpool_limits(1):
        found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(features)
    low = found.min(0)
    span = max(float((found.max(0) - low).max()), 1e-12)
    places: IntArray = np.rint((found - low + (span - (found.max(0) - low)) / 2) / span * SIDE).astype(np.int64)
    return places
