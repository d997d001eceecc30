"""Photo-response non-uniformity: the fixed gain pattern by which one sensor can be told from another."""

from functools import lru_cache

import torch
from torch import Tensor

from spooflab.seeds import generator

_TILE = 256


def prnu(height: int, width: int, seeds: Tensor, std: Tensor) -> Tensor:
    """Return (B, 1, H, W) gains 1 + std · n, n white Gaussian noise that `seeds` (B,) int64 alone decide.

    The pattern belongs to the sensor, not to the window: windows of different sizes share its centre.
    Multiplicative Gaussian model after Lukáš, Fridrich, Goljan (2006).
    """
    patterns = torch.stack([_pattern(int(s), height, width) for s in seeds.tolist()])
    return 1 + std[:, None, None, None] * patterns[:, None].to(std.device)


@lru_cache(maxsize=16)
def _pattern(seed: int, height: int, width: int) -> Tensor:
    # Tiles are numbered outwards from the sensor's centre, so a larger window only adds tiles.
    down, across = -(-height // (2 * _TILE)), -(-width // (2 * _TILE))
    rows = [
        torch.cat([_tile(seed, row, column) for column in range(-across, across)], dim=1) for row in range(-down, down)
    ]
    top, left = down * _TILE - height // 2, across * _TILE - width // 2
    return torch.cat(rows)[top : top + height, left : left + width].contiguous()


def _tile(seed: int, row: int, column: int) -> Tensor:
    return torch.randn(_TILE, _TILE, generator=generator(seed, "prnu", row, column))
