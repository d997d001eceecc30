"""Liquify edits: a slimmer face, larger eyes, a smile, by pushing the picture about at landmarks."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.enlarge import enlarge

WARPS = ("slim", "large_eyes", "smile")
"""Edits that this file makes."""


@dataclass(frozen=True, eq=False)
class Pushes:
    """Brush strokes: near a centre c the picture at p moves by `move` + `gain` (p - c).

    Attributes:
        centres, moves: (N, 2) pixels.
        gains: (N,) enlargement less 1.
        reaches: (N,) pixels, standard deviation of the Gaussian about each centre.
    """

    centres: Tensor
    moves: Tensor
    gains: Tensor
    reaches: Tensor


def pushes(landmarks: Tensor, name: str, strength: float) -> Pushes:
    """Return the strokes of an edit of (68, 2) landmarks.

    Raises:
        KeyError: `name` is not one of `WARPS`.
    """
    eyes = float((landmarks[42:48].mean(0) - landmarks[36:42].mean(0)).norm())
    axis = landmarks[33] - landmarks[27]
    down = axis / axis.norm().clamp(min=1e-3)
    across = torch.stack([-down[1], down[0]]) * -1  # to the image's right
    if name == "slim":
        rows = list(range(3, 14))
        points = landmarks[rows]
        offset = (points - landmarks[33]) @ across
        moves = -0.11 * strength * offset[:, None] * across
        return Pushes(points, moves, torch.zeros(len(rows)), torch.full((len(rows),), 0.42 * eyes))
    if name == "smile":
        points = torch.cat([landmarks[[48, 54, 49, 53, 59, 55]], (landmarks[[48, 54]] + landmarks[[36, 45]]) / 2])
        side = torch.tensor([-1.0, 1, -1, 1, -1, 1, -1, 1])[:, None]
        amount = torch.tensor([1.0, 1, 0.45, 0.45, 0.45, 0.45, 0.35, 0.35])[:, None]
        moves = 0.11 * strength * eyes * amount * (0.7 * side * across - down)
        return Pushes(points, moves, torch.zeros(8), torch.tensor([0.17] * 6 + [0.3] * 2) * eyes)
    if name == "large_eyes":
        both = torch.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0)])
        return Pushes(both, torch.zeros(2, 2), torch.full((2,), 0.28 * strength), torch.full((2,), 0.24 * eyes))
    raise KeyError(name)


def displacement(points: Tensor, strokes: Pushes) -> Tensor:
    """Return (N, 2) how far points (N, 2) are pushed; strokes that overlap are averaged."""
    offset = points[:, None] - strokes.centres[None]
    weight = torch.exp(-offset.square().sum(-1) / (2 * strokes.reaches.square()))
    weight = torch.where(weight < 0.01, 0.0, weight)
    moved = weight @ strokes.moves + torch.einsum("nk,nkd->nd", weight * strokes.gains, offset)
    return moved / weight.sum(1, keepdim=True).clamp(min=1.0)


def liquify(image: Tensor, strokes: Pushes, *, mode: str = "bilinear") -> Tensor:
    """Return (1, C, H, W) pushed about; what is pushed from p to p + d is looked up at p + d - d(p + d)."""
    height, width = image.shape[-2:]
    y, x = torch.arange(2.0, height + 2, 4), torch.arange(2.0, width + 2, 4)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    shift = displacement(grid.reshape(-1, 2), strokes).reshape(grid.shape)
    full = enlarge(shift.permute(2, 0, 1).contiguous(), 4)[:, :height, :width]
    rays = torch.empty(1, height, width, 2)
    torch.sub((torch.arange(width) + 0.5)[None, :], full[0], out=rays[0, ..., 0]).mul_(2 / width).sub_(1)
    torch.sub((torch.arange(height) + 0.5)[:, None], full[1], out=rays[0, ..., 1]).mul_(2 / height).sub_(1)
    moved = F.grid_sample(image, rays, mode=mode, padding_mode="border", align_corners=False)
    return torch.where((full != 0).any(0), moved, image)
