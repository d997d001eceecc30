"""How a camera looks at a scene: the map from sensor pixels to rays, and the transfer function of lens and pixel.

Whatever carries structure finer than a pixel (a panel's lattice, a halftone) is rendered *through* this: sampled at the
rays of `ideal_grid` with each spatial frequency weighted by `mtf`. Warping or blurring after sampling would invent or
destroy aliasing.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.unused import unused
from spooflab.params import Params

_MARGIN_PX = 14  # 512 + 28 = 2^2 3^3 5: a fast length for the transform
_NEWTON_STEPS = 6
_LEAN_STEPS = 4
_TERMS = 10
_SERIES_PX = 5e-4
_MIN_SLOPE, _MAX_RADIUS = 0.05, 3.0  # past the fold of a barrel model there is no ray: stay finite there
GREEN_UM = 0.55
"""Wavelength of the diffraction limit, in micrometres."""


@dataclass(frozen=True)
class View(Params):
    """The optics and timing of one shot; every field is batched.

    Attributes:
        size_px: (B, 2) int64 height and width of the sensor window (equal within a batch).
        focal_mm: (B,) focal length, 2-90.
        pitch_um: (B,) pixel pitch of the native sensor, 0.8-8.
        binning: (B,) int64, native pixels averaged along each side into one pixel of the window, >= 1.
        f_number: (B,) aperture, 1.4-11; sets the diffraction limit.
        k1, k2: (B,) radial distortion: a point at ideal radius r (in half-diagonals) lands at r (1 + k1 r^2 + k2 r^4).
        blur_px: (B,) standard deviation of defocus and aberrations, in window pixels.
        motion_px: (B, 2) displacement (x, y) during the exposure, in window pixels.
        skew: (B,) horizontal displacement per row from hand motion under a rolling shutter.
        exposure_ms: (B,) exposure time of each row.
        readout_ms: (B,) time from the first row of the window to the last.
        phase_ms: (B,) start of the first row's exposure relative to any light source's clock.
        p1, p2: (B,) tangential distortion of a decentred lens, in half-diagonals (Brown 1966; the terms of OpenCV):
            2 p1 x y + p2 (r^2 + 2 x^2) is added to x, p1 (r^2 + 2 y^2) + 2 p2 x y to y. None is 0.
        aperture: (B, 2) share of a pixel's pitch, across and down, over which it gathers light; a sensor that reads
            every second line has half of it down. None is all of it.
    """

    size_px: Tensor
    focal_mm: Tensor
    pitch_um: Tensor
    binning: Tensor
    f_number: Tensor
    k1: Tensor
    k2: Tensor
    blur_px: Tensor
    motion_px: Tensor
    skew: Tensor
    exposure_ms: Tensor
    readout_ms: Tensor
    phase_ms: Tensor
    p1: Tensor | None = None
    p2: Tensor | None = None
    aperture: Tensor | None = None

    @classmethod
    def ideal(cls, height: int, width: int, *, batch_size: int = 1, **fields: float | int) -> "View":
        """Return a distortion-free, blur-free, instantaneous view; keyword arguments set single fields.

        >>> View.ideal(4, 6, pitch_um=1.4).width
        6
        """
        defaults: dict[str, float] = {
            "focal_mm": 4.25, "pitch_um": 1.4, "f_number": 2.0, "k1": 0.0, "k2": 0.0, "blur_px": 0.0,
            "skew": 0.0, "exposure_ms": 10.0, "readout_ms": 0.0, "phase_ms": 0.0,
        }  # fmt: skip
        unknown = set(fields) - set(defaults) - {"binning"}
        if unknown:
            raise ValueError(f"View.ideal: unknown field {sorted(unknown)}")
        values = {k: torch.full((batch_size,), float(fields.get(k, v))) for k, v in defaults.items()}
        return cls(
            size_px=torch.tensor([[height, width]]).expand(batch_size, 2).clone(),
            binning=torch.full((batch_size,), int(fields.get("binning", 1)), dtype=torch.int64),
            motion_px=torch.zeros(batch_size, 2),
            **values,
        )

    @property
    def height(self) -> int:
        """Rows of the window."""
        return int(self.size_px[0, 0])

    @property
    def width(self) -> int:
        """Columns of the window."""
        return int(self.size_px[0, 1])

    @property
    def pixel_um(self) -> Tensor:
        """(B,) pitch of the window's pixels: native pitch times binning."""
        return self.pitch_um * self.binning

    def with_binning(self, binning: Tensor) -> "View":
        """Return the view of the same window of pixels, each now `binning` native pixels wide (int64, (B,)).

        Lengths in pixels shrink and the window spans more native rows, so its readout takes longer.
        """
        ratio = binning / self.binning
        return View(
            **{
                **self.__dict__,
                "binning": binning,
                "blur_px": self.blur_px / ratio,
                "motion_px": self.motion_px / ratio[:, None],
                "readout_ms": self.readout_ms * ratio,
            }
        )

    def ideal_grid(self) -> Tensor:
        """Return (B, H, W, 2): for each sensor pixel the (x, y) where a pinhole camera would see the same ray.

        The lens moves a point along its radius by a factor that depends on the squared radius alone: a polynomial that
        agrees with `undistort` to 5e-4 px. A barrel that folds within the window has no such polynomial and is solved
        pixel by pixel.
        """
        x = (torch.arange(self.width, device=self.k1.device) + 0.5 - self.width / 2)[None, None, :]
        y = (torch.arange(self.height, device=self.k1.device) + 0.5 - self.height / 2)[None, :, None]
        across = x - y * self.skew[:, None, None]
        grid = torch.empty(self.batch_size, self.height, self.width, 2, device=self.k1.device)
        series = None
        if self.k1.is_cpu and not torch.compiler.is_compiling() and not self._leans():  # reads how exact it is
            series = self._radial_series(float(across.abs().amax()) ** 2 + self.height**2 / 4)
        if series is None:
            grid[..., 0], grid[..., 1] = across + self.width / 2, y + self.height / 2
            return self._solve(grid)
        t = torch.addcmul(y * y, across, across).mul_(series.scale).sub_(1)
        gain = t * series.terms[-1] + series.terms[-2]
        for term in reversed(series.terms[:-2]):
            gain.mul_(t).add_(term)
        torch.addcmul(across + self.width / 2, across, gain, out=grid[..., 0])
        torch.addcmul(y + self.height / 2, y, gain, out=grid[..., 1])
        return grid

    def undistort(self, points: Tensor) -> Tensor:
        """Map sensor points (B, ..., 2) to pinhole points: inverse of `distort`, by Newton's method on the radius."""
        centre, _ = self._centre(points)
        row = points[..., 1:2] - centre[..., 1:2]
        return self._solve(points - torch.cat([row * _like(self.skew, row), torch.zeros_like(row)], dim=-1))

    def _solve(self, sheared: Tensor) -> Tensor:
        """Undo the lens alone; what leans it is found by iteration, which gains two digits a step."""
        if self._leans():
            centre, half_diagonal = self._centre(sheared)
            straight = sheared
            for _ in range(_LEAN_STEPS):
                ideal = self._solve_radial(straight)
                straight = sheared - self._lean((ideal - centre) / half_diagonal) * half_diagonal
            sheared = straight
        return self._solve_radial(sheared)

    def _solve_radial(self, sheared: Tensor) -> Tensor:
        """Undo the radial terms."""
        if unused((self.k1 != 0) | (self.k2 != 0)):
            return sheared
        centre, half_diagonal = self._centre(sheared)
        target = (sheared - centre) / half_diagonal
        seen = target.norm(dim=-1, keepdim=True)
        radius = self._ideal_radius(seen)
        ideal: Tensor = target * (radius / seen.clamp(min=1e-9)) * half_diagonal + centre
        return ideal

    def _ideal_radius(self, seen: Tensor) -> Tensor:
        """Return the ideal radius of points (B, ...) at radius `seen`, both in half-diagonals."""
        k1, k2, radius = _like(self.k1, seen), _like(self.k2, seen), seen.clone()
        for _ in range(_NEWTON_STEPS):
            r2 = radius * radius
            error = radius * (1 + r2 * (k1 + k2 * r2)) - seen
            slope = (1 + r2 * (3 * k1 + 5 * k2 * r2)).clamp(min=_MIN_SLOPE)
            radius = (radius - error / slope).clamp(0.0, _MAX_RADIUS)
        return radius

    def _radial_series(self, farthest: float) -> "_Series | None":
        """Return the lens's outward factor less 1 up to the squared radius `farthest` (px), None if none is exact."""
        _, half_diagonal = self._centre(self.k1)
        nodes, fit, check = _chebyshev()
        radius = torch.sqrt((torch.cat([nodes, check]) + 1) * (farthest / 2)).to(self.k1.device)
        seen = (radius / half_diagonal).expand(self.batch_size, -1)
        exact = self._ideal_radius(seen) / seen - 1
        terms = exact[:, :_TERMS] @ fit.to(exact)
        powers = check[:, None] ** torch.arange(_TERMS)
        missed = (terms @ powers.T.to(terms) - exact[:, _TERMS:]) * radius[_TERMS:]
        if float(missed.abs().amax()) > _SERIES_PX:
            return None
        return _Series(2 / farthest, [term[:, None, None] for term in terms.float().unbind(1)])

    def distort(self, points: Tensor) -> Tensor:
        """Map pinhole points (B, ..., 2) to where the lens and the rolling shutter put them on the sensor."""
        centre, half_diagonal = self._centre(points)
        ideal = (points - centre) / half_diagonal
        bent = (ideal * self._radial_gain(ideal) + self._lean(ideal)) * half_diagonal + centre
        row = bent[..., 1:2] - centre[..., 1:2]
        return bent + torch.cat([row * _like(self.skew, row), torch.zeros_like(row)], dim=-1)

    def mtf(self, fx: Tensor, fy: Tensor) -> Tensor:
        """Return the modulation transfer of lens, motion and pixel aperture at (fx, fy) cycles per window pixel.

        Diffraction (circular aperture, incoherent), Gaussian defocus, linear motion, and the rectangle over which a
        pixel gathers light (the whole pitch unless `aperture` says less; binned pixels are one larger one). `fx`, `fy`:
        (B, ...). Goodman, Introduction to Fourier Optics, ch. 6; the product of independent stages.
        """
        if self.aperture is None:
            return self.lens_mtf(fx, fy) * torch.sinc(fx) * torch.sinc(fy)
        across, down = (_like(share, fx) for share in self.aperture.unbind(1))
        return self.lens_mtf(fx, fy) * torch.sinc(fx * across) * torch.sinc(fy * down)

    def lens_mtf(self, fx: Tensor, fy: Tensor) -> Tensor:
        """Return `mtf` without the pixel aperture."""
        return self._round_mtf(fx * fx + fy * fy) * self._motion_mtf(fx, fy)

    def _round_mtf(self, square: Tensor) -> Tensor:
        """Return the transfer of diffraction and defocus at squared frequencies (B, ...), cycles per pixel squared."""
        cutoff = _like(self.pixel_um / (GREEN_UM * self.f_number), square)  # cycles per pixel
        s2 = (square / (cutoff * cutoff)).clamp(max=1.0)
        s = s2.sqrt()
        diffraction = 2 / math.pi * (torch.acos(s) - s * torch.sqrt(1 - s2))
        transfer: Tensor = diffraction * torch.exp(square * _like(-2 * (math.pi * self.blur_px) ** 2, square))
        return transfer

    def _motion_mtf(self, fx: Tensor, fy: Tensor) -> Tensor:
        """Return the transfer of a uniform motion during the exposure."""
        turn = fx * _like(math.pi * self.motion_px[:, 0], fx) + fy * _like(math.pi * self.motion_px[:, 1], fy)
        turn = torch.where(turn == 0, 1e-6, turn)  # `sinc` itself is several times slower
        return torch.sin(turn).div_(turn)

    def blur(self, image: Tensor) -> Tensor:
        """Filter (B, C, H, W), already on the sensor's grid, with `lens_mtf`; edges replicate.

        The filter is applied to the image's spectrum, so its transfer is `lens_mtf` at every frequency: a truncated
        kernel would pass a little more contrast than structure that is rendered through `mtf`.
        """
        height, width = image.shape[-2:]
        rows, columns = height + 2 * _MARGIN_PX, width + 2 * _MARGIN_PX
        transfer = self._transfer(rows, columns)[:, None]
        light = torch.empty_like(image, memory_format=torch.contiguous_format)
        for channel in range(image.shape[1]):  # one by one, so that a transform fits the processor's cache
            padded = F.pad(image[:, channel : channel + 1], (_MARGIN_PX,) * 4, mode="replicate")
            seen = torch.fft.irfft2(torch.fft.rfft2(padded).mul_(transfer), s=(rows, columns))
            inner = seen[..., _MARGIN_PX : _MARGIN_PX + height, _MARGIN_PX : _MARGIN_PX + width]
            light[:, channel : channel + 1] = inner.clamp_(min=0.0)  # rounding may leave -1e-8 beside black
        return light

    def _transfer(self, rows: int, columns: int) -> Tensor:
        """Return `lens_mtf` (B, rows, columns // 2 + 1) at the frequencies of a real two-dimensional transform."""
        fy = torch.fft.fftfreq(rows, device=self.k1.device)[None, :, None]
        fx = torch.fft.rfftfreq(columns, device=self.k1.device)[None, None, :]
        half = rows // 2 + 1  # what has no direction is the same at -fy
        upper = self._round_mtf((fx * fx + fy[:, :half] * fy[:, :half]).expand(self.batch_size, -1, -1))
        full = torch.cat([upper, upper[:, 1 : rows - half + 1].flip(1)], 1)
        return full if unused(self.motion_px != 0) else full.mul_(self._motion_mtf(fx, fy))

    def _centre(self, points: Tensor) -> tuple[Tensor, float]:
        centre = torch.tensor([self.width / 2, self.height / 2], device=points.device)
        return centre, math.hypot(self.width, self.height) / 2

    def _leans(self) -> bool:
        """Return whether any lens may have tangential terms."""
        return self.p1 is not None and self.p2 is not None and not unused((self.p1 != 0) | (self.p2 != 0))

    def _lean(self, ideal: Tensor) -> Tensor:
        """Return the tangential displacement of points (B, ..., 2), all in half-diagonals."""
        if self.p1 is None or self.p2 is None:
            return torch.zeros_like(ideal)
        x, y = ideal.unbind(-1)
        p1, p2, r2 = _like(self.p1, x), _like(self.p2, x), x * x + y * y
        return torch.stack([2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], -1)

    def _radial_gain(self, ideal: Tensor) -> Tensor:
        r2 = (ideal * ideal).sum(-1, keepdim=True)
        gain: Tensor = 1 + _like(self.k1, r2) * r2 + _like(self.k2, r2) * r2 * r2
        return gain


def _like(value: Tensor, reference: Tensor) -> Tensor:
    """Reshape a (B,) value to broadcast against (B, ...)."""
    return value.reshape(-1, *([1] * (reference.ndim - 1)))


class _Series(NamedTuple):
    """A polynomial in `scale` times the squared radius (px) less 1, which is -1...1 over the window."""

    scale: float
    terms: list[Tensor]


@lru_cache(maxsize=1)
def _chebyshev() -> tuple[Tensor, Tensor, Tensor]:
    """Return float64 nodes (_TERMS,), the matrix from values there to coefficients of powers, and points to check."""
    k = torch.arange(_TERMS, dtype=torch.float64)
    nodes = torch.cos((k + 0.5) * math.pi / _TERMS)
    check = torch.cos(torch.linspace(0, math.pi, 4 * _TERMS + 1, dtype=torch.float64)[:-1])
    return nodes, torch.linalg.inv(nodes[:, None] ** k).T.contiguous(), check
