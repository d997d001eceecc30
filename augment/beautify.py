"""Skin smoothing, as selfie cameras do it unasked."""

import torch
from torch import Tensor

from spooflab.augment.box import box_mean, double, halve
from spooflab.augment.color import luma
from spooflab.augment.unused import unused

_RADIUS = 2
_CONTRAST = 0.06
"""Standard deviation of code values up to which a skin region counts as blemish rather than as feature."""


def beautify(encoded: Tensor, *, strength: Tensor) -> Tensor:
    """Smooth skin-coloured regions of encoded (B, 3, H, W) by an edge-preserving filter; `strength` (B,) in [0, 1].

    The fast self-guided filter (He and Sun 2015) on luma, coefficients over 10 x 10 pixels at half resolution, weighted
    by a soft box of skin chroma (Cb 77-127, Cr 133-173: Chai and Ngan 1999). Strength 0 changes nothing.
    """
    if unused(strength > 0):
        return encoded
    full = luma(encoded)
    small = halve(encoded)
    grey = luma(small)
    means = box_mean(torch.cat([grey, grey * grey], 1), _RADIUS)
    variance = (means[:, 1:] - means[:, :1] ** 2).clamp_(min=0)
    keep = variance / (variance + _CONTRAST**2)
    skin = skin_weight(small, grey)
    gain, offset = box_mean(torch.cat([keep, means[:, :1] * (1 - keep)], 1), _RADIUS).unbind(1)
    weight = skin[:, 0] * strength[:, None, None]
    # Smoothed luma is gain * luma + offset, so the change is affine in luma and both factors can be enlarged.
    affine = torch.stack([weight * (gain - 1), weight * offset], 1)
    affine = double(affine, full.shape[-2], full.shape[-1])
    return (encoded + torch.addcmul(affine[:, 1:], affine[:, :1], full)).clamp_(0, 1)


def skin_weight(encoded: Tensor, grey: Tensor) -> Tensor:
    """Return how surely the colours (B, 3, H, W) of luma `grey` (B, 1, H, W) are skin, (B, 1, H, W) in [0, 1]."""
    skin = _soft_box(0.564 * (encoded[:, 2:] - grey), -51 / 255, -1 / 255)
    skin *= _soft_box(0.713 * (encoded[:, :1] - grey), 5 / 255, 45 / 255)
    return skin


def _soft_box(value: Tensor, low: float, high: float) -> Tensor:
    ramp = 8 / 255
    return (((value - low) / ramp).clamp(-0.5, 0.5) + 0.5) * (((high - value) / ramp).clamp(-0.5, 0.5) + 0.5)
