"""Holes cut into a printed face for the attacker's own eyes and mouth, and what shows through them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.face import Face
from spooflab.params import Params, choice, uniform

PATTERNS = ("eyes", "mouth", "eyes_mouth")
"""What is cut out."""
_EYES = ((36, 42), (42, 48))
_MOUTH = (48, 60)
_NOWHERE_MM = -1e3


@dataclass(frozen=True)
class Holes(Params):
    """The cut of one print and the face behind it; every field is batched.

    Attributes:
        pattern: (B,) int64 index into `PATTERNS`.
        grow: (B, 3, 2) width and height of the holes (left eye, right eye, mouth) relative to the feature's.
        square: (B,) 0 for ellipses, 1 for rectangles.
        waver_mm: (B, 2) amplitude of the scissors' wandering along u and v.
        waver_phase: (B, 2) radians.
        rim_mm: (B,) width of the frayed white edge.
        gap_mm: (B,) distance of the face behind the paper.
        donor_shift_mm: (B, 2) misfit of that face.
        donor_turn_deg: (B,) its roll against the print's.
        donor_scale: (B,) its size relative to the print's.
        occlusion: (B,) share of the ambient light that reaches it under the paper.
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


def sample_holes(batch_size: int, generator: torch.Generator) -> Holes:
    """Draw cuts."""
    n = batch_size
    width = 1.15 + 0.6 * torch.rand(n, 3, generator=generator)
    height = torch.stack(
        [uniform(n, 1.5, 3.2, generator), uniform(n, 1.5, 3.2, generator), uniform(n, 1.1, 1.8, generator)], -1
    )
    height[:, 1] = height[:, 0] * uniform(n, 0.85, 1.15, generator)
    return Holes(
        pattern=choice(n, len(PATTERNS), generator),
        grow=torch.stack([width, height], -1),
        square=uniform(n, 0.0, 0.7, generator),
        waver_mm=uniform(n, 0.1, 0.7, generator)[:, None] * (0.5 + torch.rand(n, 2, generator=generator)),
        waver_phase=6.2831853 * torch.rand(n, 2, generator=generator),
        rim_mm=uniform(n, 0.0, 0.25, generator),
        gap_mm=uniform(n, 3, 18, generator),
        donor_shift_mm=2.0 * torch.randn(n, 2, generator=generator),
        donor_turn_deg=2.5 * torch.randn(n, generator=generator),
        donor_scale=uniform(n, 0.92, 1.08, generator),
        occlusion=uniform(n, 0.45, 0.9, generator),
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
    phase_u, phase_v = holes.waver_phase[0].tolist()
    size_u, size_v = holes.waver_mm[0].tolist()
    wandered_u = u + size_u * torch.sin(v * 0.36 + phase_u)
    wandered_v = v + size_v * torch.sin(u * 0.31 + phase_v)
    square = float(holes.square)
    best = torch.full_like(u, _NOWHERE_MM)
    for index, (first, last) in enumerate((*_EYES, _MOUTH)):
        if not _cuts(int(holes.pattern), index):
            continue
        (cu, cv), (a, b), (cos, sin) = _ellipse(landmarks_mm[first:last], holes.grow[0, index], 4 * mm_per_landmark_px)
        du, dv = wandered_u - cu, wandered_v - cv
        x = du.mul(cos / a).add_(dv, alpha=sin / a).abs_()
        y = dv.mul(cos / b).sub_(du, alpha=sin / b).abs_()
        round_ = (x * x).addcmul_(y, y).sqrt_()
        radius = round_.lerp_(torch.maximum(x, y), square)
        torch.maximum(best, radius.sub_(1).mul_(-min(a, b)), out=best)
    return best


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


def _cuts(pattern: int, hole: int) -> bool:
    return PATTERNS[pattern] == "eyes_mouth" or (PATTERNS[pattern] == "eyes") == (hole < 2)


def _ellipse(
    points: Tensor, grow: Tensor, smallest_mm: float
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Return centre, half axes and direction of the hole about a feature's outline (N, 2), mm."""
    middle = (points.amin(0) + points.amax(0)) / 2
    corner = points[len(points) // 2] - points[0]  # the far corner, in iBUG order
    length = float(corner.norm().clamp(min=1e-3))
    cos, sin = (corner / length).tolist()
    across = (points - middle) @ torch.tensor([-sin, cos])
    half = max(length / 2 * float(grow[0]), smallest_mm)
    height = max(float(across.amax() - across.amin()) / 2 * float(grow[1]), 0.28 * half)
    cu, cv = middle.tolist()
    return (cu, cv), (half, height), (cos, sin)


def _anchors(landmarks: Tensor) -> Tensor:
    return torch.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[48:60].mean(0)])
