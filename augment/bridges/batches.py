"""Whole batches on the GPU: workers hand over bytes, and the cameras run where the model does."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import default_collate

from spooflab.augment.bridges.keyed_camera import Camera, KeyedCamera
from spooflab.augment.bridges.picture_pixels import rgb_pixels
from spooflab.augment.bridges.row_places import RowPlaces
from spooflab.errors import DataError


def collate_uint8(samples: Sequence[Any]) -> Any:
    """Collate as PyTorch does, pictures as uint8 (B, 3, H, W): a quarter of the bytes to copy to the GPU.

    Pillow pictures and uint8 arrays (H, W, 3), also inside tuples and dictionaries, are turned; the rest is left to
    `default_collate`.
    """
    return default_collate([_pictures_to_tensors(sample) for sample in samples])


class BatchDevice(nn.Module):
    """Photographs the pictures of a batch, wherever the batch is.

    A row's shot follows from `(seed, epoch, key)`. Batches that carry no keys are counted through the epoch instead,
    and the row's place in the epoch (with the rank of a distributed process) is its key: then the order matters.

    Args:
        camera: one device, or a shift over many.
        seed: root of every draw.
        image: where the pictures are in a batch: a dictionary's key, or a tuple's position. A batch that is one tensor
            is the pictures.
        key: where the samples' keys are, or None for their place in the epoch.
        p, gentle: as in `KeyedCamera`.
        gentle_rows: where (B,) bool or 0 / 1 says which rows get the mild second pass, such as the bona fide ones; it
            takes the place of `gentle`.
    """

    def __init__(
        self,
        camera: Camera,
        *,
        seed: int,
        image: str | int = 0,
        key: str | int | None = None,
        p: float = 1.0,
        gentle: bool = False,
        gentle_rows: str | int | None = None,
    ) -> None:
        super().__init__()
        self.keyed = KeyedCamera(camera, seed=seed, p=p, gentle=gentle)
        self.image, self.key, self.gentle_rows = image, key, gentle_rows
        self._places = RowPlaces()

    def set_epoch(self, epoch: int) -> None:
        """Draw other shots from now on."""
        self.keyed.set_epoch(epoch)
        self._places.restart()

    def forward(self, batch: Any) -> Any:
        """Return the batch with its pictures (B, 3, H, W), uint8 or floating point in [0, 1], taken again."""
        photos = batch if isinstance(batch, Tensor) else _entry(batch, self.image)
        if not isinstance(photos, Tensor):
            raise DataError(f"the batch's pictures are {type(photos).__name__}", wanted="a tensor (B, 3, H, W)")
        new = self._photograph(photos, self._keys(batch, len(photos)), self._gentle(batch, len(photos)))
        return new if isinstance(batch, Tensor) else _with_entry(batch, self.image, new)

    def _photograph(self, photos: Tensor, keys: Sequence[object], gentle: Tensor | None) -> Tensor:
        seeds = self.keyed.seeds(keys)
        applied = self.keyed.applied(seeds)
        if not bool(applied.any()):
            return photos
        chosen = applied.nonzero()[:, 0]
        mild = None if gentle is None else gentle[chosen]
        shots = self.keyed.shots([seeds[i] for i in chosen.tolist()], _size(photos), gentle=mild)
        rows = chosen.to(photos.device)
        return photos.index_copy(0, rows, self.keyed.photograph(photos[rows], shots))

    def _gentle(self, batch: Any, count: int) -> Tensor | None:
        if self.gentle_rows is None:
            return None
        rows = torch.as_tensor(_entry(batch, self.gentle_rows)).cpu()
        if rows.shape != (count,) or rows.is_floating_point() or not bool(((rows == 0) | (rows == 1)).all()):
            raise DataError(
                f"gentle rows {rows.dtype} {tuple(rows.shape)}", wanted=f"({count},) of false or true, 0 or 1"
            )
        return rows.bool()

    def _keys(self, batch: Any, count: int) -> Sequence[object]:
        if self.key is None:
            return self._places.take(count)
        keys = _entry(batch, self.key)
        if len(keys) != count:
            raise DataError(f"{len(keys)} keys for {count} pictures", wanted="a key for each picture")
        return cast(Sequence[object], keys.tolist() if isinstance(keys, Tensor) else list(keys))


def _size(photos: Tensor) -> tuple[int, int]:
    return photos.shape[-2], photos.shape[-1]


def _entry(batch: Any, place: str | int) -> Any:
    try:
        return batch[place]
    except (KeyError, IndexError, TypeError) as error:
        has = sorted(map(str, batch)) if isinstance(batch, Mapping) else f"{len(batch)} entries"
        raise DataError(f"no entry {place!r} in a batch that is a {type(batch).__name__} with {has}") from error


def _with_entry(batch: Any, place: str | int, value: Tensor) -> Any:
    if isinstance(batch, Mapping):
        return {**batch, place: value}
    entries = list(batch)
    entries[cast(int, place)] = value
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*entries)
    return tuple(entries) if isinstance(batch, tuple) else entries


def _pictures_to_tensors(sample: Any) -> Any:
    if isinstance(sample, Image.Image):
        return _planes(rgb_pixels(sample))
    if isinstance(sample, np.ndarray) and sample.dtype == np.uint8 and sample.ndim == 3 and sample.shape[2] == 3:
        return _planes(sample)
    if isinstance(sample, Mapping):
        return {name: _pictures_to_tensors(value) for name, value in sample.items()}
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*map(_pictures_to_tensors, sample))
    if isinstance(sample, list | tuple):
        return type(sample)(map(_pictures_to_tensors, sample))
    return sample


def _planes(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
