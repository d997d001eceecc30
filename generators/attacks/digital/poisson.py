"""Gradient-domain cloning: the smooth membrane between two pictures that agrees with their difference at a seam."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.enlarge import enlarge

_COARSEST = 4
_DAMPING = 0.8


def membrane(difference: Tensor, inside: Tensor, *, tolerance: float = 1e-2, max_steps: int = 12) -> Tensor:
    """Return (C, H, W) that equals `difference` outside the region and is harmonic within.

    Adding it to a source clones the source into the target with its own gradients (Pérez, Gangnet and Blake 2003,
    eq. 4 with the source's gradient as guidance: the correction solves Laplace's equation). Solved on the five-point
    grid by conjugate gradients, each step preconditioned by one multigrid V-cycle.

    Args:
        difference: (C, H, W) target minus source.
        inside: (H, W) bool, the region; pixels of the picture's rim are never inside.
        tolerance: residual at which to stop, relative to the first one.
        max_steps: most steps.
    """
    region = inside.clone()
    region[0], region[-1], region[:, 0], region[:, -1] = False, False, False, False
    height, width = region.shape
    multiple = 32
    pad = (0, -width % multiple, 0, -height % multiple)
    levels = _levels(F.pad(region, pad).to(difference.dtype))
    x = F.pad(difference, pad) * (1 - levels[0])
    x = x + levels[0] * fill(x, 1 - levels[0])
    residual = _neighbours(x).sub_(x, alpha=4).mul_(levels[0])
    first = residual.square().sum((-2, -1), keepdim=True)
    direction, last = torch.zeros_like(x), torch.ones_like(first)
    for _ in range(max_steps):
        step = _v_cycle(residual, levels)
        fit = (residual * step).sum((-2, -1), keepdim=True)
        direction = torch.addcmul(step, direction, fit / last.clamp(min=1e-30))
        last = fit
        image = _neighbours(direction).sub_(direction, alpha=4).mul_(levels[0])
        length = fit / -(direction * image).sum((-2, -1), keepdim=True).clamp(max=-1e-30)
        x.addcmul_(length, direction)
        residual.addcmul_(length, image)
        if bool((residual.square().sum((-2, -1), keepdim=True) <= tolerance**2 * first).all()):
            break
    return torch.where(region, x[:, :height, :width], difference)


def _levels(region: Tensor) -> list[Tensor]:
    """Return the region at full resolution and on ever coarser grids, each (h, w) of 0 and 1."""
    levels = [region]
    while min(levels[-1].shape) % 2 == 0 and max(levels[-1].shape) % 2 == 0 and min(levels[-1].shape) > _COARSEST:
        levels.append((F.avg_pool2d(levels[-1][None], 2)[0] > 0.99).to(region.dtype))
    return levels


def _v_cycle(right: Tensor, levels: list[Tensor]) -> Tensor:
    """Return an approximate solution of 4 e − Σ neighbours = right, zero outside the region; symmetric."""
    region = levels[0]
    weight = _DAMPING / 4 * region
    if len(levels) == 1:
        e = right * region / 4
        for _ in range(12):
            e = _relaxed(e, right, weight)
        return e
    e = _relaxed(right * weight, right, weight)
    residual = _neighbours(e).sub_(e, alpha=4).add_(right).mul_(region)
    coarse = _v_cycle(F.avg_pool2d(residual[None], 2)[0].mul_(4), levels[1:])
    e.addcmul_(enlarge(coarse, 2), region)
    for _ in range(2):
        e = _relaxed(e, right, weight)
    return e


def _relaxed(e: Tensor, right: Tensor, weight: Tensor) -> Tensor:
    """Return e + (right − 4 e + Σ neighbours) weight, one damped Jacobi step, of an `e` that is 0 where `weight` is."""
    return _neighbours(e).add_(right).mul_(weight).add_(e, alpha=1 - _DAMPING)


def _neighbours(x: Tensor) -> Tensor:
    """Return the sum of the four neighbours (C, H, W); the picture's rim, which no region holds, is meaningless."""
    width, line, total = x.shape[-1], x.reshape(-1), torch.zeros_like(x)
    flat = total.view(-1)  # whole planes in a row: what wraps round an end falls on the rim
    torch.add(line[:-2], line[2:], out=flat[1:-1])
    flat[width:].add_(line[:-width])
    flat[:-width].add_(line[width:])
    return total


def fill(known: Tensor, weight: Tensor) -> Tensor:
    """Return (C, H, W) known values pulled to coarser grids and pushed back: smooth where nothing is known.

    Args:
        known: (C, H, W), 0 where `weight` is.
        weight: (H, W), 1 where a value is known, else 0. Sides that can be halved often give smoother results.
    """
    if min(known.shape[-2:]) <= _COARSEST or known.shape[-1] % 2 or known.shape[-2] % 2:
        mean = known.sum((-2, -1), keepdim=True) / weight.sum().clamp(min=1e-6)
        return mean.expand_as(known)
    pulled, share = F.avg_pool2d(known[None], 2)[0], F.avg_pool2d(weight[None], 2)[0]
    value = pulled / share.clamp(min=1e-6)
    full = (share > 0).to(known.dtype)
    coarse = full * value + (1 - full) * fill(full * value, full)
    return enlarge(coarse, 2)
