"""From linear light to code values: the sRGB transfer and the camera's contrast curve, both ways."""

import torch
from torch import Tensor

from spooflab.augment.unused import unused
from spooflab.augment.wide import wide

_KNEE, _CODE_KNEE = 0.0031308, 0.04045
"""Where sRGB's straight piece ends, as light and as code value."""


def srgb_encode(linear: Tensor) -> Tensor:
    """Encode linear light in [0, 1] (IEC 61966-2-1); values outside are clipped."""
    # Both pieces are summed, each held where the other rules: a branch would cost more than the curve. And
    # 2^(log2 x / 2.4) is seven times faster than pow on the CPU, equal to it within float32's rounding.
    curved = linear.clamp(_KNEE, 1).log2_().mul_(1 / 2.4).exp2_().mul_(1.055).sub_(1.055 * _KNEE ** (1 / 2.4))
    return curved.add_(linear.clamp(0, _KNEE), alpha=12.92)


def srgb_decode(encoded: Tensor) -> Tensor:
    """Decode sRGB code values in [0, 1] to linear light (IEC 61966-2-1); values outside are clipped."""
    curved = encoded.clamp(_CODE_KNEE, 1).add_(0.055).mul_(1 / 1.055).log2_().mul_(2.4).exp2_()
    curved.sub_(((_CODE_KNEE + 0.055) / 1.055) ** 2.4)
    return curved.add_(encoded.clamp(0, _CODE_KNEE), alpha=1 / 12.92)


def tone_curve(encoded: Tensor, *, tone: Tensor, gamma: Tensor) -> Tensor:
    """Apply y = u + tone (3 u^2 - 2 u^3 - u), u = x^gamma, to encoded (B, 3, H, W) in [0, 1].

    `tone` (B,) in [0, 1] blends in the smoothstep that stands for a camera's S-curve (Brooks et al. 2019, sec. 3.1);
    `gamma` (B,) below 1 lifts shadows.
    """
    u = _power(encoded, wide(gamma))
    return torch.addcmul(u, wide(tone) * u, (3 - 2 * u).mul_(u).sub_(1))


def inverse_tone_curve(encoded: Tensor, *, tone: Tensor, gamma: Tensor) -> Tensor:
    """Undo `tone_curve`: the middle root of the cubic, by the sine of a third of the angle.

    With z = u - 1/2 the curve is y - 1/2 = (1 + tone/2) z - 2 tone z^3; for tone 1 this is the inverse of
    Brooks et al. 2019 (eq. 14), 1/2 - sin(asin(1 - 2 y) / 3).
    """
    strength = wide(tone).clamp(min=1e-3)
    amplitude = 2 * torch.sqrt((1 + strength / 2) / (6 * strength))
    sine = (encoded - 0.5) * (2 / (strength * amplitude**3))
    root = 0.5 + amplitude * torch.sin(torch.asin(sine.clamp(-1, 1)) / 3)
    u = torch.where(wide(tone) > 1e-3, root, encoded).clamp(0, 1)
    return _power(u, 1 / wide(gamma))


def _power(x: Tensor, exponent: Tensor) -> Tensor:
    if unused(exponent != 1):
        return x
    return x.clamp(min=1e-8).log2_().mul_(exponent).exp2_()
