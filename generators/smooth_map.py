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

Device = torch.device | str | None


def node_positions(size: int, device: Device = None) -> Tensor:
    """Return (NODES,) float64 Chebyshev nodes of the first kind on [0, size] pixels, ascending."""
    k = torch.arange(NODES, dtype=torch.float64, device=device)
    return size / 2 * (1 - torch.cos((2 * k + 1) * math.pi / (2 * NODES)))


def node_grid(height: int, width: int, device: Device = None) -> Tensor:
    """Return (1, NODES, NODES, 2) float64 sensor points (x, y)."""
    x, y = torch.meshgrid(node_positions(width, device), node_positions(height, device), indexing="xy")
    return torch.stack([x, y], -1)[None]


def node_weights(size: int, at: Tensor) -> Tensor:
    """Return (len(at), NODES) float64: barycentric interpolation from the nodes on [0, size] to points `at`."""
    k = torch.arange(NODES, dtype=torch.float64, device=at.device)
    weight = torch.cos(k * math.pi).round() * torch.sin((2 * k + 1) * math.pi / (2 * NODES))
    gap = at[:, None] - node_positions(size, at.device)
    exact = gap == 0
    terms = weight / torch.where(exact, torch.ones_like(gap), gap)
    return torch.where(exact.any(1, keepdim=True), exact.to(gap.dtype), terms / terms.sum(1, keepdim=True))


@lru_cache(maxsize=64)
def _to_pixels(size: int, count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return (count, NODES): interpolation from the nodes on [0, size] to `count` pixel centres."""
    at = (torch.arange(count, dtype=torch.float64, device=device) + 0.5) * size / count
    return node_weights(size, at).to(dtype)


@lru_cache(maxsize=64)
def _to_points(size: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (count, NODES) float64 twice: value, and change over a pixel, from first to last pixel centre."""
    at = torch.linspace(0.5, size - 0.5, count, dtype=torch.float64, device=device)
    return node_weights(size, at), node_weights(size, at + 0.5) - node_weights(size, at - 0.5)


def spread(values: Tensor, height: int, width: int, *, rows: int | None = None, columns: int | None = None) -> Tensor:
    """Return (B, C, rows, columns): the interpolant of `values` (B, C, NODES, NODES) at pixel centres.

    Args:
        values: at `node_grid(height, width)`; float64 keeps phases of fine lattices exact.
        height: rows of the sensor window.
        width: columns of the sensor window.
        rows: rows of the result, which covers the whole window; by default one for each of the sensor's.
        columns: the same across.
    """
    down = _to_pixels(height, rows or height, values.dtype, values.device)
    across = _to_pixels(width, columns or width, values.dtype, values.device).T
    # One product for each field, so that a row's rounding does not depend on its neighbours in the batch.
    fields = values.reshape(-1, NODES, NODES)
    wide = torch.bmm(fields, across.expand(len(fields), -1, -1))
    full = torch.bmm(down.expand(len(fields), -1, -1), wide)
    return full.reshape(*values.shape[:2], *full.shape[1:])


def slopes(values: Tensor, height: int, width: int, count: int) -> Tensor:
    """Return (B, count, count, C, 2): the change of `values` (B, C, NODES, NODES) per pixel along x and y.

    Central differences over one pixel of the interpolant, at `count` points a side from the first pixel's centre to the
    last's. For positions on an instrument this is the pixel's footprint.
    """
    value_y, step_y = _to_points(height, count, values.device)
    value_x, step_x = _to_points(width, count, values.device)
    nodes = values.double()
    along_x = value_y @ nodes @ step_x.T
    along_y = step_y @ nodes @ value_x.T
    return torch.stack([along_x, along_y], -1).permute(0, 2, 3, 1, 4)


def enlarge(cells: Tensor, height: int, width: int) -> Tensor:
    """Return (B, C, height, width): a coarse grid (B, C, h, w) under cubic B-splines, whose curvature is continuous.

    It smooths by a standard deviation of 0.58 cells; edges replicate.
    """
    fields = cells.reshape(-1, *cells.shape[-2:])
    down = _splines(cells.shape[-2], height, cells.device)
    across = _splines(cells.shape[-1], width, cells.device).T
    wide = torch.bmm(fields, across.expand(len(fields), -1, -1))
    full = torch.bmm(down.expand(len(fields), -1, -1), wide)
    return full.reshape(*cells.shape[:2], height, width)


@lru_cache(maxsize=64)
def _splines(cells: int, count: int, device: torch.device) -> Tensor:
    """Return (count, cells): weights of the cubic B-splines around each pixel's centre."""
    at = ((torch.arange(count, dtype=torch.float64, device=device) + 0.5) * cells / count - 0.5)[:, None]
    distance = (at - torch.arange(-2, cells + 2, device=device)).abs()
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance).clamp(min=0) ** 3 / 6
    weight = torch.where(distance < 1, near, far)
    matrix = weight[:, 2:-2].clone()
    matrix[:, 0] += weight[:, :2].sum(1)
    matrix[:, -1] += weight[:, -2:].sum(1)
    return matrix.float()
