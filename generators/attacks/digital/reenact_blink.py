"""A blink: each upper lid drawn down over the eye, the skin above stretched and the lashes carried along."""

import torch
from torch import Tensor
from torch.nn import functional as F

_EYES = ((36, 37, 38, 39, 40, 41, 17, 22), (42, 43, 44, 45, 46, 47, 22, 27))
"""Outer corner, upper lid, other corner, lower lid; then the brow's first point and the one after its last."""
_LASH = 0.10
_NODES = 5


def blinked(radiance: Tensor, landmarks: Tensor, closure: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the picture with lids drawn down, its landmarks, and (H, W) where it changed, 0 or 1.

    In the eye's own coordinates, u between the corners and v downwards, the strip from under the brow to the lid is
    stretched and the lid's edge with its lashes moves whole.

    Args:
        radiance: (1, 3, H, W).
        landmarks: (68, 2) pixels.
        closure: 0 leaves the eyes, 1 brings the upper lids onto the lower ones.
    """
    changed, points = radiance.clone(), landmarks.clone()
    where = torch.zeros(radiance.shape[-2:])
    for eye in _EYES:
        for upper, lower in ((eye[1], eye[5]), (eye[2], eye[4])):
            points[upper] = torch.lerp(landmarks[upper], landmarks[lower], closure)
        _close(radiance, landmarks, eye, closure, changed, where)
    return changed, points, where


def _close(
    radiance: Tensor, landmarks: Tensor, eye: tuple[int, ...], closure: float, changed: Tensor, where: Tensor
) -> None:
    """Draw one lid down in `changed`, and set `where` to 1 there."""
    left, right = landmarks[eye[0]], landmarks[eye[3]]
    half = float((right - left).norm()) / 2
    if half < 2:
        return
    middle, across = (left + right) / 2, (right - left) / (2 * half)
    down = torch.stack([-across[1], across[0]])
    size = torch.tensor([radiance.shape[-1], radiance.shape[-2]])
    low = (middle - 1.6 * half).floor().long().clamp(min=0)
    high = torch.minimum((middle + 1.6 * half).ceil().long(), size)
    if bool((high <= low).any()):
        return
    rows, columns = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
    y, x = torch.meshgrid(
        torch.arange(rows.start, rows.stop) + 0.5, torch.arange(columns.start, columns.stop) + 0.5, indexing="ij"
    )
    u = ((x - middle[0]) * across[0] + (y - middle[1]) * across[1]) / half
    v = ((x - middle[0]) * down[0] + (y - middle[1]) * down[1]) / half
    lids = ((landmarks[list(eye[:6])] - middle) @ torch.stack([across, down], 1)) / half
    brow = float((((landmarks[eye[6] : eye[7]]).mean(0) - middle) @ down) / half)
    upper, lower = _curve(lids[[0, 1, 2, 3]], u), _curve(lids[[0, 5, 4, 3]], u)
    top = torch.minimum(upper + 0.28 * (brow - upper), upper - 0.15)
    lid = torch.lerp(upper, lower, closure)
    stretched = top + (v - top) * (upper - _LASH - top) / (lid - _LASH - top).clamp(min=1e-3)
    source = torch.where(v < lid - _LASH, stretched, v - (lid - upper))
    moving = (v > top) & (v < lid + _LASH / 2) & (u.abs() < 1) & (lid - upper > 1e-3)
    # Past the lid's edge the lashes' tips end in what lies there: the lower lid or the rest of the eye.
    tip = ((v - lid) / (_LASH / 2)).clamp(0, 1)
    source = torch.where(v > lid, torch.lerp(source, v, tip), source)
    at = torch.stack(
        [middle[0] + half * (u * across[0] + source * down[0]), middle[1] + half * (u * across[1] + source * down[1])],
        -1,
    )
    seen = F.grid_sample(radiance, (at / size * 2 - 1)[None], padding_mode="border", align_corners=False)
    part = changed[:, :, rows, columns]
    part.copy_(torch.where(moving, seen, part))
    where[rows, columns] = torch.maximum(where[rows, columns], moving.float())


def _curve(points: Tensor, u: Tensor) -> Tensor:
    """Return the height at u of the cubic through four points (4, 2) given as (u, v)."""
    powers = points[:, :1].double() ** torch.arange(4)
    coefficients = torch.linalg.lstsq(powers, points[:, 1:].double()).solution[:, 0].float()
    out = torch.full_like(u, float(coefficients[3]))
    for k in (2, 1, 0):
        out.mul_(u).add_(float(coefficients[k]))
    return out
