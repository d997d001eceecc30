"""Tileable noise images and a hash, made once: every pattern on a face is looked up in them at its own offset."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

SIZE = 256


@lru_cache(maxsize=1)
def patterns() -> Tensor:
    """Return (1, 6, SIZE, SIZE) tiles of unit variance: cloudy, mid, fine, pore height, and its x and y slopes."""
    generator = torch.Generator().manual_seed(20_240_607)
    f = torch.fft.fftfreq(SIZE) * SIZE
    radius = torch.sqrt(f[:, None] ** 2 + f[None, :] ** 2).clamp(min=1)

    def band(envelope: Tensor) -> Tensor:
        white = torch.randn(SIZE, SIZE, generator=generator)
        out = torch.fft.ifft2(torch.fft.fft2(white) * envelope).real
        scaled: Tensor = (out - out.mean()) / out.std()
        return scaled

    cloudy = band(radius**-1.6 * (radius < 60))
    mid = band(torch.exp(-(((radius.log() - 2.7) / 0.5) ** 2)))
    fine = band(torch.exp(-(((radius.log() - 3.7) / 0.45) ** 2)))
    pore = band(torch.exp(-(((radius.log() - 4.05) / 0.4) ** 2)))
    slope_x = (pore.roll(-1, 1) - pore.roll(1, 1)) / 2
    slope_y = (pore.roll(-1, 0) - pore.roll(1, 0)) / 2
    scale = slope_x.std()
    return torch.stack([cloudy, mid, fine, pore, slope_x / scale, slope_y / scale])[None]


def look_up(uv: Tensor, period: float, offset: Tensor, channels: slice = slice(None)) -> Tensor:
    """Return (C, N) bilinear samples of the tiles at (N, 2) positions, repeated every `period` units.

    `offset` is a (2,) shift in tiles, which makes the same tiles look different on each face.
    """
    tile = uv / period + offset
    grid = tile.sub_(tile.floor()).mul_(2).sub_(1)
    image = patterns()[:, channels]
    return grid_sample(image, grid[None, None], "bilinear", "border", align_corners=False)[0, :, 0]


def blurred(planes: Tensor, sigma_px: float, radius: int) -> Tensor:
    """Return (C, H - 2 radius, W - 2 radius) planes under a Gaussian: shifted views, faster than convolving."""
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma_px) ** 2)
    taps = (kernel / kernel.sum()).tolist()
    for axis in (2, 1):
        length = planes.shape[axis] - 2 * radius
        out = planes.narrow(axis, 0, length) * taps[0]
        for k, tap in enumerate(taps[1:], 1):
            out.add_(planes.narrow(axis, k, length), alpha=tap)
        planes = out
    return planes


def hashed(index: Tensor, salt: int) -> Tensor:
    """Return float32 values in [0, 1) that each int64 index and the salt fix: an avalanche of multiply and shift."""
    x = (index + salt * 0x9E3779B1) & 0xFFFFFFFF
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    x = x ^ (x >> 16)
    return (x >> 8).to(torch.float32) / (1 << 24)
