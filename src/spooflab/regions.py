"""Which part of the face each pixel belongs to, drawn from the 68 landmarks, and how much of each part is attacked."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

REGIONS = ("outside", "skin", "forehead", "brows", "eyes", "nose", "lips", "mouth")
"""Names of the numbers in a region picture."""

_JAW, _RIGHT_BROW, _LEFT_BROW = range(17), range(17, 22), range(22, 27)
_NOSE = (27, 31, 32, 33, 34, 35)
_EYES = (range(36, 42), range(42, 48))
_LIPS, _MOUTH = range(48, 60), range(60, 68)
_FOREHEAD = 0.75
"""How far the forehead reaches over the brows, in nose lengths."""


def draw_regions(landmarks: NDArray[np.float32], width: int, height: int) -> NDArray[np.uint8]:
    """Return (height, width) uint8 numbers into `REGIONS`.

    Args:
        landmarks: (68, 2) pixels in iBUG order, first pixel centre at 0.5.
        width: of the picture.
        height: of the picture.
    """
    points = np.asarray(landmarks, dtype=np.float64) - 0.5  # Pillow counts from pixel centres
    up = (points[27] - points[33]) * _FOREHEAD
    brows = points[17:27]
    picture = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(picture)

    def fill(outline: NDArray[np.float64], name: str) -> None:
        pen.polygon([(float(x), float(y)) for x, y in outline], fill=REGIONS.index(name))

    fill(np.concatenate([brows, brows[::-1] + up]), "forehead")
    fill(np.concatenate([points[list(_JAW)], brows[::-1]]), "skin")
    thick = 0.12 * up
    for brow in (_RIGHT_BROW, _LEFT_BROW):
        line = points[list(brow)]
        fill(np.concatenate([line + thick, line[::-1] - thick]), "brows")
    for outline in _EYES:
        fill(points[list(outline)], "eyes")
    fill(points[list(_NOSE)], "nose")
    fill(points[list(_LIPS)], "lips")
    fill(points[list(_MOUTH)], "mouth")
    return np.asarray(picture, dtype=np.uint8)


def attacked_share(regions: NDArray[np.uint8], mask: NDArray[np.uint8]) -> dict[str, float]:
    """Return by region the share in [0, 1] that the attack covers; a region of no pixel has share 0.

    Args:
        regions: (H, W) from `draw_regions`.
        mask: (H, W) uint8, 255 where the instrument covers the pixel wholly.
    """
    shares = {}
    for number, name in enumerate(REGIONS):
        if name != "outside":
            inside = mask[regions == number]
            shares[name] = float(inside.mean() / 255) if inside.size else 0.0
    return shares
