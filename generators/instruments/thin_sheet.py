"""A thin clear sheet before a surface: what it lets through, what it mirrors, and how far it shifts a ray.

Born & Wolf, Principles of Optics, sect. 1.5 (Fresnel) and 1.6 (slabs), incoherent sum over the internal reflections: a
sheet of 0.1 mm or more is much thicker than the coherence length of room light.
"""

import torch
from torch import Tensor

from spooflab.generators.instruments.ggx import fresnel


def path_mm(cosine: Tensor, index: float, thickness_mm: Tensor | float) -> Tensor:
    """Return the length of a refracted ray inside a sheet that it meets at `cosine`."""
    inside = torch.sqrt(1 - (1 - cosine * cosine).clamp(0, 1) / (index * index))
    length: Tensor = thickness_mm / inside
    return length


def slab(
    cosine: Tensor, index: float, absorption_per_mm: Tensor | float, thickness_mm: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Return reflectance and transmittance of a sheet in air for unpolarised light.

    Summed over all internal reflections of each polarisation: with R of one interface and t = exp(-a path) of one
    crossing, T = (1 - R)^2 t / (1 - R^2 t^2) and the reflectance is R + R t T. Without absorption they add up to 1.

    Args:
        cosine: of the ray with the sheet's normal, 0-1.
        index: refractive index, 1.3-1.8.
        absorption_per_mm: Napierian absorption coefficient; broadcasts with `cosine`.
        thickness_mm: of the sheet.
    """
    c = cosine.clamp(0, 1)
    inside = torch.sqrt(1 - (1 - c * c) / (index * index))
    across = ((c - index * inside) / (c + index * inside)).square()
    along = ((inside - index * c) / (inside + index * c)).square()
    once = torch.exp(-absorption_per_mm * (thickness_mm / inside))
    passed, mirrored = torch.zeros_like(once), torch.zeros_like(once)
    for r in (across, along):
        through = (1 - r).square() * once / (1 - (r * once).square())
        passed = passed + 0.5 * through
        mirrored = mirrored + 0.5 * r * (1 + once * through)
    return mirrored, passed


def two_interfaces(cosine: Tensor, index: float) -> Tensor:
    """Return (1 - R)^2: the transmittance without internal reflections, by which textbooks approximate `slab`."""
    through: Tensor = (1 - fresnel(cosine, index)).square()
    return through


def shift_mm(cosine: Tensor, index: float, thickness_mm: Tensor | float) -> Tensor:
    """Return how far a plane-parallel sheet displaces a ray sideways: t sin(i) (1 - cos(i) / sqrt(n^2 - sin^2(i)))."""
    c = cosine.clamp(0, 1)
    sine2 = 1 - c * c
    aside: Tensor = thickness_mm * sine2.sqrt() * (1 - c / torch.sqrt(index * index - sine2))
    return aside
