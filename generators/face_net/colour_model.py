"""How one picture's skin or hair looks: a Gaussian of colour, level and roughness, and the small filters it needs."""

import torch
from torch import Tensor
from torch.nn import functional as F

SPREAD = (0.03, 0.03, 0.35, 0.15)
"""Least standard deviations of both chromaticities, level and roughness (logarithms): light varies over a head."""
_FINE = 0.03
"""Radius over which colours are averaged, in distances between the eyes."""
_LEAST_SHARE = 0.02
"""Area of what is sure, in squared distances between the eyes, under which there is no model."""


def features(radiance: Tensor, unit: float) -> Tensor:
    """Return (4, h, w): two chromaticities, level and roughness, in logarithms."""
    log = radiance.clamp(min=4e-3).log()
    grey = log.mean(0)
    fine = mean(torch.cat([log[:2] - log[1:], grey[None], (grey * grey)[None]]), max(1, round(_FINE * unit)))
    rough = (fine[3] - fine[2].square()).clamp(min=1e-5).sqrt().log()
    return torch.cat([fine[:3], rough[None]])


def model(features: Tensor, where: Tensor, unit: float) -> tuple[Tensor, Tensor] | None:
    """Return mean (4,) and covariance (4, 4) of what is sure, None where that is too little."""
    part = features.flatten(1)[:, where.reshape(-1)]
    if part.shape[1] < max(40.0, _LEAST_SHARE * unit * unit):
        return None
    middle = part.mean(1)
    away = part - middle[:, None]
    return middle, away @ away.T / part.shape[1] + torch.diag(torch.tensor(SPREAD).square())


def log_density(features: Tensor, middle: Tensor, spread: Tensor) -> Tensor:
    """Return (h, w) the Gaussian's log density, less a constant."""
    away = features.flatten(1) - middle[:, None]
    square = (away * torch.linalg.solve(spread, away)).sum(0)
    density: Tensor = -0.5 * (square + torch.logdet(spread))
    return density.reshape(features.shape[1:])


def mean(planes: Tensor, radius: int) -> Tensor:
    """Return (C, h, w) means over squares; edges repeat."""
    padded = F.pad(planes[None], (radius,) * 4, mode="replicate")
    return F.avg_pool2d(padded, 2 * radius + 1, 1)[0]


def halved(radiance: Tensor) -> Tensor:
    """Return (3, ⌈H/2⌉, ⌈W/2⌉) means of blocks of four pixels."""
    return F.avg_pool2d(radiance[None], 2, ceil_mode=True, count_include_pad=False)[0]


def grown(mask: Tensor, radius: int) -> Tensor:
    """Return a mask (h, w) dilated by a square."""
    wide = mask.float()[None]
    across = F.max_pool2d(wide, (1, 2 * radius + 1), 1, (0, radius))
    return F.max_pool2d(across, (2 * radius + 1, 1), 1, (radius, 0))[0] > 0


def shrunk(mask: Tensor, radius: int) -> Tensor:
    """Return a mask (h, w) eroded by a square; past the picture's edge it goes on."""
    return ~grown(~mask, radius)
