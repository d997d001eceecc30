"""Turbid layers on a substrate: Kubelka and Munk's two fluxes, and pigments described by colours that can be measured.

A pigment's absorption K and scattering S follow from its masstone (the colour of a layer that hides everything) and its
hiding power. Sheer and opaque products then differ by thickness alone, over any skin. Kubelka & Munk 1931; Kubelka
1948, "New contributions to the optics of intensely light-scattering materials"; for cosmetics Huang et al. 2013,
"Physically based cosmetic rendering", and Li, Zhou & Lin 2015, "Simulating makeup through physics-based manipulation of
intrinsic image layers".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_DARKEST, _BRIGHTEST = 0.002, 0.985
"""Masstones are kept inside: K / S diverges at 0, and nothing that is worn reflects more."""


@dataclass(frozen=True)
class Pigment:
    """A product's optics for each channel (red, green, blue).

    Attributes:
        a: (3,) 1 + K / S.
        b: (3,) sqrt(a² - 1).
        scatter: (3,) S · X of one application, i.e. at thickness 1.
    """

    a: Tensor
    b: Tensor
    scatter: Tensor

    @property
    def masstone(self) -> Tensor:
        """(3,) reflectance of an infinitely thick layer: 1 + K/S - sqrt((K/S)² + 2 K/S)."""
        return self.a - self.b

    @property
    def absorb(self) -> Tensor:
        """(3,) K · X of one application."""
        return (self.a - 1) * self.scatter


def pigment(masstone: Tensor, scatter: float | Tensor) -> Pigment:
    """Return the pigment whose thick layer reflects `masstone` and of which one application scatters `scatter`.

    Both may be (3,) or maps (3, H, W): a painter who mixes colours on the face.

    K / S = (1 - R)² / (2 R) of the masstone R (Kubelka 1948).
    """
    reflect = masstone.clamp(_DARKEST, _BRIGHTEST)
    ratio = (1 - reflect).square() / (2 * reflect)
    power = scatter if isinstance(scatter, Tensor) else torch.full_like(reflect, float(scatter))
    return _of(ratio * power, power)


def hiding_pigment(masstone: Tensor, hiding: float) -> Pigment:
    """Return the pigment of which one application leaves the contrast exp(-2 hiding) between black and white below it.

    The contrast R_w - R_b is averaged over the channels: 0.15 is a sheer powder (74 % of the contrast stays), 0.7 a
    cream (25 %), 2 an opaque paint (2 %). S is the same in all channels and is found by bisection.
    """
    ratio = [(1 - r) ** 2 / (2 * r) for r in masstone.clamp(_DARKEST, _BRIGHTEST).tolist()]
    pairs = [(1 + k, math.sqrt((1 + k) ** 2 - 1)) for k in ratio]
    wanted = math.exp(-2 * hiding)
    low, high = math.log(1e-5), math.log(1e3)
    for _ in range(34):
        middle = (low + high) / 2
        contrast = sum(_contrast(a, b, math.exp(middle)) for a, b in pairs) / len(pairs)
        low, high = (middle, high) if contrast > wanted else (low, middle)
    return pigment(masstone, math.exp((low + high) / 2))


def _contrast(a: float, b: float, scatter: float) -> float:
    depth = math.tanh(b * scatter) / b
    return (1 + depth * (1 - a)) / (1 + depth * (a - 1)) - depth / (1 + depth * a)


def mixture(parts: Sequence[tuple[Pigment, float]]) -> Pigment:
    """Return pigments mixed by shares: K and S add up (Duncan 1940)."""
    absorb = torch.stack([part.absorb * share for part, share in parts]).sum(0)
    scatter = torch.stack([part.scatter * share for part, share in parts]).sum(0)
    return _of(absorb, scatter)


def over(paint: Pigment, thickness: Tensor, substrate: Tensor) -> Tensor:
    """Return the reflectance of a layer of `paint` over a substrate.

    Kubelka's R = (1 - R_g (a - b coth(b S X))) / (a - R_g + b coth(b S X)) with both halves divided by
    b coth(b S X) / tanh, which leaves nothing that diverges where the layer ends.

    Args:
        paint: the product; its figures may also be maps (3, H, W).
        thickness: (..., H, W) in applications, at least 0.
        substrate: (..., 3, H, W) reflectance R_g below.
    """
    a, b, scatter = (v[:, None, None] if v.dim() == 1 else v for v in (paint.a, paint.b, paint.scatter))
    # tanh(b S X) / b; b is never 0 because masstones stay below 1.
    depth = torch.tanh(thickness.unsqueeze(-3) * (b * scatter)).mul_(1 / b)
    top = torch.addcmul(substrate, depth, 1 - a * substrate)
    return top.div_((a - substrate).mul_(depth).add_(1))


def _of(absorb: Tensor, scatter: Tensor) -> Pigment:
    a = 1 + absorb / scatter
    return Pigment(a, (a.square() - 1).sqrt(), scatter)
