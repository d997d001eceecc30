"""The gloss of paper: a GGX microfacet lobe that mirrors the key light and the room.

Walter et al., "Microfacet models for refraction through rough surfaces", EGSR 2007 (GGX, Smith shadowing); Schlick 1994
(Fresnel); Heitz, JCGT 7(4) 2018 (sampling). Radiance is in the scene's unit: a white diffuser under illumination 1 has
radiance 1, so a BRDF f under illumination E from direction l gives pi f E cos(l).
"""

import math

import torch
from torch import Tensor

_LIGHT_SPREAD = 0.35
"""Half-vector roughness that a light's angular radius adds (the halves of a disc's directions, rms)."""


def ggx_distribution(cosine: Tensor, alpha: Tensor) -> Tensor:
    """Return D(h) for the cosine of the angle between half vector and normal; the integral of D cos over h is 1."""
    a2 = alpha * alpha
    d: Tensor = a2 / (math.pi * (cosine * cosine * (a2 - 1) + 1) ** 2)
    return d


def smith_shadowing(cosine: Tensor, alpha: Tensor) -> Tensor:
    """Return G1 for the cosine of a direction with the normal."""
    a2 = alpha * alpha
    return 2 * cosine / (cosine + torch.sqrt(a2 + (1 - a2) * cosine * cosine))


def schlick(cosine: Tensor, f0: Tensor | float) -> Tensor:
    """Return the Fresnel reflectance at the given cosine, `f0` at normal incidence."""
    return f0 + (1 - f0) * (1 - cosine.clamp(0, 1)) ** 5


def key_gloss(
    normal: Tensor, eye: Tensor, light: Tensor, alpha: Tensor, f0: Tensor | float, light_radius_rad: Tensor
) -> Tensor:
    """Return (...,) the radiance that the lobe adds per unit of key illumination.

    Args:
        normal: (..., 3) unit normals towards the camera.
        eye: (..., 3) unit vectors towards the camera.
        light: (3,) unit vector towards the light.
        alpha: GGX roughness; widened by the light's own size, its energy kept.
        f0: reflectance at normal incidence.
        light_radius_rad: angular radius of the light.
    """
    half = eye + light
    half = half / half.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    nl, nv = (normal * light).sum(-1), (normal * eye).sum(-1).clamp(min=1e-3)
    nh, vh = (normal * half).sum(-1).clamp(0, 1), (eye * half).sum(-1).clamp(0, 1)
    wide = torch.sqrt(alpha * alpha + (_LIGHT_SPREAD * light_radius_rad) ** 2)
    lit = nl.clamp(min=0)
    shadow = smith_shadowing(lit.clamp(min=1e-3), alpha) * smith_shadowing(nv, alpha)
    radiance: Tensor = math.pi * ggx_distribution(nh, wide) * shadow * schlick(vh, f0) / (4 * nv) * (lit > 0)
    return radiance


def lobe_directions(normal: Tensor, eye: Tensor, alpha: float, count: int) -> Tensor:
    """Return (count, N, 3): mirror directions about microfacet normals that spread over the lobe, each of equal weight.

    The first is the mirror direction itself where `count` is 1; else one ring of facets at the radius that holds half
    the lobe's energy around the middle one.
    """
    across = torch.linalg.cross(normal, normal.new_tensor([0.0, 1.0, 0.0]).expand_as(normal))
    across = across / across.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    down = torch.linalg.cross(normal, across)
    facets = [normal]
    for k in range(count - 1):
        turn = 2 * math.pi * k / (count - 1)
        facets.append(normal + alpha * (math.cos(turn) * across + math.sin(turn) * down))
    facet = torch.stack(facets)
    facet = facet / facet.norm(dim=-1, keepdim=True)
    mirrored: Tensor = 2 * (facet * eye).sum(-1, keepdim=True) * facet - eye
    unit: Tensor = mirrored / mirrored.norm(dim=-1, keepdim=True)
    return unit
