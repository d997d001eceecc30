"""Colour and chroma of JPEG in libjpeg's whole numbers; planes are float32 that hold them exactly."""

import torch
from torch import Tensor

from spooflab.augment.box import replicate

_ONE = 65536
_TO_YCC = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
"""Rec. 601 weights times 2^16."""
_RED, _BLUE, _GREEN = 91881, 116130, (-22554, -46802)
"""1.402, 1.772, and -0.34414, -0.71414, times 2^16."""


def to_ycc(rgb: Tensor) -> Tensor:
    """Return (B, 3, H, W) luma and chroma less 128, -128...127, from code values 0-255 (JFIF)."""
    red, green, blue = rgb.unbind(1)
    planes = torch.empty_like(rgb)
    for row, (r, g, b) in enumerate(_TO_YCC):
        total = (red * r).add_(green, alpha=g).add_(blue, alpha=b)
        planes[:, row] = total.add_(_ONE // 2 if row == 0 else _ONE // 2 - 1).mul_(1 / _ONE).floor_()
    planes[:, 0].sub_(128)
    return planes


def to_rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    """Return code values (B, 3, H, W), 0-255, from luma (B, 1, H, W) and chroma (B, 2, H, W) less 128."""
    cb, cr = chroma.unbind(1)
    rgb = luma.new_empty(luma.shape[0], 3, *luma.shape[-2:])
    rgb[:, 0] = (cr * _RED).add_(_ONE // 2).mul_(1 / _ONE).floor_()
    rgb[:, 1] = (cb * _GREEN[0]).add_(cr, alpha=_GREEN[1]).add_(_ONE // 2).mul_(1 / _ONE).floor_()
    rgb[:, 2] = (cb * _BLUE).add_(_ONE // 2).mul_(1 / _ONE).floor_()
    return rgb.add_(luma).add_(128).clamp_(0, 255)


def shrink(chroma: Tensor, *, down: int, across: int) -> Tensor:
    """Average (B, C, H, W) over `down` x `across` pixels, 1 or 2 each; sizes are even.

    The mean is cut to a whole number after adding 0 and 1 (of two pixels) or 1 and 2 (of four) by turns along a row.
    """
    if across == 1:
        return chroma
    total = chroma[..., 0::2] + chroma[..., 1::2]
    bias = torch.arange(total.shape[-1], device=chroma.device) % 2
    if down == 2:
        total = total[..., 0::2, :] + total[..., 1::2, :]
        return total.add_(bias + 1).mul_(1 / 4).floor_()
    return total.add_(bias).mul_(1 / 2).floor_()


def grow(chroma: Tensor, *, down: int, across: int) -> Tensor:
    """Return (B, C, down H, across W): libjpeg's triangle filter, 3/4 of the nearer and 1/4 of the farther sample."""
    if across == 1:
        return chroma
    wide = replicate(chroma, 1)
    if down == 1:
        return _grow_across(wide[..., 1:-1, :], unit=4, halves=(1, 2))
    height = chroma.shape[-2]
    middle = 3 * wide[..., 1 : height + 1, :]
    out = chroma.new_empty(*chroma.shape[:-2], 2 * height, 2 * chroma.shape[-1])
    out[..., 0::2, :] = _grow_across(middle + wide[..., :height, :], unit=16, halves=(8, 7))
    out[..., 1::2, :] = _grow_across(middle + wide[..., 2:, :], unit=16, halves=(8, 7))
    return out


def _grow_across(wide: Tensor, *, unit: int, halves: tuple[int, int]) -> Tensor:
    """Return (B, C, H, 2 W) from (B, C, H, W + 2), divided by `unit` after adding `halves` at left and right."""
    near = 3 * wide[..., 1:-1]
    left = (near + wide[..., :-2]).add_(halves[0])
    right = (near + wide[..., 2:]).add_(halves[1])
    return torch.stack([left, right], -1).flatten(-2).mul_(1 / unit).floor_()
