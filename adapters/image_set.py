"""Training images in memory: resized once to the training size, with the labels and domains that studies split by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from spooflab.adapters.batch import ATTACK, BONAFIDE
from spooflab.adapters.kept_tensors import FILE_BYTES, kept_tensors
from spooflab.adapters.pixel_maps import CHANNELS, read_maps
from spooflab.errors import DataError
from spooflab.images import decode_image
from spooflab.reader import iter_images, read_index

FORMAT = 1
"""Of kept images; raised when decoding or resizing changes."""


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Images without labels, domains or species: all that adaptation may see of its target.

    Attributes:
        images: (N, 3, S, S) uint8, sRGB.
        keys: the samples' names, unique.
    """

    images: Tensor
    keys: Sequence[str]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """N images of one size with what training and evaluation ask of them.

    Attributes:
        images: (N, 3, S, S) uint8, sRGB.
        labels: (N,) int64, 1 = bona fide, 0 = attack.
        domains: (N,) int64, any values ≥ 0; equal values are one domain.
        keys: the samples' names, unique.
        species: PAI species of each sample.
        maps: (N, 5, m, m) float16 `spooflab.adapters.pixel_maps.CHANNELS`; None where they were not asked for.
    """

    images: Tensor
    labels: Tensor
    domains: Tensor
    keys: Sequence[str]
    species: Sequence[str]
    maps: Tensor | None = None

    def __post_init__(self) -> None:
        count = len(self.keys)
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            raise DataError(
                f"images: {self.images.dtype} {tuple(self.images.shape)}", wanted="a uint8 tensor (N, 3, S, S)"
            )
        for name in ("labels", "domains"):
            value = getattr(self, name)
            if value.dtype != torch.int64 or value.shape != (count,):
                raise DataError(f"{name}: {value.dtype} {tuple(value.shape)}", wanted=f"an int64 tensor ({count},)")
        if not len(self.images) == len(self.species) == count:
            raise DataError(f"{len(self.images)} images, {count} keys, {len(self.species)} species", wanted="equal")
        if self.maps is not None and self.maps.shape[:2] != (count, len(CHANNELS)):
            raise DataError(f"maps: {tuple(self.maps.shape)}", wanted=f"({count}, {len(CHANNELS)}, m, m)")
        if len(set(self.keys)) != count:
            raise DataError("keys repeat", wanted="one row per key: a sample seen twice may be in train and test")
        if not bool(((self.labels == ATTACK) | (self.labels == BONAFIDE)).all()):
            raise DataError(f"labels {sorted(set(self.labels.tolist()))}", wanted="0 (attack) and 1 (bona fide)")
        if count and int(self.domains.min()) < 0:
            raise DataError(f"domain {int(self.domains.min())}", wanted="domains ≥ 0")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return int(self.images.shape[-1])

    def unlabelled(self) -> Unlabelled:
        """Return the images and their names alone."""
        return Unlabelled(self.images, self.keys)

    def subset(self, rows: Sequence[int] | Tensor) -> ImageSet:
        """Return the rows with these positions, in this order."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        chosen: list[int] = index.tolist()
        return ImageSet(
            self.images[index],
            self.labels[index],
            self.domains[index],
            [self.keys[i] for i in chosen],
            [self.species[i] for i in chosen],
            None if self.maps is None else self.maps[index],
        )

    @classmethod
    def load(
        cls,
        store_root: Path,
        rows: pa.Table | Sequence[str] | None = None,
        size: int = 128,
        domain_by: Sequence[str] = ("device_profile",),
        *,
        maps: bool = False,
        kept: Path | None = None,
    ) -> ImageSet:
        """Read samples of a store, decode them, and resize them once (antialiased) to `size` × `size`.

        Args:
            store_root: folder that `spooflab generate` wrote.
            rows: index rows (a table with a `key` column) or keys, in the order wanted; None takes all, by key.
            size: side in pixels.
            domain_by: columns whose distinct value tuples are the domains, numbered in sorted order.
            maps: whether spoof masks and depths are read as well, for pixel-wise supervision.
            kept: folder in which resized images are kept for whoever asks next, this process or another; None decodes
                them all here.

        Raises:
            DataError: no rows, an unknown key or column, or a file that does not decode.
        """
        table = _wanted_rows(read_index(Path(store_root)), rows, store_root)
        keys = table.column("key").to_pylist()
        domains = domain_numbers(table, domain_by)
        images = _decoded(Path(store_root), keys, size) if kept is None else _kept(kept, Path(store_root), table, size)
        labels = [BONAFIDE if label == "bonafide" else ATTACK for label in table.column("label").to_pylist()]
        species = table.column("species").to_pylist()
        known = read_maps(Path(store_root), table) if maps else None
        return cls(images, torch.tensor(labels), domains, keys, species, known)


def domain_numbers(table: pa.Table, domain_by: Sequence[str]) -> Tensor:
    """Number the distinct tuples of the columns `domain_by` in sorted order: (N,) int64."""
    missing = [name for name in domain_by if name not in table.column_names]
    if missing or not domain_by:
        raise DataError(
            f"domain_by {list(domain_by)}", wanted=f"one or more columns of {', '.join(table.column_names)}"
        )
    tuples = list(zip(*(map(str, table.column(name).to_pylist()) for name in domain_by), strict=True))
    number = {value: i for i, value in enumerate(sorted(set(tuples)))}
    return torch.tensor([number[value] for value in tuples], dtype=torch.int64)


def to_training_size(pixels: npt.NDArray[np.uint8], size: int) -> Tensor:
    """Resize (H, W, 3) uint8 with Pillow's area-aware bicubic filter to a (3, size, size) uint8 tensor."""
    if pixels.shape[:2] != (size, size):
        pixels = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _decoded(store_root: Path, keys: Sequence[str], size: int) -> Tensor:
    images = torch.empty((len(keys), 3, size, size), dtype=torch.uint8)
    slot = {key: row for row, key in enumerate(keys)}
    for key, data in iter_images(store_root, keys):
        images[slot[key]] = to_training_size(decode_image(data), size)
    return images


def _kept(folder: Path, store_root: Path, table: pa.Table, size: int) -> Tensor:
    """Return the images of an index's rows, each decoded and resized by whichever process came to it first."""
    keys = table.column("key").to_pylist()
    # By content, so the same picture is found whatever the data set is called and however it is cut.
    names = [hashlib.blake2b(sha.encode(), digest_size=16).digest() for sha in table.column("image_sha256").to_pylist()]
    once = max(1, FILE_BYTES // (3 * size * size))

    def make(missing: list[int]) -> Iterator[tuple[list[int], Tensor]]:
        for start in range(0, len(missing), once):
            rows = missing[start : start + once]
            yield rows, _decoded(store_root, [keys[row] for row in rows], size)

    images = torch.empty((len(keys), 3, size, size), dtype=torch.uint8)
    for row, (tensor, place) in enumerate(kept_tensors(folder / f"{FORMAT}-{size}", names, make)):
        images[row] = tensor[place]
    return images


def _wanted_rows(index: pa.Table, rows: pa.Table | Sequence[str] | None, store_root: Path) -> pa.Table:
    have = index.column("key").to_pylist()
    if rows is None:
        keys = sorted(have)
    else:
        wanted: Any = rows  # either kind; pyarrow is untyped
        keys = list(wanted.column("key").to_pylist() if isinstance(wanted, pa.Table) else wanted)
    position = {key: row for row, key in enumerate(have)}
    unknown = [key for key in keys if key not in position]
    if unknown or not keys:
        seen = f"no sample {unknown[0]!r} ({len(unknown)} unknown)" if unknown else "no samples asked for"
        raise DataError(f"{store_root}: {seen}", wanted="one or more keys of the index")
    return index.take([position[key] for key in keys])
