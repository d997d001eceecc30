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


def falloff(cosine: Tensor, exponent: Tensor) -> Tensor:
    """Return (B, 3, ...): radiance at an angle relative to that along the normal, cos^a, for each primary.

    Args:
        cosine: (B, 1, ...) between ray and normal.
        exponent: (B, 3).
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
