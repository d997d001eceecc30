"""Shapes that are cut from a print: head and shoulders, or a part of the face, as depths inside the paper.

Head and shoulders are cut along what the parsing map calls the person, or, where there is none, along a head, neck and
shoulders grown from the landmarks; either way as smoothly as scissors go, not along every hair. Where a step edge has
been blurred by a Gaussian of deviation s to the value b, the edge lies s * probit(b) away, which gives the distance
that waver, rim and margin need.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.cutouts.holes import wander
from spooflab.generators.face import Face
from spooflab.params import Params, choice, uniform

SHAPES = ("silhouette", "upper", "eyes_nose", "lower", "face")
"""What is kept of the print: head and shoulders; the face's upper half, eyes and nose, its lower half, all of it."""
_CELLS = 96
_FARTHEST = 2.6
_EVEN = 1e-4


@dataclass(frozen=True)
class Cutout(Params):
    """The shape of one piece of paper; every field is batched.

    Attributes:
        shape: (B,) int64 index into `SHAPES`.
        margin_mm: (B,) how far outside the outline the scissors went; negative for inside.
        smooth_mm: (B,) radius over which they cut corners.
        waver_mm: (B, 2) amplitude of their wandering along u and v.
        waver_phase: (B, 2) radians.
        edges: (B, 2) where the upper and the lower straight cut lie, relative to the features they pass.
        slant: (B, 2) slopes of those cuts against the line of the eyes.
        rim_mm: (B,) width of the frayed white edge.
    """

    shape: Tensor
    margin_mm: Tensor
    smooth_mm: Tensor
    waver_mm: Tensor
    waver_phase: Tensor
    edges: Tensor
    slant: Tensor
    rim_mm: Tensor


def sample_cutout(batch_size: int, generator: torch.Generator) -> Cutout:
    """Draw shapes: half of them head and shoulders."""
    n = batch_size
    part = 1 + choice(n, len(SHAPES) - 1, generator)
    shape = torch.where(torch.rand(n, generator=generator) < 0.5, 0, part)
    wide = torch.where(shape == 0, uniform(n, -2.0, 7.0, generator), uniform(n, -6.0, 5.0, generator))
    return Cutout(
        shape=shape,
        margin_mm=wide,
        smooth_mm=uniform(n, 4.0, 9.0, generator),
        waver_mm=uniform(n, 0.1, 0.9, generator)[:, None] * (0.5 + torch.rand(n, 2, generator=generator)),
        waver_phase=6.2831853 * torch.rand(n, 2, generator=generator),
        edges=0.12 * torch.randn(n, 2, generator=generator),
        slant=0.05 * torch.randn(n, 2, generator=generator),
        rim_mm=uniform(n, 0.1, 0.5, generator),
    )


@dataclass(frozen=True)
class Outline:
    """A cut piece of paper (one row).

    Attributes:
        depth: maps sheet points u, v (H, W), mm, to how far inside the paper they lie, mm, negative outside.
        low_mm, high_mm: (2,) a box that holds it.
    """

    depth: Callable[[Tensor, Tensor], Tensor]
    low_mm: Tensor
    high_mm: Tensor


def outline_of(face: Face, cutout: Cutout, mm_per_px: float, face_px: Tensor, face_mm: Tensor) -> Outline:
    """Return the outline of one row's piece of paper.

    Args:
        face: the printed face.
        cutout: the shape.
        mm_per_px: size of the photograph's pixels on the paper.
        face_px: (2,) a point of the photograph, pixels.
        face_mm: (2,) where it lies on the paper, mm.
    """
    if SHAPES[int(cutout.shape)] == "silhouette":
        return _silhouette(face, cutout, mm_per_px, face_px, face_mm)
    return _part(face, cutout, mm_per_px, face_px, face_mm)


def person_mask(face: Face) -> Tensor:
    """Return (96, 96) in [0, 1]: where the person is in a face's picture, from its parsing map or its landmarks."""
    if face.parsing is not None:
        person = (face.parsing[0] != 0).float()[None]
        return F.interpolate(person, size=(_CELLS, _CELLS), mode="area")[0, 0]
    height, width = face.size
    y, x = torch.meshgrid(
        (torch.arange(_CELLS) + 0.5) * (height / _CELLS), (torch.arange(_CELLS) + 0.5) * (width / _CELLS), indexing="ij"
    )
    return grown_person(face.landmarks[0], x, y)


def grown_person(landmarks: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return 1 where a head, neck and shoulders grown from landmarks (68, 2) lie, else 0, at points x, y (H, W).

    Proportions after the usual canon: the crown as far above the eyes as the chin is below them, the head a fifth wider
    than the jaw's landmarks for hair and ears, shoulders two and a half heads wide.
    """
    eyes, chin = landmarks[36:48].mean(0), landmarks[8]
    down = chin - eyes
    reach = down.norm().clamp(min=1e-3)
    down = down / reach
    across = torch.stack([down[1], -down[0]])
    half = ((landmarks[16] - landmarks[0]) @ across).abs() / 2
    dx, dy = x - float(eyes[0]), y - float(eyes[1])
    s = (dx * float(across[0]) + dy * float(across[1])) / float(half)
    t = (dx * float(down[0]) + dy * float(down[1])) / float(reach)
    head = (s / 1.2).square() + (t / 1.08).square() < 1
    neck = (s.abs() < 0.68) & (t > 0) & (t < 1.7)
    slope = 1.32 + 0.42 * (s.abs() / 2.6).square()  # shoulders fall away from the neck
    shoulders = (t > slope) & (s.abs() < 2.6)
    return (head | neck | shoulders).float()


def _silhouette(face: Face, cutout: Cutout, mm_per_px: float, face_px: Tensor, face_mm: Tensor) -> Outline:
    height, width = face.size
    cell = mm_per_px * width / _CELLS
    deviation = float(cutout.smooth_mm)
    away = deviation * torch.special.ndtri(_blur(person_mask(face), deviation / cell).clamp(_EVEN, 1 - _EVEN))
    margin = float(cutout.margin_mm)
    inside = (away > -margin).nonzero()
    corner = face_mm - face_px * mm_per_px  # the photograph's own
    extent = torch.tensor([width, height]) * mm_per_px
    if len(inside) == 0:
        low, high = corner, corner + extent
    else:
        rows, columns = inside[:, 0], inside[:, 1]
        low = corner + torch.stack([columns.min(), rows.min()]) * cell
        high = corner + (torch.stack([columns.max(), rows.max()]) + 1) * cell
    field = away[None, None].clamp(-_FARTHEST * deviation, _FARTHEST * deviation)
    (left, top), (wide, high_) = corner.tolist(), extent.tolist()

    def depth(u: Tensor, v: Tensor) -> Tensor:
        u, v = wander(u, v, cutout.waver_mm, cutout.waver_phase)
        x, y = (u - left).mul_(2 / wide).sub_(1), (v - top).mul_(2 / high_).sub_(1)
        seen = F.grid_sample(field, torch.stack([x, y], -1)[None], padding_mode="border", align_corners=False)[0, 0]
        beyond = torch.maximum(x.abs_().sub_(1).mul_(wide / 2), y.abs_().sub_(1).mul_(high_ / 2))
        return torch.minimum(seen.add_(margin), beyond.neg_())

    return Outline(depth, low, high)


def _part(face: Face, cutout: Cutout, mm_per_px: float, face_px: Tensor, face_mm: Tensor) -> Outline:
    """Return a part of the face's oval between two straight cuts along the line of the eyes."""
    points = (face.landmarks[0] - face_px) * mm_per_px + face_mm
    left, right, mouth = points[36:42].mean(0), points[42:48].mean(0), points[48:60].mean(0)
    eyes = (left + right) / 2
    across = (right - left) / (right - left).norm().clamp(min=1e-3)
    down = torch.stack([-across[1], across[0]])
    unit = float(((mouth - eyes) @ down).clamp(min=1.0))

    def at(index: int) -> float:
        return float((points[index] - eyes) @ down)

    margin = float(cutout.margin_mm)
    half = float(((points[16] - points[0]) @ across).abs()) / 2 + margin
    top, bottom = min(at(19), at(24)) - 0.75 * unit - margin, at(8) + margin
    nose, bridge, brow = at(33), at(29), min(at(19), at(24))
    edges = (cutout.edges[0] * unit).tolist()
    upper, lower = {
        "upper": (-1e4, nose + 0.15 * unit + edges[1]),
        "eyes_nose": (brow - 0.12 * unit + edges[0], nose + 0.15 * unit + edges[1]),
        "lower": (bridge + edges[0], 1e4),
        "face": (-1e4, 1e4),
    }[SHAPES[int(cutout.shape)]]
    slants = cutout.slant[0].tolist()
    (ex, ey), (ax, ay) = eyes.tolist(), across.tolist()
    middle, tall = (top + bottom) / 2, (bottom - top) / 2

    def depth(u: Tensor, v: Tensor) -> Tensor:
        u, v = wander(u, v, cutout.waver_mm, cutout.waver_phase)
        du, dv = u - ex, v - ey
        s, t = (du * ax).add_(dv, alpha=ay), (dv * ax).sub_(du, alpha=ay)
        oval = torch.hypot(s / half, (t - middle) / tall).neg_().add_(1).mul_(min(half, tall))
        above = (t - upper).sub_(s, alpha=slants[0])
        below = (lower - t).add_(s, alpha=slants[1])
        return torch.minimum(oval, torch.minimum(above, below))

    first, last = max(upper, top), min(lower, bottom)
    corners = torch.stack([eyes + a * half * across + b * down for a in (-1, 1) for b in (first, last)])
    return Outline(depth, corners.amin(0), corners.amax(0))


def _blur(mask: Tensor, deviation: float) -> Tensor:
    """Return a mask (h, w) under a Gaussian; edges replicate: what runs off the picture is not rounded there."""
    radius = max(1, round(3 * deviation))
    kernel = torch.exp(-(torch.arange(-radius, radius + 1).float() ** 2) / (2 * max(deviation, 0.3) ** 2))
    kernel = kernel / kernel.sum()
    padded = F.pad(mask[None, None], (radius,) * 4, mode="replicate")
    wide = F.conv2d(padded, kernel[None, None, None])
    return F.conv2d(wide, kernel[None, None, :, None])[0, 0]
