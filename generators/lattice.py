"""A periodic emitter seen through a lens and a pixel: its Fourier series, weighted by the view's transfer.

A sensor pixel integrates light over its area. For a periodic pattern that integral is a sum over the pattern's
harmonics, each multiplied by the transfer function at its local image frequency and evaluated at the pixel's own ray.
Nothing is drawn on top: harmonics beyond the sensor's Nyquist frequency alias because the sensor samples them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.smooth_map import slopes, spread

COARSE = 17
"""Points a side at which the transfer of a harmonic is evaluated; it is linear in between to 1e-3."""
_FAINT = 2e-3
"""Harmonics whose amplitude stays below this share of the mean everywhere (half an 8-bit level) are left out."""
_SURVEY = 8
"""Every eighth of these points is looked at first, which drops the many harmonics that nothing transfers."""
_MOST = 40
"""Harmonics that an accelerator keeps for each row: there the number that survives is not read back."""
_AT_ONCE = 8
"""Harmonics whose waves are held in memory together."""


def half_plane(order: int) -> tuple[Tensor, Tensor]:
    """Return the harmonics m, n (H,) int64 up to `order` of one half plane: a real pattern's others are conjugate."""
    m, n = torch.meshgrid(torch.arange(-order, order + 1), torch.arange(-order, order + 1), indexing="ij")
    half = (n > 0) | ((n == 0) & (m > 0))
    return m[half], n[half]


@dataclass(frozen=True)
class Lattice:
    """The Fourier series of a periodic pattern of C colours.

    Attributes:
        period_mm: width and height of the rectangular cell.
        order: (H, 2) int64 harmonics (m, n) of the half plane without (0, 0).
        amplitude: (H, C) complex64 coefficient of exp(2 pi i (m u / width + n v / height)), relative to the mean.
        mean: (C,) mean of the pattern: the open share of each colour.
    """

    period_mm: tuple[float, float]
    order: Tensor
    amplitude: Tensor
    mean: Tensor

    @classmethod
    def from_cell(cls, cell: Tensor, period_mm: tuple[float, float], *, order: int) -> "Lattice":
        """Return the series of a cell (C, rows, columns) of area samples, up to |m|, |n| <= `order`.

        Raises:
            ValueError: `order` is beyond a third of the samples, where a raster cannot tell harmonics.
        """
        rows, columns = cell.shape[-2:]
        if 3 * order > min(rows, columns):
            raise ValueError(f"Lattice: order {order} wants at least {3 * order} samples a side, seen {rows}x{columns}")
        m, n = half_plane(order)
        series = torch.fft.fft2(cell.double()) / (rows * columns)
        # A sample is the mean over its area: its centre lies half a sample in, and the box costs a sinc.
        shift = torch.exp(-1j * math.pi * (m / columns + n / rows).double())
        box = torch.sinc(m.double() / columns) * torch.sinc(n.double() / rows)
        mean = cell.double().mean((-2, -1))
        return cls.from_series(period_mm, m, n, series[:, n, m] * shift / box / mean[:, None], mean)

    @classmethod
    def from_series(
        cls, period_mm: tuple[float, float], m: Tensor, n: Tensor, amplitude: Tensor, mean: Tensor
    ) -> "Lattice":
        """Return the series with what can be seen of the harmonics m, n (H,) of amplitude (C, H)."""
        loud = 2 * amplitude.abs().amax(0) > _FAINT
        order = torch.stack([m, n], -1)[loud]
        return cls(period_mm, order, amplitude.T[loud].to(torch.complex64), mean.float())

    def frequency(self) -> Tensor:
        """Return (H, 2) float64: cycles per millimetre along u and v of each harmonic."""
        return self.order.double() / torch.tensor(self.period_mm, dtype=torch.float64)


@dataclass(frozen=True)
class Lattices:
    """The series of several rows, padded with silent harmonics to one length.

    Attributes:
        period_mm: (B, 2) float64.
        order: (B, H, 2) float32.
        real, imaginary: (B, H, C) float32 amplitude; a pattern with fewer colours has silent ones.
    """

    period_mm: Tensor
    order: Tensor
    real: Tensor
    imaginary: Tensor

    @classmethod
    def stack(cls, lattices: Sequence[Lattice], colours: int) -> "Lattices":
        """Return the rows `lattices`, each with `colours` colours."""
        longest = max(len(lattice.order) for lattice in lattices)
        order = torch.zeros(len(lattices), longest, 2)
        amplitude = torch.zeros(len(lattices), longest, colours, dtype=torch.complex64)
        for row, lattice in enumerate(lattices):
            count, own = lattice.amplitude.shape
            order[row, :count] = lattice.order.float()
            amplitude[row, :count, :own] = lattice.amplitude
        period = torch.tensor([lattice.period_mm for lattice in lattices], dtype=torch.float64)
        return cls(period, order, amplitude.real.contiguous(), amplitude.imag.contiguous())

    def take(self, rows: Tensor) -> "Lattices":
        """Return the rows that `rows` (B,) int64 names."""
        return Lattices(*(field[rows] for field in (self.period_mm, self.order, self.real, self.imaginary)))

    def to(self, device: torch.device) -> "Lattices":
        """Return a copy on `device`."""
        return Lattices(*(field.to(device) for field in (self.period_mm, self.order, self.real, self.imaginary)))

    def first(self, colours: int) -> "Lattices":
        """Return the first few colours."""
        return Lattices(self.period_mm, self.order, self.real[..., :colours], self.imaginary[..., :colours])

    def loudness(self) -> Tensor:
        """Return (B, H): twice the amplitude of the colour that has most."""
        return 2 * torch.hypot(self.real, self.imaginary).amax(-1)

    def pick(self, places: Tensor) -> "Lattices":
        """Return for each row the harmonics (B, K) that `places` names."""

        def only(field: Tensor) -> Tensor:
            return field.gather(1, places[..., None].expand(-1, -1, field.shape[-1]))

        return Lattices(self.period_mm, only(self.order), only(self.real), only(self.imaginary))


def image_frequency(footprint: Tensor, frequency: Tensor) -> Tensor:
    """Return (B, H, h, w, 2): cycles per pixel along x and y of harmonics (B or 1, H, 2) in cycles per millimetre.

    `footprint` (B, h, w, 2, 2) is the change of position along u and v per pixel along x and y (`slopes`).
    """
    return torch.einsum("bhwij,bki->bkhwj", footprint, frequency.expand(len(footprint), -1, -1))


def modulation(lattices: Lattices, view: View, nodes_mm: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pattern as each pixel integrates it, relative to its mean, and how strong it still is.

    Args:
        lattices: the series of each row.
        view: the camera.
        nodes_mm: (B, 2, NODES, NODES) float64: u and v from a cell's corner, at the nodes of `smooth_map`.

    Returns:
        (B, C, H, W) of mean 1 and never negative, or (B, C, 1, 1) ones where nothing survives in any row; and (B,) the
        amplitude of the strongest harmonic.
    """
    height, width = view.height, view.width
    footprint = slopes(nodes_mm, height, width, COARSE)
    _, glance = _transfer(lattices, view, footprint[:, ::_SURVEY, ::_SURVEY])
    strength = glance.amax(1)
    lattices = lattices.pick(_loudest(glance, _FAINT / 4))
    transfer, loud = _transfer(lattices, view, footprint)
    best = _loudest(loud, _FAINT)
    colours = lattices.real.shape[-1]
    if best.shape[1] == 0:
        return torch.ones(len(best), colours, 1, 1, device=nodes_mm.device), strength
    lattices = lattices.pick(best)
    audible = (loud > _FAINT).gather(1, best)
    kept = transfer.gather(1, best[..., None, None].expand(-1, -1, COARSE, COARSE)) * audible[..., None, None]
    phase = spread(nodes_mm / lattices.period_mm[..., None, None], height, width)
    turn = phase.sub_(phase.floor()).mul_(2 * math.pi).float()
    return _sum(lattices, kept, turn), strength


def _sum(lattices: Lattices, transfer: Tensor, turn: Tensor) -> Tensor:
    """Return 1 + Σ 2 T Re(A e^(i angle)), clipped at 0: (B, C, H, W) from angles `turn` (B, 2, H, W) of the cell."""
    batch, _, height, width = turn.shape
    count, colours = lattices.real.shape[1:]
    rows, columns = _linear(height, turn.device), _linear(width, turn.device).T
    total = torch.ones(batch, colours, height * width, device=turn.device)
    angle, weight = torch.empty_like(turn[:, 0]), torch.empty_like(turn[:, 0])
    for start in range(0, count, _AT_ONCE):
        stop = min(start + _AT_ONCE, count)
        wave = torch.empty(batch, 2 * (stop - start), height, width, device=turn.device)
        for index in range(start, stop):
            m, n = (lattices.order[:, index, axis, None, None] for axis in (0, 1))
            torch.mul(turn[:, 0], m, out=angle).addcmul_(turn[:, 1], n)
            torch.matmul(rows @ transfer[:, index], columns, out=weight)
            torch.cos(angle, out=wave[:, 2 * (index - start)]).mul_(weight)
            torch.sin(angle, out=wave[:, 2 * (index - start) + 1]).mul_(weight)
        # Re(A e^(i angle)) = Re A cos - Im A sin
        mix = torch.stack([lattices.real[:, start:stop], -lattices.imaginary[:, start:stop]], 2) * 2
        total.baddbmm_(mix.reshape(batch, -1, colours).transpose(1, 2), wave.flatten(2))
    return total.clamp_(min=0).reshape(batch, colours, height, width)


def _transfer(lattices: Lattices, view: View, footprint: Tensor) -> tuple[Tensor, Tensor]:
    """Return the transfer of each harmonic at each point (B, H, h, w), and its greatest amplitude (B, H)."""
    frequency = image_frequency(footprint, lattices.order.double() / lattices.period_mm[:, None]).float()
    transfer = view.mtf(frequency[..., 0], frequency[..., 1])
    return transfer, transfer.abs().amax((-2, -1)) * lattices.loudness()


def _loudest(level: Tensor, limit: float) -> Tensor:
    """Return (B, K) the places of the loudest harmonics of each row, K enough for all above `limit` in any row."""
    count = int((level > limit).sum(1).amax()) if level.is_cpu else min(_MOST, level.shape[1])
    return level.topk(count, dim=1).indices


@lru_cache(maxsize=64)
def _linear(size: int, device: torch.device) -> Tensor:
    """Return (size, COARSE): linear interpolation from the coarse points to pixel centres."""
    at = torch.linspace(0, COARSE - 1, size, dtype=torch.float64, device=device)[:, None]
    return (1 - (at - torch.arange(COARSE, device=device)).abs()).clamp(min=0).float()
