"""What a panel does with code values: transfer, colour, angle and flicker."""

import torch
from torch import Tensor

from spooflab.generators.instruments.panel import Light, Primaries

XYZ_TO_SRGB = (
    (3.2404542, -1.5371385, -0.4985314),
    (-0.9692660, 1.8760108, 0.0415560),
    (0.0556434, -0.2040259, 1.0572252),
)
"""IEC 61966-2-1, D65, to linear light."""


def transfer_table(light: Light) -> Tensor:
    """Return (256,): luminance of a code value relative to white.

    Black is what the panel leaks: a backlight dims it together with white.
    """
    leak = 1 / light.contrast
    codes = torch.linspace(0, 1, 256, dtype=torch.float64)
    return (leak + (1 - leak) * codes**light.gamma).float()


def colour_matrix(primaries: Primaries) -> Tensor:
    """Return (3, 3): linear panel red, green, blue to linear sRGB, white of luminance 1 and not adapted.

    Each primary is scaled so that their sum has the chromaticity of white (SMPTE RP 177).
    """
    colours = torch.tensor([primaries.red, primaries.green, primaries.blue], dtype=torch.float64)
    xyz = torch.stack([colours[:, 0] / colours[:, 1], torch.ones(3).double(), (1 - colours.sum(1)) / colours[:, 1]])
    wx, wy = primaries.white
    white = torch.tensor([wx / wy, 1.0, (1 - wx - wy) / wy], dtype=torch.float64)
    scaled = xyz * torch.linalg.solve(xyz, white)
    to_srgb: Tensor = torch.tensor(XYZ_TO_SRGB, dtype=torch.float64) @ scaled
    return to_srgb.float()


def white_in_panel_rgb(primaries: Primaries, xy: tuple[float, float]) -> Tensor:
    """Return (3,): light of chromaticity `xy` and luminance 1 in the panel's red, green and blue."""
    x, y = xy
    xyz = torch.tensor([x / y, 1.0, (1 - x - y) / y], dtype=torch.float64)
    srgb = torch.tensor(XYZ_TO_SRGB, dtype=torch.float64) @ xyz
    light: Tensor = torch.linalg.solve(colour_matrix(primaries).double(), srgb)
    return light.float()


def planck_gain(kelvin: Tensor) -> Tensor:
    """Return (B, 3) linear gains, largest 1, that turn white from 6500 K to `kelvin` (2222-6500), as a night mode does.

    Chromaticity of a black body by the cubic fit of Kim et al. (2002, US patent 7024034).
    """
    ratio = _planck_srgb(kelvin.double()) / _planck_srgb(torch.full_like(kelvin, 6500.0).double())
    gain: Tensor = (ratio.clamp(min=0.02) / ratio.amax(-1, keepdim=True)).float()
    return gain


def _planck_srgb(t: Tensor) -> Tensor:
    low = -0.2661239e9 / t**3 - 0.2343589e6 / t**2 + 0.8776956e3 / t + 0.179910
    high = -3.0258469e9 / t**3 + 2.1070379e6 / t**2 + 0.2226347e3 / t + 0.240390
    x = torch.where(t < 4000, low, high)
    middle = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    hot = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    y = torch.where(t < 4000, middle, hot)
    xyz = torch.stack([x / y, torch.ones_like(x), (1 - x - y) / y], -1)
    return xyz @ torch.tensor(XYZ_TO_SRGB, dtype=torch.float64, device=t.device).T


def falloff(cosine: Tensor, exponent: Tensor) -> Tensor:
    """Return (B, C, ...): radiance at an angle relative to that along the normal, cos^a, for each emitter.

    Args:
        cosine: (B, 1, ...) between ray and normal.
        exponent: (B, C).
    """
    dimmed: Tensor = cosine ** exponent.reshape(*exponent.shape, *([1] * (cosine.ndim - 2)))
    return dimmed


def pulse_mean(start: Tensor, span: Tensor, duty: Tensor, depth: Tensor) -> Tensor:
    """Return the mean light over exposures, relative to the mean of a whole period.

    The wave is 1 - depth + depth * pulse / duty, where pulse is 1 for the first `duty` of each period: its integral
    is known in closed form, so nothing is sampled in time.

    Args:
        start: (B, ...) beginning of the exposure, in periods.
        span: (B, ...) its length, in periods, > 0.
        duty: (B, ...) lit share of a period, in (0, 1].
        depth: (B, ...) in [0, 1].
    """

    def lit(time: Tensor) -> Tensor:
        whole = time.floor()
        return whole * duty + torch.minimum(time - whole, duty)

    first = start - start.floor()
    share = (lit(first + span) - lit(first)) / span
    return 1 - depth + depth * share / duty
