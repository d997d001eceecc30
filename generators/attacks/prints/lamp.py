"""A lamp or window whose mirror image falls on the sheet: the glare of glossy prints.

The lamp is placed by where its image is wanted: the ray of that point of the frame, mirrored in the flat sheet, leads
to it. It lights the sheet too, and a rough surface spreads its image into a haze that only lifts the blacks.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.instruments.paper_gloss import key_gloss
from spooflab.generators.pose import Pose
from spooflab.generators.scene import SceneParams, light_colour
from spooflab.params import Params, choice, log_uniform, uniform

LAMPS = ("none", "round", "tube", "window")
"""Kinds of lamp, by value."""
_SHARE = 0.5
_FEW = 7


@dataclass(frozen=True)
class Lamp(Params):
    """One lamp; every field is batched.

    Attributes:
        kind: (B,) int64 index into `LAMPS`.
        aim: (B, 2) where its mirror image falls, in frame widths and heights from the frame's middle.
        half_deg: (B, 2) half its width and height as the sheet sees it.
        turn_deg: (B,) its turn about the line of sight.
        level: (B,) illumination of a sheet that faces it, relative to the ambient light's luminance.
        rgb: (B, 3) its colour, luminance 1.
    """

    kind: Tensor
    aim: Tensor
    half_deg: Tensor
    turn_deg: Tensor
    level: Tensor
    rgb: Tensor


def sample_lamp(batch_size: int, generator: torch.Generator) -> Lamp:
    """Draw lamps: half of the sheets have one near enough for its image to fall on them or beside them."""
    n = batch_size
    there = torch.rand(n, generator=generator) < _SHARE
    kind = 1 + choice(n, len(LAMPS) - 1, generator)
    size = (
        torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.6, 8.0], [6.0, 9.0]])[kind] * uniform(n, 0.7, 2.2, generator)[:, None]
    )
    turn = torch.where(kind == LAMPS.index("window"), uniform(n, -12, 12, generator), uniform(n, -90, 90, generator))
    temperature = torch.where(kind == LAMPS.index("window"), uniform(n, 5500, 8500, generator),
                              uniform(n, 2700, 6500, generator))  # fmt: skip
    return Lamp(
        kind=torch.where(there, kind, 0),
        aim=torch.stack([uniform(n, -0.6, 0.6, generator), uniform(n, -0.65, 0.4, generator)], -1),
        half_deg=size,
        turn_deg=turn,
        level=log_uniform(n, 0.05, 0.8, generator),
        rgb=light_colour(temperature),
    )


def lamp_frame(lamp: Lamp, view: View, pose: Pose) -> tuple[Tensor, Tensor, Tensor]:
    """Return unit vectors (3,): from the sheet to the lamp, and the directions of its width and height.

    The frame's point `aim` looks along the ray d; a flat sheet of unit normal n mirrors it to d - 2 (d . n) n.
    """
    at = (0.5 + lamp.aim) * torch.tensor([view.width, view.height])
    ideal = view.undistort(at[:, None])[0, 0]
    per_px = float(view.pixel_um[0] / 1000 / view.focal_mm[0])
    ray = torch.stack([(ideal[0] - view.width / 2) * per_px, (ideal[1] - view.height / 2) * per_px, torch.tensor(1.0)])
    ray = ray / ray.norm()
    normal = pose.axes()[2][0]
    to_lamp = ray - 2 * (ray * normal).sum() * normal
    across = torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), to_lamp)
    across = across / across.norm().clamp(min=1e-6)
    down = torch.linalg.cross(to_lamp, across)
    turn = torch.deg2rad(lamp.turn_deg[0])
    cos, sin = turn.cos(), turn.sin()
    return to_lamp, cos * across + sin * down, cos * down - sin * across


def lamp_light(lamp: Lamp, room: SceneParams) -> Tensor:
    """Return (3,) the illumination of a surface that faces the lamp; 0 where there is none."""
    level = float(room.ambient_rgb.mean()) * float(lamp.level) * (int(lamp.kind) > 0)
    return level * lamp.rgb[0]


def lamp_gloss(
    lamp: Lamp, frame: tuple[Tensor, Tensor, Tensor], light: Tensor, normal: Tensor, eye: Tensor, alpha: float,
    f0: float,
) -> Tensor:  # fmt: skip
    """Return (3, m, m) the radiance of the lamp's image in a GGX surface: the lobe summed over points of the lamp.

    The points stand closer than the lobe is wide, and each is as wide as their spacing.
    """
    to_lamp, across, down = frame
    half = torch.deg2rad(lamp.half_deg[0])
    counts = [min(_FEW, max(1, math.ceil(float(h) / max(1.2 * alpha, 0.03)))) for h in half]
    steps = [torch.tensor([(2 * k + 1) / n - 1 for k in range(n)]) for n in counts]
    total = torch.zeros(normal.shape[:-1])
    number = 0
    radius = torch.tensor(float(max(h / n for h, n in zip(half.tolist(), counts, strict=True))))
    for a in steps[0].tolist():
        for b in steps[1].tolist():
            if int(lamp.kind) == LAMPS.index("round") and a * a + b * b > 1:
                continue
            towards = to_lamp + math.tan(a * float(half[0])) * across + math.tan(b * float(half[1])) * down
            total += key_gloss(normal, eye, towards / towards.norm(), torch.tensor(alpha), f0, radius)
            number += 1
    return light[:, None, None] * (total / max(1, number))
