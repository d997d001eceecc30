"""How a camera looks at a scene: the map from sensor pixels to rays, and the transfer function of lens and pixel.

Whatever carries structure finer than a pixel (a panel's lattice, a halftone) is rendered *through* this: sampled at the
rays of `ideal_grid` with each spatial frequency weighted by `mtf`. Warping or blurring after sampling would invent or
destroy aliasing.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.unused import unused
from spooflab.params import Params

_MARGIN_PX = 14  # 512 + 28 = 2^2 3^3 5: a fast length for the transform
_NEWTON_STEPS = 6
_LEAN_STEPS = 4
_NODES = 24
_INEXACT_PX = 5e-4
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

        How far a lens moves a ray is smooth over the window: it is solved at Chebyshev nodes and interpolated between
        them, which agrees with `undistort` to 5e-4 px. A barrel that folds within the window, where it is not smooth,
        is solved pixel by pixel.
        """
        pixels = self._pixels()
        if not self.k1.is_cpu or torch.compiler.is_compiling():  # whether interpolation is exact cannot be read
            return self.undistort(pixels.expand(self.batch_size, -1, -1, -1))
        grid, exact = self._interpolated(pixels)
        if bool(exact.all()):
            return grid
        return torch.where(_like(exact, grid), grid, self.undistort(pixels.expand(self.batch_size, -1, -1, -1)))

    def _pixels(self) -> Tensor:
        """Return (1, H, W, 2): the (x, y) of every pixel's centre."""
        x = torch.arange(self.width, device=self.k1.device) + 0.5
        y = torch.arange(self.height, device=self.k1.device) + 0.5
        return torch.stack([x.expand(self.height, -1), y[:, None].expand(-1, self.width)], -1)[None]

    def _interpolated(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, H, W, 2) `pixels` moved as `undistort` moves them, and (B,) whether that is exact."""
        nodes, at_checks = _chebyshev()
        corner = torch.tensor([self.width, self.height]) / 2
        places = [torch.stack(torch.meshgrid(c, c, indexing="xy"), -1) for c in (nodes, _between(nodes))]
        points = torch.cat([((place + 1) * corner).reshape(-1, 2) for place in places]).expand(self.batch_size, -1, 2)
        moved = self.undistort(points) - points
        known = moved[:, : _NODES**2].reshape(-1, _NODES, _NODES, 2)
        missed = torch.einsum("ui,bijc,vj->buvc", at_checks, known, at_checks).flatten(1, 2) - moved[:, _NODES**2 :]
        down, across = (_interpolation(size).expand(self.batch_size, -1, -1) for size in (self.height, self.width))
        rows = torch.einsum("bwj,bijc->biwc", across, known.float()).flatten(2)  # (B, nodes, 2 W)
        grid = torch.baddbmm(pixels.flatten(2).expand(self.batch_size, -1, -1), down, rows)
        return grid.reshape(-1, self.height, self.width, 2), missed.abs().amax((1, 2)) < _INEXACT_PX

    def undistort(self, points: Tensor) -> Tensor:
        """Map sensor points (B, ..., 2) to pinhole points: inverse of `distort`, by Newton's method on the radius."""
        centre, _ = self._centre(points)
        row = points[..., 1:2] - centre[..., 1:2]
        return self._solve(points - torch.cat([row * _like(self.skew, row), torch.zeros_like(row)], dim=-1))

    def _solve(self, sheared: Tensor) -> Tensor:
        """Undo the lens alone: Newton's method on the radius; what leans it is found between its steps.

        An iteration gains two digits on the tangential terms and a step of Newton's method doubles the radial ones, so
        once the radius is known one step of each keeps up.
        """
        leans, bends = self._leans(), not unused((self.k1 != 0) | (self.k2 != 0))
        if not (leans or bends):
            return sheared
        centre, half_diagonal = self._centre(sheared)
        target = (sheared - centre) / half_diagonal
        ideal, radius = target, None
        for step in range(1 + _LEAN_STEPS * leans):
            straight = target - self._lean(ideal) if step else target
            if bends:
                seen = straight.norm(dim=-1, keepdim=True)
                radius = self._ideal_radius(seen, radius)
                ideal = straight * (radius / seen.clamp(min=1e-9))
            else:
                ideal = straight
        return ideal * half_diagonal + centre

    def _ideal_radius(self, seen: Tensor, near: Tensor | None = None) -> Tensor:
        """Return the ideal radius of points (B, ...) at radius `seen` in half-diagonals, from one `near` it."""
        k1, k2, radius = _like(self.k1, seen), _like(self.k2, seen), seen if near is None else near
        for _ in range(_NEWTON_STEPS if near is None else 1):
            r2 = radius * radius
            error = radius * (1 + r2 * (k1 + k2 * r2)) - seen
            slope = (1 + r2 * (3 * k1 + 5 * k2 * r2)).clamp(min=_MIN_SLOPE)
            radius = (radius - error / slope).clamp(0.0, _MAX_RADIUS)
        return radius

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


@lru_cache(maxsize=1)
def _chebyshev() -> tuple[Tensor, Tensor]:
    """Return the float64 nodes (_NODES,) in -1...1 and the interpolation from them to the places between them."""
    with torch.inference_mode(False):  # one tensor for every mode
        nodes = torch.cos((torch.arange(_NODES, dtype=torch.float64) + 0.5) * (math.pi / _NODES))
        return nodes, _lagrange(_between(nodes))


def _between(nodes: Tensor) -> Tensor:
    """Return the two ends of -1...1 and the middles between neighbouring nodes, where an interpolation errs most."""
    return torch.cat([torch.tensor([1.0, -1.0]).to(nodes), (nodes[1:] + nodes[:-1]) / 2])


@lru_cache(maxsize=8)
def _interpolation(size: int) -> Tensor:
    """Return float32 (size, _NODES): from values at the nodes to the centres of `size` pixels."""
    with torch.inference_mode(False):
        return _lagrange((torch.arange(size, dtype=torch.float64) + 0.5) * (2 / size) - 1).float()


def _lagrange(places: Tensor) -> Tensor:
    """Return (N, _NODES): the polynomial through values at the Chebyshev nodes, at `places` (N,) in -1...1."""
    k = torch.arange(_NODES, dtype=torch.float64)
    at_nodes = torch.cos((k + 0.5)[:, None] * k * (math.pi / _NODES))
    weights: Tensor = torch.cos(places.acos()[:, None] * k) @ torch.linalg.inv(at_nodes)
    return weights
