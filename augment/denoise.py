"""Noise reduction in the camera: it removes noise, and fine texture with it (the smear of small cameras)."""

import torch
from torch import Tensor

from spooflab.augment.box import box_mean, double, halve
from spooflab.augment.color import LUMINANCE, mix
from spooflab.augment.unused import unused
from spooflab.augment.wide import wide

_LIGHT_RADIUS, _CHROMA_RADIUS = 2, 3
_LIGHT_GAIN, _CHROMA_GAIN = 4.0, 6.0
"""Variance after white balance and correction matrix relative to raw: of luminance, and of chroma at half size."""
_TEXTURE = 2e-4
"""Variance, at full smear and white, below which detail is taken for noise even in clean light."""


def smear(linear: Tensor, *, strength: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Denoise linear (B, 3, H, W), luminance Y at full size and R - Y, B - Y at half size.

    Each goes to its local mean m by the share sigma^2 / (variance + sigma^2) (Lee 1980; the self-guided filter of He et
    al. 2013, eq. 5-8), with sigma^2 = strength (gain (a m + b) + texture m) from the raw noise model: a = `a`, b = `b`,
    (B,). Chroma is then mixed with what came in by the fourth root of `strength`: cameras tolerate colour noise least.
    (B,) strength 0 changes nothing.
    """
    if unused(strength > 0):
        return linear
    opponent = mix(linear, _to_opponent(linear))
    light, chroma = opponent[:, :1], opponent[:, 1:]
    slope, floor = strength * (_LIGHT_GAIN * a + _TEXTURE), strength * _LIGHT_GAIN * b
    calm = _wiener(light, light, slope, floor, _LIGHT_RADIUS)
    slope, floor = strength * _CHROMA_GAIN * a, strength * _CHROMA_GAIN * b
    small = _wiener(halve(chroma), halve(light), slope, floor, _CHROMA_RADIUS)
    quiet = torch.lerp(chroma, double(small, linear.shape[-2], linear.shape[-1]), wide(strength.sqrt().sqrt()))
    out = mix(torch.cat([calm, quiet], 1), torch.linalg.inv(_to_opponent(linear)))
    return out if unused(strength <= 0) else torch.where(wide(strength) > 0, out, linear)


def _wiener(signal: Tensor, light: Tensor, slope: Tensor, floor: Tensor, radius: int) -> Tensor:
    """Shrink (B, C, H, W) towards its local mean; the noise's variance is slope · (local mean of `light`) + floor."""
    channels = signal.shape[1]
    parts = [signal, signal * signal] if signal is light else [signal, signal * signal, light]
    means = box_mean(torch.cat(parts, 1), radius)
    mean, level = means[:, :channels], means[:, -1:] if signal is not light else means[:, :1]
    variance = (means[:, channels : 2 * channels] - mean * mean).clamp_(min=0)
    sigma2 = (level.clamp(min=0) * wide(slope)).add_(wide(floor) + 1e-12)
    keep = variance.div_(variance + sigma2)
    # The filter's coefficients are averaged too, or the edges of the windows show as blocks.
    coefficients = box_mean(torch.cat([keep, mean * (1 - keep)], 1), radius)
    return (signal * coefficients[:, :channels]).add_(coefficients[:, channels:])


def _to_opponent(image: Tensor) -> Tensor:
    """Return (B, 3, 3) that yields luminance Y, R - Y and B - Y."""
    y = image.new_tensor(LUMINANCE)
    matrix = torch.stack([y, image.new_tensor([1.0, 0.0, 0.0]) - y, image.new_tensor([0.0, 0.0, 1.0]) - y])
    return matrix.expand(image.shape[0], 3, 3)
