"""Posed geometry of one person in the world: body, eyeballs, teeth and glasses in one mesh."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.faces.procedural import clothes, eyes, facehair, glasses, hair, skin
from spooflab.generators.faces.procedural.attach import from_front
from spooflab.generators.faces.procedural.landmarks import attachments
from spooflab.generators.faces.procedural.model import HeadModel, head_model
from spooflab.generators.faces.procedural.params import HAIR_STYLES, IdentityParams, NuisanceParams
from spooflab.generators.faces.procedural.shape import Head, neck_share, place, turned
from spooflab.generators.faces.procedural.vectors import unit

SKIN, TEETH, EYE_LEFT, EYE_RIGHT, FRAME = range(5)


_BITE_MM = -66.5


@dataclass(frozen=True)
class Scene:
    """Posed geometry: vertices in world millimetres, what they belong to, and the triangles."""

    points: Tensor
    normals: Tensor
    rest: Tensor
    extra: Tensor
    triangles: Tensor
    part: Tensor
    eyes: tuple[eyes.EyeFrame, eyes.EyeFrame]
    lenses: Tensor | None


@lru_cache(maxsize=1)
def _fixtures() -> tuple[Tensor, Tensor, Tensor]:
    """Return which triangles are teeth, how vertices follow the head, and two spots that glasses rest on."""
    model = head_model()
    teeth = model.teeth.repeat_interleave(8)
    marks = from_front(model, torch.tensor([[0.0, 2.0], [69.5, 6.0], [-69.5, 6.0]]))
    return teeth, neck_share(model.rest), marks.corners[:, 0]


def build_scene(
    model: HeadModel, head: Head, identity: IdentityParams, nuisance: NuisanceParams, turn: Tensor, body: Tensor
) -> Scene:
    """Return one person's posed geometry; `turn` and `body` are the (3, 3) rotations of head and shoulders."""
    teeth, share, marks = _fixtures()
    name = HAIR_STYLES[int(identity.hair_style[0])]
    local = clothes.puff(head.points, head.normals, model.rest, int(nuisance.clothes_style[0]))
    if hair.STYLES[name].covers_ears:
        # Hair that covers the ears presses them to the head.
        away = local[:, 0].abs()
        ear = (model.rest[:, 0].abs() > 66) & (model.rest[:, 1].abs() < 60) & (model.rest[:, 2] < -40)
        pressed = torch.minimum(away, away * 0 + 69)
        local = torch.cat([torch.where(ear, pressed * local[:, 0].sign(), local[:, 0])[:, None], local[:, 1:]], 1)
    # The base mesh keeps its teeth high and wide; moved, the upper ones show below the lip and none pokes through.
    bite, drawn_in = _teeth()
    local[bite] = local[bite] * torch.tensor([0.9, 1.0, 1.0]) + drawn_in
    points, normals = place(local, False, share, turn, body), place(head.normals, True, share, turn, body)
    blocks = [(points, unit(normals), model.rest, _extra(model), model.topo.triangles)]
    parts = [teeth.to(torch.int64) * TEETH]
    frames = []
    sphere, faces = eyes.ball()
    upper = attachments()[0].carry(head.points)
    for k in range(2):
        axes = eyes.gaze_axes(nuisance, turn, k)
        centre = turned(head.eye_centre[k : k + 1], turn)
        radius = float(head.eye_radius[k])
        # Rows of the carried landmarks: chin, then 17 to 67.
        first = 42 if k == 0 else 36
        lids = upper[[first + j - 16 for j in (1, 2, 4, 5)], 1] - head.eye_centre[k, 1]
        frames.append(
            eyes.EyeFrame(centre[0], radius, axes, float(lids[:2].mean()), float(lids[2:].mean()), turn[:, 1])
        )
        normal = sphere @ axes
        zero = torch.zeros_like(sphere)
        blocks.append((centre + radius * normal, normal, zero, torch.ones(len(sphere), 14), faces))
        parts.append(torch.full((len(faces),), EYE_LEFT + k))
    worn = glasses.build(head, identity, head.points[marks[0]], _temples(model, head))
    lenses = None
    if worn is not None:
        posed, facing = turned(worn.points, turn), worn.normals @ turn.T
        blocks.append((posed, facing, torch.zeros_like(posed), torch.ones(len(posed), 14), worn.triangles))
        parts.append(torch.full((len(worn.triangles),), FRAME))
        lenses = turned(worn.lenses, turn)
    shift, triangles = 0, []
    for block in blocks:
        triangles.append(block[4] + shift)
        shift += len(block[0])
    world, facing_all, rest, extra = (torch.cat([block[i] for block in blocks]) for i in range(4))
    pair = (frames[0], frames[1])
    return Scene(world, facing_all, rest, extra, torch.cat(triangles), torch.cat(parts), pair, lenses)


@lru_cache(maxsize=1)
def _teeth() -> tuple[Tensor, Tensor]:
    """Return the vertices of the teeth and how far each is moved."""
    model = head_model()
    index = torch.unique(model.topo.triangles[model.teeth.repeat_interleave(8)])
    upper = (model.rest[index, 1] > _BITE_MM).to(torch.float32)
    return index, torch.stack([torch.zeros_like(upper), -3.0 - 1.5 * upper, torch.full_like(upper, -2.0)], 1)


def _temples(model: HeadModel, head: Head) -> Tensor:
    """Return (2, 3) where the arms of glasses meet the ears."""
    out = []
    for side in (1.0, -1.0):
        target = torch.tensor([side * 70.0, 4.0, -62.0])
        out.append(head.points[(model.rest - target).square().sum(1).argmin()])
    return torch.stack(out)


@lru_cache(maxsize=1)
def _extra(model: HeadModel) -> Tensor:
    """Return (V, 14) what depends on the rest position alone: sky, skin zones, scalp, neck and beard fields."""
    rest = model.rest
    beards = [facehair.beard_density(rest, style)[:, None] for style in (2, 3, 4)]
    zones, scalp = skin.zones(rest), hair.scalp_fields(rest)
    return torch.cat([model.open_sky[:, None], zones, scalp, _jaw(rest)[:, None], *beards], 1)


def _jaw(rest: Tensor) -> Tensor:
    """Return (N,) millimetres above the line that parts face and neck."""
    at, line = (-200.0, -80.0, -65.0, -50.0, -30.0, -5.0, 20.0), (-40.0, -42.0, -52.0, -74.0, -99.0, -108.0, -111.0)
    return rest[:, 1] - hair.interpolate(rest[:, 2], at, line)
