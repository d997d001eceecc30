"""Hugging Face datasets: a capture device as the function of `set_transform`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spooflab.augment.bridges.keyed_camera import Camera, KeyedCamera, content_key
from spooflab.augment.bridges.lens_map import move_masks
from spooflab.augment.bridges.picture_pixels import rgb_pixels
from spooflab.errors import DataError


class DatasetsDevice:
    """Photographs the pictures of a column again; columns of masks follow the lens.

    Works on the dictionary of lists that `Dataset.set_transform` hands over, needs nothing of the library, and can be
    called from a larger transform. Pictures come back as what they came as: Pillow (in RGB), uint8 or float arrays
    (H, W, 3), or tensors (3, H, W).

    Args:
        camera: one device, or a shift over many.
        seed: root of every draw.
        image: the column of pictures.
        key: the column of keys, or None for a digest of each picture's pixels.
        masks: columns of masks: Pillow pictures or arrays (H, W) or (H, W, C).
        p, gentle: as in `KeyedCamera`.
    """

    def __init__(
        self,
        camera: Camera,
        *,
        seed: int,
        image: str = "image",
        key: str | None = None,
        masks: Sequence[str] = (),
        p: float = 1.0,
        gentle: bool = False,
    ) -> None:
        self.keyed = KeyedCamera(camera, seed=seed, p=p, gentle=gentle)
        self.image, self.key, self.masks = image, key, tuple(masks)

    def set_epoch(self, epoch: int) -> None:
        """Draw other shots from now on, in running workers too."""
        self.keyed.set_epoch(epoch)

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Return the batch with its pictures taken again."""
        missing = {self.image, *self.masks, *([self.key] if self.key else [])} - set(batch)
        if missing:
            raise DataError(
                f"no column {min(missing)!r} among {', '.join(batch)}", wanted="the names of this data set's columns"
            )
        for name in (self.image, *self.masks):
            _check_filled(name, batch[name])
        pictures = [Image.fromarray(rgb_pixels(p)) if isinstance(p, Image.Image) else p for p in batch[self.image]]
        photos = [_planes(picture) for picture in pictures]
        seeds = self.keyed.seeds(batch[self.key] if self.key else [content_key(photo) for photo in photos])
        out = {name: list(column) for name, column in batch.items()} | {self.image: pictures}
        for row in self.keyed.applied(seeds).nonzero()[:, 0].tolist():
            photo = photos[row]
            shot = self.keyed.shots([seeds[row]], (photo.shape[-2], photo.shape[-1]))
            out[self.image][row] = _like(pictures[row], self.keyed.photograph(photo[None], shot)[0])
            for name in self.masks:
                mask = batch[name][row]
                out[name][row] = _like(mask, move_masks(_planes(mask)[None], shot.view)[0])
        return out


def _check_filled(name: str, column: Sequence[Any]) -> None:
    for row, value in enumerate(column):
        if value is None:
            raise DataError(
                f"column {name!r} is None in row {row} of {len(column)} of the batch",
                wanted="a picture in every row",
                next_step="filter such rows out, before set_transform",
            )


def _planes(picture: Any) -> Tensor:
    if isinstance(picture, Tensor):
        return picture
    pixels = np.atleast_3d(np.array(picture))
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _like(original: Any, planes: Tensor) -> Any:
    if isinstance(original, Tensor):
        return planes
    pixels = np.ascontiguousarray(planes.numpy().transpose(1, 2, 0)).reshape(np.shape(original))
    if not isinstance(original, Image.Image):
        return pixels
    out = Image.fromarray(pixels)
    if original.mode == "P" and (palette := original.getpalette()) is not None:
        out.putpalette(palette)  # a palette picture's values are labels
    return out
