"""CIELAB (D50, as printing standards state their inks) to linear sRGB reflectance (D65) and back.

Bradford-adapted matrices for sRGB primaries; CIE 15:2004 for L*a*b*.
"""

import torch
from torch import Tensor

_WHITE_D50 = (0.96422, 1.0, 0.82521)
_TO_SRGB = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)
_TO_XYZ = (
    (0.4360747, 0.3850649, 0.1430804),
    (0.2225045, 0.7168786, 0.0606169),
    (0.0139322, 0.0971045, 0.7141733),
)
_LUMINANCE = (0.2225045, 0.7168786, 0.0606169)
_F_TO_LAB = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))
_EDGE = 6 / 29


def lab_to_linear(lab: Tensor) -> Tensor:
    """Map L*a*b* (..., 3) to linear sRGB; colours outside sRGB have components below 0 or above 1."""
    f_y = (lab[..., 0] + 16) / 116
    f = torch.stack([f_y + lab[..., 1] / 500, f_y, f_y - lab[..., 2] / 200], -1)
    ratio = torch.where(f > _EDGE, f**3, 3 * _EDGE**2 * (f - 4 / 29))
    return (ratio * torch.tensor(_WHITE_D50, dtype=lab.dtype)) @ torch.tensor(_TO_SRGB, dtype=lab.dtype).T


def linear_to_lab(rgb: Tensor) -> Tensor:
    """Map linear sRGB (..., 3) to L*a*b*."""
    ratio = (rgb @ torch.tensor(_TO_XYZ, dtype=rgb.dtype).T) / torch.tensor(_WHITE_D50, dtype=rgb.dtype)
    f = _lightness_curve(ratio)
    return torch.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def lab_planes(rgb: Tensor, by: Tensor) -> tuple[Tensor, Tensor]:
    """Map linear sRGB planes (3, N) to L*a*b*, and their derivatives by k quantities (3, k, N) to those of L*a*b*."""
    to_ratio = torch.tensor(_TO_XYZ, dtype=rgb.dtype) / torch.tensor(_WHITE_D50, dtype=rgb.dtype)[:, None]
    to_lab = torch.tensor(_F_TO_LAB, dtype=rgb.dtype)
    ratio = to_ratio @ rgb
    f = _lightness_curve(ratio)
    slope = torch.where(ratio > _EDGE**3, 1 / (3 * f**2), 1 / (3 * _EDGE**2))
    by_f = (to_ratio @ by.reshape(3, -1)).reshape(by.shape) * slope[:, None]
    lab = to_lab @ f - to_lab.new_tensor([[16.0], [0.0], [0.0]])
    return lab, (to_lab @ by_f.reshape(3, -1)).reshape(by.shape)


def _lightness_curve(ratio: Tensor) -> Tensor:
    """Return f of CIE 15 at tristimulus values relative to white: a cube root, with a line near black."""
    return torch.where(ratio > _EDGE**3, ratio.clamp(min=1e-6) ** (1 / 3), ratio / (3 * _EDGE**2) + 4 / 29)


def luminance(rgb: Tensor) -> Tensor:
    """Return the luminance (...) of linear sRGB (..., 3)."""
    return rgb @ torch.tensor(_LUMINANCE, dtype=rgb.dtype)


def srgb_encode(linear: Tensor) -> Tensor:
    """Apply the sRGB transfer function (IEC 61966-2-1) to values in [0, 1]."""
    # exp(log) is a power, three times faster
    curve = linear.clamp(min=1e-6).log_().mul_(1 / 2.4).exp_().mul_(1.055).sub_(0.055)
    return torch.where(linear <= 0.0031308, 12.92 * linear, curve)


def srgb_decode(encoded: Tensor) -> Tensor:
    """Invert `srgb_encode`."""
    return torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055).clamp(min=0) ** 2.4)
