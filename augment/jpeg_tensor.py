"""JPEG on tensors: a batch is coded and decoded where it lies, each row with its own tables, without a file.

Entropy coding loses nothing, so a round trip is colour transform, chroma subsampling, cosine transform, rounding to the
tables' steps, and back. Every stage rounds as libjpeg does: the result is libjpeg's, to the byte.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.jpeg_chroma import grow, shrink, to_rgb, to_ycc
from spooflab.augment.jpeg_tables import quantisation_tables
from spooflab.augment.jpeg_transform import BLOCK, forward_transform, inverse_transform

_PAD = 2 * BLOCK
_FACTORS = {0: (1, 1), 1: (1, 2), 2: (2, 2)}
"""How many luma samples one chroma sample stands for, down and across, by code of subsampling."""


def tensor_jpeg(image: Tensor, *, quality: Tensor, subsampling: Tensor, formats: tuple[int, ...] = (0, 1, 2)) -> Tensor:
    """Code and decode uint8 (B, 3, H, W), H and W at least 8; nothing is read back from the device.

    Args:
        image: uint8 (B, 3, H, W).
        quality: (B,) int64 of libjpeg, 1-100; rows of 0 pass unchanged.
        subsampling: (B,) int64: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
        formats: the codes that `subsampling` may hold; each one costs a pass over chroma.
    """
    height, width = image.shape[-2:]
    padded = F.pad(image.float(), (0, -width % _PAD, 0, -height % _PAD), mode="replicate")
    ycc = to_ycc(padded)
    tables = quantisation_tables(quality).float()
    luma = _code(ycc[:, :1], tables[:, :1])
    planes = [_chroma(ycc[:, 1:], tables[:, 1:], code, (height, width)) for code in formats]
    chroma = planes[0]
    for code, plane in zip(formats[1:], planes[1:], strict=True):
        chroma = torch.where((subsampling == code)[:, None, None, None], plane, chroma)
    out = to_rgb(luma[..., :height, :width], chroma).to(torch.uint8)
    return torch.where((quality > 0)[:, None, None, None], out, image)


def jpeg_levels(planes: Tensor, table: Tensor) -> Tensor:
    """Return the whole numbers that a JPEG file stores for planes (B, C, H, W) less 128; `table`: (B, 1, 8, 8) steps.

    Halves round away from zero.
    """
    down, across = planes.shape[-2] // BLOCK, planes.shape[-1] // BLOCK
    step = 8 * table.repeat(1, 1, down, across)
    coefficients = forward_transform(planes)
    return coefficients.abs().add_(step / 2).div_(step).floor_().copysign_(coefficients)


def _code(planes: Tensor, table: Tensor) -> Tensor:
    down, across = planes.shape[-2] // BLOCK, planes.shape[-1] // BLOCK
    levels = jpeg_levels(planes, table)
    return inverse_transform(levels.mul_(table.repeat(1, 1, down, across))).clamp_(-128, 127)


def _chroma(chroma: Tensor, table: Tensor, code: int, size: tuple[int, int]) -> Tensor:
    """Code chroma (B, 2, H, W) in one format; only samples that belong to the picture are interpolated."""
    down, across = _FACTORS[code]
    height, width = size
    small = shrink(chroma, down=down, across=across)
    # Below its last row libjpeg continues the picture after it has shrunk, beside it before.
    rows = -(-height // down)
    small[..., rows:, :] = small[..., rows - 1 : rows, :]
    small = _code(small, table)
    inner = small[..., :rows, : -(-width // across)]
    return grow(inner, down=down, across=across)[..., :height, :width]
