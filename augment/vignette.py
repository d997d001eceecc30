"""Fall-off of illumination towards the corners."""

import torch
from torch import Tensor


def vignette(height: int, width: int, corner_gain: Tensor) -> Tensor:
    """Return (B, 1, H, W) gains: 1 at the centre, `corner_gain` (B,) in the window's corners.

    The fourth power of the cosine, 1 / (1 + r^2 tan^2 θ)^2 with r in half-diagonals, θ set by the corner: natural
    vignetting (Kingslake, Optical System Design, 1983), used as the shape of what the camera's correction leaves.
    """
    tangent2 = (corner_gain.rsqrt() - 1)[:, None, None, None]
    ys = (torch.arange(height, device=corner_gain.device) + 0.5 - height / 2) ** 2
    xs = (torch.arange(width, device=corner_gain.device) + 0.5 - width / 2) ** 2
    radius2 = (ys[:, None] + xs[None, :]) * (4 / (height**2 + width**2))
    return (1 + tangent2 * radius2).square().reciprocal()
