"""What a training shows its network: augmented images, or what the frozen part of the backbone made of them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.augmentation import apply_augment, move_maps, sample_augment
from spooflab.adapters.feature_cache import FeatureCache, Maps
from spooflab.adapters.image_set import ImageSet, Unlabelled
from spooflab.adapters.scoring import predict_scores
from spooflab.adapters.train_config import TrainConfig
from spooflab.errors import ConfigError


class Feed:
    """Augmented images, drawn by (seed, epoch, key).

    Args:
        config: its `augment`, `size` and `eval_batch_size`.
        seed: of the training.
        device: where the network is.

    Attributes:
        cached: whether `batch` returns maps of the frozen part.
    """

    cached = False

    def __init__(self, config: TrainConfig, seed: int, device: torch.device) -> None:
        self.config, self.seed, self.device = config, seed, device

    def batch(self, images: ImageSet | Unlabelled, rows: list[int], epochs: list[int]) -> Tensor:
        """Return what the network is shown of `rows` in their epochs."""
        keys = [images.keys[i] for i in rows]
        params = sample_augment(self.config.augment, keys, epochs, size=self.config.size, seed=self.seed)
        chosen = images.images.index_select(0, torch.tensor(rows))
        return apply_augment(chosen.to(self.device), params)

    def pixel_maps(self, images: ImageSet, rows: list[int], epochs: list[int]) -> Tensor | None:
        """Return the maps that supervise pixels, moved as `batch` moved the images; None where none are wanted."""
        if images.maps is None or not self.config.pixel.needs_maps:
            return None
        keys = [images.keys[i] for i in rows]
        params = sample_augment(self.config.augment, keys, epochs, size=self.config.size, seed=self.seed)
        return move_maps(images.maps.index_select(0, torch.tensor(rows)), params, self.config.size).to(self.device)

    def scores(self, model: Algorithm, images: ImageSet | Unlabelled) -> npt.NDArray[np.float64]:
        """Return bona fide likelihoods (N,) of the images as they are."""
        return predict_scores(model, images, self.config.eval_batch_size)


class CachedFeed(Feed):
    """The same, from a cache, unless the algorithm or pixel-wise supervision needs the images themselves.

    Args:
        config: its `augment.views` must be set, unless nothing is augmented.
        seed: of the training.
        device: where the network is.
        model: its backbone's frozen part is what is cached.
        root: folder of the cache.

    Raises:
        ConfigError: nothing is frozen, or every epoch would show other images.
    """

    def __init__(self, config: TrainConfig, seed: int, device: torch.device, model: Algorithm, root: Path) -> None:
        super().__init__(config, seed, device)
        augment = config.augment
        if augment.views is None and not augment.flip == augment.shift == augment.gain == 0:
            raise ConfigError(
                "a feature cache for images that are augmented anew each time",
                wanted="augment.views: how many versions of each image there are",
            )
        self.cache = FeatureCache(root, model.backbone)
        self.cached = not (model.needs_images or config.pixel.on)
        self._maps: dict[tuple[int, int], Maps] = {}

    def batch(self, images: ImageSet | Unlabelled, rows: list[int], epochs: list[int]) -> Tensor:
        """Return the frozen part's maps of `rows` in their epochs; images, where these are needed."""
        if not self.cached:
            return super().batch(images, rows, epochs)
        views = [epoch % (self.config.augment.views or 1) for epoch in epochs]
        parts = {view: self._view(images, view) for view in sorted(set(views))}
        return Maps([parts[view].places[row] for row, view in zip(rows, views, strict=True)]).rows(
            range(len(rows)), self.device
        )

    def scores(self, model: Algorithm, images: ImageSet | Unlabelled) -> npt.NDArray[np.float64]:
        """Return the same likelihoods, to rounding, from the images' maps."""
        if self.config.pixel.on:
            return super().scores(model, images)
        return predict_scores(model, images, self.config.eval_batch_size, maps=self.cache.plain(images))

    def _view(self, images: ImageSet | Unlabelled, view: int) -> Maps:
        # A training holds its sets for as long as it lasts: their identity is a name.
        at = (id(images), view)
        if at not in self._maps:
            self._maps[at] = self.cache.view(images, self.config.augment, view)
        return self._maps[at]
