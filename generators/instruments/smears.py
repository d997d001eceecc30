"""Grease on glass: fingerprints and wiped streaks, which scatter what the glass would mirror."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.hashed import hashed

_SIZE = 48
_MARKS = 10


def smears(seed: Tensor, size_mm: Tensor) -> Tensor:
    """Return (B, 1, 48, 48) in [0, 1]: how greasy each place of an area is.

    Args:
        seed: (B,) int64, one per row.
        size_mm: (B, 2) width and height of the area; marks are finger-wide whatever its size.
    """
    number = hashed(seed, "smears", _MARKS, 6)[..., None, None]
    noise = math.sqrt(12) * (hashed(seed, "grease", 1, _SIZE // 2, _SIZE // 2) - 0.5)
    grain = F.interpolate(noise, (_SIZE, _SIZE), mode="bilinear", align_corners=False)
    place = (torch.arange(_SIZE, device=seed.device) + 0.5) / _SIZE
    wide, tall = (size_mm[:, axis, None, None, None] for axis in (0, 1))
    swipe = number[:, :, 2] > 0.5  # the others are single prints
    angle = (number[:, :, 3] - 0.5) * 2.4 + torch.pi / 2
    length = torch.where(swipe, 15 + 70 * number[:, :, 4], 6.0)
    along_x, along_y = angle.cos(), angle.sin()
    dx, dy = (place - number[:, :, 0]) * wide, (place[:, None] - number[:, :, 1]) * tall
    along = dx * along_x + dy * along_y
    across = dy * along_x - dx * along_y
    beyond = along - torch.minimum(along.clamp(min=0), length)
    distance = (beyond.square() + across.square()) / 6.5**2
    mark = torch.exp(-distance.square()) * (0.3 + 0.7 * number[:, :, 5])
    streak = 1 + 0.35 * torch.sin(across * 2.6 + number[:, :, 4] * 9) * swipe
    return (1 - torch.exp(-(mark * streak).sum(1, keepdim=True) * (0.8 + 0.3 * grain))).clamp(0, 1)
