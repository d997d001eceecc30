"""The RGGB colour filter array: one colour per photosite, and the linear interpolation that fills in the others."""

import torch
from torch import Tensor
from torch.nn import functional as F

# Malvar, He, Cutler (ICASSP 2004), figure 2, in eighths.
_GREEN = (
    (0, 0, -1, 0, 0),
    (0, 0, 2, 0, 0),
    (-1, 2, 4, 2, -1),
    (0, 0, 2, 0, 0),
    (0, 0, -1, 0, 0),
)  # fmt: skip
_ALONG_ROW = (
    (0, 0, 0.5, 0, 0),
    (0, -1, 0, -1, 0),
    (-1, 4, 5, 4, -1),
    (0, -1, 0, -1, 0),
    (0, 0, 0.5, 0, 0),
)  # fmt: skip
_DIAGONAL = (
    (0, 0, -1.5, 0, 0),
    (0, 2, 0, 2, 0),
    (-1.5, 0, 6, 0, -1.5),
    (0, 2, 0, 2, 0),
    (0, 0, -1.5, 0, 0),
)  # fmt: skip


def mosaic(planes: Tensor) -> Tensor:
    """Return (B, 1, H, W): of linear (B, 3, H, W) what an RGGB sensor keeps (red at row 0, column 0)."""
    raw = planes[:, 1:2].clone()
    raw[..., 0::2, 0::2] = planes[:, 0:1, 0::2, 0::2]
    raw[..., 1::2, 1::2] = planes[:, 2:3, 1::2, 1::2]
    return raw


def demosaic(raw: Tensor) -> Tensor:
    """Return (B, 3, H, W) from an RGGB mosaic (B, 1, H, W), H and W >= 4, by the 5 x 5 filters of Malvar et al.

    One convolution of stride 2 yields the three colours of all four sites of a cell; borders reflect, which keeps the
    colour of each site.
    """
    height, width = raw.shape[-2:]
    padded = F.pad(raw, (2, 2 + width % 2, 2, 2 + height % 2), mode="reflect")
    planes = F.pixel_shuffle(F.conv2d(padded, _cell_weight(raw), stride=2), 2)
    return planes[..., :height, :width] if height % 2 or width % 2 else planes


def _cell_weight(raw: Tensor) -> Tensor:
    """Return (12, 1, 6, 6): for colour c and site (y, x) of the cell the 5 x 5 filter, shifted to that site."""
    green, row, diagonal = (raw.new_tensor(k) / 8 for k in (_GREEN, _ALONG_ROW, _DIAGONAL))
    column, identity = row.T, torch.zeros_like(green)
    identity[2, 2] = 1
    filters = (
        (identity, row, column, diagonal),  # red at R, at G of a red row, at G of a blue row, at B
        (green, identity, identity, green),
        (diagonal, column, row, identity),
    )
    weight = raw.new_zeros(3, 2, 2, 6, 6)
    for colour, of_sites in enumerate(filters):
        for site, kernel in enumerate(of_sites):
            y, x = divmod(site, 2)
            weight[colour, y, x, y : y + 5, x : x + 5] = kernel
    return weight.reshape(12, 1, 6, 6)
