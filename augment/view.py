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

_MARGIN_PX = 14  # 512 + 28 = 2^2 3^3 5: a fast length for the transform
_NEWTON_STEPS = 6
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
        """Return (B, H, W, 2): for each sensor pixel the (x, y) where a pinhole camera would see the same ray."""
        ys, xs = torch.meshgrid(
            torch.arange(self.height, device=self.k1.device) + 0.5,
            torch.arange(self.width, device=self.k1.device) + 0.5,
            indexing="ij",
        )
        return self.undistort(torch.stack([xs, ys], dim=-1).expand(self.batch_size, -1, -1, -1))

    def undistort(self, points: Tensor) -> Tensor:
        """Map sensor points (B, ..., 2) to pinhole points: inverse of `distort`, by Newton's method on the radius."""
        centre, half_diagonal = self._centre(points)
        row = points[..., 1:2] - centre[..., 1:2]
        sheared = points - torch.cat([row * _like(self.skew, row), torch.zeros_like(row)], dim=-1)
        if not bool((self.k1 != 0).any() | (self.k2 != 0).any()):
            return sheared
        target = (sheared - centre) / half_diagonal
        seen = target.norm(dim=-1, keepdim=True)
        k1, k2, radius = _like(self.k1, seen), _like(self.k2, seen), seen.clone()
        for _ in range(_NEWTON_STEPS):
            r2 = radius * radius
            error = radius * (1 + r2 * (k1 + k2 * r2)) - seen
            slope = (1 + r2 * (3 * k1 + 5 * k2 * r2)).clamp(min=_MIN_SLOPE)
            radius = (radius - error / slope).clamp(0.0, _MAX_RADIUS)
        ideal: Tensor = target * (radius / seen.clamp(min=1e-9)) * half_diagonal + centre
        return ideal

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
        """Filter (B, C, H, W), already on the sensor's grid, with `lens_mtf`; edges replicate.

        The filter is applied to the image's spectrum, so its transfer is `lens_mtf` at every frequency: a truncated
        kernel would pass a little more contrast than structure that is rendered through `mtf`.
        """
        height, width = image.shape[-2:]
        padded = F.pad(image, (_MARGIN_PX,) * 4, mode="replicate")
        rows, columns = padded.shape[-2:]
        fy = torch.fft.fftfreq(rows, device=image.device)[None, :, None]
        fx = torch.fft.rfftfreq(columns, device=image.device)[None, None, :]
        shape = (self.batch_size, rows, fx.shape[-1])
        transfer = self.lens_mtf(fx.expand(shape), fy.expand(shape))
        out = torch.fft.irfft2(torch.fft.rfft2(padded) * transfer[:, None], s=(rows, columns))
        inner = out[..., _MARGIN_PX : _MARGIN_PX + height, _MARGIN_PX : _MARGIN_PX + width]
        light: Tensor = inner.clamp(min=0.0).contiguous()  # rounding may leave -1e-8 beside black
        return light

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
