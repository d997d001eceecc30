"""Photosites that do not work: lasting places of one sensor, most of them filled in from their neighbours."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.sensor_tiles import TILE, centred_window
from spooflab.augment.unused import unused
from spooflab.seeds import generator


def defects(raw: Tensor, *, seeds: Tensor, share: Tensor, left: Tensor) -> Tensor:
    """Return raw signal (B, 1 or 3, H, W) with defective photosites, as many as the (B,) `share` of all.

    Half of them are dead (0), half are hot (1). The camera's map knows the share 1 - `left` of them, and puts the mean
    of the neighbours at distance two there, which have the same colour in a mosaic; the rest show. `seeds` (B,) int64
    alone decide the places; they belong to the sensor, and windows of different sizes share its centre. In a sensor of
    three planes a defect takes all of them.
    """
    if unused(share > 0):
        return raw
    height, width = raw.shape[-2:]
    place = torch.stack([_uniforms(int(seed), height, width) for seed in seeds.tolist()])[:, None].to(raw.device)
    limit = share[:, None, None, None]
    broken, shows = place < limit, place < limit * left[:, None, None, None]
    # Within what shows, and within what does not, the digits that follow decide between dead and hot.
    stuck = ((place / limit.clamp(min=1e-12) * 1024).floor() % 2).to(raw.dtype)
    padded = F.pad(raw, (2, 2, 2, 2), mode="reflect")
    near = [padded[..., 2:-2, :-4], padded[..., 2:-2, 4:], padded[..., :-4, 2:-2], padded[..., 4:, 2:-2]]
    filled = torch.stack(near).mean(0)
    return torch.where(shows, stuck, torch.where(broken, filled, raw))


@lru_cache(maxsize=16)
def _uniforms(seed: int, height: int, width: int) -> Tensor:
    """Return (H, W) float64 uniforms of one sensor."""

    def tile(row: int, column: int) -> Tensor:
        return torch.rand(TILE, TILE, dtype=torch.float64, generator=generator(seed, "defects", row, column))

    return centred_window(tile, height, width)
