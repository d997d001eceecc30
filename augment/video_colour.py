"""Colour of video: BT.709 of limited range in 8 bits, chroma at half size both ways, as H.264 and H.265 carry it."""

import torch
from torch import Tensor

from spooflab.augment.box import replicate
from spooflab.augment.color import LUMINANCE

_LUMA_SPAN, _CHROMA_SPAN = 219.0, 224.0
_CB, _CR = 2 * (1 - LUMINANCE[2]), 2 * (1 - LUMINANCE[0])
"""Span of B - Y and R - Y of code values in [0, 1]: 1.8556 and 1.5748 (BT.709-6, item 3.3)."""


def to_yuv420(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Return uint8 luma (N, H, W), 16-235, and chroma (N, 2, H/2, W/2), 16-240, of uint8 (N, 3, H, W), sides even.

    Chroma lies on the even columns and between the rows, the place that H.264 takes it to have (T-REC H.264, figure
    E.1, type 0): weights 1/4, 1/2, 1/4 along a row, the mean of two rows.
    """
    red, green, blue = rgb.float().mul_(1 / 255).unbind(1)
    luma = red * LUMINANCE[0] + green * LUMINANCE[1] + blue * LUMINANCE[2]
    chroma = torch.stack([(blue - luma) / _CB, (red - luma) / _CR], 1)
    rows = (chroma[..., 0::2, :] + chroma[..., 1::2, :]) / 2
    wide = replicate(rows, 1)[..., 1:-1, :]
    small = wide[..., 1:-1:2] / 2 + (wide[..., 0:-2:2] + wide[..., 2::2]) / 4
    return _codes(luma * _LUMA_SPAN + 16), _codes(small * _CHROMA_SPAN + 128)


def from_yuv420(luma: Tensor, chroma: Tensor) -> Tensor:
    """Return uint8 (N, 3, H, W); chroma is interpolated linearly to where luma lies."""
    height, width = luma.shape[-2:]
    wide = replicate((chroma.float() - 128) / _CHROMA_SPAN, 1)
    inner = wide[..., 1:-1, :]
    rows = chroma.new_empty(*chroma.shape[:-2], height, width // 2 + 2, dtype=torch.float32)
    rows[..., 0::2, :] = inner * 0.75 + wide[..., :-2, :] * 0.25
    rows[..., 1::2, :] = inner * 0.75 + wide[..., 2:, :] * 0.25
    full = torch.stack([rows[..., 1:-1], (rows[..., 1:-1] + rows[..., 2:]) / 2], -1).flatten(-2)
    y = (luma.float() - 16) / _LUMA_SPAN
    blue, red = y + full[:, 0] * _CB, y + full[:, 1] * _CR
    green = (y - LUMINANCE[0] * red - LUMINANCE[2] * blue) / LUMINANCE[1]
    return _codes(torch.stack([red, green, blue], 1) * 255)


def _codes(values: Tensor) -> Tensor:
    return values.round().clamp_(0, 255).to(torch.uint8)
