"""Where a mask is: its outline and openings as signed distances in the rest head's coordinates (millimetres)."""

import torch
from torch import Tensor

from spooflab.generators.attacks.masks.params import EYES, MaskParams

_EYE_MM = (29.4, -1.3)
_NOSTRIL_MM = ((6.6, -45.6), (3.4, 2.1))
_MOUTH_MM = (-67.6, 17.0)
_ROUND_MM = 26.0
"""Radius of the outline's corners."""


def soft_least(a: Tensor, b: Tensor, radius_mm: float) -> Tensor:
    """Return the lesser of two distances with the corner between them rounded by a radius (Quilez's polynomial)."""
    near = (radius_mm - (a - b).abs()).clamp(min=0) / radius_mm
    least: Tensor = torch.minimum(a, b) - near * near * (radius_mm / 4)
    return least


def jaw_line(rest: Tensor) -> Tensor:
    """Return y of the jaw's lower edge at rest points (3, ...): from the chin up to the ear's lobe."""
    x, _, z = rest
    line: Tensor = 0.0085 * x.square() + 0.35 * (-z - 10).clamp(min=0) - 108
    return line


def face_outline(rest: Tensor, params: MaskParams) -> Tensor:
    """Return (...) millimetres inside the edge of a full-face mask: forehead, temples, below the jaw."""
    _, y, z = rest
    # Parts of the surface that face down or sideways are foreshortened in y and z alike: fair distances on a skull.
    top = float(params.top_mm) - y - 0.004 * rest[0].square()
    low = y - jaw_line(rest) + float(params.chin_mm)
    side = z - float(params.side_mm) - 0.12 * (y - 20).clamp(min=0)
    return soft_least(soft_least(top, side, _ROUND_MM), low, _ROUND_MM * 0.7)


def head_outline(rest: Tensor, collar_mm: float) -> Tensor:
    """Return (...) millimetres inside the edge of a mask of the whole head, which ends on the neck."""
    foot = jaw_line(rest).clamp(max=-60) - collar_mm
    return rest[1] - foot - 3 * torch.sin(rest[0] / 17)


def wig_outline(rest: Tensor, collar_mm: float) -> Tensor:
    """Return (...) millimetres inside a head mask as far as hair does not cover it anyway: face, ears and neck."""
    x, y, z = rest
    top = 70 - y - 0.003 * x.square()
    side = z + 60 + 2.5 * (14 - y).clamp(min=0)
    return torch.minimum(head_outline(rest, collar_mm), soft_least(top, side, 12.0))


def eye_opening(rest: Tensor, params: MaskParams) -> Tensor:
    """Return (...) millimetres inside the eye openings; negative outside, far negative where there are none."""
    x, y, z = rest
    if int(params.eyes) == EYES.index("none"):
        return torch.full_like(x, -99.0)
    wide, high = params.eye_mm[0].tolist()
    u, v = x.abs() - _EYE_MM[0], y - _EYE_MM[1]
    if int(params.eyes) == EYES.index("round"):
        far = torch.sqrt((u / wide).square() + (v / high).square() + 1e-6)
        return torch.where(z > -20, (1 - far) * min(wide, high), -99.0)
    # Two arcs that meet at the corners, the outer one a little higher: distance to each circle.
    radius = (wide * wide + high * high) / (2 * high)
    v = v - 0.06 * u
    upper = radius - torch.sqrt(u * u + (v + radius - high).square())
    lower = radius - torch.sqrt(u * u + (v - radius + high).square())
    return torch.where(z > -20, soft_least(upper, lower, 2.0), -99.0)


def other_openings(rest: Tensor, params: MaskParams, *, nostrils: bool) -> Tensor:
    """Return (...) millimetres inside the nostrils and the mouth's slit."""
    x, y, z = rest
    out = torch.full_like(x, -99.0)
    if nostrils:
        (cx, cy), (rx, ry) = _NOSTRIL_MM
        far = torch.sqrt(((x.abs() - cx) / rx).square() + ((y - cy) / ry).square() + 1e-6)
        out = torch.where(z > 10, (1 - far) * ry, out)
    half = float(params.mouth_mm)
    if half > 0:
        far = torch.sqrt((x / _MOUTH_MM[1]).square() + ((y - _MOUTH_MM[0] - 0.004 * x * x) / half).square() + 1e-6)
        out = torch.maximum(out, torch.where(z > 0, (1 - far) * half, torch.tensor(-99.0)))
    return out


def coverage(distance_mm: Tensor, mm_per_px: Tensor | float) -> Tensor:
    """Return the share of a pixel inside an edge whose distance it is."""
    return (distance_mm / mm_per_px + 0.5).clamp(0, 1)
