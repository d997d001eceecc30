"""Unevenness of what is laid on skin: tiled noise looked up in chart millimetres, so that it sticks to the face."""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from spooflab.generators.faces.procedural.noise import hashed, patterns

CLOUDS, BLOTCHES, GRAIN, PORES = 0, 1, 2, 3
"""Planes of the tiles: wide clouds, blotches of a fifteenth and grain of a fortieth of the period, pores."""


def texture(uv: Tensor, period_mm: float | tuple[float, float], seed: int, plane: int) -> Tensor:
    """Return (h, w) noise of mean 0 and variance 1 at (2, h, w) chart positions.

    Args:
        uv: chart millimetres.
        period_mm: length of the tile; two lengths stretch it along u and v.
        seed: which part of the tiles.
        plane: one of the module's planes.
    """
    along, up = period_mm if isinstance(period_mm, tuple) else (period_mm, period_mm)
    shift = hashed(torch.arange(2) + (seed & 0xFFFFFF), 31 + plane)
    x = uv[0] * (1 / along) + float(shift[0])
    y = uv[1] * (1 / up) + float(shift[1])
    grid = torch.stack([x.sub_(x.floor()), y.sub_(y.floor())], -1).mul_(2).sub_(1)
    tile = patterns()[:, plane : plane + 1]
    return grid_sample(tile, grid[None], "bilinear", "border", align_corners=False)[0, 0]
