"""Smoothing that keeps edges: what a retoucher, or a beauty filter, does to skin."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.enlarge import enlarge


def soften(picture: Tensor, weight: Tensor, *, radius_px: float, threshold: float) -> Tensor:
    """Return code values with small detail taken out; strong edges stay.

    Detail d is what a blur leaves; d exp(-(d / threshold)²) of it is removed, as in a surface blur.

    Args:
        picture: (1, C, H, W) code values.
        weight: (1, 1, H, W) in [0, 1], how much is removed where.
        radius_px: standard deviation of the blur.
        threshold: size of the detail, in code values of 0-1, from which it counts as an edge.
    """
    detail = picture - blur(picture, radius_px)
    return picture - weight * detail * torch.exp(-(detail / threshold).square())


def blur(picture: Tensor, radius_px: float) -> Tensor:
    """Return (1, C, H, W) blurred with a standard deviation of about `radius_px`.

    Means of blocks about as wide, a binomial filter over them, and back between them linearly.
    """
    step = max(1, round(radius_px))
    height, width = picture.shape[-2:]
    padded = F.pad(picture, (0, -width % step, 0, -height % step), mode="replicate")
    cells = F.avg_pool2d(padded, step) if step > 1 else padded
    edged = F.pad(cells, (1, 1, 1, 1), mode="replicate")
    down = (edged[..., :-2, :] + edged[..., 2:, :]).add_(edged[..., 1:-1, :], alpha=2)
    both = (down[..., :-2] + down[..., 2:]).add_(down[..., 1:-1], alpha=2).mul_(1 / 16)
    return enlarge(both, step)[..., :height, :width]
