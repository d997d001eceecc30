"""Quantisation tables of JPEG: annex K of ITU-T T.81, scaled by quality as libjpeg does."""

from functools import lru_cache

import torch
from torch import Tensor

LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
"""Steps of luma at quality 50, table K.1; rows are vertical frequencies."""
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *(((99,) * 8),) * 4,
)  # fmt: skip
"""Steps of both chroma planes at quality 50, table K.2."""


def quantisation_tables(quality: Tensor) -> Tensor:
    """Return int64 (B, 2, 8, 8) steps 1-255 of luma and chroma for `quality` (B,) int64, clamped to 1-100.

    The scale is 5000 / q per cent below 50 and 200 - 2 q from there, in libjpeg's whole numbers (`jpeg_set_quality`,
    baseline).

    >>> quantisation_tables(torch.tensor([50, 75]))[:, 0, 0, :3].tolist()
    [[16, 11, 10], [8, 6, 5]]
    """
    q = quality.clamp(1, 100)
    scale = torch.where(q < 50, 5000 // q, 200 - 2 * q)[:, None, None, None]
    return ((_base(quality.device) * scale + 50) // 100).clamp(1, 255)


@lru_cache(maxsize=8)
def _base(device: torch.device) -> Tensor:
    return torch.tensor([LUMA_TABLE, CHROMA_TABLE], device=device)
