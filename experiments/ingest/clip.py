"""Pixels of an item: which frames are taken, and how pictures, videos and HDF5 files are read."""

import hashlib
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spooflab.bounded_decoder import PICTURE_S, Reply, decoder_of
from spooflab.errors import SkipSample
from spooflab.experiments.ingest.config import IngestConfig
from spooflab.experiments.ingest.container import Facts
from spooflab.experiments.ingest.frame import MIN_SIDE
from spooflab.experiments.ingest.spans import evenly
from spooflab.experiments.ingest.video import DEMUXERS
from spooflab.experiments.readers.hf_parquet import without_root
from spooflab.experiments.readers.item import Orientation, RealItem
from spooflab.experiments.readers.walk import IMAGES, confined, files
from spooflab.images import upright

JOBS = "spooflab.experiments.ingest.decoder_jobs"
"""The module whose process decodes; nothing of a data set is decoded in this one."""
SECONDS_PER_MB = 5.0
"""That a clip is given beyond a picture's time: an hour of low quality is decoded about ten times as fast."""
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


def read_clip(root: Path, item: RealItem, config: IngestConfig) -> Clip:
    """Read the pictures that the configuration takes of an item.

    Raises:
        SkipSample: nothing of it can be read: `path_escape`, `missing`, `unreadable`, `file_too_large`,
            `unsupported_format`, `bad_video`, `bad_hdf5`, `bad_parquet`, `no_frames`, or a reason of
            `spooflab.reasons.PICTURE` or `DECODER`.
        ConfigError: a package that is needed is not installed.
    """
    if item.kind == "frames":
        return _folder(root, item, config)
    path = confined(root, item.path, max_bytes=config.max_file_mb * 1_000_000)
    if item.kind == "parquet":
        return Clip(1, (_still(0, item.path, _parquet_bytes(path, item.row), config),))
    with opened(path, item.path) as file:
        if item.kind == "image":
            return Clip(1, (_still(0, item.path, file, config),))
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        reply, size = _decoded(file, item, config), path.stat().st_size
    arrays, shots = iter(reply.arrays), []
    facts: Facts = {"bytes": size, **reply.told["facts"]}
    for frame, refused in reply.told["shots"]:
        pixels = _turned(next(arrays), item.orientation) if refused is None else SkipSample(*refused)
        shots.append(Shot(frame, item.path, digest, pixels, facts))
    return Clip(reply.told["frames"], tuple(shots))


def opened(path: Path, name: str) -> BufferedReader:
    """Open a file to read it.

    Args:
        path: real, of a regular file.
        name: what it is called in the reason.

    Raises:
        SkipSample: `unreadable`.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise SkipSample("unreadable", f"{name}: {error.strerror}") from error


def _decoded(file: BufferedReader, item: RealItem, config: IngestConfig) -> Reply:
    limits: dict[str, Any] = {"frames": config.frames, "max_pixels": config.max_pixels}
    if item.kind == "video":
        suffix = PurePosixPath(item.path).suffix.lower()
        if suffix not in DEMUXERS:
            raise SkipSample("unsupported_format", f"{suffix!r}, wanted {', '.join(DEMUXERS)}")
        limits |= {"demuxer": DEMUXERS[suffix], "turned": item.orientation == "display"}
    seconds = PICTURE_S + SECONDS_PER_MB * file.seek(0, 2) / 1e6
    return decoder_of(JOBS).ask(item.kind, file, limits, seconds=seconds, most_bytes=3 * config.max_pixels)


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
            path = confined(root, names[frame], max_bytes=config.max_file_mb * 1_000_000)
            with opened(path, names[frame]) as file:
                shots.append(_still(frame, names[frame], file, config))
        except SkipSample as skip:
            shots.append(Shot(frame, names[frame], "", skip, {}))
    return Clip(len(names), tuple(shots))


def _still(frame: int, path: str, source: bytes | BufferedReader, config: IngestConfig) -> Shot:
    if isinstance(source, bytes):
        digest = hashlib.sha256(source).hexdigest()
    else:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    limits = {"max_pixels": config.max_pixels, "min_side": MIN_SIDE}
    try:
        reply = decoder_of(JOBS).ask("still", source, limits, seconds=PICTURE_S, most_bytes=3 * config.max_pixels)
    except SkipSample as skip:
        return Shot(frame, path, digest, skip, {})
    pixels = np.ascontiguousarray(upright(reply.arrays[0], reply.told["orientation"]))
    return Shot(frame, path, digest, pixels, reply.told["facts"])


def _turned(pixels: Pixels, orientation: Orientation) -> Pixels:
    if orientation == "display":
        return pixels
    if orientation == "transpose":
        return np.ascontiguousarray(pixels.swapaxes(0, 1))
    return np.ascontiguousarray(np.rot90(pixels, 2 if orientation == "rot180" else 1))


def _parquet_bytes(path: Path, row: int) -> bytes:
    """Return the embedded picture of one row; a cell that only points to a path is refused."""
    try:
        cell = _cell(path, row)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        told = without_root(str(error), path.parent)
        raise SkipSample("bad_parquet", f"{path.name} row {row}: {type(error).__name__}: {told}") from error
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(data, bytes) or not data:
        raise SkipSample("no_bytes", f"{path.name} row {row}: no embedded picture; paths are not followed")
    return data


def _cell(path: Path, row: int) -> Any:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if row < size:
                return file.read_row_group(group, columns=["image"]).column("image")[row].as_py()
            row -= size
    raise SkipSample("missing", f"{path.name}: no such row")
