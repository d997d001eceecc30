"""Auto-exposure: how much the camera brightens what it sees, metered from the frame itself."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.color import luminance

_CELLS = 32
_GAIN_LIMIT = 16.0


def meter(irradiance: Tensor, *, metering: Tensor, target: Tensor, highlight: Tensor, error_ev: Tensor) -> Tensor:
    """Return the (B,) gain by which the camera exposes linear (B, 3, H, W).

    The centre-weighted mean luminance (Gaussian weight, standard deviation a quarter of the frame) goes to `target`,
    unless that lifts the frame's 95th percentile above `highlight`. `metering` is the power of that gain (0 leaves the
    exposure alone), `error_ev` the camera's error in stops. Luminance is read on a grid of at most 32 x 32 cell means.
    """
    light = luminance(cell_means(irradiance))[:, 0]
    mean = (light * _centre_weight(light)).sum((-2, -1))
    flat = light.flatten(1)
    bright = flat.kthvalue(max(1, round(0.95 * flat.shape[1])), dim=1).values
    wish = torch.minimum(target / mean.clamp(min=1e-6), highlight / bright.clamp(min=1e-6))
    automatic = wish.clamp(1 / _GAIN_LIMIT, _GAIN_LIMIT)
    return automatic.pow(metering) * torch.exp2(error_ev)


def cell_means(image: Tensor) -> Tensor:
    """Return the means of (B, C, H, W) over the cells of a grid of at most 32 x 32, on which cameras read a frame."""
    height, width = image.shape[-2:]
    return F.adaptive_avg_pool2d(image, (min(_CELLS, height), min(_CELLS, width)))


def _centre_weight(light: Tensor) -> Tensor:
    sides = []
    for count in light.shape[-2:]:
        position = (torch.arange(count, device=light.device) + 0.5) / count - 0.5
        sides.append(torch.exp(-0.5 * (position / 0.25) ** 2))
    weight = sides[0][:, None] * sides[1][None, :]
    return weight / weight.sum()
