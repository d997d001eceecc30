"""The lossy coding that shown content has been through: JPEG, or an intra picture of a video call.

Written on tensors, so that a whole batch is coded where it lies. Both are 8 x 8 cosine transforms of luma and
(half-size) chroma, differing in their steps: JPEG's tables (ITU-T T.81, annex K) scaled by quality as libjpeg does;
H.264's uniform step 0.625 · 2^(QP/6) with the encoder's dead zone of a third and the deblocking filter of its block
edges (List et al., "Adaptive deblocking filter", IEEE Trans. CSVT 2003). A video encoder's prediction is left out: the
residual's transform coefficients carry the same rounding.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.jpeg_tables import quantisation_tables
from spooflab.augment.sharpen import gaussian_blur
from spooflab.generators.constant import constant
from spooflab.generators.some import some

_BLOCK = 8
_PAD = 16
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
_DEAD_ZONE = 1 / 3
"""Rounding offset of an H.264 encoder for intra blocks; 1/2 rounds to the nearest."""


def recode(
    rgb: Tensor, *, quality: Tensor, subsampling: Tensor, video_qp: Tensor, halo: Tensor, halo_texels: Tensor
) -> Tensor:
    """Return uint8 (B, 3, H, W): code values sharpened, coded and decoded.

    Args:
        rgb: (B, 3, H, W) float code values, 0-255.
        quality: (B,) int64 of libjpeg, 1-100; 0 codes nothing.
        subsampling: (B,) int64, 0 4:4:4, 2 4:2:0.
        video_qp: (B,) int64, 1-51 codes as a video picture (4:2:0) instead; 0 does not.
        halo: (B,) gain of an unsharp mask on luma before the codec.
        halo_texels: (B,) standard deviation of its blur.
    """
    height, width = rgb.shape[-2:]
    padded = F.pad(rgb, (0, -width % _PAD, 0, -height % _PAD), mode="replicate")
    ycc = _mix(padded, _TO_YCC)
    luma, chroma = ycc[:, :1], ycc[:, 1:]
    if some(halo > 0):
        luma = luma + (luma - gaussian_blur(luma, halo_texels)).mul_(halo[:, None, None, None])
    video = video_qp > 0
    tables = quantisation_tables(quality).float().unbind(1)
    steps = [torch.where(video[:, None, None], _flat(video_qp), table) for table in tables]
    coded = video | (quality > 0)
    luma = _code(luma - 128, steps[0], video_qp, coded).add_(128)
    small = ((subsampling == 2) | video) & coded
    wide, narrow = chroma, chroma
    if some(small):
        half = _code(F.avg_pool2d(chroma, 2), steps[1], video_qp, coded)
        narrow = F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)
    if some(~small):
        wide = _code(chroma, steps[1], video_qp, coded)
    chroma = torch.where(small[:, None, None, None], narrow, wide)
    out = _mix(torch.cat([luma, chroma], 1), _TO_RGB).round_().clamp_(0, 255)
    return out.to(torch.uint8)[..., :height, :width]


def _mix(planes: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    weight = constant(matrix, planes.device).expand(len(planes), -1, -1)
    return torch.bmm(weight, planes.flatten(2)).reshape(planes.shape)


def _flat(qp: Tensor) -> Tensor:
    return (0.625 * torch.exp2(qp / 6))[:, None, None].expand(-1, _BLOCK, _BLOCK)


def _code(planes: Tensor, step: Tensor, qp: Tensor, coded: Tensor) -> Tensor:
    """Return (B, C, H, W) after transform, rounding to steps (B, 8, 8) and back; rows not `coded` pass."""
    frequency = _transform(planes, inverse=False)
    batch, channels, height, width = planes.shape
    blocks = frequency.reshape(batch, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    grid = step[:, None, None, :, None, :]
    offset = torch.where(qp > 0, _DEAD_ZONE, 0.5)[:, None, None, None, None, None]
    level = (blocks.abs() / grid).add_(offset).floor_().mul_(grid).copysign_(blocks)
    out = _transform(level.reshape(planes.shape), inverse=True)
    if some(qp > 0):
        out = _deblock(_deblock(out, qp).transpose(-1, -2), qp).transpose(-1, -2)
    return torch.where(coded[:, None, None, None], out, planes)


def _transform(planes: Tensor, *, inverse: bool) -> Tensor:
    """Return the orthonormal two-dimensional cosine transform of each 8 x 8 block, or its inverse."""
    height, width = planes.shape[-2:]
    together = next(k for k in (4, 2, 1) if width % (_BLOCK * k) == 0)  # longer rows multiply faster
    down, across = _cosines(1, planes.device), _cosines(together, planes.device)
    down, across = (down.T, across) if inverse else (down, across.T)
    tall = torch.matmul(down, planes.reshape(-1, _BLOCK, width))
    return torch.matmul(tall.reshape(-1, _BLOCK * together), across).reshape(*planes.shape[:-2], height, width)


@lru_cache(maxsize=16)
def _cosines(count: int, device: torch.device) -> Tensor:
    k = torch.arange(_BLOCK, dtype=torch.float64, device=device)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * (math.pi / 16)) / 2
    basis = torch.where(k[:, None] == 0, basis / math.sqrt(2), basis).float()
    return torch.kron(torch.eye(count, device=device), basis)


def _deblock(planes: Tensor, qp: Tensor) -> Tensor:
    """Smooth vertical block edges where a step is no more than the quantiser's own: p0' = (2 p1 + p0 + q1) / 4."""
    alpha = torch.where(qp > 0, 0.8 * (torch.exp2(qp / 6) - 1), 0.0)[:, None, None, None]
    beta = (0.5 * qp - 7).clamp(min=0)[:, None, None, None]
    last = planes.shape[-1] - _BLOCK
    p1, p0 = planes[..., _BLOCK - 2 : last : _BLOCK], planes[..., _BLOCK - 1 : last : _BLOCK]
    q0, q1 = planes[..., _BLOCK::_BLOCK], planes[..., _BLOCK + 1 :: _BLOCK]
    smooth = ((p0 - q0).abs() < alpha) & ((p1 - p0).abs() < beta) & ((q1 - q0).abs() < beta)
    out = planes.clone()
    out[..., _BLOCK - 1 : last : _BLOCK] = torch.where(smooth, (2 * p1 + p0 + q1) / 4, p0)
    out[..., _BLOCK::_BLOCK] = torch.where(smooth, (2 * q1 + q0 + p1) / 4, q0)
    return out
