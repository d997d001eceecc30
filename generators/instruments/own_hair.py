"""The hair that the wearer of a wig has already: where it is, and how far it stands off the head."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.face import PARSING
from spooflab.generators.faces.procedural.hair import scalp_depth
from spooflab.generators.geometry import Geometry

_STEP = 4
_REACH_MM = 45.0
_ABOVE_MM = 25.0


def own_hair(radiance: Tensor, geometry: Geometry) -> Tensor:
    """Return (h, w) in 0-1 at every fourth pixel: the wearer's hair.

    A parsing tells where there is one; what it calls skin above the eyes but beside the fitted head is thin hair. In
    photographs without one it grows from the scalp of the fitted head through what has the colour that the scalp has
    there.
    """
    if geometry.parsing is not None:
        hair = ((geometry.parsing == PARSING.index("hair")) | beyond_the_head(geometry)).float()
        return F.avg_pool2d(hair[None, None], _STEP)[0, 0]
    cover = geometry.maps.cover[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP]
    rest = geometry.maps.rest_mm[:, _STEP // 2 :: _STEP, _STEP // 2 :: _STEP]
    log = F.avg_pool2d(radiance[None], _STEP)[0].clamp(min=2e-3).log()
    depth = scalp_depth(rest.flatten(1).T.contiguous(), 0.2).reshape(cover.shape)
    seed = (cover > 0) & (depth > 8) & (rest[1] > 20)
    index = seed.reshape(-1).nonzero()[:, 0]
    if len(index) < 20:
        return torch.zeros_like(cover)
    part = log.reshape(3, -1).index_select(1, index)
    middle = part.median(1, keepdim=True).values
    spread = ((part - middle).abs().median(1, keepdim=True).values * 1.48).clamp(min=0.12)
    far = ((log.reshape(3, -1) - middle) / spread).abs().amax(0).reshape(cover.shape)
    # Bangs hang on the forehead, where what is skin is known.
    bare = F.avg_pool2d(geometry.skin[None, None], _STEP)[0, 0]
    bare = F.avg_pool2d(bare[None, None], 5, 1, 2)[0, 0]
    alike = (far < 3.0) & ~((cover > 0) & (depth < 0) & ((rest[1] < 24) | (bare > 0.3)))
    grown = (seed & alike).float()
    for _ in range(int(_REACH_MM / (geometry.fit.mm_per_px * _STEP))):
        grown = F.max_pool2d(grown[None, None], 3, 1, 1)[0, 0] * alike
    return F.avg_pool2d(grown[None, None], 3, 1, 1)[0, 0]


def beyond_the_head(geometry: Geometry) -> Tensor:
    """Return (H, W) bool: skin by the parsing that lies above the eyes and outside of the fitted head."""
    assert geometry.parsing is not None
    eyes = geometry.fit.project(geometry.fit.to_camera(geometry.fit.eyes[:, :3]))[:, 1]
    above = torch.arange(geometry.parsing.shape[0])[:, None] < float(eyes.amin()) - _ABOVE_MM / geometry.fit.mm_per_px
    found: Tensor = (geometry.parsing == PARSING.index("skin")) & (geometry.maps.cover == 0) & above
    return found


def stand_off_mm(hair: Tensor, geometry: Geometry) -> float:
    """Return how far own hair (h, w) stands off the head's outline above the ears: the width that holds nine tenths."""
    cover = geometry.maps.cover[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP]
    pixel = geometry.fit.mm_per_px * _STEP
    ears = geometry.fit.project(geometry.fit.to_camera(torch.tensor([0.0, -15.0, -60.0])))[1]
    above = (torch.arange(hair.shape[0]) * _STEP < float(ears))[:, None]
    outside = (hair > 0.5) & (cover == 0) & above
    total = int(outside.sum())
    if total < 5:
        return 0.0
    ring, reached = (cover > 0).float(), 0.0
    while reached < _REACH_MM:
        ring = F.max_pool2d(ring[None, None], 3, 1, 1)[0, 0]
        reached += pixel
        if int((outside & (ring > 0)).sum()) >= 0.9 * total:
            break
    return reached
