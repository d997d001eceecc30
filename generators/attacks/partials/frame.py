"""Plastic frames, springs and balls as solids in the head's frame."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.attacks.partials.fasten import arm
from spooflab.generators.attacks.partials.mesh import Solid, bar, merged
from spooflab.generators.attacks.partials.rim import rim_line
from spooflab.generators.attacks.partials.sheet import Sheet
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.instruments.partial_bank import FunnyEye

_TURN_MM, _WIRE_MM = 4.2, 0.8
_RINGS, _SPOKES = 14, 28


def frame_solids(
    fit: HeadFit, item: FunnyEye, sheets: list[Sheet], half_mm: tuple[float, float]
) -> tuple[Solid, Solid]:
    """Return the arms, which lie behind the lenses, and rims with bridge, which lie before them.

    Args:
        fit: the wearer's head.
        item: the instrument.
        sheets: planes of the lenses, the image's left one first.
        half_mm: half width and height of a lens.
    """
    bar_half = (item.rim_mm[0] / 2, item.rim_mm[1] / 2)
    parts, inner, hinge = [], [], []
    for side, sheet in enumerate(sheets):
        out = 1.0 if side else -1.0
        line = sheet.point(rim_line(item.rim, half_mm, out))
        parts.append(bar(line, bar_half, sheet.axes[2], closed=True))
        inner.append(line[(line[:, 0] * out).argmin()])
        hinge.append(line[(line[:, 0] * out - 0.15 * (line[:, 1] - line[:, 1].max()).abs()).argmax()])
    top = (inner[0] + inner[1]) / 2 + torch.tensor([0.0, 2.5, 1.0])
    up = torch.tensor([0.0, 0.0, 1.0])
    share = torch.linspace(0, 1, 7)[:, None]
    bridge = (1 - share).square() * inner[0] + 2 * share * (1 - share) * top + share.square() * inner[1]
    parts.append(bar(bridge, (item.rim_mm[0] * 0.6, item.rim_mm[1] / 2), up))
    arms = [arm(fit, hinge[side], 1 - side, height_mm=5.0, thickness_mm=2.2) for side in (0, 1)]
    return merged(arms), merged(parts)


def spring(line: Tensor, radius_mm: float) -> Solid:
    """Return a wire coiled round an axis (N, 3), its turns `_TURN_MM` apart."""
    step = (line[1:] - line[:-1]).norm(dim=1)
    length = float(step.sum())
    turns = max(3, round(length / _TURN_MM))
    count = turns * 14
    at = torch.linspace(0, len(line) - 1.0001, count)
    low = at.long()
    axis = torch.lerp(line[low], line[low + 1], (at - low)[:, None])
    tangent = line[low + 1] - line[low]
    tangent = tangent / tangent.norm(dim=1, keepdim=True)
    side = torch.linalg.cross(torch.tensor([1.0, 0.0, 0.0]).expand_as(tangent), tangent)
    side = side / side.norm(dim=1, keepdim=True).clamp(min=1e-6)
    other = torch.linalg.cross(tangent, side)
    turn = torch.linspace(0, 2 * math.pi * turns, count)[:, None]
    coil = axis + radius_mm * (turn.cos() * side + turn.sin() * other)
    return bar(coil, (_WIRE_MM, _WIRE_MM), tangent, sides=5)


def ball(middle: Tensor, radius_mm: float) -> Solid:
    """Return a ball whose values are its outward directions in the head's frame."""
    unit, triangles = _sphere()
    return Solid(middle + radius_mm * unit, unit, triangles, unit)


@lru_cache(maxsize=1)
def _sphere() -> tuple[Tensor, Tensor]:
    """Return (N, 3) points of a unit sphere and its triangles, counter-clockwise from outside."""
    with torch.inference_mode(False):
        polar = torch.linspace(0, math.pi, _RINGS + 1)
        around = torch.arange(_SPOKES) * (2 * math.pi / _SPOKES)
        p, a = torch.meshgrid(polar, around, indexing="ij")
        points = torch.stack([p.sin() * a.cos(), p.sin() * a.sin(), p.cos()], -1).reshape(-1, 3)
        i, j = torch.meshgrid(torch.arange(_RINGS), torch.arange(_SPOKES), indexing="ij")
        here, below, after = i * _SPOKES, (i + 1) * _SPOKES, (j + 1) % _SPOKES
        triangles = torch.cat(
            [
                torch.stack([here + j, below + j, below + after], -1).reshape(-1, 3),
                torch.stack([here + j, below + after, here + after], -1).reshape(-1, 3),
            ]
        )
        return points, triangles
