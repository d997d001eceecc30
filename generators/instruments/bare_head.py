"""A head without its own hair, as far as a wig needs it: skin on the head, surroundings where they were hidden."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.enlarge import enlarge
from spooflab.generators.geometry import Geometry
from spooflab.generators.instruments.skin_chart import chart
from spooflab.generators.instruments.skin_texture import BLOTCHES, GRAIN, texture

_LEVELS = 5


def without_hair(radiance: Tensor, hair: Tensor, geometry: Geometry, seed: int) -> Tensor:
    """Return (3, H, W) light with own hair taken away.

    Args:
        radiance: (3, H, W).
        hair: (H, W) in [0, 1]: what goes.
        geometry: of the picture.
        seed: of the skin's unevenness.
    """
    index = (hair > 0).reshape(-1).nonzero()[:, 0]
    if len(index) == 0:
        return radiance.clone()
    maps, size = geometry.maps, hair.shape
    half = F.avg_pool2d(torch.cat([radiance, ((1 - hair) * (maps.cover == 0))[None]])[None], 2, ceil_mode=True)[0]
    surroundings = enlarge(filled(half[:3], half[3]), 2)[:, : size[0], : size[1]]

    def some(planes: Tensor) -> Tensor:
        return planes.reshape(len(planes), -1).index_select(1, index)

    uv = chart(some(maps.rest_mm)[:, None])
    uneven = 0.02 * texture(uv, 150.0, seed, BLOTCHES) + 0.03 * texture(uv, 60.0, seed + 1, GRAIN)
    skin = geometry.light.skin_albedo[:, None] * some(geometry.shading) * uneven.exp()
    # The head fades out down the neck, and its outline over a pixel.
    target = torch.lerp(some(surroundings), skin, some(maps.cover[None]))
    out = radiance.clone()
    before = some(radiance)
    out.view(3, -1).index_copy_(1, index, torch.lerp(before, target, some(hair[None])))
    return out


def filled(radiance: Tensor, known: Tensor) -> Tensor:
    """Return (3, H, W) with what is not `known` (H, W) filled smoothly from its surroundings.

    Push-pull pyramid (Gortler et al. 1996, "The Lumigraph").
    """
    levels = [torch.cat([radiance * known, known[None]])[None]]
    for _ in range(_LEVELS):
        levels.append(F.avg_pool2d(levels[-1], 2, ceil_mode=True, count_include_pad=False))
    last = levels[-1]
    mean = last[:, :3].sum((2, 3), keepdim=True) / last[:, 3:].sum((2, 3), keepdim=True).clamp(min=1e-6)
    out = torch.where(last[:, 3:] > 1e-3, last[:, :3] / last[:, 3:].clamp(min=1e-6), mean)
    for level in reversed(levels[:-1]):
        size = level.shape[-2:]
        wide = F.interpolate(out, size, mode="bilinear", align_corners=False)
        own = level[:, :3] / level[:, 3:].clamp(min=1e-6)
        out = torch.lerp(wide, own, (level[:, 3:] * 2).clamp(max=1))
    return out[0]
