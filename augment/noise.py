"""Noise of the raw signal and its conversion to numbers."""

import torch
from torch import Tensor

from spooflab.augment.wide import wide


def sensor_noise(raw: Tensor, *, a: Tensor, b: Tensor, row_std: Tensor, seeds: Tensor) -> Tensor:
    """Add Gaussian noise of variance a x + b to (B, C, H, W) raw signal x (white = 1), and row noise.

    The heteroscedastic Gaussian approximation of Poisson photon noise plus read noise (Foi et al. 2008, eq. 6). Each
    row draws from its own seed (B,) int64 on the CPU, so the result is independent of the batch and of the device.
    Row noise (one offset per sensor row, standard deviation `row_std`) is shared by the planes.
    """
    channels, height, width = raw.shape[1:]
    white, rows = [], []
    for value in seeds.tolist():
        generator = torch.Generator().manual_seed(int(value))
        white.append(torch.randn(channels, height, width, generator=generator))
        rows.append(torch.randn(1, height, 1, generator=generator))
    deviation = torch.sqrt(wide(a) * raw.clamp(min=0) + wide(b))
    noise = torch.stack(white).to(raw.device).mul_(deviation)
    return noise.add_(raw).add_(torch.stack(rows).to(raw.device) * wide(row_std))


def convert(raw: Tensor, *, bits: Tensor, black_level: Tensor) -> Tensor:
    """Clip and round to the converter's codes, and return them as signal: 0 is the pedestal, 1 is full scale.

    `black_level` (B,), a share of full scale, is the pedestal that lets noise around black stay symmetric. Rows with
    `bits` 0 pass unchanged.
    """
    top = wide(torch.exp2(bits.to(raw.dtype)) - 1)
    pedestal = torch.round(top * wide(black_level))
    codes = torch.round(raw * (top - pedestal) + pedestal).clamp_(min=0)
    signal = (torch.minimum(codes, top) - pedestal) / (top - pedestal)
    return torch.where(wide(bits) > 0, signal, raw)
