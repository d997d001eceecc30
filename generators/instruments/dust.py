"""Specks of dust on a surface: what share of each sensor pixel they cover."""

import torch
from torch import Tensor

from spooflab.generators.hashed import hashed

SPECKS = 160


def speck_places(seed: Tensor, size_mm: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, 160, 2) millimetres from the area's centre and (B, 160) covered areas in square millimetres.

    Args:
        seed: (B,) int64, one per row.
        size_mm: (B, 2) width and height of the area. Specks are 0.05-0.4 mm wide, most of them small.
    """
    number = hashed(seed, "dust", SPECKS, 3)
    width_mm = 0.05 + 0.35 * number[..., 2] ** 4
    return (number[..., :2] - 0.5) * size_mm[:, None], torch.pi / 4 * width_mm.square()


def covered(pixels: Tensor, area_px: Tensor, height: int, width: int) -> Tensor:
    """Return (B, 1, H, W): the share of each pixel covered by specks at sensor points (B, N, 2).

    A speck smaller than a pixel is shared among the four pixels around it.

    Args:
        pixels: (B, N, 2) x, y.
        area_px: (B, N) in pixels.
        height: H.
        width: W.
    """
    corner = (pixels - 0.5).floor()
    part = pixels - 0.5 - corner
    out = torch.zeros(len(pixels), height * width, device=pixels.device)
    for right in (0, 1):
        for below in (0, 1):
            x, y = corner[..., 0] + right, corner[..., 1] + below
            weight = (part[..., 0] if right else 1 - part[..., 0]) * (part[..., 1] if below else 1 - part[..., 1])
            seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            place = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).long()
            out.scatter_add_(1, place, torch.where(seen, weight * area_px, 0.0))
    return out.clamp_(max=1).reshape(-1, 1, height, width)
