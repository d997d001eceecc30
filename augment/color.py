"""Colour of the sensor and its correction: matrices, white balance, saturation."""

import torch
from torch import Tensor

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Rec. 709 weights of linear red, green and blue."""
LUMA = (0.299, 0.587, 0.114)
"""Rec. 601 weights of encoded red, green and blue, which cameras and JPEG use."""


def mix(image: Tensor, matrix: Tensor) -> Tensor:
    """Multiply the colours of (B, 3, H, W) by (B, 3, 3)."""
    return torch.bmm(matrix, image.flatten(2)).reshape(image.shape)


def luminance(linear: Tensor) -> Tensor:
    """Return (B, 1, H, W) from linear (B, 3, H, W)."""
    return _weigh(linear, LUMINANCE)


def luma(encoded: Tensor) -> Tensor:
    """Return (B, 1, H, W) from encoded (B, 3, H, W)."""
    return _weigh(encoded, LUMA)


def sensor_response(sensor_matrix: Tensor, balance: Tensor) -> Tensor:
    """Return (B, 3, 3), linear sRGB to raw signal: the spectral matrix, then each channel's sensitivity 1 / gain."""
    return sensor_matrix / balance[:, :, None]


def white_balance(image: Tensor, gains: Tensor) -> Tensor:
    """Apply (B, 3) gains to demosaiced (B, 3, H, W) and clip at white, so that clipped highlights stay neutral."""
    return (image * gains[:, :, None, None]).clamp_(max=1)


def saturation_matrix(saturation: Tensor) -> Tensor:
    """Return (B, 3, 3) that moves colours away from (or to) their luminance; greys stay.

    >>> saturation_matrix(torch.tensor([1.0]))[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    grey = saturation.new_tensor(LUMINANCE).expand(3, 3)
    identity = torch.eye(3, device=saturation.device)
    return identity * saturation[:, None, None] + grey * (1 - saturation[:, None, None])


def _weigh(image: Tensor, weights: tuple[float, float, float]) -> Tensor:
    total = image[:, 0:1] * weights[0]
    return total.add_(image[:, 1:2], alpha=weights[1]).add_(image[:, 2:3], alpha=weights[2])
