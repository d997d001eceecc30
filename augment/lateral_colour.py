"""Lateral chromatic aberration: red and blue are imaged a little larger or smaller than green."""

import torch
from torch import Tensor

from spooflab.augment.unused import unused


def lateral_colour(irradiance: Tensor, *, red: Tensor, blue: Tensor) -> Tensor:
    """Scale red by 1 + `red` and blue by 1 + `blue` (B,) about the window's centre; green stays.

    Shifts stay below half a pixel (scales of a thousandth), so each axis is interpolated by the parabola through three
    neighbours, which keeps more contrast than a straight line. Scales of 0 change nothing.
    """
    if unused((red != 0) | (blue != 0)):
        return irradiance
    scale = torch.stack([red, blue], 1)[:, :, None, None]
    pair = _scale_axis(_scale_axis(irradiance[:, 0::2], scale, -1), scale, -2)
    return torch.stack([pair[:, 0], irradiance[:, 1], pair[:, 1]], 1)


def _scale_axis(image: Tensor, scale: Tensor, axis: int) -> Tensor:
    count = image.shape[axis]
    position = torch.arange(count, device=image.device) + 0.5 - count / 2
    shift = -scale / (1 + scale) * position  # what lands at x (1 + s) is looked up at x
    shift = shift if axis == -1 else shift.transpose(-1, -2)
    # The parabola through three neighbours at `shift`: two differences, each with a weight that the position sets.
    step = image.diff(dim=axis)
    out = image.clone()
    for start, weight in ((0, shift * (1 + shift) / 2), (1, shift * (1 - shift) / 2)):
        out.narrow(axis, start, count - 1).addcmul_(step, weight.narrow(axis, start, count - 1))
    return out
