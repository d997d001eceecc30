"""How a printed face is cut out for wearing: the scissors' outline, eye holes, the slit that lets the nose through."""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.digital.swap_mask import depth_inside
from spooflab.generators.attacks.digital.swap_warp import forehead
from spooflab.seeds import generator

OUTLINES = ("face", "hair", "oval", "sheet")
"""What is cut: along the face, with the hair, a plain oval, or a rectangle with rounded corners."""
_CELL_MM = 3.0
_SMOOTHINGS = 2


def cut_polygon(landmarks_mm: Tensor, kind: int, grow: float, seed: int, wander_mm: float) -> Tensor:
    """Return (N, 2) the outline in sheet millimetres.

    Args:
        landmarks_mm: (68, 2) of the printed face.
        kind: int into `OUTLINES`.
        grow: size relative to what is cut along.
        seed: names how the scissors wander.
        wander_mm: standard deviation of that.
    """
    points = landmarks_mm[None]
    middle = landmarks_mm[[27, 8]].mean(0)
    if OUTLINES[kind] in ("face", "hair"):
        rise = 0.75 if OUTLINES[kind] == "face" else 1.55
        top = forehead(points, rise)[0].flip(0)
        jaw = landmarks_mm[:17]
        if OUTLINES[kind] == "hair":
            # Ears and hair stand out beside the jaw's upper end and the forehead.
            side = torch.linspace(0.22, 0.0, 6)
            wide = (jaw[16] - jaw[0]).square().sum().sqrt()
            jaw = jaw.clone()
            jaw[:6, 0] -= side * wide
            jaw[11:, 0] += side.flip(0) * wide
            top = middle + (top - middle) * torch.tensor([1.45, 1.05])
        outline = torch.cat([jaw, top])
    else:
        low, high = landmarks_mm.amin(0), landmarks_mm.amax(0)
        high_mm = high - low
        centre = (low + high) / 2 - torch.tensor([0.0, 0.16]) * high_mm
        angle = torch.arange(40) * (2 * torch.pi / 40)
        power = 1.0 if OUTLINES[kind] == "oval" else 0.35
        unit = torch.stack([angle.cos(), angle.sin()], 1)
        unit = unit.sign() * unit.abs() ** power
        outline = centre + unit * high_mm * torch.tensor([0.56, 0.68])
    outline = middle + (outline - middle) * grow
    for _ in range(_SMOOTHINGS):  # Chaikin's corner cutting
        after = outline.roll(-1, 0)
        outline = torch.stack([0.75 * outline + 0.25 * after, 0.25 * outline + 0.75 * after], 1).reshape(-1, 2)
        if len(outline) > 70:
            break
    noise = torch.randn(1, 2, 24, generator=generator(seed, "scissors"))
    wander = F.interpolate(torch.cat([noise, noise[..., :1]], -1), size=len(outline) + 1, mode="linear")[0, :, :-1]
    return outline + wander_mm * wander.T


def outline_field(polygon: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return millimetres inside a polygon on a grid (1, 1, h, w), and the corners (2,) low and high of the grid."""
    low, high = polygon.amin(0) - 8, polygon.amax(0) + 8
    count = ((high - low) / _CELL_MM).ceil().long() + 1
    high = low + count * _CELL_MM
    x = low[0] + (torch.arange(int(count[0])) + 0.5) * _CELL_MM
    y = low[1] + (torch.arange(int(count[1])) + 0.5) * _CELL_MM
    at = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(1, -1, 2)
    depth = depth_inside(polygon[None].float(), at)
    return depth.reshape(1, 1, len(y), len(x)), low, high


def look_up_field(field: Tensor, low: Tensor, high: Tensor, uv_mm: Tensor) -> Tensor:
    """Return (h, w) the field at sheet points (2, h, w)."""
    grid = ((uv_mm - low[:, None, None]) * (2 / (high - low))[:, None, None] - 1).permute(1, 2, 0)[None]
    return F.grid_sample(field, grid, "bilinear", "border", align_corners=False)[0, 0]


def eye_holes(uv_mm: Tensor, landmarks_mm: Tensor, wide: float, high: float) -> Tensor:
    """Return (h, w) millimetres inside elliptic holes over the printed eyes, `wide` by `high` times as large."""
    out = torch.full(uv_mm.shape[1:], -99.0)
    for first in (36, 42):
        eye = landmarks_mm[first : first + 6]
        centre = eye.mean(0)
        half = float((eye[3] - eye[0]).square().sum().sqrt()) / 2
        rx, ry = half * wide, half * high
        far = torch.sqrt(((uv_mm[0] - centre[0]) / rx).square() + ((uv_mm[1] - centre[1]) / ry).square() + 1e-6)
        out = torch.maximum(out, (1 - far) * min(rx, ry))
    return out


def nose_slit(uv_mm: Tensor, landmarks_mm: Tensor) -> Tensor:
    """Return (h, w) millimetres from the cut along the nose's sides and below it, which lets the nose lift a flap."""
    top, base = landmarks_mm[28], landmarks_mm[33]
    wings = landmarks_mm[[31, 35]]
    widen = (wings - base) * 1.3 + base + torch.tensor([0.0, 1.5])
    path = torch.stack([top + (widen[0] - base) * 0.45, widen[0], widen[1], top + (widen[1] - base) * 0.45])
    out = torch.full(uv_mm.shape[1:], 99.0)
    for a, b in pairwise(path):
        edge = b - a
        dx, dy = uv_mm[0] - a[0], uv_mm[1] - a[1]
        share = ((dx * edge[0] + dy * edge[1]) / edge.square().sum()).clamp(0, 1)
        out = torch.minimum(out, torch.sqrt((dx - share * edge[0]).square() + (dy - share * edge[1]).square() + 1e-9))
    return out
