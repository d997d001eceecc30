"""Eyeballs: sclera, iris and pupil under a wet cornea."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.light import Lighting, ambient, fifth_power
from spooflab.generators.faces.procedural.noise import look_up
from spooflab.generators.faces.procedural.params import IdentityParams, NuisanceParams
from spooflab.generators.faces.procedural.skin import step
from spooflab.generators.faces.procedural.vectors import dot, unit

_RINGS, _SPOKES = 12, 24


def ball() -> tuple[Tensor, Tensor]:
    """Return the front cap of a unit sphere: (N, 3) points around +z and (T, 3) triangles."""
    polar = torch.linspace(0, math.radians(80), _RINGS + 1)[1:]
    around = torch.arange(_SPOKES) * (2 * math.pi / _SPOKES)
    p, a = torch.meshgrid(polar, around, indexing="ij")
    rings = torch.stack([p.sin() * a.cos(), p.sin() * a.sin(), p.cos()], -1).reshape(-1, 3)
    points = torch.cat([torch.tensor([[0.0, 0.0, 1.0]]), rings])
    k = torch.arange(_SPOKES)
    after = (k + 1) % _SPOKES
    triangles = [torch.stack([torch.zeros_like(k), 1 + k, 1 + after], 1)]
    for ring in range(_RINGS - 1):
        inner, outer = 1 + ring * _SPOKES, 1 + (ring + 1) * _SPOKES
        triangles.append(torch.stack([inner + k, outer + k, outer + after], 1))
        triangles.append(torch.stack([inner + k, outer + after, inner + after], 1))
    return points, torch.cat(triangles)


@dataclass(frozen=True)
class EyeFrame:
    """One eye in the world.

    Attributes:
        centre: (3,) of the eyeball.
        radius: millimetres.
        axes: (3, 3) rows: right, up and forward of the gaze.
        lid_top, lid_low: height of the lids' middle above the centre, in millimetres along the head's up.
        head_up: (3,) unit vector.
    """

    centre: Tensor
    radius: float
    axes: Tensor
    lid_top: float
    lid_low: float
    head_up: Tensor


def gaze_axes(nuisance: NuisanceParams, turn: Tensor, side: int) -> Tensor:
    """Return the (3, 3) gaze frame; the eyes converge on a point a metre away."""
    yaw = math.radians(float(nuisance.gaze_yaw_deg[0]) + (-1.6 if side == 0 else 1.6))
    pitch = math.radians(float(nuisance.gaze_pitch_deg[0]) - 1.0)
    forward = torch.tensor([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    right = unit(torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), forward))
    return torch.stack([right, torch.linalg.cross(forward, right), forward]) @ turn.T


def shade(
    world: Tensor,
    view: Tensor,
    lit: Tensor,
    which: Tensor,
    pair: tuple[EyeFrame, EyeFrame],
    light: Lighting,
    identity: IdentityParams,
) -> Tensor:
    """Return (N, 3) radiance of samples on the eyeballs.

    Both eyes go through in one call: they have few samples, so the number of operations is what costs.

    Args:
        world, view: (N, 3) positions and unit vectors towards the camera.
        lit: (N,) the key lamp's visibility.
        which: (N,) 0 or 1, the eye of `pair`.
        pair: the eyes.
        light: the light.
        identity: whose iris.
    """
    centre = torch.stack([eye.centre for eye in pair]).index_select(0, which)
    axes = torch.stack([eye.axes for eye in pair])
    right, up = axes[:, 0].index_select(0, which), axes[:, 1].index_select(0, which)
    lids = torch.tensor([[eye.lid_top, eye.lid_low, eye.radius] for eye in pair]).index_select(0, which)
    lid_top, lid_low, radius = lids.unbind(1)
    offset = world - centre
    normal = unit(offset)
    u, v = dot(normal, right) * radius, dot(normal, up) * radius
    rho, angle = torch.sqrt(u * u + v * v + 1e-6), torch.atan2(v, u)
    iris_mm = float(identity.iris_mm[0])
    share = rho / iris_mm
    base = torch.lerp(_sclera(u, v, rho, identity), _iris(share, angle, identity), step(share, 1.05, 0.95)[:, None])
    height = offset @ pair[0].head_up
    # Lids and lashes shade the ball: strongly below the upper lid, a little above the lower one.
    open_top = step(lid_top - height, -0.4, 3.4)
    open_low = step(height - lid_low, -0.8, 2.0)
    across = step(rho, 15.5, 9.5)
    shelter = (0.22 + 0.78 * open_top) * (0.6 + 0.4 * open_low) * (0.55 + 0.45 * across)
    light_in = ambient(light, normal) * 0.95
    inner = 0.7 / iris_mm * step(share, 1, 0.7)
    for k, lamp in enumerate(light.lamps[:2]):
        wrap = ((normal @ lamp.direction + 0.25) / 1.25).clamp(min=0)
        aside = (axes[:, 0] @ lamp.direction).index_select(0, which)
        caustic = 1 + inner * (u * aside).neg_().clamp_(-0.6 * iris_mm, iris_mm)
        light_in.addcmul_((wrap * caustic * lit if k == 0 else wrap * caustic)[:, None], lamp.colour)
    colour = base * light_in * shelter[:, None]
    # The cornea bulges: its normal turns faster than the ball's.
    bulge = 0.75 * step(share, 1.25, 0.85) / radius
    cornea = unit(normal + (bulge * u)[:, None] * right + (bulge * v)[:, None] * up)
    facing = dot(cornea, view)
    mirror = (2 * facing)[:, None] * cornea - view
    fresnel = 0.03 + 0.72 * fifth_power(1 - facing.clamp(0, 1))
    glint = ambient(light, mirror) * fresnel[:, None]
    for k, lamp in enumerate(light.lamps[:2]):
        spread = 0.985 - 0.045 * lamp.softness
        disc = step(mirror @ lamp.direction, spread - 0.012, spread + 0.012)
        power = (2.4 if k == 0 else 0.9) / (0.5 + lamp.softness)
        glint.addcmul_((disc * power * (0.35 + 0.65 * lit) if k == 0 else disc * power)[:, None], lamp.colour)
    return colour + glint * (0.35 + 0.65 * open_top)[:, None]


def _sclera(u: Tensor, v: Tensor, rho: Tensor, identity: IdentityParams) -> Tensor:
    white = torch.tensor([0.60, 0.555, 0.525]) * (1 - 0.12 * float(identity.melanin[0]) / 0.4)
    white = white * torch.tensor([1.0, 0.985, 0.94]) ** (float(identity.age_years[0]) / 40)
    veins = look_up(torch.stack([u, v * 2.2], 1), 34.0, torch.tensor([0.2, 0.7]), slice(1, 2))[0]
    red = step(rho, 7.5, 13.5) * (0.35 + 0.65 * step(veins.abs(), 0.35, 0.05))
    return white * (1 - red[:, None] * torch.tensor([0.08, 0.32, 0.30]))


def _iris(share: Tensor, angle: Tensor, identity: IdentityParams) -> Tensor:
    brown, green = float(identity.iris_melanin[0]), float(identity.iris_green[0])
    light = torch.lerp(torch.tensor([0.16, 0.27, 0.38]), torch.tensor([0.20, 0.25, 0.13]), green)
    dark = torch.lerp(torch.tensor([0.16, 0.075, 0.025]), torch.tensor([0.045, 0.02, 0.01]), max(2 * brown - 1, 0.0))
    mix = min(max(brown * 1.6 - 0.25, 0.0), 1.0)
    base = torch.lerp(light, dark, mix)
    fibre = look_up(torch.stack([angle * 14, share * 6], 1), 88.0, torch.tensor([0.1, 0.3]), slice(1, 3)).sum(0)
    ring = torch.exp(-(((share - 0.52) / 0.13) ** 2))
    warm = torch.lerp(base, torch.tensor([0.22, 0.13, 0.045]), 0.45)
    colour = torch.lerp(base.expand(len(share), 3), warm.expand(len(share), 3), ring[:, None])
    colour = colour * (1 + 0.30 * fibre + 0.25 * ring)[:, None].clamp(min=0.25)
    limbus = 1 - 0.72 * step(share, 0.78, 1.0)
    pupil = step(share, 0.36, 0.44)
    return colour * (limbus * (0.015 + 0.985 * pupil))[:, None]
