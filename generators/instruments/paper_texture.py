"""The texture of paper and print: fibres, formation or weave of the sheet, banding and mottle of the ink."""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.seeds import generator

TILE = 256
"""Side of the periodic fibre tile; a texel is half the paper's correlation length."""
_MOTTLE_CELLS = 40
_LEVELS = 7
_OFFSET = 64  # tiles added to keep positions positive before truncation


@lru_cache(maxsize=1)
def fibre_tile() -> Tensor:
    """Return (TILE, TILE) periodic texture of zero mean and unit variance: short fibres over cloudy formation.

    The power spectrum falls as f^-1.2 (formation of office paper is close to 1/f) with a shoulder at fibre length.
    """
    f = torch.fft.fftfreq(TILE, dtype=torch.float64)
    radius = torch.hypot(f[:, None], f[None]).clamp(min=1 / TILE)
    amplitude = radius**-0.6 * torch.exp(-((radius / 0.35) ** 2))
    amplitude[0, 0] = 0
    noise = torch.randn(TILE, TILE, generator=generator(0, "paper", "fibre"), dtype=torch.float64)
    tile: Tensor = torch.fft.ifft2(torch.fft.fft2(noise) * amplitude).real
    return (tile / tile.std()).float()


@lru_cache(maxsize=1)
def weave_tile() -> Tensor:
    """Return (TILE, TILE) periodic texture of zero mean and unit variance: a plain weave of uneven threads.

    A thread is eight texels wide; where it lies on top it is bright in its middle and dark towards its neighbours.
    """
    axis = (torch.arange(TILE, dtype=torch.float64) + 0.5) / 8
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    over = (x.floor() + y.floor()) % 2 == 0
    ridge = torch.where(over, torch.sin(torch.pi * x).abs(), torch.sin(torch.pi * y).abs())
    gen = generator(0, "paper", "weave")
    threads = TILE // 8
    warp, weft = 0.15 * torch.randn(2, threads, generator=gen, dtype=torch.float64)
    tile = ridge + torch.where(over, warp[x.long()], weft[y.long()])
    return ((tile - tile.mean()) / tile.std()).float()


def fibre_at(
    u: Tensor, v: Tensor, fibre_mm: float, shift: tuple[float, float], *, mm_per_px: float = 0.0, woven: bool = False
) -> Tensor:
    """Return the texture at sheet points (H, W) in mm: the nearest texel of the tile laid from `shift` (0-1).

    Args:
        u: sheet position, mm.
        v: sheet position, mm.
        fibre_mm: correlation length of the fibres, two texels of the tile, or the pitch of a weave's threads, eight.
        shift: where the tile begins.
        mm_per_px: size of the pixels that average over it; the tile is halved until its texels are about that large.
        woven: a weave instead of fibres.
    """
    texel = fibre_mm / (8 if woven else 2)
    level = max(0, min(_LEVELS - 1, round(math.log2(max(1.0, mm_per_px / texel)))))
    tile = _halved(woven, level)
    side = TILE >> level
    return tile.index_select(0, tile_index(u, v, 1 / (texel * 2**level), shift, side).flatten()).reshape(u.shape)


def tile_index(u: Tensor, v: Tensor, scale: float, shift: tuple[float, float], side: int) -> Tensor:
    """Return int32 indices (...) into a flat periodic tile of `side` x `side` texels (a power of two), `scale` a mm."""
    column = (u * scale).add_((shift[0] + _OFFSET) * side).to(torch.int32).bitwise_and_(side - 1)
    row = (v * scale).add_((shift[1] + _OFFSET) * side).to(torch.int32).bitwise_and_(side - 1)
    return row.mul_(side).add_(column)


@lru_cache(maxsize=16)
def _halved(woven: bool, level: int) -> Tensor:
    """Return the flat tile, averaged over squares of 2^level texels."""
    with torch.inference_mode(False):
        tile = weave_tile() if woven else fibre_tile()
        return F.avg_pool2d(tile[None, None], 2**level)[0, 0].flatten() if level else tile.flatten()


def ink_unevenness(
    window: tuple[int, int, int, int], size: tuple[int, int], mm_per_px: float, *,
    banding: float, band_mm: float, mottle: float, seed: int,
) -> Tensor:  # fmt: skip
    """Return (4, h, w): the relative deviation of each ink laid down, bands across the feed (v) and blotches.

    Args:
        window: left, top, right, bottom of the part that is wanted, in the picture's pixels.
        size: height and width of the whole printed picture.
        mm_per_px: size of those pixels on the sheet.
        banding: standard deviation of the bands, half of it periodic.
        band_mm: period of the regular band.
        mottle: standard deviation of the blotches, about 1/40 of the picture across.
        seed: names the draw.
    """
    left, top, right, bottom = window
    height = size[0]
    gen = generator(seed, "print", "unevenness")
    phase = torch.rand(4, 2, generator=gen)
    lines = torch.randn(4, 1, max(4, round(height * mm_per_px / band_mm * 2)), generator=gen)
    at = torch.arange(top, bottom) * mm_per_px / band_mm
    regular = torch.sin(6.2831853 * (at + phase[:, :1])) + 0.5 * torch.sin(12.566371 * (at + phase[:, 1:]))
    irregular = F.interpolate(lines, size=height, mode="linear", align_corners=False)[:, 0, top:bottom]
    bands = banding * (0.63 * regular + 0.7 * irregular)
    blotches = torch.randn(1, 4, _MOTTLE_CELLS, _MOTTLE_CELLS, generator=gen)
    down, across = _between(size[0], top, bottom), _between(size[1], left, right)
    return (down @ (mottle * blotches[0]) @ across.T).add_(bands[:, :, None])


def _between(size: int, first: int, last: int) -> Tensor:
    """Return (last - first, _MOTTLE_CELLS): linear interpolation of cells spread over `size` pixels."""
    at = ((torch.arange(first, last) + 0.5) * (_MOTTLE_CELLS / size) - 0.5).clamp(0, _MOTTLE_CELLS - 1)
    return (1 - (at[:, None] - torch.arange(_MOTTLE_CELLS)).abs()).clamp(min=0)
