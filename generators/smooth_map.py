"""Fields that vary smoothly over the sensor, held as values at a few nodes and spread to every pixel by two products.

Where a ray meets a flat instrument, its angle and its distance are analytic functions of the pixel (a homography and a
polynomial lens), so a tensor-product Chebyshev interpolant with 16 nodes a side reproduces them to rounding error at a
thousandth of the cost of casting every ray. Trefethen, Approximation Theory and Approximation Practice, ch. 2-8.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

NODES = 16
"""Chebyshev nodes a side."""


def node_positions(size: int) -> Tensor:
    """Return (NODES,) float64 Chebyshev nodes of the first kind on [0, size] pixels, ascending."""
    k = torch.arange(NODES, dtype=torch.float64)
    return size / 2 * (1 - torch.cos((2 * k + 1) * math.pi / (2 * NODES)))


def node_grid(height: int, width: int) -> Tensor:
    """Return (1, NODES, NODES, 2) float64 sensor points (x, y)."""
    x, y = torch.meshgrid(node_positions(width), node_positions(height), indexing="xy")
    return torch.stack([x, y], -1)[None]


@lru_cache(maxsize=16)
def _to_pixels(size: int, count: int, dtype: torch.dtype) -> Tensor:
    """Return (count, NODES): barycentric interpolation from the nodes on [0, size] to `count` pixel centres."""
    nodes = node_positions(size)
    k = torch.arange(NODES, dtype=torch.float64)
    weight = (-1) ** k * torch.sin((2 * k + 1) * math.pi / (2 * NODES))
    gap = ((torch.arange(count, dtype=torch.float64) + 0.5) * size / count)[:, None] - nodes
    exact = gap == 0
    terms = weight / torch.where(exact, torch.ones_like(gap), gap)
    matrix = torch.where(exact.any(1, keepdim=True), exact.to(gap.dtype), terms / terms.sum(1, keepdim=True))
    return matrix.to(dtype)


def spread(values: Tensor, height: int, width: int, *, rows: int | None = None, columns: int | None = None) -> Tensor:
    """Return (B, C, rows, columns): the interpolant of `values` (B, C, NODES, NODES) at pixel centres.

    Args:
        values: at `node_grid(height, width)`; float64 keeps phases of fine lattices exact.
        height: rows of the sensor window.
        width: columns of the sensor window.
        rows: rows of the result, which covers the whole window; by default one for each of the sensor's.
        columns: the same across.
    """
    down = _to_pixels(height, rows or height, values.dtype)
    across = _to_pixels(width, columns or width, values.dtype).T
    # One product for each field, so that a row's rounding does not depend on its neighbours in the batch.
    fields = values.reshape(-1, NODES, NODES)
    wide = torch.bmm(fields, across.expand(len(fields), -1, -1))
    full = torch.bmm(down.expand(len(fields), -1, -1), wide)
    return full.reshape(*values.shape[:2], *full.shape[1:])


def enlarge(cells: Tensor, height: int, width: int) -> Tensor:
    """Return (B, C, height, width): a coarse grid (B, C, h, w) under cubic B-splines, whose curvature is continuous.

    It smooths by a standard deviation of 0.58 cells; edges replicate.
    """
    fields = cells.reshape(-1, *cells.shape[-2:])
    down, across = _splines(cells.shape[-2], height), _splines(cells.shape[-1], width).T
    wide = torch.bmm(fields, across.expand(len(fields), -1, -1))
    full = torch.bmm(down.expand(len(fields), -1, -1), wide)
    return full.reshape(*cells.shape[:2], height, width)


@lru_cache(maxsize=16)
def _splines(cells: int, count: int) -> Tensor:
    """Return (count, cells): weights of the cubic B-splines around each pixel's centre."""
    at = ((torch.arange(count, dtype=torch.float64) + 0.5) * cells / count - 0.5)[:, None]
    distance = (at - torch.arange(-2, cells + 2)).abs()
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance).clamp(min=0) ** 3 / 6
    weight = torch.where(distance < 1, near, far)
    matrix = weight[:, 2:-2].clone()
    matrix[:, 0] += weight[:, :2].sum(1)
    matrix[:, -1] += weight[:, -2:].sum(1)
    return matrix.float()
