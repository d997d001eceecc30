"""The face photograph that is printed: exposed, tone-mapped, encoded as sRGB, 8 bit and JPEG, as such files are."""

import io
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spooflab.generators.instruments.ink_colour import luminance, srgb_encode

_SHOULDER = 0.8
_ROOTS = 32768  # entries of the tone table for each unit of the square root: within 0.02 of a code everywhere
_BRIGHTEST = 2.0  # 255 from here on


def exposure_gain(radiance: Tensor, box: Tensor, target: float) -> float:
    """Return the gain that brings the middle of the face box (4,) of a picture (3, H, W) to the luminance `target`."""
    x, y, w, h = box.tolist()
    height, width = radiance.shape[-2:]
    top, left = max(0, int(y + 0.25 * h)), max(0, int(x + 0.25 * w))
    bottom, right = min(height, max(top + 1, int(y + 0.85 * h))), min(width, max(left + 1, int(x + 0.75 * w)))
    middle = radiance[:, top:bottom, left:right]
    level = float(luminance(middle.mean((1, 2)))) if middle.numel() else target
    return min(4.0, max(0.25, target / max(level, 1e-4)))


def encode_photograph(radiance: Tensor, gain: float, quality: int) -> Tensor:
    """Return (3, H, W) sRGB-encoded values in [0, 1] of the file that a linear picture (3, H, W) becomes.

    Args:
        radiance: linear sRGB, white about 1.
        gain: exposure; highlights above 0.8 roll off to 1.
        quality: JPEG quality, 1-100 (4:2:0 chroma below 90, as cameras do).
    """
    root = (radiance * gain).clamp_(0, _BRIGHTEST).sqrt_().mul_(_ROOTS).add_(0.5).to(torch.int32)
    codes = _tone_table().index_select(0, root.flatten()).reshape(radiance.shape)
    pixels = codes.permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=quality, subsampling=0 if quality >= 90 else 2)
    file.seek(0)
    with Image.open(file) as image:
        decoded = torch.from_numpy(np.array(image))
    return decoded.permute(2, 0, 1).contiguous().float().div_(255)


@lru_cache(maxsize=1)
def _tone_table() -> Tensor:
    """Return the uint8 sRGB code of every exposure (i / _ROOTS)^2."""
    with torch.inference_mode(False):
        exposed = (torch.arange(int(_BRIGHTEST**0.5 * _ROOTS) + 2, dtype=torch.float64) / _ROOTS) ** 2
        room = 1 - _SHOULDER
        rolled = 1 - room * torch.exp((_SHOULDER - exposed.clamp(min=_SHOULDER)) / room)
        encoded = srgb_encode(torch.minimum(exposed, rolled))  # the curve is tangent to the line at the shoulder
        return encoded.mul_(255).add_(0.5).to(torch.uint8)
