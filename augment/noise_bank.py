"""Noise drawn once and read at a place of its own for every picture: drawing takes longer than all other stages."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.augment.bayer import demosaic
from spooflab.params import Params
from spooflab.seeds import generator

_ROOT = 0
_SPARE = 256
"""Rows and columns that a bank has more than the largest window: 16 384 places, each with two signs."""


@dataclass(frozen=True)
class BankWindow(Params):
    """Where the noise of each row of a batch lies.

    Attributes:
        size: (B, 2) int64 height and width of the window, equal within a batch.
        mosaic: (B,) bool, noise as interpolation from an RGGB mosaic leaves it (else white).
        top, left: (B,) int64 corner of the window in the bank; even, which keeps the mosaic's phase.
        line: (B,) int64 start of its row noise.
        sign: (B,) 1.0 or -1.0.
    """

    size: Tensor
    mosaic: Tensor
    top: Tensor
    left: Tensor
    line: Tensor
    sign: Tensor


def bank_window(seeds: Tensor, mosaic: Tensor, height: int, width: int) -> BankWindow:
    """Return the places that `seeds` (B,) int64 of 48 random bits name."""
    places = _SPARE // 2
    return BankWindow(
        size=torch.tensor([[height, width]]).expand(len(seeds), 2),
        mosaic=mosaic,
        top=2 * ((seeds >> 1) % places),
        left=2 * ((seeds >> 24) % places),
        line=(seeds >> 9) % _SPARE,
        sign=1.0 - 2.0 * (seeds & 1),
    )


@lru_cache(maxsize=4)
def noise_bank(mosaic: bool, side: int) -> Tensor:
    """Return (3, side + 256, side + 256) Gaussian noise of unit variance in each colour; it is always the same.

    Interpolation is linear, so noise of a mosaic that varies slowly in strength comes out of it as that strength times
    interpolated unit noise. The bank holds the latter, with its correlations between neighbours and between colours.
    """
    source = generator(_ROOT, "noise bank", int(mosaic), side)
    extent = side + _SPARE
    if not mosaic:
        return torch.randn(3, extent, extent, generator=source)
    noise = demosaic(torch.randn(1, 1, extent, extent, generator=source))[0]
    return noise / noise.square().mean((1, 2), keepdim=True).sqrt()


@lru_cache(maxsize=4)
def row_bank(side: int) -> Tensor:
    """Return (side + 256,) white Gaussian noise, one value per sensor row; it is always the same."""
    return torch.randn(side + _SPARE, generator=generator(_ROOT, "row bank", side))


def bank_side(height: int, width: int) -> int:
    """Return the side of the bank that serves a window: the next multiple of 128."""
    return -(-max(height, width) // 128) * 128
