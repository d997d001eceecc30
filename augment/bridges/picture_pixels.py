"""Pillow pictures as pixels of eight bits, by the rules that decode files: nothing is clipped or laid bare."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from spooflab.errors import DataError
from spooflab.images import MATTE


def rgb_pixels(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """Return (H, W, 3) uint8, sRGB, a copy; transparent pixels are laid on grey `MATTE`, as `decode_image` does.

    Raises:
        DataError: more than eight bits per channel (modes I, I;16 and F), which Pillow would clip to white.
    """
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        raise DataError(
            f"a Pillow picture of mode {picture.mode}",
            wanted="8 bits per channel: Pillow clips wider values at 255, which makes the picture white",
            next_step="scale it first; for 16-bit grey: Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))",
        )
    if not picture.has_transparency_data:
        return np.array(picture.convert("RGB"))
    layers = np.array(picture.convert("RGBA"))
    alpha = layers[..., 3:].astype(np.float32) / 255
    laid: npt.NDArray[np.uint8] = np.rint(layers[..., :3] * alpha + MATTE * (1 - alpha)).astype(np.uint8)
    return laid
