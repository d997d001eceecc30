"""Pictures of where a detector looks: the photo with the spoof's outline, then one panel per method of saliency."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spooflab.experiments.scores import BoolArray, FloatArray

_SIDE = 144
_HUE = np.array([213.0, 94.0, 0.0])
_OUTLINE = np.array([86, 180, 233], dtype=np.uint8)
"""Vermilion on grey and sky blue, of Okabe and Ito's palette: apart for colour-blind readers, and by lightness."""

Pixels = NDArray[np.uint8]


def strip(photo: Pixels, mask: BoolArray | None, maps: Sequence[FloatArray]) -> bytes:
    """Return a JPEG of 1 + len(maps) panels of 144 pixels side by side.

    Args:
        photo: (S, S, 3).
        mask: (S, S) of the instrument, outlined in the photo and in each panel; None where it is not recorded.
        maps: (S, S) each, ≥ 0; each is shown relative to its own maximum.
    """
    large = _resized(photo, Image.Resampling.BICUBIC)
    grey = 90 + 0.6 * (large @ np.array([0.299, 0.587, 0.114]))[..., None].repeat(3, 2)
    edge = None if mask is None else outline(_resized(mask.astype(np.uint8) * 255, Image.Resampling.BILINEAR) > 127)
    panels = [large]
    for saliency in maps:
        top = max(float(saliency.max()), 1e-12)
        weight = _resized(np.rint(saliency / top * 255).astype(np.uint8), Image.Resampling.BILINEAR) / 255 * 0.9
        panels.append(np.rint(grey * (1 - weight[..., None]) + _HUE * weight[..., None]).clip(0, 255).astype(np.uint8))
    for panel in panels:
        if edge is not None:
            panel[edge] = _OUTLINE
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(panels, axis=1)).save(buffer, "JPEG", quality=82, subsampling=0)
    return buffer.getvalue()


def outline(mask: BoolArray) -> BoolArray:
    """Return the pixels of a mask (H, W) that have a neighbour outside of it; the frame's border is no edge."""
    grown = np.pad(mask, 1, mode="edge")
    inner = grown[:-2, 1:-1] & grown[2:, 1:-1] & grown[1:-1, :-2] & grown[1:-1, 2:]
    edge: BoolArray = mask & ~inner
    return edge


def _resized(array: Pixels, how: Image.Resampling) -> Pixels:
    return np.array(Image.fromarray(array).resize((_SIDE, _SIDE), how))
