"""Grease on glass: fingerprints and wiped streaks, which scatter what the glass would mirror."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.seeds import generator as named_generator

_SIZE = 48
_MARKS = 10


def smears(seed: Tensor, size_mm: Tensor) -> Tensor:
    """Return (B, 1, 48, 48) in [0, 1]: how greasy each place of an area is.

    Args:
        seed: (B,) int64, one per row.
        size_mm: (B, 2) width and height of the area; marks are finger-wide whatever its size.
    """
    return torch.stack([_one(s, wh) for s, wh in zip(seed.tolist(), size_mm, strict=True)])


def _one(seed: int, size_mm: Tensor) -> Tensor:
    gen = named_generator(seed, "smears")
    number = torch.rand(_MARKS, 6, generator=gen)
    noise = torch.randn(1, 1, _SIZE // 2, _SIZE // 2, generator=gen)
    grain = F.interpolate(noise, (_SIZE, _SIZE), mode="bilinear", align_corners=False)[0]
    x = (torch.arange(_SIZE) + 0.5)[None, None] / _SIZE * size_mm[0]
    y = (torch.arange(_SIZE) + 0.5)[None, :, None] / _SIZE * size_mm[1]
    start = number[:, :2] * size_mm
    swipe = number[:, 2] > 0.5  # the others are single prints
    angle = (number[:, 3] - 0.5) * 2.4 + torch.pi / 2
    length = torch.where(swipe, 15 + 70 * number[:, 4], 6.0)
    along_x, along_y = angle.cos()[:, None, None], angle.sin()[:, None, None]
    dx, dy = x - start[:, 0, None, None], y - start[:, 1, None, None]
    along = dx * along_x + dy * along_y
    across = -dx * along_y + dy * along_x
    beyond = along - along.clamp(min=torch.zeros(()), max=length[:, None, None])
    distance = torch.hypot(beyond, across)
    mark = torch.exp(-((distance / 6.5) ** 4)) * (0.3 + 0.7 * number[:, 5, None, None])
    streak = 1 + 0.35 * torch.sin(across * 2.6 + number[:, 4, None, None] * 9) * swipe[:, None, None]
    return (1 - torch.exp(-(mark * streak).sum(0, keepdim=True) * (0.8 + 0.3 * grain))).clamp(0, 1)
