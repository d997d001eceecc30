"""Photo-response non-uniformity: the fixed gain pattern by which one sensor can be told from another."""

from functools import lru_cache

import torch
from torch import Tensor

from spooflab.augment.sensor_tiles import TILE, centred_window
from spooflab.seeds import generator


def prnu(height: int, width: int, seeds: Tensor, std: Tensor) -> Tensor:
    """Return (B, 1, H, W) gains 1 + std · n, n white Gaussian noise that `seeds` (B,) int64 alone decide.

    The pattern belongs to the sensor, not to the window: windows of different sizes share its centre.
    Multiplicative Gaussian model after Lukáš, Fridrich, Goljan (2006).
    """
    patterns = torch.stack([_pattern(int(s), height, width) for s in seeds.tolist()])
    return 1 + std[:, None, None, None] * patterns[:, None].to(std.device)


@lru_cache(maxsize=16)
def _pattern(seed: int, height: int, width: int) -> Tensor:
    def tile(row: int, column: int) -> Tensor:
        return torch.randn(TILE, TILE, generator=generator(seed, "prnu", row, column))

    return centred_window(tile, height, width)
