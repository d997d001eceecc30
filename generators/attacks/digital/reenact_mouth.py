"""The inside of a mouth that the photograph shows closed: a cavity with teeth, painted."""

import torch
from torch import Tensor

from spooflab.generators.attacks.digital.morph_retouch import blur
from spooflab.generators.geometry.polygon import polygon_cover

_CAVITY, _TONGUE, _TOOTH = (0.030, 0.012, 0.010), (0.16, 0.055, 0.050), (0.62, 0.56, 0.46)
_TOOTH_MM, _MOST = 8.0, 0.6


def gap_px(landmarks: Tensor) -> float:
    """Return the mean distance between the inner lips of (68, 2) landmarks."""
    return float((landmarks[[61, 62, 63]] - landmarks[[67, 66, 65]]).norm(dim=1).mean())


def opening(landmarks: Tensor, size: tuple[int, int], *, feather_px: float) -> Tensor:
    """Return (H, W) cover of the polygon of the inner lips."""
    return polygon_cover(landmarks[60:68], size, feather_px=feather_px)


def inside(
    landmarks: Tensor, size: tuple[int, int], *, mm_per_px: float, light: Tensor, teeth_mm: float, blur_px: float
) -> Tensor:
    """Return (3, H, W) radiance of a mouth's inside, meaningful about the inner lips.

    Upper teeth hang from the gum under the upper lip, a tooth 8 mm wide in the middle and narrower to the sides;
    beneath is the cavity, with the tongue towards the lower lip.

    Args:
        landmarks: (68, 2) pixels.
        size: of the picture.
        mm_per_px: scale at the mouth.
        light: (3,) irradiance on a facing surface.
        teeth_mm: length of the teeth that shows below the upper lip, at most three fifths of the opening.
        blur_px: softness of the painted inside.
    """
    left, right = landmarks[60], landmarks[64]
    across = (right - left) / (right - left).norm().clamp(min=1e-3)
    down = torch.stack([-across[1], across[0]])
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    middle = (left + right) / 2
    u = ((x - middle[0]) * across[0] + (y - middle[1]) * across[1]) * mm_per_px
    v = ((x - middle[0]) * down[0] + (y - middle[1]) * down[1]) * mm_per_px
    rows = {k: float(((landmarks[k] - middle) @ down) * mm_per_px) for k in (61, 62, 63, 65, 66, 67)}
    half = float((right - left).norm()) * mm_per_px / 2
    upper, lower = (sum(rows[k] for k in ks) / 3 for ks in ((61, 62, 63), (65, 66, 67)))
    place = u / _TOOTH_MM
    bend = 1 - 0.05 * place.square()  # further teeth lie deeper: narrower, shorter, darker
    crack = torch.cos(2 * torch.pi * place / bend.clamp(min=0.3)).clamp(min=0).pow(12)
    shown = min(teeth_mm, _MOST * max(lower - upper, 0.0))
    edge = upper + shown - 0.015 * u.square()
    tooth = ((edge - v) / 0.8 + 0.5).clamp(0, 1) * (1 - 0.45 * crack) * ((v - upper) / 2 + 0.7).clamp(0.5, 1)
    dim = (1 - (u / max(half, 1.0)).square()).clamp(min=0.06) * min(
        max((lower - upper) / 7, 0.4), 0.9
    )  # little light enters by a slit
    tongue = ((v - 0.5 * (upper + lower)) / max(lower - upper, 1.0) * 2).clamp(0, 1) * (1 - (u / 20).square()).clamp(
        0, 1
    )
    colour = [torch.tensor(c)[:, None, None] for c in (_CAVITY, _TONGUE, _TOOTH)]
    flesh = torch.lerp(colour[0], colour[1], tongue * 0.8)
    painted = torch.lerp(flesh, colour[2] * dim, tooth) * light[:, None, None]
    return blur(painted[None], blur_px)[0] if blur_px > 0 else painted
