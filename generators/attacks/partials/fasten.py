"""What holds a worn thing: arms over the ears, ear loops, straps and strings, as bars and ribbons round the head."""

from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.attacks.partials.mesh import Solid, bar
from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.geometry.head_fit import HeadFit

_EAR_TOP = (74.0, 2.0, -78.0)
_EAR_LOW = (70.0, -42.0, -72.0)
_LIFT_MM = 1.5


@lru_cache(maxsize=2)
def _nearest(place: tuple[float, float, float]) -> tuple[int, int]:
    """Return the mesh points nearest to a place of the rest head, on the subject's left and right."""
    with torch.inference_mode(False):
        rest = head_model().rest
        left, right = (rest - torch.tensor([side * place[0], place[1], place[2]]) for side in (1.0, -1.0))
        return int(left.square().sum(1).argmin()), int(right.square().sum(1).argmin())


def ear(fit: HeadFit, side: int, *, low: bool = False) -> Tensor:
    """Return (3,) where an ear's root meets the head, top or bottom; `side` 0 is the subject's left."""
    return fit.local[_nearest(_EAR_LOW if low else _EAR_TOP)[side]]


def arm(fit: HeadFit, hinge: Tensor, side: int, *, height_mm: float, thickness_mm: float) -> Solid:
    """Return a flat arm from `hinge` (3,) back to the ear and a little beyond; `side` 0 is the subject's left."""
    out = 1.0 if side == 0 else -1.0
    goal = ear(fit, side) + torch.tensor([out * 2.5, 3.0, 0.0])
    corner = hinge + torch.tensor([out * 1.0, 0.0, -4.0])
    half = torch.lerp(corner, goal, 0.5) + torch.tensor([out * 3.0, 0.0, 0.0])
    end = goal + torch.tensor([0.0, -2.0, -14.0])
    line = torch.stack([hinge, corner, torch.lerp(corner, half, 0.5), half, torch.lerp(half, goal, 0.5), goal, end])
    return bar(line, (thickness_mm / 2, height_mm / 2), torch.tensor([0.0, 1.0, 0.0]))


def band(
    fit: HeadFit, start: Tensor, goal: Tensor, *, half_mm: tuple[float, float], lift_mm: float = _LIFT_MM
) -> Solid:
    """Return a band that runs over the head's surface between two head-frame points (3,).

    Args:
        fit: the wearer's head.
        start: first end.
        goal: second end.
        half_mm: half thickness and half width.
        lift_mm: distance from the surface.
    """
    share = torch.linspace(0, 1, 9)[:, None]
    line = torch.lerp(start, goal, share)
    line[1:8] = _outward(fit, line[1:8], lift_mm)
    # The string is taut: no dents.
    for _ in range(2):
        smooth = (line[:-2] + line[2:]) / 2
        out = torch.where(smooth[:, :1].abs() > line[1:-1, :1].abs(), smooth, line[1:-1])
        line = torch.cat([line[:1], out, line[-1:]])
    return bar(line, half_mm, torch.tensor([0.0, 1.0, 0.0]))


def _outward(fit: HeadFit, points: Tensor, lift_mm: float) -> Tensor:
    """Return points (N, 3) moved sideways until they clear the head's surface at their height and depth."""
    side = 1.0 if float(points[:, 0].sum()) >= 0 else -1.0
    local = fit.local[:: max(1, len(fit.local) // 6000)]
    local = local[local[:, 0] * side > 20]
    near = torch.cdist(points[:, 1:], local[:, 1:]) < 8.0
    level = torch.where(near, local[:, 0] * side, -torch.inf).amax(1) + lift_mm
    out = torch.maximum(points[:, 0] * side, level) * side
    return torch.cat([out[:, None], points[:, 1:]], 1)
