"""Light: colour temperatures, three lamps with a shadow map, a sky-and-ground ambient term, GGX highlights."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.faces.procedural import raster
from spooflab.generators.faces.procedural.params import NuisanceParams
from spooflab.generators.faces.procedural.vectors import dot

_SHADOW_PX = 224
_SHADOW_MM = 420.0


@dataclass(frozen=True)
class Lamp:
    """One distant light.

    Attributes:
        direction: (3,) unit vector towards it.
        colour: (3,) irradiance on a facing surface, so that white reflects it as this radiance.
        softness: 0 a point … 1 a large source.
    """

    direction: Tensor
    colour: Tensor
    softness: float


@dataclass(frozen=True)
class Lighting:
    """All light on the scene: lamps (the first casts shadows) and ambient light from above and below."""

    lamps: tuple[Lamp, ...]
    sky: Tensor
    ground: Tensor


def blackbody(kelvin: Tensor) -> Tensor:
    """Return (…, 3) linear sRGB of a Planckian radiator, luminance 1.

    Source: Planck's law integrated with Wyman, Sloan & Shirley 2013's fits of the CIE 1931 matching functions.
    """
    nm = torch.arange(390.0, 721.0, 10.0, dtype=torch.float64)
    t = kelvin.to(torch.float64)[..., None]
    power = nm**-5 / torch.expm1(1.4388e7 / (nm * t))
    xyz = (power[..., None] * matching(nm)).sum(-2)
    rgb = xyz_to_rgb(xyz / xyz[..., 1:2])
    return rgb.clamp(min=0.02).to(torch.float32)


def matching(nm: Tensor) -> Tensor:
    """Return (N, 3) CIE 1931 colour matching functions (Wyman, Sloan & Shirley 2013, multi-lobe fit)."""

    def lobe(centre: float, below: float, above: float) -> Tensor:
        width = torch.where(nm < centre, below, above)
        return torch.exp(-0.5 * ((nm - centre) * width) ** 2)

    x = 0.362 * lobe(442.0, 0.0624, 0.0374) + 1.056 * lobe(599.8, 0.0264, 0.0323) - 0.065 * lobe(501.1, 0.0490, 0.0382)
    y = 0.821 * lobe(568.8, 0.0213, 0.0247) + 0.286 * lobe(530.9, 0.0613, 0.0322)
    z = 1.217 * lobe(437.0, 0.0845, 0.0278) + 0.681 * lobe(459.0, 0.0385, 0.0725)
    return torch.stack([x, y, z], -1)


def xyz_to_rgb(xyz: Tensor) -> Tensor:
    """Return linear sRGB of CIE XYZ (IEC 61966-2-1)."""
    matrix = torch.tensor(
        [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]], dtype=xyz.dtype
    )
    return xyz @ matrix.T


def lighting(nuisance: NuisanceParams) -> Lighting:
    """Return the light of a batch of one, white-balanced to the session's white."""
    kelvin = [nuisance.white_kelvin, nuisance.key_kelvin, nuisance.fill_kelvin, nuisance.ambient_kelvin]
    white, *others = blackbody(torch.cat(kelvin))
    # Eyes and cameras adapt to part of what a grey card would show.
    tints = (torch.stack(others) / white) ** 0.7
    tints = tints / (tints @ torch.tensor([0.2126, 0.7152, 0.0722]))[:, None]
    soft = float(nuisance.key_softness[0])
    key = Lamp(nuisance.key_direction[0], tints[0] * nuisance.key_level[0], soft)
    fill = Lamp(nuisance.fill_direction[0], tints[1] * nuisance.fill_level[0], 1.0)
    rim = Lamp(nuisance.rim_direction[0], tints[1] * nuisance.rim_level[0], 0.5)
    ambient = tints[2] * nuisance.ambient_level[0]
    ground = ambient * torch.tensor([0.50, 0.44, 0.38])
    return Lighting((key, fill, rim), ambient * 1.25, ground)


def ambient(light: Lighting, normal: Tensor) -> Tensor:
    """Return (N, 3) irradiance from sky and ground on (N, 3) normals."""
    up = (0.5 + 0.5 * normal[:, 1:2]).clamp(0, 1)
    # A room is brighter on the camera's side than behind the subject.
    front = 0.8 + 0.2 * normal[:, 2:]
    return torch.lerp(light.ground, light.sky, up) * front


def ambient_planes(light: Lighting, y: Tensor, z: Tensor) -> Tensor:
    """Return (3, N) `ambient` irradiance for the upward and forward components, each (N,), of normals."""
    up = (0.5 * y + 0.5).clamp_(0, 1)
    return torch.addcmul(light.ground[:, None], (light.sky - light.ground)[:, None], up).mul_(0.2 * z + 0.8)


@dataclass(frozen=True)
class ShadowMap:
    """Depth along a lamp's direction, in an orthographic view of the head from the lamp.

    Attributes:
        axes: (3, 3) rows: right, up, towards the lamp.
        depth: (1, 1, P, P) distance from a far plane.
        scale: pixels per millimetre.
    """

    axes: Tensor
    depth: Tensor
    scale: float

    def coordinates(self, world: Tensor) -> tuple[Tensor, Tensor]:
        """Return (N, 2) map pixels and (N,) depth of world points."""
        local = (world - world.new_tensor(_AIM)) @ self.axes.T
        half = _SHADOW_PX / 2
        return torch.stack([half + local[:, 0] * self.scale, half - local[:, 1] * self.scale], -1), 1000 - local[:, 2]

    def lit(self, world: Tensor, normal: Tensor, softness: float) -> Tensor:
        """Return (N,) the share of the lamp that each point sees, by percentage-closer filtering."""
        pixel, depth = self.coordinates(world + normal * 2.0)
        radius = 0.9 + 3.2 * softness
        total = torch.zeros_like(depth)
        side = _SHADOW_PX - 1
        flat = self.depth.reshape(-1)
        for dx, dy in _TAPS:
            x = (pixel[:, 0] + dx * radius).clamp_(0, side).to(torch.int64)
            y = (pixel[:, 1] + dy * radius).clamp_(0, side).to(torch.int64)
            gap = depth - flat.index_select(0, y * _SHADOW_PX + x) - 1.5
            total += (1 - gap / 2.5).clamp_(0, 1)
        return total / len(_TAPS)


_AIM = (0.0, -30.0, -50.0)
_TAPS = ((0.3, 0.2), (-0.35, 0.45), (0.1, -0.55), (0.95, 0.3), (-0.2, 1.0), (-0.95, -0.1), (0.65, -0.75))


def shadow_map(lamp: Lamp, world: Tensor, triangles: Tensor, extra: Tensor) -> ShadowMap:
    """Render the depth that `lamp` sees: the mesh, and (N, 3) `extra` points such as hair."""
    forward = lamp.direction
    right = torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), forward)
    right = right / right.norm()
    axes = torch.stack([right, torch.linalg.cross(forward, right), forward])
    size = (_SHADOW_PX, _SHADOW_PX)
    out = ShadowMap(axes, torch.empty(0), _SHADOW_PX / _SHADOW_MM)
    pixel, depth = out.coordinates(world)
    keys = raster.fill(raster.prepare(pixel, 1 / depth, triangles, size), size)
    seen = torch.where(keys == raster.EMPTY, torch.tensor(1e6), raster.unpack(keys)[0])
    if len(extra):
        pixel, depth = out.coordinates(extra)
        x, y = pixel.to(torch.int64).clamp(0, _SHADOW_PX - 1).unbind(-1)
        seen = seen.scatter_reduce(0, y * _SHADOW_PX + x, depth, "amin")
    return ShadowMap(axes, seen.reshape(1, 1, *size), out.scale)


def fifth_power(x: Tensor) -> Tensor:
    """Return x⁵ by products, which is several times faster than a general power."""
    square = x * x
    return square * square * x


def highlight(normal: Tensor, view: Tensor, lamp: Lamp, roughness: Tensor, f0: float) -> Tensor:
    """Return (N,) specular radiance for unit irradiance: GGX with Schlick's Fresnel and Smith's visibility.

    Source: Walter et al. 2007; visibility after Hammon 2017. A soft lamp widens the lobe (Karis 2013).
    """
    return highlights(
        normal @ lamp.direction, dot(normal, view), view @ lamp.direction, lamp.softness, (roughness,), f0
    )[0]


def highlights(
    n_l: Tensor, n_v: Tensor, v_l: Tensor, softness: float, roughness: tuple[Tensor, ...], f0: float
) -> list[Tensor]:
    """Return the `highlight` of the same points for several roughnesses, from the cosines of unit vectors.

    The halfway vector is (view + lamp) / |view + lamp|, so its cosines follow from the three given ones.
    """
    scale = torch.rsqrt((2 * v_l + 2).clamp_(min=1e-8))
    n_h2 = (n_v + n_l).mul_(scale).clamp_(0, 1).square_()
    away = 1 - (v_l + 1).mul_(scale).clamp_(0, 1)
    n_l, n_v = n_l.clamp(min=0), n_v.clamp(min=1e-2)
    fresnel = (fifth_power(away).mul_(1 - f0).add_(f0)).mul_(n_l).mul_(0.5)
    smooth, rough = (n_l * n_v).mul_(2.0), n_l + n_v
    return [_lobe(n_h2, smooth, rough, value, softness).mul_(fresnel) for value in roughness]


def _lobe(n_h2: Tensor, smooth: Tensor, rough: Tensor, roughness: Tensor, softness: float) -> Tensor:
    """Return (N,) spread times visibility of one roughness."""
    r2 = roughness.square()
    alpha = (r2 + 0.16 * softness).clamp_(max=1)
    a2 = alpha.square()
    below = (n_h2 * (a2 - 1)).add_(1).square_().mul_(torch.lerp(smooth, rough, alpha).add_(1e-4))
    sharpen = r2.div_(alpha).square_().mul_(0.4).add_(0.6)
    return a2.div_(below).mul_(sharpen)
