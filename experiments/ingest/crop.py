"""The stored picture: a square around the face, or the whole frame, scaled once."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spooflab.errors import SkipSample

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]
LEAST_SHOWN = 0.5
"""Share of a face's box that must lie within the picture."""
THINNEST_FACE = 4.0
"""Longer over shorter side of a face's box, at most: the square around a thinner one would dwarf the picture."""
LEAST_PX = 8
"""Of the shorter side of a stored picture."""


class Cut(NamedTuple):
    """A stored picture and where it lies in the source: stored = (source - (x, y)) * scale."""

    pixels: Pixels
    x: float
    y: float
    scale: float

    def box(self, box: Box) -> Box:
        """Return a box of the source in stored pixels."""
        x, y, w, h = box
        return (x - self.x) * self.scale, (y - self.y) * self.scale, w * self.scale, h * self.scale


def face_square(pixels: Pixels, box: Box, *, size: int, margin: float, min_face_px: float) -> Cut:
    """Cut a square around a face and scale it (Pillow's antialiased bicubic).

    Where it reaches over the edge, the picture is mirrored: black bars would be a mark of their own.

    Raises:
        SkipSample: `face_too_small`, `too_thin` or `face_out_of_frame`.
    """
    x, y, w, h = box
    height, width = pixels.shape[:2]
    if max(w, h) < min_face_px:
        raise SkipSample("face_too_small", f"a face of {w:.0f} x {h:.0f} px, wanted {min_face_px:g}")
    if max(w, h) > THINNEST_FACE * min(w, h):
        raise SkipSample("too_thin", f"a face of {w:.0f} x {h:.0f} px: no face is so narrow")
    shown = max(0.0, min(x + w, width) - max(x, 0)) * max(0.0, min(y + h, height) - max(y, 0)) / (w * h)
    if shown < LEAST_SHOWN:
        raise SkipSample("face_out_of_frame", f"{shown:.0%} of the face's box lie within {width} x {height}")
    side = max(1, round(max(w, h) * (1 + 2 * margin)))
    left, top = round(x + w / 2 - side / 2), round(y + h / 2 - side / 2)
    square = pixels[_mirrored(top, side, height)][:, _mirrored(left, side, width)]
    return Cut(_scaled(square, size, size), left, top, size / side)


def whole_frame(pixels: Pixels, *, size: int) -> Cut:
    """Scale a picture so that its longer side is `size`.

    Raises:
        SkipSample: `too_thin`.
    """
    height, width = pixels.shape[:2]
    scale = size / max(height, width)
    wide, high = round(width * scale), round(height * scale)
    if min(wide, high) < LEAST_PX:
        raise SkipSample("too_thin", f"{width} x {height} becomes {wide} x {high}, each side wants at least {LEAST_PX}")
    return Cut(_scaled(pixels, wide, high), 0, 0, scale)


def _mirrored(start: int, length: int, limit: int) -> NDArray[np.int64]:
    """Indices of a span that may reach over an axis of `limit` pixels, mirrored at its ends."""
    index = np.arange(start, start + length) % (2 * limit)
    return np.where(index < limit, index, 2 * limit - 1 - index)


def _scaled(pixels: Pixels, width: int, height: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return np.ascontiguousarray(pixels)
    picture = Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture).copy()
