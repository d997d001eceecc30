"""Which skin is likeliest behind the mean colour of skin in a picture."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.skinoptics import reflectance

_MELANIN, _BLOOD = (0.01, 0.5), (0.025, 0.09)
_STEPS = (48, 12)
_EXPOSED, _KEPT, _LEVEL_SPREAD = 0.36, 0.7, 0.18
_TINT_SPREAD = 0.09


def skin_albedo(mean_radiance: Tensor) -> Tensor:
    """Return (3,) the likeliest mean albedo of skin that has (3,) mean radiance.

    Maximum a posteriori over melanin and blood of the skin model: pictures are exposed for faces, so that skin of
    albedo 0.45 has radiance 0.36, give or take a fifth, and darker skin keeps a power 0.7 of its darkness; the light is
    nearly neutral in tint (white balance). Dark skin and light skin in dim light differ in their colour, which helps to
    tell them apart.
    """
    albedo, prior = _people()
    needed = mean_radiance.clamp(min=1e-4).double().log() - albedo.log()
    level = needed.mean(1)
    tint = needed - level[:, None]
    mean = albedo.log().mean(1)
    level_off = level + (1 - _KEPT) * mean - math.log(_EXPOSED * 0.45**-_KEPT)
    cost = (level_off / _LEVEL_SPREAD) ** 2 + (tint / _TINT_SPREAD).square().sum(1) + prior
    share = torch.softmax(-0.5 * cost, 0)
    return (share[:, None] * albedo.log()).sum(0).exp().float()


@lru_cache(maxsize=1)
def _people() -> tuple[Tensor, Tensor]:
    """Return (N, 3) albedos on a grid of melanin and blood, and (N,) their prior costs."""
    melanin = torch.linspace(math.log(_MELANIN[0]), math.log(_MELANIN[1]), _STEPS[0]).exp()
    blood = torch.linspace(*_BLOOD, _STEPS[1])
    m, b = (g.reshape(-1) for g in torch.meshgrid(melanin, blood, indexing="ij"))
    prior = ((b - 0.052) / 0.014) ** 2
    return reflectance(m, b).double(), prior.double()
