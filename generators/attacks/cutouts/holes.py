"""Holes cut into a printed face for the attacker's own eyes and mouth, and what shows through them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.face import Face
from spooflab.params import Params, choice, uniform

PATTERNS = ("eyes", "mouth", "eyes_mouth", "eyes_nose")
"""What is cut out."""
_CUTS = ((0, 1), (2,), (0, 1, 2), (0, 1, 3))
_OUTLINES = ((36, 42, 36, 39), (42, 48, 42, 45), (48, 60, 48, 54), (28, 36, 31, 35))
"""Landmarks of each hole, first and past the last, and the two that lie at its ends: eyes, mouth, nose."""
_FLAP_SHARE = 0.15
_NOWHERE_MM = -1e3


@dataclass(frozen=True)
class Holes(Params):
    """The cut of one print and the face behind it; every field is batched.

    Attributes:
        pattern: (B,) int64 index into `PATTERNS`.
        grow: (B, 4, 2) width and height of the holes (left eye, right eye, mouth, nose) relative to the feature's.
        square: (B,) 0 for ellipses, 1 for rectangles.
        waver_mm: (B, 2) amplitude of the scissors' wandering along u and v.
        waver_phase: (B, 2) radians.
        rim_mm: (B,) width of the frayed white edge.
        gap_mm: (B,) distance of the face behind the paper.
        donor_shift_mm: (B, 2) misfit of that face.
        donor_turn_deg: (B,) its roll against the print's.
        donor_scale: (B,) its size relative to the print's.
        occlusion: (B,) share of the ambient light that reaches it under the paper.
        flap: (B,) height of the flaps that were bent up instead of cut off, relative to the holes'; 0 for none.
    """

    pattern: Tensor
    grow: Tensor
    square: Tensor
    waver_mm: Tensor
    waver_phase: Tensor
    rim_mm: Tensor
    gap_mm: Tensor
    donor_shift_mm: Tensor
    donor_turn_deg: Tensor
    donor_scale: Tensor
    occlusion: Tensor
    flap: Tensor


def sample_holes(batch_size: int, generator: torch.Generator) -> Holes:
    """Draw cuts."""
    n = batch_size
    width = 1.15 + 0.6 * torch.rand(n, 4, generator=generator)
    height = torch.stack(
        [uniform(n, low, high, generator) for low, high in ((1.5, 3.2), (1.5, 3.2), (1.1, 1.8), (1.0, 1.3))], -1
    )
    flapped = torch.rand(n, generator=generator) < _FLAP_SHARE
    height[:, 1] = height[:, 0] * uniform(n, 0.85, 1.15, generator)
    return Holes(
        pattern=choice(n, len(PATTERNS), generator),
        grow=torch.stack([width, height], -1),
        square=uniform(n, 0.0, 0.7, generator),
        waver_mm=uniform(n, 0.1, 0.7, generator)[:, None] * (0.5 + torch.rand(n, 2, generator=generator)),
        waver_phase=6.2831853 * torch.rand(n, 2, generator=generator),
        rim_mm=uniform(n, 0.05, 0.35, generator),
        gap_mm=uniform(n, 3, 18, generator),
        donor_shift_mm=2.0 * torch.randn(n, 2, generator=generator),
        donor_turn_deg=2.5 * torch.randn(n, generator=generator),
        donor_scale=uniform(n, 0.92, 1.08, generator),
        occlusion=uniform(n, 0.45, 0.9, generator),
        flap=torch.where(flapped, uniform(n, 0.25, 0.9, generator), 0.0),
    )


def hole_depth(u: Tensor, v: Tensor, landmarks_mm: Tensor, holes: Holes, mm_per_landmark_px: float) -> Tensor:
    """Return (H, W) mm: how far inside a hole each sheet point lies, negative outside (exact on the holes' edges).

    Args:
        u: (H, W) sheet position, mm.
        v: (H, W) sheet position, mm.
        landmarks_mm: (68, 2) the printed face's landmarks on the sheet.
        holes: one row.
        mm_per_landmark_px: size of the smallest hole half axis allowed, mm.
    """
    wandered_u, wandered_v = wander(u, v, holes.waver_mm, holes.waver_phase)
    square = float(holes.square)
    best = torch.full_like(u, _NOWHERE_MM)
    for index in _CUTS[int(holes.pattern)]:
        (cu, cv), (a, b), (cos, sin) = _ellipse(landmarks_mm, index, holes.grow[0, index], 4 * mm_per_landmark_px)
        du, dv = wandered_u - cu, wandered_v - cv
        x = du.mul(cos / a).add_(dv, alpha=sin / a)
        y = dv.mul(cos / b).sub_(du, alpha=sin / b)
        torch.maximum(best, _depth(x, y, square).mul_(min(a, b)), out=best)
    return best


def flap_depth(u: Tensor, v: Tensor, landmarks_mm: Tensor, holes: Holes, mm_per_landmark_px: float) -> Tensor:
    """Return (H, W) mm: how far inside a flap each sheet point lies; flaps are the holes, mirrored at their upper edge.

    See `hole_depth` for the arguments.
    """
    wandered_u, wandered_v = wander(u, v, holes.waver_mm, holes.waver_phase)
    best, tall = torch.full_like(u, _NOWHERE_MM), float(holes.flap)
    for index in (hole for hole in _CUTS[int(holes.pattern)] if hole < 3):  # a nose's would hide the eyes
        (cu, cv), (a, b), (cos, sin) = _ellipse(landmarks_mm, index, holes.grow[0, index], 4 * mm_per_landmark_px)
        du, dv = wandered_u - cu, wandered_v - cv
        x = du.mul(cos / a).add_(dv, alpha=sin / a)
        y = dv.mul(cos / b).sub_(du, alpha=sin / b)
        hinge = -0.8  # the upper edge, where the cut was left
        folded = (hinge - y).div_(tall).add_(hinge)
        over = torch.where(y < hinge, _depth(x, folded, float(holes.square)), torch.tensor(-1.0))
        torch.maximum(best, over.mul_(min(a, b)), out=best)
    return best


def wander(u: Tensor, v: Tensor, size_mm: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Return sheet points (...) displaced as scissors wander, two waves of 11 and 33 mm along either axis.

    Args:
        u: sheet position, mm.
        v: sheet position, mm.
        size_mm: (1, 2) amplitude along u and v.
        phase: (1, 2) radians.
    """
    (size_u, size_v), (phase_u, phase_v) = size_mm[0].tolist(), phase[0].tolist()
    return _waved(u, v, size_u, phase_u), _waved(v, u, size_v, phase_v)


def _waved(moved: Tensor, along: Tensor, size: float, phase: float) -> Tensor:
    short = (along * 0.57).add_(2.3 * phase).sin_().mul_(0.35 * size)
    return (along * 0.19).add_(phase).sin_().mul_(size).add_(short).add_(moved)


def _depth(x: Tensor, y: Tensor, square: float) -> Tensor:
    """Return 1 at the middle of a rounded shape and 0 on its edge, from positions in units of its half axes."""
    x, y = x.abs(), y.abs()
    round_ = (x * x).addcmul_(y, y).sqrt_()
    return round_.lerp_(torch.maximum(x, y), square).neg_().add_(1)


def to_donor(landmarks_mm: Tensor, donor: Face, holes: Holes) -> Tensor:
    """Return (2, 3): the similarity that takes sheet points (u, v, 1), mm, to the donor's pixels.

    Least squares over both eyes' centres and the mouth's (Umeyama 1991), then the drawn misfit.
    """
    there, here = _anchors(landmarks_mm), _anchors(donor.landmarks[0])
    mean_there, mean_here = there.mean(0), here.mean(0)
    p, q = there - mean_there, here - mean_here
    norm = (p * p).sum().clamp(min=1e-6)
    along = (p * q).sum() / norm
    across = (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum() / norm
    fit = torch.stack([torch.stack([along, -across]), torch.stack([across, along])])
    turn = torch.deg2rad(holes.donor_turn_deg[0])
    cos, sin = turn.cos(), turn.sin()
    misfit = torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])]) / holes.donor_scale[0]
    linear = fit @ misfit
    offset = mean_here - linear @ (mean_there + holes.donor_shift_mm[0])
    return torch.cat([linear, offset[:, None]], -1)


def donor_at(u: Tensor, v: Tensor, donor: Face, transform: Tensor) -> tuple[Tensor, Tensor]:
    """Return the donor's radiance (3, H, W) at sheet points, and where the donor is rather than background (H, W).

    Without a parsing map nothing tells the person from the background, and the second result is 0.
    """
    height, width = donor.size
    (a, b, c), (d, e, f) = transform.tolist()
    x = (u * a).add_(v, alpha=b).add_(c).mul_(2 / width).sub_(1)
    y = (u * d).add_(v, alpha=e).add_(f).mul_(2 / height).sub_(1)
    planes = donor.radiance[0]
    if donor.parsing is not None:
        planes = torch.cat([planes, (donor.parsing[0] != 0).to(planes.dtype)])
    grid = torch.stack([x, y]).permute(1, 2, 0)[None]  # whole planes: writing pairs is slow
    seen = F.grid_sample(planes[None], grid, mode="bilinear", padding_mode="reflection", align_corners=False)[0]
    if donor.parsing is None:
        return seen, torch.zeros_like(u)
    beside = (x.abs() > 1) | (y < -1)  # mirrored clothes go on below the picture; nobody goes on beside it
    return seen[:3], seen[3] * ~beside


def _ellipse(
    landmarks: Tensor, hole: int, grow: Tensor, smallest_mm: float
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Return centre, half axes and direction of the hole about a feature's outline, mm."""
    first, last, near, far = _OUTLINES[hole]
    points = landmarks[first:last]
    middle = (points.amin(0) + points.amax(0)) / 2
    corner = landmarks[far] - landmarks[near]
    length = float(corner.norm().clamp(min=1e-3))
    cos, sin = (corner / length).tolist()
    across = (points - middle) @ torch.tensor([-sin, cos])
    half = max(length / 2 * float(grow[0]), smallest_mm)
    height = max(float(across.amax() - across.amin()) / 2 * float(grow[1]), 0.28 * half)
    cu, cv = middle.tolist()
    return (cu, cv), (half, height), (cos, sin)


def _anchors(landmarks: Tensor) -> Tensor:
    return torch.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[48:60].mean(0)])
