"""Microfacet reflection of solids: GGX normals, Smith's masking, and the exact Fresnel equations of a dielectric.

Walter et al., "Microfacet models for refraction through rough surfaces", EGSR 2007; Heitz, "Understanding the
masking-shadowing function", JCGT 3(2) 2014 (height-correlated G2); Karis, "Real shading in Unreal Engine 4", SIGGRAPH
2013 course (alpha of a lamp with a size). Radiance is in the scene's unit: a white diffuser under illumination 1 has
radiance 1, so a BRDF f under illumination E from direction l gives pi f E cos(l).
"""

import math

import torch
from torch import Tensor

_TINY = 1e-4


def distribution(n_h: Tensor, alpha: Tensor | float) -> Tensor:
    """Return D for the cosine between half vector and normal; the integral of D cos over the hemisphere is 1."""
    a2 = alpha * alpha
    density: Tensor = a2 / (math.pi * (n_h * n_h * (a2 - 1) + 1).square())
    return density


def masking(cosine: Tensor, alpha: Tensor | float) -> Tensor:
    """Return Smith's G1: the share of facets seen at `cosine` that no other facet hides; 1 head on, 0 at grazing."""
    a2 = alpha * alpha
    c = cosine.clamp(min=_TINY)
    shown: Tensor = 2 * c / (c + torch.sqrt(a2 + (1 - a2) * c * c))
    return shown


def visibility(n_l: Tensor, n_v: Tensor, alpha: Tensor | float) -> Tensor:
    """Return G2 / (4 n_l n_v), height-correlated (Heitz 2014, eq. 99)."""
    a2 = alpha * alpha
    left, right = n_l.clamp(min=_TINY), n_v.clamp(min=_TINY)
    hidden = left * torch.sqrt(a2 + (1 - a2) * right * right) + right * torch.sqrt(a2 + (1 - a2) * left * left)
    return 0.5 / hidden


def refractive_index(f0: float) -> float:
    """Return the index of a dielectric that mirrors `f0` at normal incidence."""
    root = math.sqrt(f0)
    return (1 + root) / (1 - root)


def fresnel(cosine: Tensor, index: float) -> Tensor:
    """Return the reflectance of an interface from air into `index` for unpolarised light (Fresnel's equations)."""
    c = cosine.clamp(0, 1)
    inside = torch.sqrt(1 - (1 - c * c) / (index * index))
    across = (c - index * inside) / (c + index * inside)
    along = (inside - index * c) / (inside + index * c)
    return 0.5 * (across.square() + along.square())


def schlick(cosine: Tensor, f0: Tensor | float) -> Tensor:
    """Return Schlick's approximation of `fresnel` (1994): cheap, within 0.02 for indices about 1.5."""
    away = (1 - cosine).clamp(0, 1)
    square = away * away
    risen: Tensor = f0 + (1 - f0) * square * square * away
    return risen


def directional_albedo(n_v: Tensor, alpha: Tensor | float, f0: Tensor | float) -> Tensor:
    """Return the share of uniform light that the lobe mirrors towards `n_v`.

    Analytic fit of the split-sum table, Karis, "Physically based shading on mobile" (2014), for Schlick's Fresnel; its
    roughness is the square root of alpha.
    """
    rough = alpha.sqrt() if isinstance(alpha, Tensor) else math.sqrt(alpha)
    r0, r1, r2, r3 = 1 - rough, 0.0425 - 0.0275 * rough, 1.04 - 0.572 * rough, 0.022 * rough - 0.04
    knee = torch.minimum(torch.as_tensor(r0 * r0), torch.exp2(-9.28 * n_v)) * r0 + r1
    scale, bias = -1.04 * knee + r2, 1.04 * knee + r3
    mirrored: Tensor = (f0 * scale + bias).clamp(0, 1)
    return mirrored


def lamp_gloss(
    n_l: Tensor, n_v: Tensor, v_l: Tensor, alpha: Tensor | float, f0: float, radius_rad: float = 0.0
) -> Tensor:
    """Return the radiance that the lobe adds per unit of illumination from one lamp.

    Args:
        n_l: cosine between normal and lamp; n_v: with the eye; v_l: between eye and lamp.
        n_v: see `n_l`.
        v_l: see `n_l`.
        alpha: GGX roughness.
        f0: reflectance at normal incidence.
        radius_rad: angular radius of the lamp: it widens the lobe by half of itself (Karis 2013) and keeps its energy.
    """
    scale = torch.rsqrt((2 + 2 * v_l).clamp(min=1e-6))
    n_h = ((n_l + n_v) * scale).clamp(0, 1)
    v_h = ((1 + v_l) * scale).clamp(0, 1)
    wide = (alpha * alpha + (0.5 * radius_rad) ** 2) ** 0.5
    lobe = distribution(n_h, wide) * visibility(n_l, n_v, alpha) * schlick(v_h, f0)
    lit: Tensor = lobe * (math.pi * n_l.clamp(min=0))
    return lit
