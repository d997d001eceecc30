"""A picture's skin taken apart: pigment that a product can hide, and relief, shadow and shine that it cannot.

After Tsumura et al. 1999/2003 ("Image-based skin color and texture analysis/synthesis"): in the logarithm of
reflectance melanin and haemoglobin each have a direction of their own, and shading is grey. What is grey and fine is
relief.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.box_mean import mean_of_neighbours
from spooflab.generators.faces.procedural.skinoptics import reflectance

_MOST = 1.1
_PIGMENTED = 0.3
"""Share of fine grey contrast on bare skin that is pigment and not relief; hairs are pigment nearly whole."""
_HAIRY = 0.9
_SMOOTH_CELLS = 6


@dataclass(frozen=True)
class SkinColour:
    """Skin at some resolution.

    Attributes:
        albedo: (3, H, W) diffuse reflectance by pigment, within [0.01, 0.95].
        relief: (H, W) log of the fine grey contrast: shine above 0, creases below.
        mean: (3,) albedo of the skin as a whole.
    """

    albedo: Tensor
    relief: Tensor
    mean: Tensor


def skin_colour(radiance: Tensor, shading: Tensor, skin: Tensor, mean: Tensor, hair: Tensor) -> SkinColour:
    """Separate pigment from relief.

    Args:
        radiance: (3, H, W) linear light.
        shading: (3, H, W) irradiance of the smooth head.
        skin: (H, W) in [0, 1], bare skin: what the mean is of.
        mean: (3,) mean albedo of this skin.
        hair: (H, W) in [0, 1], where grey contrast is hair on the skin (brows, stubble).
    """
    log = (radiance.clamp(min=1e-3) / shading).log_()
    weight = skin / skin.sum().clamp(min=1e-6)
    log -= (log * weight).sum((1, 2))[:, None, None]
    solve, pigments = _directions(tuple(round(v, 3) for v in mean.tolist()))
    height, width = skin.shape
    amounts = (solve @ log.reshape(3, -1)).clamp_(-_MOST, _MOST).reshape(2, height, width)
    # Single pixels' hue is noise and chroma subsampling.
    amounts = mean_of_neighbours(amounts)
    coloured = (pigments @ amounts.reshape(2, -1)).reshape(3, height, width)
    grey = (log - coloured).mean(0)
    relief = (grey - smooth(grey, skin, _SMOOTH_CELLS)).clamp_(-1.6, 1.6)
    pigmented = _PIGMENTED + (_HAIRY - _PIGMENTED) * hair
    albedo = coloured.add_(relief * pigmented).exp_().mul_(mean[:, None, None]).clamp_(0.01, 0.95)
    return SkinColour(albedo, relief, mean)


def smooth(values: Tensor, weight: Tensor, cells: int) -> Tensor:
    """Return (..., H, W) values averaged over blocks of `cells` and their neighbours by weight, and spread again."""
    lead, size = values.shape[:-2], values.shape[-2:]
    flat = values.reshape(-1, *size)
    stack = torch.cat([flat * weight, weight[None]])[None]
    small = F.avg_pool2d(stack, cells, ceil_mode=True, count_include_pad=False)
    # Far from any skin the mean of all of it holds.
    some = 1e-3 * small.mean((2, 3), keepdim=True) + 1e-7
    small = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, 1) + some
    mean = small[:, :-1] / small[:, -1:]
    scale = (small.shape[-2] * cells, small.shape[-1] * cells)
    wide = F.interpolate(mean, scale, mode="bilinear", align_corners=False)[0, :, : size[0], : size[1]]
    return wide.reshape(*lead, *size)


@lru_cache(maxsize=256)
def _directions(mean: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Return (2, 3) that finds melanin and haemoglobin in log reflectance, and (3, 2) their colours."""
    with torch.inference_mode(False):
        melanin, blood, table = _people()
        here = torch.tensor(mean).clamp(min=1e-3).log()
        k = int((table - here).square().sum(1).argmin())
        m, b = melanin[k], blood[k]
        # A step of one: e times the melanin, e times the blood.
        up = torch.stack([m * 1.1, m]), torch.stack([b, b * 1.1])
        steps = (reflectance(*up).log() - reflectance(m[None], b[None]).log()) / 0.09531
        columns = torch.stack([torch.ones(3), *steps], 1)
        return torch.linalg.inv(columns)[1:].contiguous(), steps.T.contiguous()


@lru_cache(maxsize=1)
def _people() -> tuple[Tensor, Tensor, Tensor]:
    """Return (N,) melanin, (N,) blood and (N, 3) log albedos of a grid of skins."""
    with torch.inference_mode(False):
        m, b = torch.meshgrid(torch.logspace(-2, -0.3, 24), torch.logspace(-1.7, -1.0, 10), indexing="ij")
        melanin, blood = m.reshape(-1), b.reshape(-1)
        return melanin, blood, reflectance(melanin, blood).log()
