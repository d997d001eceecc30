"""Softness that grows from the window's centre to its corners: field curvature, as far as a blur shows it."""

import torch
from torch import Tensor

from spooflab.augment.sharpen import gaussian_blur
from spooflab.augment.unused import unused


def field_blur(irradiance: Tensor, *, corner_blur_px: Tensor) -> Tensor:
    """Blend linear (B, C, H, W) with a blurred copy so that the blur's variance grows with the squared radius.

    `corner_blur_px` (B,), at most 1.5, is the standard deviation in the corners, on top of the lens's own: at radius r
    (half-diagonals) the point spread function is the mixture (1 - r^2) delta + r^2 Gaussian, of variance
    r^2 corner_blur_px^2, as third-order field curvature has it (Kingslake, Optical System Design, 1983). Rows of 0
    pass unchanged.
    """
    if unused(corner_blur_px > 0):
        return irradiance
    batch, channels, height, width = irradiance.shape
    planes = irradiance.reshape(batch * channels, 1, height, width)
    radius = corner_blur_px.clamp(min=1e-3).repeat_interleave(channels)
    soft = gaussian_blur(planes, radius).reshape(irradiance.shape)
    ys = (torch.arange(height, device=irradiance.device) + 0.5 - height / 2) ** 2
    xs = (torch.arange(width, device=irradiance.device) + 0.5 - width / 2) ** 2
    share = (ys[:, None] + xs) * (4 / (height**2 + width**2))
    return torch.where(corner_blur_px[:, None, None, None] > 0, torch.lerp(irradiance, soft, share), irradiance)
