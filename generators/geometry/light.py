"""The light on a face: second-order spherical harmonics with a dominant lamp, estimated from the skin.

Irradiance is relative: a facing white Lambertian surface under `shading` 1 has radiance 1, so that radiance is albedo
times shading everywhere. Directions are in camera axes (x right, y down, z away from the camera).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.light import highlights
from spooflab.generators.geometry.light_prior import harmonics, lamp, light_prior
from spooflab.generators.geometry.skin_prior import skin_albedo
from spooflab.generators.masked import places

_ROUNDS, _EVIDENCE, _SAMPLES = 5, 600.0, 1500
_FLOOR = 0.06
LUMINANCE = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True, eq=False)
class Light:
    """Distant light on one face.

    Attributes:
        irradiance: (9, 3) coefficients of the irradiance by `light_prior.harmonics`, per colour channel; positive for
            every normal that can be seen.
        key_direction: (3,) unit vector towards the dominant lamp, camera axes.
        key_irradiance: (3,) what the dominant lamp alone gives a facing surface; the rest of the irradiance is
            surroundings. 0 where the light has no direction.
        key_share: irradiance by the key on a facing surface over that by all light there, 0 … 1.
        skin_albedo: (3,) mean albedo of the skin that the estimate settled on.
    """

    irradiance: Tensor
    key_direction: Tensor
    key_irradiance: Tensor
    key_share: float
    skin_albedo: Tensor


def shading(light: Light, normals: Tensor) -> Tensor:
    """Return (3, …) irradiance on (3, …) unit normals, so that radiance = albedo × shading; always positive."""
    flat = normals.reshape(3, -1)
    least = _FLOOR * light.irradiance[0][:, None]
    return torch.maximum(light.irradiance.T @ harmonics(flat), least).reshape(normals.shape)


def estimate_light(radiance: Tensor, normals: Tensor, weight: Tensor) -> Light:
    """Estimate the light from skin, whose albedo is taken to vary little but for blemishes and shadows.

    Iteratively reweighted least squares for nine coefficients per channel with a prior that keeps the unseen half of
    the sphere plausible; what lies far off (hair, highlights, cast shadows) loses its weight. Directional parts shrink
    until the irradiance is positive for every normal. What remains open, the level, is set by `skin_albedo`: the
    likeliest mean skin for its colour.

    Args:
        radiance: (3, H, W) linear light.
        normals: (3, H, W) unit vectors, camera axes.
        weight: (H, W) in [0, 1], bare skin.

    Returns:
        A light from the camera's side with the mean skin's level where there are fewer than 50 pixels of skin.
    """
    index = places(weight > 0.3)
    index = index[:: max(len(index) // _SAMPLES, 1)]
    colour = radiance.reshape(3, -1).index_select(1, index)
    if len(index) < 50:
        return _frontal(colour)
    facing = normals.reshape(3, -1).index_select(1, index).double()
    design, values = harmonics(facing).T, colour.T.double()
    # Where the surface turns away the fit is least sure of its normal, and gloss is strongest.
    share = weight.reshape(-1).index_select(0, index) * (-2.5 * facing[2] - 0.25).clamp(0.02, 1)
    mean = (values * share[:, None]).sum(0) / share.sum()
    coefficients = _robust(design, values / mean.clamp(min=1e-4), share)
    coefficients = _positive(coefficients)
    # Mean over the seen skin stays the skin's mean: level and albedo part there.
    seen = ((design @ coefficients) * share[:, None]).sum(0) / share.sum()
    coefficients = coefficients / seen
    albedo = skin_albedo(mean.float())
    return _with_key((coefficients * (mean / albedo.double())).float(), albedo)


def _robust(design: Tensor, values: Tensor, share: Tensor) -> Tensor:
    """Return (9, 3) coefficients of (N, 3) values about 1: luminance settles which pixels count, then each channel."""
    prior = light_prior()
    pull = (prior.precision @ prior.mean)[:, None]
    grey = values @ torch.tensor(LUMINANCE, dtype=torch.float64)[:, None]
    # Neighbouring pixels are wrong alike: all together count as a few hundred.
    evidence = min(_EVIDENCE, len(values)) / share.sum()
    weight, scale = share * evidence, 0.25
    out = torch.zeros(9, 1, dtype=torch.float64)
    for step in range(_ROUNDS):
        scaled = design * (weight / scale**2)[:, None]
        normal = scaled.T @ design + prior.precision
        last = step == _ROUNDS - 1
        out = torch.linalg.solve(normal, scaled.T @ (values if last else grey) + pull)
        if not last:
            off = (grey - design @ out)[:, 0]
            scale = max(float(off.abs().median()) * 1.48, 0.05)
            # Tukey's biweight: highlights, hair and cast shadows count nothing.
            weight = share * evidence * (1 - (off / (3.5 * scale)).square()).clamp(min=0).square()
    return out


def _directions() -> Tensor:
    k = torch.arange(162, dtype=torch.float64) + 0.5
    height = 1 - 2 * k / 162
    around = math.pi * (1 + math.sqrt(5)) * k
    flat = (1 - height**2).sqrt()
    return torch.stack([flat * around.cos(), flat * around.sin(), height])


_SPHERE = harmonics(_directions()[:, _directions()[2] < 0.3]).T.contiguous()


def _positive(coefficients: Tensor) -> Tensor:
    """Return coefficients whose directional part is just so small that the least irradiance is `_FLOOR` of the mean."""
    mean = coefficients[:1].clamp(min=1e-3)
    lowest = (_SPHERE[:, 1:] @ coefficients[1:]).amin(0)
    room = (1 - _FLOOR) * mean[0]
    factor = (room / (-lowest).clamp(min=1e-9)).clamp(max=1)
    return torch.cat([mean, coefficients[1:] * factor])


def _with_key(irradiance: Tensor, albedo: Tensor) -> Light:
    """Split off the lamp that goes with such irradiance in drawn sessions."""
    luma = torch.tensor(LUMINANCE)
    keys = light_prior().key.float() @ irradiance
    pull = keys @ luma
    length = float(pull.norm())
    if length < 1e-4 * float(irradiance[0] @ luma):
        return Light(irradiance, torch.tensor([0.0, 0.0, -1.0]), torch.zeros(3), 0.0, albedo)
    direction = pull / length
    # A lamp of strength k adds k/4 to the mean: the surroundings must keep some of it.
    key = (direction @ keys).clamp(min=0).minimum(3.6 * irradiance[0])
    facing = irradiance.T @ harmonics(direction)
    share = float((key @ luma) / (facing @ luma).clamp(min=1e-6))
    return Light(irradiance, direction, key, min(max(share, 0.0), 1.0), albedo)


def _frontal(colour: Tensor) -> Light:
    mean = colour.mean(1) if colour.shape[1] else torch.full((3,), 0.3)
    albedo = skin_albedo(mean)
    irradiance = torch.zeros(9, 3)
    irradiance[0], irradiance[2], irradiance[3] = 0.7, -0.15, -0.2
    return _with_key(irradiance * (mean / albedo), albedo)


def specular(
    light: Light, normals: Tensor, roughness: float | Tensor, f0: float = 0.034, *, view: Tensor | None = None
) -> Tensor:
    """Return (3, …) radiance of the surface's gloss: GGX highlight of the key, and the surroundings' blurred mirror.

    Args:
        light: of the face.
        normals: (3, …) unit vectors, camera axes.
        roughness: perceptual, alpha is its square; a number or (…). Skin 0.4–0.6, resin 0.3, wet paint 0.15.
        f0: reflectance at normal incidence; skin 0.028–0.034, plastics 0.04–0.05.
        view: (3, …) unit vectors towards the camera; by default straight along its axis.
    """
    shape = normals.shape[1:]
    n = normals.reshape(3, -1)
    rough = roughness.reshape(-1) if isinstance(roughness, Tensor) else torch.full((n.shape[1],), float(roughness))
    v = torch.tensor([[0.0], [0.0], [-1.0]]).expand_as(n) if view is None else view.reshape(3, -1)
    n_v = (n * v).sum(0)
    softness = 1 - light.key_share
    (lobe,) = highlights(light.key_direction @ n, n_v, light.key_direction @ v, softness, (rough,), f0)
    out = light.key_irradiance[:, None] * lobe
    mirror = 2 * n_v.clamp(min=0) * n - v
    # Schlick's Fresnel with roughness (Lagarde 2011) on what the surroundings send from the mirrored direction.
    facing = n_v.clamp(0, 1)
    fresnel = f0 + ((1 - rough).clamp(min=f0) - f0) * (1 - facing) ** 5
    rest = _surroundings(light)
    around = (rest.T @ harmonics(mirror)).clamp(min=0)
    return (out + around * fresnel * (1 - 0.5 * rough)).reshape(3, *shape)


def _surroundings(light: Light) -> Tensor:
    """Return (9, 3): the irradiance without the key's clamped cosine."""
    return light.irradiance - lamp(light.key_direction)[:, None] * light.key_irradiance
