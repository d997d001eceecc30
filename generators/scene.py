"""The surroundings of a shown instrument: its light, the room behind and before it, and the hand that holds it.

One draw decides all of it, so that shading, reflections and background agree: the key light that shades a bent print is
the lamp that its gloss mirrors. Radiance and illumination share one unit: a white diffuser under illumination 1 has
radiance 1. A diffuse sheet of albedo a and unit normal n (towards the camera) has the radiance
`a * (ambient_rgb + key_rgb * max(0, n . key_direction))`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.pose import Pose
from spooflab.generators.scene_hand import hand
from spooflab.generators.scene_hand_batch import hands
from spooflab.generators.scene_room import Rooms, furnished, room_background, room_reflection
from spooflab.generators.scene_skin import skin_albedo, skin_shifts
from spooflab.params import Params, choice, uniform

ILLUMINATIONS = ("normal", "strong", "back", "dark")
"""Kinds of light, after CelebA-Spoof (Zhang et al. 2020); `SceneParams.illumination` indexes them."""
HAND_STYLES = ("none", "grip", "wrap", "two_hands")
"""How the instrument is held: a stand, a thumb and palm at one edge, fingertips round the far edge too, both hands."""
HAND_EDGES = ("bottom", "left", "right")
"""The edge that the (first) hand holds."""

_AMBIENT = torch.tensor([[0.45, 0.75], [0.25, 0.50], [0.30, 0.55], [0.05, 0.14]])
_KEY = torch.tensor([[0.25, 0.60], [0.80, 1.60], [1.00, 3.00], [0.04, 0.20]])
_BACKGROUND = torch.tensor([[0.7, 1.3], [0.6, 1.4], [1.5, 3.2], [0.4, 1.2]])
_ADAPTED = 0.65
"""Share of a light's colour (in log units) that white balance has removed already; the rest is a cast."""


@dataclass(frozen=True)
class SceneParams(Params):
    """What surrounds one shot; every field is batched.

    Attributes:
        illumination: (B,) int64 index into `ILLUMINATIONS`.
        outdoor: (B,) bool.
        temperature_k: (B,) correlated colour temperature of the key light, kelvin.
        key_direction: (B, 3) unit vector from the instrument to the key light, camera axes; z < 0 is before it.
        key_radius_deg: (B,) angular radius of the key light as the instrument sees it.
        key_rgb: (B, 3) illumination by the key light on a surface that faces it.
        ambient_rgb: (B, 3) illumination by everything else.
        background_gain: (B,) light on what lies behind the instrument relative to `ambient_rgb`.
        room_depth_mm: (B,) distance from the instrument to what lies behind it.
        person: (B,) bool: somebody stands behind the camera and shows in reflections.
        seed: (B,) int64, names the room's furniture.
        hand_style: (B,) int64 index into `HAND_STYLES`.
        hand_edge: (B,) int64 index into `HAND_EDGES`.
        hand_along: (B,) where along that edge, -1...1 (right or down is positive).
        hand_reach_mm: (B,) how far the thumb reaches over the edge.
        hand_tilt_deg: (B,) turn of the hand in the instrument's plane.
        hand_scale: (B,) size of the hand relative to a mean adult's.
        skin_rgb: (B, 3) linear albedo of the hand.
        sleeve_rgb: (B, 3) linear albedo of the sleeve.
    """

    illumination: Tensor
    outdoor: Tensor
    temperature_k: Tensor
    key_direction: Tensor
    key_radius_deg: Tensor
    key_rgb: Tensor
    ambient_rgb: Tensor
    background_gain: Tensor
    room_depth_mm: Tensor
    person: Tensor
    seed: Tensor
    hand_style: Tensor
    hand_edge: Tensor
    hand_along: Tensor
    hand_reach_mm: Tensor
    hand_tilt_deg: Tensor
    hand_scale: Tensor
    skin_rgb: Tensor
    sleeve_rgb: Tensor


@dataclass(frozen=True)
class Named:
    """What the seeds of a batch's scenes name: made on the host, where a seed can be read, and sent to the batch.

    Attributes:
        rooms: see `Rooms`.
        skin_shift: from `skin_shifts`, for an accelerator; None on the CPU, and where no row has a hand.
    """

    rooms: Rooms
    skin_shift: Tensor | None


class Scene:
    """Draws surroundings and evaluates them.

    Args:
        hand_share: probability that a hand holds the instrument, 0-1; else it stands by itself.
    """

    def __init__(self, *, hand_share: float = 0.8) -> None:
        if not 0 <= hand_share <= 1:
            raise ValueError(f"Scene: hand_share is {hand_share}, wanted 0...1")
        self.hand_share = hand_share

    def sample(self, batch_size: int, generator: torch.Generator) -> SceneParams:
        """Draw illumination × environment, the room and the hand."""
        n = batch_size
        kind = choice(n, len(ILLUMINATIONS), generator)
        outdoor = torch.rand(n, generator=generator) < 0.3
        warm, cool = uniform(n, 2600, 5200, generator), uniform(n, 4800, 8000, generator)
        key_k = torch.where(outdoor, cool, torch.where(torch.rand(n, generator=generator) < 0.7, warm, cool))
        ambient_k = key_k + uniform(n, -400, 2200, generator)
        held = torch.rand(n, generator=generator) < self.hand_share
        return SceneParams(
            illumination=kind,
            outdoor=outdoor,
            temperature_k=key_k,
            key_direction=_key_direction(kind == ILLUMINATIONS.index("back"), generator),
            key_radius_deg=torch.where(outdoor, uniform(n, 1, 5, generator), uniform(n, 2, 12, generator)),
            key_rgb=light_colour(key_k) * _within(_KEY, kind, generator)[:, None],
            ambient_rgb=light_colour(ambient_k) * _within(_AMBIENT, kind, generator)[:, None],
            background_gain=_within(_BACKGROUND, kind, generator),
            room_depth_mm=torch.where(outdoor, uniform(n, 4000, 30000, generator), uniform(n, 800, 4000, generator)),
            person=torch.rand(n, generator=generator) < 0.65,
            seed=torch.randint(0, 2**62, (n,), generator=generator),
            hand_style=torch.where(held, 1 + choice(n, len(HAND_STYLES) - 1, generator), 0),
            hand_edge=choice(n, len(HAND_EDGES), generator),
            hand_along=uniform(n, -0.55, 0.8, generator),
            hand_reach_mm=uniform(n, 14, 32, generator),
            hand_tilt_deg=uniform(n, -16, 16, generator),
            hand_scale=uniform(n, 0.88, 1.12, generator),
            skin_rgb=skin_albedo(torch.rand(n, generator=generator), uniform(n, -1, 1, generator)),
            sleeve_rgb=0.02 + 0.45 * torch.rand(n, 3, generator=generator) ** 2,
        )

    def named(self, params: SceneParams, device: torch.device | str) -> Named:
        """Return what seeds name, for pictures on `device`.

        Args:
            params: from `sample`, on the CPU; on an accelerator their reading waits for it.
            device: where the pictures are made.
        """
        there = torch.device(device)
        held = there.type != "cpu" and bool((params.hand_style > 0).any())
        return Named(furnished(params, there), skin_shifts(params, there) if held else None)

    def background(
        self, view: View, params: SceneParams, focus_mm: Tensor | float = 400.0, *, named: Named | None = None
    ) -> Tensor:
        """Return (B, 3, H, W): the room behind the instrument, out of focus, on the sensor's grid.

        Args:
            view: the camera; focal length, aperture and pixel size set the disc of confusion.
            params: from `sample`.
            focus_mm: distance that the camera is focused at, a number or (B,); the instrument's.
            named: what `named` returned for `params`; made here where not given.
        """
        device = params.ambient_rgb.device
        near = focus_mm if isinstance(focus_mm, Tensor) else torch.full((1,), float(focus_mm), device=device)
        focus = near.float().expand(params.batch_size)
        rooms = furnished(params, device) if named is None else named.rooms
        return room_background(view, params, rooms, focus)

    def reflection(
        self, params: SceneParams, directions: Tensor, *, every: bool = False, named: Named | None = None
    ) -> Tensor:
        """Return (B, 3, H, W): radiance of the surroundings in `directions` (B, H, W, 3).

        Unit vectors, camera axes, pointing away from the instrument; a mirror that faces the camera sees z < 0:
        ceiling lamps, a window, the key light and the dark figure behind the camera. Multiply by the Fresnel
        reflectance. Only every eighth direction is looked up and the rest interpolated, unless `every` is set. `named`
        is what `named` returned for `params`; it is made here where not given.
        """
        rooms = furnished(params, directions.device) if named is None else named.rooms
        return room_reflection(params, rooms, directions, every=every)

    def ambient(self, params: SceneParams) -> Tensor:
        """Return (B, 3): illumination of an instrument that faces the camera, ambient and key together."""
        facing = (-params.key_direction[:, 2:]).clamp(min=0)
        return params.ambient_rgb + params.key_rgb * facing

    def hand(
        self,
        view: View,
        params: SceneParams,
        pose: Pose,
        half_size_mm: Tensor,
        *,
        shadow: bool = True,
        named: Named | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return rgb (B, 3, H, W) and alpha (B, 1, H, W) of the hand that holds the instrument, in front of it.

        Composite as `rgb * alpha + under * (1 - alpha)` (rgb is not premultiplied).

        Args:
            view: the camera.
            params: from `sample`.
            pose: where the instrument is.
            half_size_mm: (B, 2) half its width and half its height.
            shadow: let the fingers shade what lies behind them. False for a screen, which shines by itself.
            named: what `named` returned for `params`; an accelerator's are made here where not given.

        Raises:
            ValueError: a shadow on an accelerator; what it falls on is rendered on the CPU.
        """
        device = params.ambient_rgb.device
        if device.type == "cpu":
            return hand(view, params, pose, half_size_mm, shadow=shadow)
        if shadow:
            raise ValueError(f"Scene.hand: shadow on {device}, wanted shadow=False or tensors on the CPU")
        shift = None if named is None else named.skin_shift
        return hands(view, params, pose, half_size_mm, skin_shifts(params, device) if shift is None else shift)


def light_colour(temperature_k: Tensor) -> Tensor:
    """Return (B, 3) linear sRGB of a Planckian light as white balance leaves it, luminance 1.

    Chromaticity by the cubic fit of Kim et al. (2002, US patent 7024034) for 1667-25000 K, then the part of its
    distance from neutral that automatic white balance does not remove.
    """
    t = temperature_k.double().clamp(1667, 25000)
    low = -0.2661239e9 / t**3 - 0.2343589e6 / t**2 + 0.8776956e3 / t + 0.179910
    high = -3.0258469e9 / t**3 + 2.1070379e6 / t**2 + 0.2226347e3 / t + 0.240390
    x = torch.where(t < 4000, low, high)
    y_coolest = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    y_middle = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    y_hot = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    y = torch.where(t < 2222, y_coolest, torch.where(t < 4000, y_middle, y_hot))
    xyz = torch.stack([x / y, torch.ones_like(x), (1 - x - y) / y], -1)
    to_srgb = torch.tensor(
        [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]],
        dtype=torch.float64,
    )
    rgb = (xyz @ to_srgb.T).clamp(min=0.02) ** (1 - _ADAPTED)
    luminance = rgb @ torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)
    return (rgb / luminance[:, None]).float()


def _within(table: Tensor, kind: Tensor, generator: torch.Generator) -> Tensor:
    low, high = table[kind].unbind(-1)
    return low + (high - low) * torch.rand(kind.shape[0], generator=generator)


def _key_direction(behind: Tensor, generator: torch.Generator) -> Tensor:
    """Draw where the key light is: above and before the instrument, or behind it."""
    n = behind.shape[0]
    azimuth = torch.deg2rad(uniform(n, -75, 75, generator))
    elevation = torch.deg2rad(uniform(n, 10, 70, generator))
    z = azimuth.cos() * elevation.cos()
    return torch.stack([azimuth.sin() * elevation.cos(), -elevation.sin(), torch.where(behind, z, -z)], -1)
