"""What a liquid-crystal panel shows off axis: lifted mid tones, washed-out colour, and light through black."""

import torch
from torch import Tensor

_REFRACTION = 1.5
"""Index of polarisers and liquid crystal."""


def crossed_leak(across: Tensor, down: Tensor) -> Tensor:
    """Return the share of light that two ideal crossed polarisers pass towards a tilted direction.

    Polarisers that absorb along u and v pass the fields k x u and k x v; off the axes these are no longer at right
    angles, and the transmission relative to parallel ones is their squared cosine,
    kx² ky² / ((1 - kx²)(1 - ky²)). It is largest on the diagonals (the glow in a dark picture's corners).

    Args:
        across: direction cosine of the ray along u, outside the panel.
        down: the same along v.
    """
    kx, ky = (across / _REFRACTION).square(), (down / _REFRACTION).square()
    return kx * ky / ((1 - kx) * (1 - ky))


def lift(washout: Tensor, cosine: Tensor) -> Tensor:
    """Return the share s of the off-axis tone curve (1 - s) y + s sqrt(y) of linear light y at a viewing angle.

    s = washout sin²(angle). A four-domain vertically aligned panel of exponent 2.2 shows code 128 at 60 degrees with
    about 0.4 of white instead of 0.22, an eight-domain one with about 0.3 (Kim, "Super PVA sets new state of the art
    for LCD-TV", SID 2004; ranges read from its curves), which washouts of 1 and 0.45 give. Each colour is lifted by
    itself, so colours fade.
    """
    return washout * (1 - cosine.square())


def off_axis(light: Tensor, share: Tensor, full: Tensor) -> Tensor:
    """Return light (B, C, H, W) as seen where `share` (B, 1, H, W) of the lifted curve is mixed in.

    `full` (B, C) is each emitter's light at its highest drive, which keeps its place.
    """
    return torch.lerp(light, (light.clamp(min=0) * full[..., None, None]).sqrt_(), share)
