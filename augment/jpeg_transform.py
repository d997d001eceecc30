"""The cosine transform of 8 x 8 blocks as libjpeg computes it, in its whole numbers: a matrix product per direction.

libjpeg's accurate integer transform (Loeffler, Ligtenberg, Moschytz, ICASSP 1989) takes cosines as multiples of 2^-13
and rounds twice: after one direction, and at the end. Each direction is linear, so it is a product with the matrix of
those multiples, and the inverse is the product with its transpose. No sum reaches 2^53: in float64 all of it is exact,
on every device and whatever precision matrix products in float32 are allowed.
"""

from functools import lru_cache

import torch
from torch import Tensor

BLOCK = 8
_HALF_ROWS = (
    (8192, 8192, 8192, 8192), (11363, 9633, 6437, 2260), (10703, 4433, -4433, -10703), (9633, -2259, -11362, -6436),
    (8192, -8192, -8192, 8192), (6437, -11362, 2261, 9633), (4433, -10704, 10704, -4433), (2260, -6436, 9633, -11363),
)  # fmt: skip
"""sqrt(2) cos((2 n + 1) k pi / 16) 2^13 at samples n = 0-3, as sums of libjpeg's constants; 4-7 mirror them."""
_BITS, _EXTRA_BITS = 13, 2
"""Binary digits of the constants, and those kept beyond whole numbers between the directions."""


def forward_transform(planes: Tensor) -> Tensor:
    """Return float32 (B, C, H, W): eight times the orthonormal cosine transform of each block, in whole numbers.

    `planes`: (B, C, H, W) whole numbers -128...127 as float32, H and W multiples of 8.
    """
    rows = _descale(_along_rows(planes.double(), _matrix(planes.device).T), _BITS - _EXTRA_BITS)
    return _descale(_along_columns(rows, _matrix(planes.device)), _BITS + _EXTRA_BITS).float()


def inverse_transform(coefficients: Tensor) -> Tensor:
    """Return float32 (B, C, H, W) in whole numbers from orthonormal coefficients, themselves whole numbers."""
    matrix = _matrix(coefficients.device)
    columns = _descale(_along_columns(coefficients.double(), matrix.T), _BITS - _EXTRA_BITS)
    return _descale(_along_rows(columns, matrix), _BITS + _EXTRA_BITS + 3).float()


def _along_rows(planes: Tensor, right: Tensor) -> Tensor:
    return torch.matmul(planes.reshape(-1, BLOCK), right).reshape(planes.shape)


def _along_columns(planes: Tensor, left: Tensor) -> Tensor:
    return torch.matmul(left, planes.reshape(-1, BLOCK, planes.shape[-1])).reshape(planes.shape)


def _descale(sums: Tensor, bits: int) -> Tensor:
    """Divide by 2^bits, and round halves up."""
    return sums.mul_(2.0**-bits).add_(0.5).floor_()


@lru_cache(maxsize=8)
def _matrix(device: torch.device) -> Tensor:
    half = torch.tensor(_HALF_ROWS, dtype=torch.float64)
    sign = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(4)[:, None]
    return torch.cat([half, half.flip(1) * sign], 1).to(device)
