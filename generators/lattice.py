"""A periodic emitter seen through a lens and a pixel: its Fourier series, weighted by the view's transfer.

A sensor pixel integrates light over its area. For a periodic pattern that integral is a sum over the pattern's
harmonics, each multiplied by the transfer function at its local image frequency and evaluated at the pixel's own ray.
Nothing is drawn on top: harmonics beyond the sensor's Nyquist frequency alias because the sensor samples them.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.pose import Pose, cast_points
from spooflab.generators.smooth_map import spread

_COARSE = 17
"""Points a side at which the transfer of a harmonic is evaluated; it is linear in between to 1e-3."""
_FAINT = 2e-3
"""Harmonics whose amplitude stays below this share of the mean everywhere (half an 8-bit level) are left out."""
_SURVEY = 4
"""Every fourth of these points is looked at first, which drops the many harmonics that nothing transfers."""


@dataclass(frozen=True)
class Lattice:
    """The Fourier series of a periodic pattern of three colours.

    Attributes:
        period_mm: width and height of the rectangular cell.
        order: (H, 2) int64 harmonics (m, n) of the half plane without (0, 0).
        amplitude: (H, 3) complex64 coefficient of exp(2 pi i (m u / width + n v / height)), relative to the mean.
        mean: (3,) mean of the pattern: the open share of each colour.
    """

    period_mm: tuple[float, float]
    order: Tensor
    amplitude: Tensor
    mean: Tensor

    @classmethod
    def from_cell(cls, cell: Tensor, period_mm: tuple[float, float], *, order: int) -> "Lattice":
        """Return the series of a cell (3, R, C) of area samples, up to |m|, |n| <= `order`.

        Raises:
            ValueError: `order` is beyond a third of the samples, where a raster cannot tell harmonics.
        """
        rows, columns = cell.shape[-2:]
        if 3 * order > min(rows, columns):
            raise ValueError(f"Lattice: order {order} wants at least {3 * order} samples a side, seen {rows}x{columns}")
        m, n = torch.meshgrid(torch.arange(-order, order + 1), torch.arange(-order, order + 1), indexing="ij")
        half = (n > 0) | ((n == 0) & (m > 0))
        m, n = m[half], n[half]
        series = torch.fft.fft2(cell.double()) / (rows * columns)
        # A sample is the mean over its area: its centre lies half a sample in, and the box costs a sinc.
        shift = torch.exp(-1j * math.pi * (m / columns + n / rows).double())
        box = torch.sinc(m.double() / columns) * torch.sinc(n.double() / rows)
        mean = cell.double().mean((-2, -1))
        amplitude = series[:, n, m] * shift / box / mean[:, None]
        loud = 2 * amplitude.abs().amax(0) > _FAINT
        order_kept = torch.stack([m, n], -1)[loud]
        return cls(period_mm, order_kept, amplitude.T[loud].to(torch.complex64), mean.float())

    def frequency(self) -> Tensor:
        """Return (H, 2) float64: cycles per millimetre along u and v of each harmonic."""
        return self.order.double() / torch.tensor(self.period_mm, dtype=torch.float64)

    def only(self, keep: Tensor) -> "Lattice":
        """Return the series with the harmonics that (H,) bool `keep` names."""
        return Lattice(self.period_mm, self.order[keep], self.amplitude[keep], self.mean)


def footprint_at(view: View, pose: Pose, points: Tensor) -> Tensor:
    """Return (B, h, w, 2, 2): millimetres per pixel d(u, v)/d(x, y) at sensor points (B or 1, h, w, 2), float64."""
    height = points.shape[1]
    steps = torch.tensor([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]], dtype=torch.float64)
    around = torch.cat([points.double() + step for step in steps], 1).expand(view.batch_size, -1, -1, -1)
    right, left, below, above = torch.split(cast_points(view, pose, view.undistort(around)).uv_mm, height, 1)
    return torch.stack([right - left, below - above], -1)


def image_frequency(footprint: Tensor, frequency: Tensor) -> Tensor:
    """Return (B, H, h, w, 2): cycles per pixel along x and y of harmonics (H, 2) in cycles per millimetre."""
    return torch.einsum("bhwij,ki->bkhwj", footprint, frequency)


def modulation(lattice: Lattice, view: View, pose: Pose, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pattern as each pixel integrates it, relative to its mean (3, H, W), and how strong it still is.

    Args:
        lattice: the series.
        view: the camera, one row.
        pose: where the pattern's plane is, one row.
        phase: (2, NODES, NODES) float64, u and v in cell widths and heights at the nodes of `smooth_map`.

    Returns:
        The modulation, mean 1, never negative, or (3, 1, 1) ones where nothing survives; and the amplitude of the
        strongest surviving harmonic, a scalar tensor.
    """
    height, width = view.height, view.width
    footprint = footprint_at(view, pose, _coarse_points(height, width))
    _, glance = _transfer(lattice, view, footprint[:, ::_SURVEY, ::_SURVEY])
    lattice = lattice.only(glance > _FAINT / 4)
    transfer, strength = _transfer(lattice, view, footprint)
    keep = strength > _FAINT
    if not bool(keep.any()):
        return torch.ones(3, 1, 1), glance.amax()
    at = spread(phase[None], height, width)[0]
    at = at.sub_(at.floor()).mul_(2 * math.pi).float()
    rows, columns = _linear(height), _linear(width)
    order = lattice.order[keep].tolist()
    amplitude = 2 * lattice.amplitude[keep]
    kept = transfer[keep]
    wave = torch.empty(2 * len(order), height, width)
    angle = torch.empty(height, width)
    weight = torch.empty(height, width)
    for index, (m, n) in enumerate(order):
        torch.mul(at[0], m, out=angle).add_(at[1], alpha=n)
        torch.matmul(rows @ kept[index], columns.T, out=weight)
        torch.cos(angle, out=wave[2 * index]).mul_(weight)
        torch.sin(angle, out=wave[2 * index + 1]).mul_(weight)
    # Re(A e^(i angle)) = Re A cos - Im A sin
    mix = torch.stack([amplitude.real, -amplitude.imag], 1).reshape(-1, 3).T.contiguous()
    total = (mix @ wave.reshape(2 * len(order), -1)).add_(1).clamp_(min=0)
    return total.reshape(3, height, width), strength.amax()


def _transfer(lattice: Lattice, view: View, footprint: Tensor) -> tuple[Tensor, Tensor]:
    """Return the transfer of each harmonic at each point (H, h, w), and its greatest amplitude (H,)."""
    frequency = image_frequency(footprint, lattice.frequency())
    transfer = view.mtf(frequency[..., 0], frequency[..., 1])[0].float()
    return transfer, 2 * transfer.abs().amax((-2, -1)) * lattice.amplitude.abs().amax(-1)


@lru_cache(maxsize=16)
def _coarse_points(height: int, width: int) -> Tensor:
    x = torch.linspace(0.5, width - 0.5, _COARSE, dtype=torch.float64)
    y = torch.linspace(0.5, height - 0.5, _COARSE, dtype=torch.float64)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]


@lru_cache(maxsize=16)
def _linear(size: int) -> Tensor:
    """Return (size, _COARSE): linear interpolation from the coarse points to pixel centres."""
    at = torch.linspace(0, _COARSE - 1, size, dtype=torch.float64)[:, None]
    return (1 - (at - torch.arange(_COARSE)).abs()).clamp(min=0).float()
