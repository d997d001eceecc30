"""Pixels of an item: which frames are taken, and how pictures, videos and HDF5 files are read."""

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spooflab.errors import ConfigError, SkipSample
from spooflab.experiments.ingest.config import IngestConfig
from spooflab.experiments.ingest.container import Facts, picture_facts, video_facts
from spooflab.experiments.ingest.video import video_frames
from spooflab.experiments.readers.item import Orientation, RealItem
from spooflab.experiments.readers.walk import IMAGES, confined, files
from spooflab.images import decode_image

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Shot:
    """One picture of a clip.

    Attributes:
        frame: its number in the clip, from 0.
        path: file that it comes from.
        sha256: of that file.
        pixels: (H, W, 3) sRGB, upright; or why there are none.
        file: how that file was encoded (`spooflab.experiments.ingest.container`).
    """

    frame: int
    path: str
    sha256: str
    pixels: Pixels | SkipSample
    file: Facts


@dataclass(frozen=True)
class Clip:
    """What was read of an item: how many frames it has, and the pictures taken of it, in order."""

    frames: int
    shots: tuple[Shot, ...]


def evenly(count: int, wanted: int) -> list[int]:
    """Return the frames at the middles of `wanted` equal spans of a clip of `count` frames; all of a shorter clip.

    >>> evenly(10, 2), evenly(3, 8)
    ([2, 7], [0, 1, 2])
    """
    if count <= wanted:
        return list(range(count))
    return [(2 * k + 1) * count // (2 * wanted) for k in range(wanted)]


def read_clip(root: Path, item: RealItem, config: IngestConfig) -> Clip:
    """Read the pictures that the configuration takes of an item.

    Raises:
        SkipSample: nothing of it can be read: `path_escape`, `missing`, `unreadable`, `file_too_large`, `bad_video`,
            `bad_hdf5`, `no_frames`, or a reason of `spooflab.images.decode_image`.
        ConfigError: a package that is needed is not installed.
    """
    if item.kind == "frames":
        return _folder(root, item, config)
    path = confined(root, item.path, max_bytes=config.max_file_mb * 1_000_000)
    if item.kind == "image":
        data = path.read_bytes()
        return Clip(1, (_still(0, item.path, data, config),))
    if item.kind == "parquet":
        data = _parquet_bytes(path, item.row)
        return Clip(1, (_still(0, item.path, data, config),))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    facts: Facts = {"bytes": path.stat().st_size} if item.kind == "hdf5" else video_facts(path)
    if item.kind == "hdf5":
        count, pictures = _hdf5(path, config)
    else:
        turn = item.orientation
        count, pictures = video_frames(
            path, lambda n: evenly(n, config.frames), config.max_pixels, turned=turn == "display"
        )
    shots = (Shot(frame, item.path, digest, _turned(pixels, item.orientation), facts) for frame, pixels in pictures)
    return Clip(count, tuple(shots))


def _folder(root: Path, item: RealItem, config: IngestConfig) -> Clip:
    """Read a clip that is a folder of pictures, in order of name; a picture that fails does not fail the others."""
    names = [
        name for name in files(root, IMAGES, under=item.path) if PurePosixPath(name).parent.as_posix() == item.path
    ]
    if not names:
        raise SkipSample("no_frames", f"{item.path}: no picture in the folder")
    shots = []
    for frame in evenly(len(names), config.frames):
        try:
            data = confined(root, names[frame], max_bytes=config.max_file_mb * 1_000_000).read_bytes()
            shots.append(_still(frame, names[frame], data, config))
        except SkipSample as skip:
            shots.append(Shot(frame, names[frame], "", skip, {}))
    return Clip(len(names), tuple(shots))


def _still(frame: int, path: str, data: bytes, config: IngestConfig) -> Shot:
    return Shot(frame, path, hashlib.sha256(data).hexdigest(), _decode(data, config), picture_facts(data))


def _decode(data: bytes, config: IngestConfig) -> Pixels | SkipSample:
    try:
        return decode_image(data, max_pixels=config.max_pixels)
    except SkipSample as skip:
        return skip


def _turned(pixels: Pixels | SkipSample, orientation: Orientation) -> Pixels | SkipSample:
    if isinstance(pixels, SkipSample) or orientation == "display":
        return pixels
    if orientation == "transpose":
        return np.ascontiguousarray(pixels.swapaxes(0, 1))
    return np.ascontiguousarray(np.rot90(pixels, 2 if orientation == "rot180" else 1))


def _parquet_bytes(path: Path, row: int) -> bytes:
    """Return the embedded picture of one row; a cell that only points to a path is refused."""
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if row < size:
            cell = file.read_row_group(group, columns=["image"]).column("image")[row].as_py()
            data = cell if isinstance(cell, bytes) else (cell or {}).get("bytes")
            if not data:
                raise SkipSample("no_bytes", f"{path.name} row {row}: no embedded picture; paths are not followed")
            return bytes(data)
        row -= size
    raise SkipSample("missing", f"{path.name}: no such row")


def _hdf5(path: Path, config: IngestConfig) -> tuple[int, Sequence[tuple[int, Pixels | SkipSample]]]:
    """Read `Color_Data` (N, 3, H, W), as 3DMAD has it, or `Frame_0/array` and so on, as Bob writes clips."""
    try:
        with hdf5().File(path, "r") as file:
            if "Color_Data" in file:
                data = file["Color_Data"]
                count = int(data.shape[0])
                return count, [(i, _colour(np.asarray(data[i]), config)) for i in evenly(count, config.frames)]
            names = sorted((n for n in file if n.startswith("Frame_")), key=lambda n: int(n.removeprefix("Frame_")))
            if not names:
                raise SkipSample("bad_hdf5", f"{path.name}: neither Color_Data nor Frame_0 among {sorted(file)[:5]}")
            chosen = evenly(len(names), config.frames)
            return len(names), [(i, _colour(np.asarray(file[f"{names[i]}/array"]), config)) for i in chosen]
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise SkipSample("bad_hdf5", f"{path.name}: {type(error).__name__}: {error}") from error


def hdf5() -> Any:
    """Return the `h5py` package, which reads data without running any of it.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise ConfigError(
            "this data set is HDF5, and h5py is not installed", wanted="the package h5py", next_step="pip install h5py"
        ) from error


def _colour(array: NDArray[Any], config: IngestConfig) -> Pixels | SkipSample:
    """Return (H, W, 3) of a frame whose channels come first or last."""
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        return SkipSample("bad_hdf5", f"frame of shape {array.shape}, {array.dtype}, wanted three channels of uint8")
    if array.shape[0] * array.shape[1] > config.max_pixels:
        return SkipSample("too_many_pixels", f"{array.shape[1]} x {array.shape[0]}")
    return np.ascontiguousarray(array)
