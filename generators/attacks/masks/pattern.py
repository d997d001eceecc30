"""Patterns that half masks are printed or painted with, on the head unrolled about its axis."""

import math

import torch
from torch import Tensor

PATTERNS = ("plain", "stripes", "checks", "harlequin", "spots", "camouflage", "halves", "scales")
"""Names of the patterns, by value."""


def pattern(plane_mm: Tensor, noise: Tensor, kind: int, colours: Tensor, period_mm: float, pixel_mm: float) -> Tensor:
    """Return (3, h, w) albedo.

    Args:
        plane_mm: (2, h, w) place on the unrolled head: across and up.
        noise: (h, w) blotches of unit variance, for camouflage.
        kind: int into `PATTERNS`.
        colours: (3, 3) albedos: ground, figure, third.
        period_mm: of what repeats.
        pixel_mm: size of a pixel, over which edges are softened.
    """
    u, v = plane_mm / period_mm
    soft = period_mm / pixel_mm  # pixels in a period
    ground, figure, third = colours[:, :, None, None].unbind(0)
    name = PATTERNS[kind]
    if name == "plain":
        return ground.expand(3, *u.shape)
    if name == "camouflage":
        first = (2.5 * (noise - 0.4) + 0.5).clamp(0, 1)
        second = (2.5 * (-noise - 0.5) + 0.5).clamp(0, 1)
        return torch.lerp(torch.lerp(ground, figure, first), third, second)
    if name == "spots":
        far = torch.sqrt((u - u.round()).square() + (v - v.round()).square())
        return torch.lerp(ground, figure, _edge(0.3 - far, soft))
    if name == "halves":
        return torch.lerp(ground, figure, _edge(u, soft))
    if name == "scales":
        row = torch.floor(v)
        x = u + 0.5 * torch.remainder(row, 2)
        far = torch.sqrt((x - x.round()).square() + (v - row).square())
        return torch.lerp(ground, figure, _edge(0.5 - far, soft) * 0.6)
    if name == "stripes":
        return torch.lerp(ground, figure, _edge(torch.sin(2 * math.pi * (v + 0.15 * u)) / 6, soft))
    if name == "harlequin":
        u, v = u + 0.5 * v, u - 0.5 * v
    wave = torch.sin(math.pi * u) * torch.sin(math.pi * v)
    return torch.lerp(ground, figure, _edge(wave / 4, soft))


def _edge(distance: Tensor, pixels: float) -> Tensor:
    """Return the cover of a pixel by what is inside, from the distance in periods."""
    return (distance * pixels + 0.5).clamp(0, 1)
