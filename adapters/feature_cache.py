"""What the frozen part of a backbone makes of images, computed once and kept on disk for every training that asks.

    ROOT/<digest of the frozen part>/<plain, or digest of the augmentation>-<view>/<digest of the images>.safetensors

A file holds the maps of some images, each under a digest of its pixels (and, for augmented views, of its key, which the
augmentation is named by). So folds, seeds and algorithms that share a frozen part share its work, image by image.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from spooflab.adapters.augmentation import apply_augment, sample_augment
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.frozen_part import frozen_digest, has_frozen_part, lower
from spooflab.adapters.image_set import ImageSet, Unlabelled
from spooflab.adapters.kept_tensors import FILE_BYTES, kept_tensors
from spooflab.adapters.scoring import as_input
from spooflab.adapters.train_config import AugmentConfig
from spooflab.errors import ConfigError

FORMAT = 1
"""Raised when a file's meaning changes."""

_BATCH = 64


_DIGESTS: WeakKeyDictionary[ImageSet | Unlabelled, list[bytes]] = WeakKeyDictionary()
"""Of the images of sets that are still in use: each set is hashed once."""


class Maps:
    """The frozen part's output for N images in order, in files that are mapped into memory.

    Args:
        places: for each image, the tensor that its map lies in, and the row.
    """

    def __init__(self, places: Sequence[tuple[Tensor, int]]) -> None:
        self.places = places

    def rows(self, rows: Sequence[int], device: torch.device) -> Tensor:
        """Return the maps of some images, (B, C, h, w) with channels last in memory, (B, N, C) or (B, dim)."""
        kept = torch.stack([tensor[row] for tensor, row in (self.places[i] for i in rows)]).to(device)
        return kept.permute(0, 3, 1, 2) if kept.ndim == 4 else kept


class FeatureCache:
    """Maps of images under one frozen part.

    Several processes may use one folder: files appear whole, and whoever comes second to the same images waits and then
    reads. A file that is not what it was written as is removed and made anew. Nothing is ever removed for age: delete
    the folder when its studies are done.

    Args:
        root: folder of the cache, shared by any number of backbones.
        backbone: its frozen part; in float32, whatever precision the rest trains in.

    Raises:
        ConfigError: nothing of the backbone is frozen.
    """

    def __init__(self, root: Path, backbone: Backbone) -> None:
        if not has_frozen_part(backbone):
            raise ConfigError(
                "a feature cache for a backbone that learns in all its parts",
                wanted="backbone.tuning 'frozen', or backbone.frozen_stages of 1 or more",
            )
        self.folder, self.backbone = root / f"{FORMAT}-{frozen_digest(backbone)[:32]}", backbone

    def plain(self, images: ImageSet | Unlabelled) -> Maps:
        """Return the maps of the images as they are."""
        return self._maps(images, "plain", None, 0)

    def view(self, images: ImageSet | Unlabelled, augment: AugmentConfig, view: int) -> Maps:
        """Return the maps of one augmented version of each image, view 0…V−1 as `sample_augment` draws it."""
        if augment.flip == augment.shift == augment.gain == 0:
            return self.plain(images)
        settings = hashlib.sha256(augment.model_dump_json(exclude={"views"}).encode()).hexdigest()[:16]
        return self._maps(images, f"{settings}-{view}", augment, view)

    def _maps(self, images: ImageSet | Unlabelled, space: str, augment: AugmentConfig | None, view: int) -> Maps:
        if images not in _DIGESTS:
            _DIGESTS[images] = image_digests(images.images)
        names = _DIGESTS[images] if augment is None else _with_keys(_DIGESTS[images], images.keys)
        folder = self.folder / space
        return Maps(kept_tensors(folder, names, lambda missing: self._parts(images, missing, augment, view)))

    def _parts(
        self, images: ImageSet | Unlabelled, rows: list[int], augment: AugmentConfig | None, view: int
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Run the frozen part over the rows, a file's worth at a time."""
        done: list[int] = []
        maps: list[Tensor] = []
        for start in range(0, len(rows), _BATCH):
            chosen = rows[start : start + _BATCH]
            maps.append(self._run(images, chosen, augment, view))
            done += chosen
            if sum(m.nbytes for m in maps) >= FILE_BYTES or start + _BATCH >= len(rows):
                yield done, torch.cat(maps)
                done, maps = [], []

    @torch.inference_mode()
    def _run(self, images: ImageSet | Unlabelled, rows: list[int], augment: AugmentConfig | None, view: int) -> Tensor:
        device = self.backbone.mean.device
        count = len(rows)
        # Always so many: libraries compute an image alone in another order of sums, and the map of an image must not
        # depend on what else was missing when it was made.
        rows = rows + rows[-1:] * (_BATCH - count)
        pixels = images.images.index_select(0, torch.tensor(rows))
        if augment is None:
            shown = as_input(pixels, device)
        else:
            keys = [images.keys[i] for i in rows]
            shown = apply_augment(
                pixels.to(device), sample_augment(augment, keys, [view] * len(rows), size=pixels.shape[-1], seed=0)
            )
        training, takes_maps = self.backbone.training, self.backbone.takes_maps
        self.backbone.eval().takes_maps = False
        try:
            maps = lower(self.backbone, shown).float()
        finally:
            self.backbone.train(training).takes_maps = takes_maps
        return (maps.permute(0, 2, 3, 1) if maps.ndim == 4 else maps)[:count].cpu().contiguous()


def image_digests(images: Tensor) -> list[bytes]:
    """Return a digest of each image (N, 3, S, S) uint8."""
    pixels = images.contiguous().numpy()
    return [hashlib.blake2b(pixels[i].data, digest_size=16).digest() for i in range(len(pixels))]


def _with_keys(digests: Sequence[bytes], keys: Sequence[str]) -> list[bytes]:
    return [
        hashlib.blake2b(digest + key.encode(), digest_size=16).digest()
        for digest, key in zip(digests, keys, strict=True)
    ]
