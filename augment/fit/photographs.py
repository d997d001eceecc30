"""Photographs of one camera, in the order in which its sensor stored the pixels."""

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from spooflab.augment.fit.tables import Tables, read_tables
from spooflab.errors import DataError, SkipSample
from spooflab.images import decode_image

FEWEST = 3
LARGEST_PX = 2048
"""Side of a photograph beyond which memory and time do not allow the fit."""
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".mpo"}
_ORIENTATION_TAG = 0x0112
_ADD = "add photographs as the camera wrote them, neither resized nor edited"
_CROP = "crop one central window from each without scaling (jpegtran -crop keeps the codec's blocks)"


@dataclass(frozen=True)
class Photo:
    """One file: its name, (H, W, 3) uint8 sRGB as stored, and its coding (None where it is no JPEG)."""

    name: str
    pixels: npt.NDArray[np.uint8]
    tables: Tables | None


@dataclass(frozen=True)
class Photographs:
    """What a folder gave: photos of one size, and (name, reason) of every file left out."""

    photos: list[Photo]
    left_out: list[tuple[str, str]]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every photo."""
        height, width = self.photos[0].pixels.shape[:2]
        return height, width


def read_photographs(folder: Path, *, most: int = 200) -> Photographs:
    """Read up to `most` photographs of a folder, sorted by name; the most common size is kept.

    Pixels are turned back to how the file stores them: the sensor's rows, its pattern and the codec's blocks lie that
    way, whatever orientation the file claims.

    Raises:
        DataError: no such folder, or fewer than three photographs of one size.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", wanted="a folder of photographs that one camera took")
    paths = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in _SUFFIXES)
    photos, left_out = [], []
    for path in paths[:most]:
        try:
            photos.append(_read(path))
        except SkipSample as refused:
            left_out.append((path.name, f"{refused.reason}: {refused.detail}"))
        except OSError as error:
            left_out.append((path.name, f"unreadable: {error.strerror or error}"))
    left_out += [(path.name, f"beyond the first {most}") for path in paths[most:]]
    sizes = Counter(photo.pixels.shape[:2] for photo in photos)
    common = max(sizes, key=lambda size: (sizes[size], size), default=None)
    kept = [photo for photo in photos if photo.pixels.shape[:2] == common]
    for photo in photos:
        if photo.pixels.shape[:2] != common:
            height, width = photo.pixels.shape[:2]
            left_out.append((photo.name, f"other_size: {width} x {height}"))
    if len(kept) < FEWEST:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in left_out[:20])
        raise DataError(
            f"{folder}: {len(kept)} usable photograph{'s' * (len(kept) != 1)} of one size{reasons}",
            wanted=f"at least {FEWEST} photographs of one camera at one size; 20 or more fit well",
            next_step=_CROP if any(reason.startswith("too_large") for _, reason in left_out) else _ADD,
        )
    return Photographs(kept, sorted(left_out))


def read_charts(folder: Path) -> dict[str, npt.NDArray[np.uint8]]:
    """Read every picture of a folder, of any size, upright: pixels by path.

    Raises:
        DataError: no such folder, no picture in it, or one that cannot be decoded.
    """
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise DataError(
            f"{folder}: no chart pictures", wanted="a folder of photographs of a 24-patch chart, cropped to its edge"
        )
    charts = {}
    for path in paths:
        try:
            charts[str(path)] = decode_image(path.read_bytes(), min_side=48)
        except SkipSample as refused:
            raise DataError(
                f"{path}: {refused.reason}: {refused.detail}", wanted="a readable chart picture"
            ) from refused
    return charts


def _read(path: Path) -> Photo:
    data = path.read_bytes()
    _check_size(data)
    pixels = decode_image(data, min_side=64)
    with Image.open(io.BytesIO(data)) as header:  # `decode_image` has judged the header already
        orientation = header.getexif().get(_ORIENTATION_TAG, 1)
    return Photo(path.name, np.ascontiguousarray(as_stored(pixels, orientation)), read_tables(data))


def _check_size(data: bytes) -> None:
    """Refuse a large picture by its header, before it is decoded; what has none `decode_image` judges."""
    try:
        with Image.open(io.BytesIO(data)) as header:
            width, height = header.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return
    if max(width, height) > LARGEST_PX:
        raise SkipSample("too_large", f"{width} x {height}, sides up to {LARGEST_PX} pixels are wanted")


def as_stored(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Undo what `decode_image` does for an EXIF orientation: its three steps backwards."""
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    return pixels
