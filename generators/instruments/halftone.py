"""Halftone screens as periodic threshold cells, and their Fourier series at every coverage.

A screen is a cell of thresholds, uniformly distributed in (0, 1), repeated along two lattice vectors; ink lies where
the threshold is below the wanted coverage. An AM screen's thresholds are the rank of a spot function (dots grow); an FM
screen's are a blue-noise mask (dots multiply). Both go through the same tables.
"""

from functools import lru_cache

import torch
from torch import Tensor

from spooflab.seeds import generator

CELL = 64
"""Samples along each side of a cell."""
LEVELS = 33
"""Coverages (0, 1/32, ... 1) at which a cell is tabulated."""
LOW_ORDERS = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2), (2, 1), (2, -1), (1, 2), (1, -2))
"""Harmonics (half of the plane) whose beats between inks are followed."""
_CROWDING_PX = 1.5


def spot_function(x: Tensor, y: Tensor, spot: str) -> Tensor:
    """Return the height of the spot function at cell positions x, y in [-1/2, 1/2); low values print first.

    `round`: distance from the centre. `euclidean`: dots grow to a chequerboard at 50 % and then holes shrink.
    `ellipse`: dots that join along one direction before the other. `line`: a ridge that swells.
    """
    if spot == "round":
        return torch.hypot(x, y)
    if spot == "line":
        return y.abs() + 0.08 * (1 - torch.cos(2 * torch.pi * x))
    if spot == "ellipse":
        return -(torch.cos(2 * torch.pi * x) * 0.72 + torch.cos(2 * torch.pi * y))
    if spot == "euclidean":
        return -(torch.cos(2 * torch.pi * x) + torch.cos(2 * torch.pi * y))
    raise ValueError(f"spot is {spot!r}, wanted euclidean, round, ellipse or line")


@lru_cache(maxsize=8)
def threshold_cell(spot: str) -> Tensor:
    """Return (CELL, CELL) thresholds of one AM cell, dot at the centre: ranks, so coverage is exact."""
    axis = (torch.arange(CELL, dtype=torch.float64) + 0.5) / CELL - 0.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return _ranks(spot_function(x, y, spot) + 1e-9 * x + 2e-9 * y)


@lru_cache(maxsize=2)
def blue_noise_mask() -> Tensor:
    """Return (CELL, CELL) thresholds by void-and-cluster (Ulichney, Proc. SPIE 1913 (1993) 332-343), periodic.

    Dots are ranked by a Gaussian crowding measure: from an even start of a tenth of the cells, the most crowded dot
    goes last in, the emptiest place is filled next.
    """
    count = CELL * CELL
    kernel = _crowding_kernel().repeat(2, 2)
    gen = generator(0, "halftone", "mask")
    dots = torch.zeros(count, dtype=torch.bool)
    dots[torch.randperm(count, generator=gen)[: count // 10]] = True
    energy = 1e-9 * torch.rand(CELL, CELL, generator=gen, dtype=torch.float64)
    for cell in dots.nonzero()[:, 0].tolist():
        energy += _crowd(kernel, cell)
    for _ in range(count):
        crowded = _extreme(energy, dots, 1.0)
        energy -= _crowd(kernel, crowded)
        dots[crowded] = False
        empty = _extreme(energy, ~dots, -1.0)
        energy += _crowd(kernel, empty)
        dots[empty] = True
        if empty == crowded:
            break
    rank = torch.zeros(count, dtype=torch.float64)
    start = int(dots.sum())
    sparse, low = dots.clone(), energy.clone()
    for order in range(start - 1, -1, -1):
        cell = _extreme(low, sparse, 1.0)
        low -= _crowd(kernel, cell)
        sparse[cell] = False
        rank[cell] = order
    for order in range(start, count):
        cell = _extreme(energy, ~dots, -1.0)
        energy += _crowd(kernel, cell)
        dots[cell] = True
        rank[cell] = order
    return ((rank + 0.5) / count).reshape(CELL, CELL)


@lru_cache(maxsize=8)
def cell_spectra(screen: str) -> Tensor:
    """Return (LEVELS, CELL, CELL // 2 + 1) complex Fourier coefficients of the printed cell at each tabulated coverage.

    Args:
        screen: a spot function's name, or `fm`.
    """
    thresholds = blue_noise_mask() if screen == "fm" else threshold_cell(screen)
    levels = torch.arange(LEVELS, dtype=torch.float64) / (LEVELS - 1)
    printed = (thresholds < levels[:, None, None]).double()
    series: Tensor = torch.fft.rfft2(printed) / CELL**2
    return series.to(torch.complex64)


@lru_cache(maxsize=8)
def cell_power(screen: str) -> Tensor:
    """Return (LEVELS, CELL * (CELL // 2 + 1)): the squared magnitudes of `cell_spectra`."""
    spectra = cell_spectra(screen)
    return (spectra.real**2 + spectra.imag**2).reshape(LEVELS, -1)


@lru_cache(maxsize=8)
def low_harmonics(screen: str) -> Tensor:
    """Return (LEVELS, len(LOW_ORDERS)) real: a dot's coefficients about its own centre (every AM dot is symmetric)."""
    spectra = cell_spectra(screen)
    turn = torch.pi * (CELL - 1) / CELL  # from the first sample's centre to the dot's
    columns = []
    for k, m in LOW_ORDERS:
        phase = torch.exp(torch.tensor(1j * turn * (k + m)))
        columns.append((spectra[:, m % CELL, k] * phase).real)
    return torch.stack(columns, -1)


def point_sample(thresholds: Tensor, phase: Tensor, coverage: Tensor) -> Tensor:
    """Return 1 where ink lies at lattice phases (..., 2) (cycles along x and y), else 0: the unfiltered halftone."""
    index = torch.remainder(torch.floor(phase * CELL), CELL).long()
    return (thresholds[index[..., 1], index[..., 0]] < coverage).to(torch.float32)


def _crowding_kernel() -> Tensor:
    away = torch.fft.fftfreq(CELL, dtype=torch.float64) * CELL
    return torch.exp(-(away[:, None] ** 2 + away[None] ** 2) / (2 * _CROWDING_PX**2))


def _crowd(kernel: Tensor, cell: int) -> Tensor:
    """Return the (periodic) crowding kernel about a cell, as a view of the kernel tiled 2 x 2."""
    row, column = CELL - cell // CELL, CELL - cell % CELL
    return kernel[row : row + CELL, column : column + CELL]


def _extreme(energy: Tensor, among: Tensor, sign: float) -> int:
    return int(torch.where(among, sign * energy.flatten(), -torch.inf).argmax())


def _ranks(values: Tensor) -> Tensor:
    flat = values.flatten()
    order = torch.empty_like(flat)
    order[flat.argsort(stable=True)] = (torch.arange(flat.numel(), dtype=flat.dtype) + 0.5) / flat.numel()
    return order.reshape(values.shape)
