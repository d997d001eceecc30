"""Bytes to pixels and back: hostile files become a canonical sRGB array or a reason, never a silent guess.

Pillow does all parsing. The header (format, size, frame count) is judged before a pixel is decoded.
"""

import io
import os
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageFile

from spooflab.decode_memory import decoding_bytes
from spooflab.errors import DataError, SkipSample
from spooflab.reasons import PICTURE

MATTE = 128
"""sRGB grey level that transparent pixels are laid on: the middle, so that an alpha edge is neither halo nor hole."""

REASONS = tuple(PICTURE)
"""Every code that `ImageRefused.reason` can hold."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM")
_ORIENTATION_TAG = 0x0112
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_ICC_MODES = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK"}
_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_STRIP_PIXELS = 1 << 18
_HEAD_BYTES = 12
_OBJECT = re.compile(r"\s*<[^<>]* (?:at 0x[0-9a-fA-F]+|name=[^<>]*)>")
_STRICT_LOAD = threading.Lock()
# A process forked while a thread decodes would inherit the lock closed, and hang on its first image.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_STRICT_LOAD.acquire, after_in_parent=_STRICT_LOAD.release, after_in_child=_STRICT_LOAD.release
    )


class ImageRefused(SkipSample):
    """An image file that is not decoded; `reason` is one of `REASONS`, `detail` says what was seen."""


class _IccTransform(NamedTuple):
    """A colour transform to sRGB and the Pillow mode that it takes in."""

    mode: str
    transform: ImageCms.ImageCmsTransform


def decode_image(data: bytes, *, max_pixels: int = 50_000_000, min_side: int = 16) -> npt.NDArray[np.uint8]:
    """Decode one still JPEG, PNG, WebP or BMP into canonical pixels.

    EXIF orientation is applied; palette, 1-bit and grey become RGB; 16-bit grey is divided by 257 and rounded
    (16-bit colour keeps its high byte, as Pillow reads it); alpha is composited on `MATTE` in sRGB; an embedded ICC
    profile is converted to sRGB (perceptual intent); CMYK without a profile takes Pillow's plain formula. PNG `gAMA`
    and `cHRM` chunks are ignored. Of a multi-picture JPEG (MPO, as phones write) the first picture is taken.

    Args:
        data: the whole file.
        max_pixels: most pixels (width × height) that are decoded; checked on the header.
        min_side: fewest pixels of the shorter side.

    Returns:
        (H, W, 3) uint8, contiguous, sRGB.

    Raises:
        ImageRefused: with one of `REASONS`.
    """
    picture = open_picture(io.BytesIO(data), max_pixels=max_pixels, min_side=min_side)
    pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    top = 0
    for strip in picture.strips():
        pixels[top : top + len(strip)] = strip
        top += len(strip)
    return np.ascontiguousarray(upright(pixels, picture.orientation))


@dataclass(frozen=True)
class OpenedPicture:
    """A picture that was decoded and is not yet canonical: it is held once, and handed out strip by strip.

    Attributes:
        height, width: as stored, before it is turned upright.
        orientation: EXIF's, for `upright`.
    """

    height: int
    width: int
    orientation: int
    _image: Image.Image

    def strips(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield (h, W, 3) sRGB pixels from the top down, not yet turned upright.

        Raises:
            ImageRefused: `undecodable`, `bad_icc_profile` or `out_of_memory`; what was yielded before is void.
        """
        try:
            transform = _icc_transform(self._image)
            rows = max(1, _STRIP_PIXELS // self.width)
            for top in range(0, self.height, rows):
                bottom = min(top + rows, self.height)
                yield _canonical_strip(self._image.crop((0, top, self.width, bottom)), transform)
        except ImageRefused:
            raise
        except Exception as error:
            raise _refusal(b"", 0, error) from error
        finally:
            self._image.close()


def open_picture(
    file: BinaryIO, *, max_pixels: int = 50_000_000, min_side: int = 16, max_bytes: int | None = None
) -> OpenedPicture:
    """Judge a picture's header, then decode it; the file is not held in memory.

    Args:
        file: the whole file, at its start.
        max_pixels, min_side: see `decode_image`.
        max_bytes: most bytes that decoding may take, by the header's measures; None does not ask.

    Raises:
        ImageRefused: with one of `REASONS`.
    """
    head = file.read(_HEAD_BYTES)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not head:
        raise ImageRefused("zero_byte", "the file is empty")
    if not _is_allowed(head):
        raise ImageRefused("unsupported_format", f"first bytes {head[:8]!r}; wanted JPEG, PNG, WebP or BMP")
    with _strict_loading():
        try:
            image = Image.open(file, formats=_FORMATS)
            frames = int(getattr(image, "n_frames", 1))
        except Exception as error:
            raise _refusal(head, size, error) from error
        _check_header(image, frames, max_pixels=max_pixels, min_side=min_side)
        if max_bytes is not None and (need := decoding_bytes(image, size)) > max_bytes:
            wanted = f"{image.width} x {image.height} pixels of this {image.format} take about {need >> 20} MiB"
            raise ImageRefused("out_of_memory", f"{wanted} to decode, the decoder has {max_bytes >> 20} MiB for them")
        try:
            image.load()
            told = image.getexif().get(_ORIENTATION_TAG, 1)
            orientation = next((known for known in range(1, 9) if known == told), 1)
        except Exception as error:
            raise _refusal(head, size, error) from error
    return OpenedPicture(image.height, image.width, orientation, image)


def encode_png(array: npt.NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) uint8 as an uncompressed PNG without metadata.

    Stored, not deflated: all images of one size have one byte length, so that file size tells nothing of the
    picture. The store's columns are compressed as a whole.
    """
    if array.ndim != 3 or array.shape[2] != 3:
        raise _wrong_array(array, "(H, W, 3) uint8")
    return _encode(array, np.dtype(np.uint8))


def encode_mask(array: npt.NDArray[np.uint8]) -> bytes:
    """Encode (H, W) uint8 (0 = not, 255 = wholly the attack instrument) as an uncompressed 8-bit grey PNG."""
    if array.ndim != 2:
        raise _wrong_array(array, "(H, W) uint8")
    return _encode(array, np.dtype(np.uint8))


def encode_depth(array: npt.NDArray[np.uint16]) -> bytes:
    """Encode (H, W) uint16 (depth in millimetres, 0 = unknown) as an uncompressed 16-bit grey PNG."""
    if array.ndim != 2:
        raise _wrong_array(array, "(H, W) uint16")
    return _encode(array, np.dtype(np.uint16))


def decode_own_png(data: bytes) -> npt.NDArray[Any]:
    """Read back what the three encoders wrote: (H, W, 3) uint8, (H, W) uint8 or (H, W) uint16, value for value.

    Raises:
        DataError: the bytes are damaged, or are a kind of image that this module does not write.
    """
    own_png_kind(data)
    try:
        with _strict_loading():
            image = _open(data, ("PNG",))
            image.load()
    except Exception as error:
        raise DataError(f"stored image does not decode: {error}", wanted="a PNG written by spooflab") from error
    if image.mode in ("RGB", "L"):
        return np.array(image)
    return np.asarray(image).astype(np.uint16)


def own_png_kind(data: bytes) -> tuple[Literal["rgb", "grey", "grey16"], int, int]:
    """Return what one of the three encoders wrote, and its width and height, from the header alone.

    Raises:
        DataError: another kind of image, or none.
    """
    try:
        with _strict_loading():
            image = _open(data, ("PNG",))
    except Exception as error:
        raise DataError(f"stored image has no PNG header: {error}", wanted="a PNG written by spooflab") from error
    width, height = image.size
    if image.mode == "RGB":
        return "rgb", width, height
    if image.mode == "L":
        return "grey", width, height
    if image.mode in _SIXTEEN_BIT_MODES:  # Pillow before 11 calls 16-bit grey "I"
        return "grey16", width, height
    raise DataError(f"stored image has mode {image.mode}", wanted="RGB, 8-bit grey or 16-bit grey")


def _is_allowed(head: bytes) -> bool:
    return head.startswith(_MAGIC) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")


@contextmanager
def _strict_loading() -> Iterator[None]:
    """Hold Pillow's process-wide "load truncated images" switch off, whatever another library set it to.

    Pillow's warnings (large images, odd metadata) are held back as well: size is judged here, by error.
    """
    with _STRICT_LOAD, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def _open(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=formats)


def _check_header(image: Image.Image, frames: int, *, max_pixels: int, min_side: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageRefused("too_many_pixels", f"{width} x {height} pixels, at most {max_pixels} are decoded")
    if min(width, height) < min_side:
        raise ImageRefused("too_small", f"{width} x {height} pixels, each side wants at least {min_side}")
    if frames > 1 and image.format != "MPO":
        raise ImageRefused("animated", f"{frames} frames in one {image.format}; export one frame")


def _refusal(head: bytes, size: int, error: Exception) -> ImageRefused:
    text = f"{type(error).__name__}: {without_objects(str(error))}"
    if isinstance(error, Image.DecompressionBombError):
        return ImageRefused("too_many_pixels", text)
    if isinstance(error, MemoryError):
        return ImageRefused("out_of_memory", "the decoder's memory does not suffice")
    cut_webp = head.startswith(b"RIFF") and len(head) >= 8 and struct.unpack("<I", head[4:8])[0] + 8 > size
    if cut_webp or "truncated" in text.lower():
        return ImageRefused("truncated", text)
    return ImageRefused("undecodable", text)


def without_objects(text: str) -> str:
    """Drop Python's own names of objects from a library's message: they hold addresses, and differ in every run.

    >>> without_objects("cannot identify image file <_io.BytesIO object at 0x7f2a>")
    'cannot identify image file'
    """
    return _OBJECT.sub("", text)


def _canonical_strip(strip: Image.Image, transform: _IccTransform | None) -> npt.NDArray[np.uint8]:
    alpha = None
    if strip.mode in _SIXTEEN_BIT_MODES:
        strip = _eight_bit(strip)
    elif strip.has_transparency_data:
        strip = strip.convert("RGBA")
        alpha = np.asarray(strip.getchannel("A"), dtype=np.float32)[..., None] / 255.0
        strip = strip.convert("RGB")
    elif strip.mode == "P":
        strip = strip.convert("RGB")
    if transform is not None:
        # A grey image may carry an RGB profile (and the other way round): bring the pixels to the profile's space.
        source = strip if strip.mode == transform.mode else strip.convert(transform.mode)
        converted = ImageCms.applyTransform(source, transform.transform)
        assert converted is not None  # only in-place conversion returns None
        strip = converted
    rgb: npt.NDArray[np.uint8] = np.asarray(strip.convert("RGB"))
    if alpha is None:
        return rgb
    laid: npt.NDArray[np.uint8] = np.rint(rgb * alpha + MATTE * (1.0 - alpha)).astype(np.uint8)
    return laid


def _eight_bit(strip: Image.Image) -> Image.Image:
    # Pillow's own convert("L") clips at 255 instead of scaling: every 16-bit picture would come out white.
    wide = np.asarray(strip).astype(np.int64)
    if wide.min() < 0 or wide.max() > 65535:
        raise ImageRefused("undecodable", f"16-bit grey holds values {wide.min()} to {wide.max()}")
    return Image.fromarray(((wide + 128) // 257).astype(np.uint8))


def _icc_transform(image: Image.Image) -> _IccTransform | None:
    profile_bytes = image.info.get("icc_profile")
    if not profile_bytes:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes))
        mode = _ICC_MODES[getattr(profile.profile, "xcolor_space", "unknown")]
        return _IccTransform(mode, ImageCms.buildTransform(profile, _SRGB, mode, "RGB"))
    except (ImageCms.PyCMSError, OSError, KeyError, TypeError, ValueError) as error:
        raise ImageRefused("bad_icc_profile", f"colours unknown: {type(error).__name__}: {error}") from error


def upright(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Undo the eight EXIF orientations (EXIF 2.32, tag 0x0112); any other value means upright."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _encode(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> bytes:
    if array.dtype != dtype:
        raise _wrong_array(array, f"dtype {dtype}")
    if min(array.shape[:2]) < 1:
        raise _wrong_array(array, "at least one pixel")
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(out, format="PNG", compress_level=0)
    return out.getvalue()


def _wrong_array(array: npt.NDArray[Any], wanted: str) -> DataError:
    return DataError(f"array of shape {tuple(array.shape)}, {array.dtype}", wanted=wanted)
