"""What a frame of a clip must be to be taken, whatever container it comes from."""

import numpy as np
from numpy.typing import NDArray

from spooflab.errors import SkipSample

Pixels = NDArray[np.uint8]
MIN_SIDE = 16
"""Fewest pixels of the shorter side, as of pictures."""


def size_refusal(width: int, height: int, max_pixels: int) -> SkipSample | None:
    """Return why a frame of that size is not taken; None where it is."""
    if width * height > max_pixels:
        return SkipSample("too_many_pixels", f"{width} x {height} pixels, at most {max_pixels} are decoded")
    if min(width, height) < MIN_SIDE:
        return SkipSample("too_small", f"{width} x {height} pixels, each side wants at least {MIN_SIDE}")
    return None
