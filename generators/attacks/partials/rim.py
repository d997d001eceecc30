"""Shapes of novelty lenses: outlines on the lens' plane and the bars that run along them."""

import math

import torch
from torch import Tensor

from spooflab.generators.attacks.partials.outline import Outline, ellipse, polar

_POINTS = 56


def rim_outline(rim: str, half_mm: tuple[float, float], side: float) -> Outline:
    """Return a lens' outline about its middle.

    Args:
        rim: `round`, `square`, `cat`, `heart`, `star` or `almond`.
        half_mm: half width and height.
        side: 1 for the lens at the image's right, −1 for the other (cat eyes rise outwards).
    """
    if rim == "round":
        return ellipse((0.0, 0.0), half_mm)
    if rim == "square":
        return ellipse((0.0, 0.0), half_mm, 4.5)
    if rim == "almond":
        return ellipse((0.0, 0.0), half_mm, 1.6)
    lean = {"cat": 0.97, "heart": 0.92, "star": 0.85}[rim]
    return polar((0.0, 0.0), lambda angle: _radius(rim, half_mm, side, angle), lean)


def rim_line(rim: str, half_mm: tuple[float, float], side: float) -> Tensor:
    """Return (N, 2) points along a lens' outline, (u, v) about its middle."""
    angle = torch.arange(_POINTS) * (2 * math.pi / _POINTS)
    if rim in ("round", "square", "almond"):
        power = {"round": 2.0, "square": 4.5, "almond": 1.6}[rim]
        c, s = angle.cos(), angle.sin()
        x, y = c.sign() * c.abs() ** (2 / power), s.sign() * s.abs() ** (2 / power)
        return torch.stack([half_mm[0] * x, half_mm[1] * y], 1)
    radius = _radius(rim, half_mm, side, angle)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)


def _radius(rim: str, half_mm: tuple[float, float], side: float, angle: Tensor) -> Tensor:
    """Return the outline's radius at angles from u towards v."""
    a, b = half_mm
    c, s = angle.cos(), angle.sin()
    oval = torch.rsqrt((c / a).square() + (s / b).square())
    if rim == "star":
        wave = (torch.remainder(angle + math.pi / 2, 2 * math.pi / 5) - math.pi / 5).abs() / (math.pi / 5)
        return oval * (0.62 + 0.38 * wave.square())
    if rim == "heart":
        up = torch.remainder(angle + math.pi / 2 + math.pi, 2 * math.pi) - math.pi  # 0 straight up
        down = torch.remainder(angle - math.pi / 2 + math.pi, 2 * math.pi) - math.pi
        dent = 0.42 * torch.exp(-((up / 0.42) ** 2))
        tip = 0.12 * torch.exp(-((down / 0.3) ** 2)) - 0.1 * torch.exp(-(((down.abs() - 0.8) / 0.4) ** 2))
        return oval * (1 - dent + tip)
    # The corner that a cat's eye draws outwards and up.
    corner = torch.remainder(angle - (-0.62 if side > 0 else math.pi + 0.62) + math.pi, 2 * math.pi) - math.pi
    return oval * (1 + 0.34 * torch.exp(-((corner / 0.33) ** 2)))
