"""One crop size and one scale for both stores, with as little resampling as can be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from spooflab.errors import DataError
from spooflab.experiments.realism.sides import Pixels, Row

SMALLEST_PX, LARGEST_PX = 48, 160
_ROUND_FACE = 1.3
"""Side of the crop in sizes of a face."""
_ALIKE = 1.15
"""Ratio of face sizes below which nobody is resampled: spectra then are those of the stored pixels."""
_BLOCK = 8


@dataclass(frozen=True)
class Scale:
    """How crops are cut.

    Attributes:
        synthetic, real: factor (at most 1) by which each store's pictures are reduced.
        side_px: of the crop, a multiple of 8.
        face_px: median face of each store as stored: root of its box's area.
    """

    synthetic: float
    real: float
    side_px: int
    face_px: tuple[float, float]

    @property
    def untouched(self) -> bool:
        """Whether both stores' pixels are compared as they are stored."""
        return self.synthetic == self.real == 1.0


def face_px(row: Row) -> float:
    """Return the root of the area of a picture's face box, stored pixels."""
    return float(np.sqrt(row.box[2] * row.box[3]))


def choose_scale(synthetic: Sequence[Row], real: Sequence[Row]) -> Scale:
    """Choose one factor for each store, so that median faces agree: the one with larger faces is reduced, if at all.

    Raises:
        DataError: faces too small for a crop of 48 pixels.
    """
    here, there = (float(np.median([face_px(row) for row in rows])) for rows in (synthetic, real))
    alike = max(here, there) / min(here, there) <= _ALIKE
    factors = (1.0, 1.0) if alike else (min(1.0, there / here), min(1.0, here / there))
    side = int(_ROUND_FACE * min(here * factors[0], there * factors[1])) // _BLOCK * _BLOCK
    if side < SMALLEST_PX:
        raise DataError(
            f"median faces of {here:.0f} and {there:.0f} stored pixels (synthetic, real)",
            wanted=f"faces of {SMALLEST_PX / _ROUND_FACE:.0f} pixels or more in both",
            next_step="generate with a larger output_px, or ingest with a larger --size",
        )
    return Scale(*factors, min(side, LARGEST_PX), (here, there))


def cut(pixels: Pixels, row: Row, factor: float, side_px: int) -> Pixels | None:
    """Return the square (side, side, 3) around the face after reducing the picture by `factor`.

    It is moved inwards where it would leave the picture; None where the picture is smaller than it. Pixels that are
    not resampled keep their place in blocks of 8.
    """
    x, y, width, height = row.box
    if factor != 1:
        size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    if min(pixels.shape[:2]) < side_px:
        return None
    left = _start((x + width / 2) * factor, side_px, pixels.shape[1], snap=factor == 1)
    top = _start((y + height / 2) * factor, side_px, pixels.shape[0], snap=factor == 1)
    return np.ascontiguousarray(pixels[top : top + side_px, left : left + side_px])


def _start(centre: float, side: int, limit: int, *, snap: bool) -> int:
    start = int(np.clip(round(centre - side / 2), 0, limit - side))
    return start // _BLOCK * _BLOCK if snap else start
