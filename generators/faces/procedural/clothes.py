"""Clothes: the part of the body mesh below a neckline, puffed out and dyed."""

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.noise import look_up
from spooflab.generators.faces.procedural.params import NuisanceParams
from spooflab.generators.faces.procedural.skin import step

HIGHEST_MM = -95.0
"""No garment reaches above this height of the rest mesh."""


def below_neckline(rest: Tensor, style: int) -> Tensor:
    """Return (N,) signed millimetres below the neckline of `CLOTHES[style]`; positive is covered."""
    x, y, z = rest.unbind(1)
    back = step(z, -45, -120)
    side = step(x.abs(), 20, 70)
    if style == 0:
        line = -141 + 18 * back + 9 * side
    elif style == 1:
        line = -166 + 1.15 * x.abs().clamp(max=38) + 22 * back
    elif style == 2:
        line = -117 + 6 * back + 0 * x
    else:
        line = -158 + 1.2 * x.abs().clamp(max=22) + 20 * back + 6 * side
    return line - y


def puff(points: Tensor, normals: Tensor, rest: Tensor, style: int) -> Tensor:
    """Return the mesh with cloth thickness below the neckline."""
    depth = below_neckline(rest, style)
    collar = torch.exp(-((depth - 5) / 9).square()) * (2.2 if style in {2, 3} else 0.8)
    folds = torch.sin(rest[:, 0] * 0.13 + 2 * torch.sin(rest[:, 1] * 0.05)) * step(depth, 15, 60) * 1.6
    amount = step(depth, -6.0, 9.0) * (3.2 + collar + folds)
    return points + normals * amount[:, None]


def dye(rest: Tensor, nuisance: NuisanceParams) -> tuple[Tensor, Tensor]:
    """Return (N, 3) albedo and (N, 2) relief slopes of cloth samples."""
    colour = nuisance.clothes_colour[0]
    style, pattern = int(nuisance.clothes_style[0]), int(nuisance.clothes_pattern[0])
    depth = below_neckline(rest, style)
    seed = int(nuisance.clothes_seed[0])
    shift = torch.tensor([(seed & 255) / 256, (seed >> 8 & 255) / 256])
    uv = torch.stack([torch.atan2(rest[:, 0], rest[:, 2] + 120) * 130, rest[:, 1]], 1)
    mid, fine = look_up(uv, 60.0, shift, slice(1, 3))
    tone = torch.ones(len(rest), 3) * colour
    other = torch.roll(colour, 1) * 0.55 + 0.04
    if pattern == 1:
        tone = torch.lerp(tone, other.expand_as(tone), step(torch.sin(rest[:, 1] * 0.42), -0.1, 0.1)[:, None])
    elif pattern == 2:
        tone = tone * (1 + 0.10 * fine)[:, None]
    elif pattern == 3:
        checks = (step(torch.sin(uv[:, 0] * 0.3), 0, 0.1) + step(torch.sin(uv[:, 1] * 0.3), 0, 0.1)) / 2
        tone = torch.lerp(tone, other.expand_as(tone), checks[:, None] * 0.7)
    rib = torch.sin(uv[:, 0] * (1.7 if style == 2 else 2.2)) * (step(depth, 17, 14) if style != 2 else 1)
    seam = torch.exp(-((depth - 15.5) / 1.0).square()) * (0.0 if style == 2 else 0.35)
    edge = step(depth, 0.0, 2.5)
    tone = tone * ((1 + 0.06 * mid + 0.05 * rib) * (1 - seam) * (0.55 + 0.45 * edge))[:, None]
    return tone.clamp(0.005, 0.9), torch.stack([0.08 * rib + 0.03 * mid, 0.015 * fine], 1)
