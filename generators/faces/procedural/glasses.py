"""Glasses: tube frames that sit on the nose and the ears, and lenses that mirror a little."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.params import IdentityParams
from spooflab.generators.faces.procedural.shape import Head
from spooflab.generators.faces.procedural.vectors import unit

_SIDES = 6


@dataclass(frozen=True)
class Glasses:
    """Frame in the head's own frame.

    Attributes:
        points, normals: (N, 3).
        triangles: (T, 3).
        lenses: (2, L, 3) outlines of the left and right lens.
    """

    points: Tensor
    normals: Tensor
    triangles: Tensor
    lenses: Tensor


def build(head: Head, identity: IdentityParams, nose: Tensor, temples: Tensor) -> Glasses | None:
    """Return the glasses of a batch of one, or None.

    Args:
        nose: (3,) bridge of the nose.
        temples: (2, 3) tops of the left and right ear's root.
    """
    style = int(identity.glasses_style[0])
    if style == 0:
        return None
    half = ((21.5, 20.0, 2.0), (25.0, 16.5, 3.6), (24.0, 18.0, 2.6))[style - 1]
    tube = (1.25, 1.7, 0.65)[style - 1]
    front = max(float(nose[2]) + 1.0, float(head.eye_centre[:, 2].mean()) + float(head.eye_radius.mean()) + 9.0)
    t = torch.linspace(0, 2 * math.pi, 41)[:-1]
    parts, lenses = [], []
    for k, side in enumerate((1.0, -1.0)):
        cosine, sine = t.cos(), t.sin()
        x = half[0] * cosine.sign() * cosine.abs() ** (2 / half[2])
        y = half[1] * sine.sign() * sine.abs() ** (2 / half[2])
        inner = (float(head.eye_centre[k, 0].abs()) - half[0]) < 9.5
        centre_x = 9.5 + half[0] if inner else float(head.eye_centre[k, 0].abs())
        px = side * (centre_x + x)
        lens = torch.stack([px, head.eye_centre[k, 1] - 3.5 + y, front - 0.0022 * px * px], 1)
        lenses.append(lens)
        parts.append(_tube(lens, tube, True))
        hinge = lens[(side * px).argmax()] + torch.tensor([0.0, 0.45 * half[1], 0.0])
        ear = temples[k] + torch.tensor([side * 1.5, 2.0, 0.0])
        bend = torch.lerp(hinge, ear, 0.12) + torch.tensor([side * 4.0, 0.0, 0.0])
        end = ear + torch.tensor([0.0, -4.0, -14.0])
        parts.append(_tube(torch.stack([hinge, bend, torch.lerp(bend, ear, 0.5), ear, end]), tube, False))
    inner_left, inner_right = lenses[0][lenses[0][:, 0].argmin()], lenses[1][lenses[1][:, 0].argmax()]
    rise = torch.tensor([0.0, 0.35 * half[1], 0.0])
    top = (inner_left + inner_right) / 2 + rise + torch.tensor([0.0, 1.5, 2.0])
    parts.append(_tube(torch.stack([inner_right + rise, top, inner_left + rise]), tube, False))
    shift, triangles = 0, []
    for points, _, faces in parts:
        triangles.append(faces + shift)
        shift += len(points)
    return Glasses(
        torch.cat([p for p, _, _ in parts]),
        torch.cat([n for _, n, _ in parts]),
        torch.cat(triangles),
        torch.stack(lenses),
    )


def _tube(line: Tensor, radius: float, closed: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return points, normals and triangles of a tube along a polyline."""
    if closed:
        tangent = line.roll(-1, 0) - line.roll(1, 0)
    else:
        tangent = torch.cat([line[1:2] - line[:1], line[2:] - line[:-2], line[-1:] - line[-2:-1]])
    tangent = unit(tangent)
    helper = torch.tensor([0.0, 0.0, 1.0]).expand_as(tangent)
    if not closed:
        helper = torch.tensor([0.0, 1.0, 0.0]).expand_as(tangent)
    a = unit(torch.linalg.cross(tangent, helper))
    b = torch.linalg.cross(tangent, a)
    turn = torch.arange(_SIDES) * (2 * math.pi / _SIDES)
    normal = a[:, None] * turn.cos()[:, None] + b[:, None] * turn.sin()[:, None]
    points = line[:, None] + radius * normal
    count = len(line)
    ring = torch.arange(count if closed else count - 1)
    k = torch.arange(_SIDES)
    i, j = torch.meshgrid(ring, k, indexing="ij")
    here, ahead = i * _SIDES, (i + 1) % count * _SIDES
    after = (j + 1) % _SIDES
    first = torch.stack([here + j, here + after, ahead + after], -1).reshape(-1, 3)
    second = torch.stack([here + j, ahead + after, ahead + j], -1).reshape(-1, 3)
    return points.reshape(-1, 3), normal.reshape(-1, 3), torch.cat([first, second])


def inside_lens(pixel: Tensor, outline: Tensor) -> Tensor:
    """Return (N,) coverage of (N, 2) pixels by a convex (L, 2) outline, softened over about a pixel."""
    ahead = outline.roll(-1, 0)
    edge = ahead - outline
    inward = torch.stack([-edge[:, 1], edge[:, 0]], 1)
    centre = outline.mean(0)
    inward = inward * ((centre - outline) * inward).sum(1, keepdim=True).sign()
    inward = inward / inward.norm(dim=1, keepdim=True).clamp(min=1e-9)
    distance = pixel @ inward.T - (outline * inward).sum(1)
    cover: Tensor = (distance.amin(1) + 0.5).clamp(0, 1)
    return cover
