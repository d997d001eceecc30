"""How a camera looks at a scene: the map from sensor pixels to rays, and the transfer function of lens and pixel.

Whatever carries structure finer than a pixel (a panel's lattice, a halftone) is rendered *through* this: sampled at the
rays of `ideal_grid` with each spatial frequency weighted by `mtf`. Warping or blurring after sampling would invent or
destroy aliasing.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.params import Params

_BLUR_TAPS = 9
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
        """Return the view with another binning factor (int64, (B,))."""
        return View(**{**self.__dict__, "binning": binning})

    def ideal_grid(self) -> Tensor:
        """Return (B, H, W, 2): for each sensor pixel the (x, y) where a pinhole camera would see the same ray."""
        ys, xs = torch.meshgrid(
            torch.arange(self.height, device=self.k1.device) + 0.5,
            torch.arange(self.width, device=self.k1.device) + 0.5,
            indexing="ij",
        )
        return self.undistort(torch.stack([xs, ys], dim=-1).expand(self.batch_size, -1, -1, -1))

    def undistort(self, points: Tensor) -> Tensor:
        """Map sensor points (B, ..., 2) to pinhole points: inverse of `distort`, by fixed-point iteration."""
        centre, half_diagonal = self._centre(points)
        row = points[..., 1:2] - centre[..., 1:2]
        sheared = points - torch.cat([row * _like(self.skew, row), torch.zeros_like(row)], dim=-1)
        target = (sheared - centre) / half_diagonal
        if not bool((self.k1 != 0).any() | (self.k2 != 0).any()):
            return sheared
        ideal = target
        for _ in range(8):
            ideal = target / self._radial_gain(ideal)
        return ideal * half_diagonal + centre

    def distort(self, points: Tensor) -> Tensor:
        """Map pinhole points (B, ..., 2) to where the lens and the rolling shutter put them on the sensor."""
        centre, half_diagonal = self._centre(points)
        ideal = (points - centre) / half_diagonal
        bent = ideal * self._radial_gain(ideal) * half_diagonal + centre
        row = bent[..., 1:2] - centre[..., 1:2]
        return bent + torch.cat([row * _like(self.skew, row), torch.zeros_like(row)], dim=-1)

    def mtf(self, fx: Tensor, fy: Tensor) -> Tensor:
        """Return the modulation transfer of lens, motion and pixel aperture at (fx, fy) cycles per window pixel.

        Diffraction (circular aperture, incoherent), Gaussian defocus, linear motion, and the square pixel (full fill
        factor; binned pixels are one larger square). `fx`, `fy`: (B, ...). Goodman, Introduction to Fourier Optics,
        ch. 6; the product of independent stages.
        """
        return self.lens_mtf(fx, fy) * torch.sinc(fx) * torch.sinc(fy)

    def lens_mtf(self, fx: Tensor, fy: Tensor) -> Tensor:
        """Return `mtf` without the pixel aperture."""
        radius = torch.hypot(fx, fy)
        cutoff = _like(self.pixel_um / (GREEN_UM * self.f_number), fx)  # cycles per pixel
        s = (radius / cutoff).clamp(max=1.0)
        diffraction = 2 / math.pi * (torch.acos(s) - s * torch.sqrt(1 - s * s))
        gaussian = torch.exp(-2 * (math.pi * _like(self.blur_px, fx) * radius) ** 2)
        motion = torch.sinc(fx * _like(self.motion_px[:, 0], fx) + fy * _like(self.motion_px[:, 1], fx))
        transfer: Tensor = diffraction * gaussian * motion
        return transfer

    def blur(self, image: Tensor) -> Tensor:
        """Convolve (B, C, H, W), already on the sensor's grid, with the lens's and motion's point spread function.

        The kernel is the 9 x 9 discrete window of the inverse transform of `lens_mtf`, normalised; edges replicate.
        """
        kernel = self._kernel()
        batch, channels, height, width = image.shape
        pad = _BLUR_TAPS // 2
        padded = F.pad(image, (pad, pad, pad, pad), mode="replicate")
        weight = kernel.repeat_interleave(channels, 0)[:, None]
        out = F.conv2d(padded.reshape(1, batch * channels, *padded.shape[-2:]), weight, groups=batch * channels)
        return out.reshape(batch, channels, height, width)

    def _kernel(self) -> Tensor:
        frequency = torch.fft.fftfreq(32, device=self.k1.device)
        fy, fx = torch.meshgrid(frequency, frequency, indexing="ij")
        transfer = self.lens_mtf(fx.expand(self.batch_size, -1, -1), fy.expand(self.batch_size, -1, -1))
        spread = torch.fft.fftshift(torch.fft.ifft2(transfer).real, dim=(-2, -1))
        lo = 16 - _BLUR_TAPS // 2
        window = spread[:, lo : lo + _BLUR_TAPS, lo : lo + _BLUR_TAPS]
        kernel: Tensor = window / window.sum(dim=(-2, -1), keepdim=True)
        return kernel

    def _centre(self, points: Tensor) -> tuple[Tensor, float]:
        centre = torch.tensor([self.width / 2, self.height / 2], device=points.device)
        return centre, math.hypot(self.width, self.height) / 2

    def _radial_gain(self, ideal: Tensor) -> Tensor:
        r2 = (ideal * ideal).sum(-1, keepdim=True)
        gain: Tensor = 1 + _like(self.k1, r2) * r2 + _like(self.k2, r2) * r2 * r2
        return gain


def _like(value: Tensor, reference: Tensor) -> Tensor:
    """Reshape a (B,) value to broadcast against (B, ...)."""
    return value.reshape(-1, *([1] * (reference.ndim - 1)))
