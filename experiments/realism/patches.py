"""Features of patches: a single-layer network whose filters the pictures themselves teach, without labels.

Whitened patches, a dictionary by k-means, triangle activation, mean over the picture (Coates, Lee & Ng
2011, "An analysis of single-layer networks in unsupervised feature learning"). It knows nothing of physics: what the
interpretable features leave out it may still see. The dictionary is learnt from both sides together, so that it tells
nothing of the domain by itself.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from spooflab.experiments.realism.sides import Pixels
from spooflab.experiments.scores import FloatArray

SIDE_PX, STRIDE_PX, FILTERS = 6, 3, 48
_TAUGHT, _RIDGE, _CONTRAST = 8000, 0.1, 10.0


def patch_features(crops: Sequence[Pixels], seed: int) -> FloatArray:
    """Return (N, FILTERS) the mean activation of each filter over a crop's patches of 6 x 6 pixels."""
    from sklearn.cluster import MiniBatchKMeans

    rng = np.random.default_rng(seed)
    each = max(1, _TAUGHT // len(crops))
    taught = np.concatenate([_some(_normalised(_patches(crop)), each, rng) for crop in crops])
    mean = taught.mean(0)
    values, vectors = np.linalg.eigh(np.cov((taught - mean).T))
    whiten = vectors @ np.diag(1 / np.sqrt(values.clip(0) + _RIDGE)) @ vectors.T
    make: Any = MiniBatchKMeans  # its own annotations know strings alone
    start = make(
        n_clusters=min(FILTERS, len(taught)), n_init=1, max_iter=20, batch_size=1024, random_state=seed % 2**32
    )
    filters: FloatArray = start.fit((taught - mean) @ whiten).cluster_centers_
    return np.stack([_activation((_normalised(_patches(crop)) - mean) @ whiten, filters) for crop in crops])


def _patches(crop: Pixels) -> FloatArray:
    windows = np.lib.stride_tricks.sliding_window_view(crop, (SIDE_PX, SIDE_PX), (0, 1))[::STRIDE_PX, ::STRIDE_PX]
    return windows.reshape(-1, 3 * SIDE_PX**2).astype(np.float64)


def _normalised(patches: FloatArray) -> FloatArray:
    centred = patches - patches.mean(1, keepdims=True)
    normal: FloatArray = centred / np.sqrt(centred.var(1, keepdims=True) + _CONTRAST)
    return normal


def _some(patches: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    return patches[rng.choice(len(patches), min(count, len(patches)), replace=False)]


def _activation(patches: FloatArray, filters: FloatArray) -> FloatArray:
    """Mean of max(0, mean distance - distance), the "triangle" code."""
    square = (patches**2).sum(1)[:, None] + (filters**2).sum(1) - 2 * patches @ filters.T
    distance = np.sqrt(square.clip(0))
    active: FloatArray = (distance.mean(1, keepdims=True) - distance).clip(0).mean(0)
    return active
