"""What lasts on one sensor, whatever window of it is read."""

from collections.abc import Callable

import torch
from torch import Tensor

TILE = 256
"""Side of a tile, photosites."""


def centred_window(tile: Callable[[int, int], Tensor], height: int, width: int) -> Tensor:
    """Return (height, width) about the sensor's centre of a plane that `tile` (row, column) draws by (TILE, TILE).

    Tiles are numbered outwards from the centre, so a larger window only adds tiles.
    """
    down, across = -(-height // (2 * TILE)), -(-width // (2 * TILE))
    rows = [torch.cat([tile(row, column) for column in range(-across, across)], dim=1) for row in range(-down, down)]
    top, left = down * TILE - height // 2, across * TILE - width // 2
    return torch.cat(rows)[top : top + height, left : left + width].contiguous()
