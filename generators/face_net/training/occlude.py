"""Things before and behind a face: scraps of pictures without faces, bars, blobs and fingers."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.params import log_uniform, uniform

_SHARE = 0.35


def scraps(textures: Tensor, count: int, size: int, gen: torch.Generator) -> Tensor:
    """Return (count, 3, size, size) radiance: turned and scaled scraps of `textures` (T, 3, s, s), lit at random."""
    which = torch.randint(0, len(textures), (count,), generator=gen)
    angle, zoom = uniform(count, -math.pi, math.pi, gen), log_uniform(count, 0.2, 0.95, gen)
    angle = torch.where(torch.rand(count, generator=gen) < 0.6, 0.1 * angle, angle)
    c, s = angle.cos() * zoom, angle.sin() * zoom
    at = (torch.rand(count, 2, generator=gen) * 2 - 1) * (1 - zoom[:, None])
    sign = torch.where(torch.rand(count, generator=gen) < 0.5, -1.0, 1.0)
    warp = torch.stack([torch.stack([c * sign, -s, at[:, 0]], -1), torch.stack([s * sign, c, at[:, 1]], -1)], 1)
    grid = F.affine_grid(warp, [count, 3, size, size], align_corners=False)
    rows = [
        F.grid_sample(textures[w : w + 1], grid[i : i + 1], padding_mode="reflection", align_corners=False)
        for i, w in enumerate(which.tolist())
    ]
    light = torch.cat(rows)
    tint = torch.exp(0.25 * torch.randn(count, 3, 1, 1, generator=gen))
    level = log_uniform(count, 0.3, 2.5, gen)[:, None, None, None]
    grey = (torch.rand(count, generator=gen) < 0.3)[:, None, None, None]
    light = torch.where(grey, light.mean(1, keepdim=True).expand_as(light), light)
    return light * tint * level


def occlude(light: Tensor, scraps: Tensor, gen: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return pictures with something before them in about a third, and its cover (B, 1, H, W) in [0, 1]."""
    batch, size = len(light), light.shape[-1]
    present = (torch.rand(batch, generator=gen) < _SHARE).float()[:, None, None, None]
    axis = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    place, angle = torch.rand(batch, 2, generator=gen), uniform(batch, 0, math.pi, gen)
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    dx, dy = x - place[:, 0, None, None], y - place[:, 1, None, None]
    u, v = c * dx + s * dy, c * dy - s * dx
    half = log_uniform(2 * batch, 0.025, 0.22, gen).reshape(2, batch, 1, 1)
    bar = torch.maximum(u.abs() - 3 * half[0], v.abs() - 0.5 * half[1])
    blob = torch.hypot(u / half[0], v / half[1]) * half.amin(0) - half.amin(0)
    fingers = _fingers(u, v, half[1] * 0.35)
    kind = torch.randint(0, 3, (batch, 1, 1), generator=gen)
    outline = torch.where(kind == 0, bar, torch.where(kind == 1, blob, fingers))
    edge = log_uniform(batch, 0.4, 4, gen)[:, None, None] / size
    cover = torch.sigmoid(-outline / edge * 2)[:, None] * present
    melanin = torch.rand(batch, 1, generator=gen)
    pale, deep = torch.tensor([[0.60, 0.36, 0.26]]), torch.tensor([[0.085, 0.042, 0.026]])
    skin = torch.exp(torch.lerp(pale.log(), deep.log(), melanin))[:, :, None, None] * log_uniform(
        batch, 0.4, 1.5, gen
    ).reshape(-1, 1, 1, 1)
    rounded = (0.55 + 0.45 * (-outline / half[1]).clamp(0, 1))[:, None]
    stuff = torch.where((kind == 2)[:, None], skin * rounded, scraps)
    return light + cover * (stuff - light), cover


def _fingers(u: Tensor, v: Tensor, radius: Tensor) -> Tensor:
    """Return the signed distance to four capsules side by side that come in from one side."""
    rods = []
    for k in range(4):
        tip = 0.06 * math.sin(1.3 * k + 0.4)
        beyond = (u - tip).clamp(min=0)
        rods.append(torch.hypot(beyond, v - (k - 1.5) * 2.1 * radius) - radius)
    return torch.stack(rods).amin(0)
