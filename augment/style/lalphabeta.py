"""l-alpha-beta, the decorrelated logarithmic cone space of Ruderman, Cronin and Chiao 1998."""

import math

import torch
from torch import Tensor

from spooflab.augment.tone import srgb_decode, srgb_encode

# Reinhard, Ashikhmin, Gooch and Shirley 2001: linear RGB to cones, and logarithms of those to axes.
_CONES = ((0.3811, 0.5783, 0.0402), (0.1967, 0.7244, 0.0782), (0.0241, 0.1288, 0.8444))
_AXES = ((1.0, 1.0, 1.0), (1.0, 1.0, -2.0), (1.0, -1.0, 0.0))
_SCALES = (1 / math.sqrt(3), 1 / math.sqrt(6), 1 / math.sqrt(2))
_DARKEST = 1 / 255 / 12.92
"""Linear light of the first code value above black: the logarithm needs a floor."""


def to_lalphabeta(srgb: Tensor) -> Tensor:
    """Return l, alpha, beta (B, 3, H, W), in decades, of sRGB in [0, 1]; black is lifted to one code value."""
    linear = srgb_decode(srgb).clamp(min=_DARKEST)
    return _mix(_mix(linear, _matrix(_CONES, srgb)).log10(), _axes(srgb))


def from_lalphabeta(lab: Tensor) -> Tensor:
    """Return sRGB (B, 3, H, W), not clipped above 1, of l, alpha, beta."""
    cones = torch.pow(10.0, _mix(lab, torch.linalg.inv(_axes(lab))))
    return srgb_encode(_mix(cones, torch.linalg.inv(_matrix(_CONES, lab))).clamp(min=0))


def _axes(like: Tensor) -> Tensor:
    return _matrix(_AXES, like) * torch.tensor(_SCALES, device=like.device, dtype=like.dtype)[:, None]


def _matrix(rows: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    return torch.tensor(rows, device=like.device, dtype=like.dtype)


def _mix(x: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix, x)
