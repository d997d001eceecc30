"""Outlines of worn things as signed distances in millimetres: negative inside, on the sheet's (u, v) plane.

u runs to the image's right of an upright face, v down, as a photograph's pixels do. Distances are exact near the
outline, which is where they decide about cover and shadow.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Outline = Callable[[Tensor, Tensor], Tensor]
"""Maps u and v (...) to the signed distance (...)."""


def ellipse(centre: tuple[float, float], radii: tuple[float, float], power: float = 2.0) -> Outline:
    """Return a superellipse |x|^p + |y|^p = 1; to first order in the distance from its outline."""

    def distance(u: Tensor, v: Tensor) -> Tensor:
        x, y = ((u - centre[0]) / radii[0]).abs(), ((v - centre[1]) / radii[1]).abs()
        if power == 2.0:
            rho = torch.hypot(x, y).clamp(min=1e-4)
            slope = torch.hypot(x / radii[0], y / radii[1]) / rho
        else:
            # exp(log) is a power, three times faster
            log_x, log_y = x.clamp_(min=1e-4).log_(), y.clamp_(min=1e-4).log_()
            log_rho = ((log_x * power).exp_() + (log_y * power).exp_()).log_().mul_(1 / power)
            rho = log_rho.exp()
            way_x, way_y = (log_x - log_rho).mul_(power - 1).exp_(), (log_y - log_rho).mul_(power - 1).exp_()
            slope = torch.hypot(way_x / radii[0], way_y / radii[1])
        return (rho - 1) / slope.clamp(min=0.3 / max(radii))

    return distance


def box(centre: tuple[float, float], half: tuple[float, float], radius: float = 0.0) -> Outline:
    """Return a rectangle with rounded corners; exact everywhere."""
    radius = min(radius, *half)

    def distance(u: Tensor, v: Tensor) -> Tensor:
        x = (u - centre[0]).abs_().sub_(half[0] - radius)
        y = (v - centre[1]).abs_().sub_(half[1] - radius)
        outside = torch.hypot(x.clamp(min=0), y.clamp(min=0))
        return outside + torch.maximum(x, y).clamp_(max=0) - radius

    return distance


def polar(centre: tuple[float, float], radius: Callable[[Tensor], Tensor], lean: float) -> Outline:
    """Return a star-shaped outline from its radius by angle (0 along u, towards v).

    Args:
        centre: of the angles.
        radius: maps angles in radians to millimetres.
        lean: mean cosine between the outline's normal and the ray, which turns radial distances into true ones.
    """

    def distance(u: Tensor, v: Tensor) -> Tensor:
        x, y = u - centre[0], v - centre[1]
        return (torch.hypot(x, y) - radius(torch.atan2(y, x))) * lean

    return distance


def join(*outlines: Outline) -> Outline:
    """Return the union."""

    def distance(u: Tensor, v: Tensor) -> Tensor:
        out = outlines[0](u, v)
        for one in outlines[1:]:
            out = torch.minimum(out, one(u, v))
        return out

    return distance


def without(outline: Outline, *holes: Outline) -> Outline:
    """Return `outline` less the holes."""

    def distance(u: Tensor, v: Tensor) -> Tensor:
        out = outline(u, v)
        for hole in holes:
            out = torch.maximum(out, -hole(u, v))
        return out

    return distance


def inset(outline: Outline, millimetres: float) -> Outline:
    """Return the outline drawn in by some millimetres."""
    return lambda u, v: outline(u, v) + millimetres


def moved(outline: Outline, shift_mm: Tensor) -> Outline:
    """Return the outline displaced by (2,) millimetres."""
    du, dv = shift_mm.tolist()
    return lambda u, v: outline(u - du, v - dv)


def turned(outline: Outline, centre: tuple[float, float], angle_rad: float) -> Outline:
    """Return the outline turned clockwise (u to v) about `centre`."""
    angle = torch.tensor(angle_rad)
    c, s = float(angle.cos()), float(angle.sin())

    def distance(u: Tensor, v: Tensor) -> Tensor:
        x, y = u - centre[0], v - centre[1]
        return outline(centre[0] + c * x + s * y, centre[1] - s * x + c * y)

    return distance


def uneven(outline: Outline, amplitude_mm: float, phases: Tensor) -> Outline:
    """Return the outline as scissors leave it: displaced by three sines of 17-60 mm; `phases` (3,) in radians."""
    first, second, third = phases.tolist()

    def distance(u: Tensor, v: Tensor) -> Tensor:
        wave = torch.sin(u * 0.105 + v * 0.13 + first) + torch.sin(v * 0.21 - u * 0.17 + second)
        return outline(u, v) + amplitude_mm * 0.6 * (wave + torch.sin(u * 0.31 + third).mul_(0.6))

    return distance
