"""Folds and crumples of a sheet: where it has been creased its slope jumps, and the ink wears off along the line.

A fold leaves a ridge whose slope fades away from the line; a crumpled sheet that was smoothed out again is a patchwork
of facets, each tilted a little, whose borders end at older borders (the hierarchy of ridges in Vliegenthart & Gompper,
Nature Materials 5 (2006) 216-221).
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.instruments.paper_texture import tile_index
from spooflab.params import Params, uniform
from spooflab.seeds import generator as named_generator

TILE = 512
"""Side of the tile of facets; a sheet uses it turned and moved."""
_SPLITS = 9
_TABLE = 4096
_DEEPEST_MM = 3000.0


@dataclass(frozen=True)
class Creases(Params):
    """How one sheet has been folded and crumpled; every field is batched.

    Attributes:
        folds: (B, 2) int64 number of folds across u (upright lines) and across v (level lines), 0-3.
        fold_slope: (B,) slope of the sheet beside a fold.
        fold_reach_mm: (B,) distance over which that slope halves.
        wear: (B,) share of the ink that is gone along a fold.
        crumple: (B,) root mean square slope of the facets, 0 for a sheet that was never crumpled.
        facet_mm: (B,) size of the tile of facets.
        turn_deg: (B,) its turn.
        seed: (B,) int64, names where the folds and the facets are.
    """

    folds: Tensor
    fold_slope: Tensor
    fold_reach_mm: Tensor
    wear: Tensor
    crumple: Tensor
    facet_mm: Tensor
    turn_deg: Tensor
    seed: Tensor


def sample_creases(folded: Tensor, crumpled: Tensor, size_mm: Tensor, generator: torch.Generator) -> Creases:
    """Draw creases; `folded` and `crumpled` (B,) are the probabilities, `size_mm` (B, 2) the sheets."""
    n = folded.shape[0]
    has_fold = torch.rand(n, generator=generator) < folded
    has_crumple = torch.rand(n, generator=generator) < crumpled
    counts = torch.tensor([[0, 1], [1, 0], [1, 1], [0, 2], [1, 3], [3, 1], [3, 3]])
    few = torch.where(size_mm.amin(-1) < 280, 4, len(counts))
    pick = (torch.rand(n, generator=generator) * few).long()
    slope = uniform(n, 0.03, 0.2, generator)
    return Creases(
        folds=counts[pick] * has_fold[:, None],
        fold_slope=slope * has_fold,
        fold_reach_mm=0.06 * size_mm.amin(-1) * uniform(n, 0.5, 2.0, generator),
        wear=uniform(n, 0.0, 0.5, generator) * has_fold,
        crumple=uniform(n, 0.03, 0.16, generator) * has_crumple,
        facet_mm=size_mm.amin(-1) * uniform(n, 1.0, 2.2, generator),
        turn_deg=uniform(n, 0, 360, generator),
        seed=torch.randint(0, 2**62, (n,), generator=generator),
    )


def creased(creases: Creases) -> bool:
    """Return whether a batch of one has any crease."""
    return bool(creases.folds.any()) or float(creases.crumple) > 0


def crease_slopes(creases: Creases, u: Tensor, v: Tensor, sheet_mm: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slopes d(height)/du and d(height)/dv (...) at sheet points u, v (...), mm, height towards the camera.

    Args:
        creases: one row.
        u: sheet position, mm.
        v: sheet position, mm.
        sheet_mm: (2,) the sheet, which its folds divide.
    """
    gen = named_generator(int(creases.seed), "creases")
    across = _folded(u, creases, 0, float(sheet_mm[0]), gen)
    along = _folded(v, creases, 1, float(sheet_mm[1]), gen)
    rms = float(creases.crumple)
    if rms > 0:
        angle = torch.deg2rad(creases.turn_deg[0])
        cos, sin = float(angle.cos()), float(angle.sin())
        scale = TILE / float(creases.facet_mm)
        shift = torch.rand(2, generator=gen).tolist()
        index = tile_index(u * cos + v * sin, v * cos - u * sin, scale, (shift[0], shift[1]), TILE)
        s, t = (plane.index_select(0, index.flatten()).reshape(u.shape).mul_(rms) for plane in _facets().flatten(1))
        across = across.add(s, alpha=cos).add_(t, alpha=-sin)
        along = along.add(s, alpha=sin).add_(t, alpha=cos)
    return across, along


def worn(creases: Creases, u: Tensor, v: Tensor, sheet_mm: Tensor, mm_per_px: float) -> Tensor | None:
    """Return (H, W) the share of ink that is gone, along the folds; None where no fold is worn."""
    strength = float(creases.wear)
    if strength == 0 or not bool(creases.folds.any()):
        return None
    gen = named_generator(int(creases.seed), "creases")
    lost = torch.zeros_like(u)
    for axis, at in enumerate((u, v)):
        lines, _ = _lines(creases, axis, float(sheet_mm[axis]), gen)
        for line in lines:
            half = max(0.5, 1.3 * mm_per_px)
            share = strength * 0.5 / half
            torch.maximum(lost, (1 - (at - line).abs() / half).clamp_(min=0).mul_(share), out=lost)
    return lost


def _lines(creases: Creases, axis: int, size: float, gen: torch.Generator) -> tuple[list[float], list[float]]:
    """Return places and signed strengths of the folds across one axis, evenly spaced but for a small error."""
    count = int(creases.folds[0, axis])
    jitter = 0.02 * size * torch.randn(3, generator=gen)
    sign = torch.where(torch.rand(3, generator=gen) < 0.5, -1.0, 1.0) * (0.6 + 0.8 * torch.rand(3, generator=gen))
    places = [size * ((k + 1) / (count + 1) - 0.5) + float(jitter[k]) for k in range(count)]
    return places, sign[:count].tolist()


def _folded(at: Tensor, creases: Creases, axis: int, size: float, gen: torch.Generator) -> Tensor:
    """Return the slope across one axis by looking positions up in a table."""
    lines, signs = _lines(creases, axis, size, gen)
    if not lines:
        return torch.zeros_like(at)
    low = -min(size, _DEEPEST_MM)
    x = torch.linspace(low, -low, _TABLE)
    slope, reach = torch.zeros_like(x), float(creases.fold_reach_mm)
    for line, sign in zip(lines, signs, strict=True):
        away = (x - line) / reach
        slope += float(creases.fold_slope) * sign * torch.sign(away) / (1 + away * away)
    index = (at - low).mul_((_TABLE - 1) / (-2 * low)).add_(0.5).to(torch.int32).clamp_(0, _TABLE - 1)
    return slope.index_select(0, index.flatten()).reshape(at.shape)


@lru_cache(maxsize=1)
def _facets() -> Tensor:
    """Return (2, TILE, TILE): slopes of a crumpled sheet, each of unit variance, mirrored so that it tiles."""
    with torch.inference_mode(False):
        half = TILE // 2
        gen = named_generator(0, "paper", "facets")
        axis = torch.arange(half) / half
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        facet = torch.zeros(half, half, dtype=torch.int64)
        slope = torch.zeros(2, half, half)
        for depth in range(_SPLITS):
            count = 2**depth
            middle = torch.stack([_mean(x, facet, count), _mean(y, facet, count)], -1)
            angle = 6.2831853 * torch.rand(count, generator=gen)
            middle = middle + 0.12 * 0.75**depth * torch.randn(count, 2, generator=gen)
            way = torch.stack([angle.cos(), angle.sin()], -1)
            size = torch.randn(count, generator=gen) * 0.85**depth
            side = (x - middle[facet, 0]) * way[facet, 0] + (y - middle[facet, 1]) * way[facet, 1] > 0
            step = torch.where(side, 1.0, -1.0) * size[facet]
            slope += step * way[facet].permute(2, 0, 1)
            facet = 2 * facet + side.long()
        slope = slope - slope.mean((1, 2), keepdim=True)
        slope = slope / slope.std((1, 2), keepdim=True)
        wide = torch.cat([slope, slope.flip(2) * torch.tensor([-1.0, 1.0])[:, None, None]], 2)
        return torch.cat([wide, wide.flip(1) * torch.tensor([1.0, -1.0])[:, None, None]], 1).contiguous()


def _mean(values: Tensor, group: Tensor, count: int) -> Tensor:
    total = torch.zeros(count).index_add_(0, group.flatten(), values.flatten())
    members = torch.zeros(count).index_add_(0, group.flatten(), torch.ones(values.numel()))
    return total / members.clamp(min=1)
