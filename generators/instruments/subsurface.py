"""Light that enters a translucent solid leaves it a little further on: normalised diffusion.

Christensen & Burley, "Approximate reflectance profiles for efficient subsurface scattering", Pixar TM 15-04 (2015):
R(r) = (exp(-r/d) + exp(-r/3d)) / (8 pi d r) for a unit of light, with d = l / s(A), l the diffuse mean free path and
s = 3.5 + 100 (A - 0.33)^4 (their eq. 8, for l).
"""

import math

import torch
from torch import Tensor

MEAN_RADIUS = 2.5
"""Mean distance between entry and exit in units of d."""


def scale_mm(free_path_mm: Tensor, albedo: Tensor) -> Tensor:
    """Return d for the diffuse mean free path (mm) and the albedo of the solid."""
    return free_path_mm / (3.5 + 100 * (albedo - 0.33) ** 4)


def profile(radius: Tensor, d: Tensor | float) -> Tensor:
    """Return R(r) per unit area; its integral over the plane is 1."""
    density: Tensor = (torch.exp(-radius / d) + torch.exp(-radius / (3 * d))) / (8 * math.pi * d * radius)
    return density


def transfer(frequency: Tensor, d: Tensor | float) -> Tensor:
    """Return the profile's two-dimensional Fourier transform at a frequency in cycles per unit of d's length.

    The transform of exp(-r/a)/r is 2 pi a / sqrt(1 + (2 pi a f)^2), a closed form, so light is softened exactly.
    """
    turn = (2 * math.pi * d * frequency) ** 2
    passed: Tensor = 0.25 / torch.sqrt(1 + turn) + 0.75 / torch.sqrt(1 + 9 * turn)
    return passed


def soften(light: Tensor, weight: Tensor, d_px: Tensor) -> Tensor:
    """Return light (C, H, W) that fell on a solid as it leaves it.

    Args:
        light: irradiance; what lies outside the solid is ignored.
        weight: (H, W) in [0, 1], where the solid is: light neither enters nor leaves beside it.
        d_px: (C,) scale of the profile, in pixels.
    """
    height, width = light.shape[-2:]
    margin = max(2, math.ceil(3 * MEAN_RADIUS * float(d_px.max())))
    rows, columns = fast_length(height + margin), fast_length(width + margin)
    fy, fx = torch.fft.fftfreq(rows)[:, None], torch.fft.rfftfreq(columns)[None]
    frequency = torch.sqrt(fy * fy + fx * fx)
    out = torch.empty_like(light)
    there = torch.fft.rfft2(weight, s=(rows, columns))
    for channel, d in enumerate(d_px.tolist()):
        passed = transfer(frequency, d)
        spread = torch.fft.irfft2(
            torch.fft.rfft2(light[channel] * weight, s=(rows, columns)) * passed, s=(rows, columns)
        )
        share = torch.fft.irfft2(there * passed, s=(rows, columns))
        out[channel] = spread[:height, :width] / share[:height, :width].clamp(min=1e-3)
    return torch.lerp(light, out.clamp_(min=0), (weight > 0).to(light.dtype))


def fast_length(least: int) -> int:
    """Return the smallest product of 2, 3 and 5 that is at least `least`: a quick length for a transform."""
    length = max(least, 1)
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1
