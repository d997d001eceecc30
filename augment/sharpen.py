"""Sharpening by unsharp mask, with the halos it leaves along edges."""

import torch
from torch import Tensor

from spooflab.augment.box import replicate
from spooflab.augment.color import luma
from spooflab.augment.unused import unused

_TAPS = 7


def sharpen(encoded: Tensor, *, gain: Tensor, radius_px: Tensor) -> Tensor:
    """Add `gain` (B,) times what a Gaussian blur of standard deviation `radius_px` (B,) removes from luma.

    Colour differences stay as they are, so halos are neutral; the result of encoded (B, 3, H, W) is clipped to [0, 1].
    """
    if unused(gain > 0):
        return encoded
    plane = luma(encoded)
    detail = plane - gaussian_blur(plane, radius_px)
    return (encoded + detail * gain[:, None, None, None]).clamp_(0, 1)


def gaussian_blur(plane: Tensor, radius_px: Tensor) -> Tensor:
    """Blur (B, 1, H, W) by a 7-tap separable Gaussian of per-row standard deviation; edges replicate."""
    height, width = plane.shape[-2:]
    half = _TAPS // 2
    offsets = torch.arange(-half, half + 1, device=plane.device)
    kernel = torch.exp(-0.5 * (offsets / radius_px[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True))[:, :, None, None, None]
    padded = replicate(plane, half)
    across = padded[..., half : half + width] * kernel[:, half]
    for shift in range(half):
        across += (padded[..., shift : shift + width] + padded[..., _TAPS - 1 - shift :][..., :width]) * kernel[
            :, shift
        ]
    down = across[:, :, half : half + height] * kernel[:, half]
    for shift in range(half):
        pair = across[:, :, shift : shift + height] + across[:, :, _TAPS - 1 - shift :][:, :, :height]
        down += pair * kernel[:, shift]
    return down
