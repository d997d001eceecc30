"""Light on a held sheet: diffuse from its normals, through it from behind, and what its surface mirrors."""

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.prints.creases import crease_slopes, creased
from spooflab.generators.attacks.prints.lamp import lamp_frame, lamp_gloss, lamp_light
from spooflab.generators.attacks.prints.params import FILMS, PrintParams
from spooflab.generators.attacks.prints.place import Placement
from spooflab.generators.instruments.paper import Paper
from spooflab.generators.instruments.paper_bend import SheetHit
from spooflab.generators.instruments.paper_gloss import key_gloss, lobe_directions, schlick
from spooflab.generators.pose import Pose
from spooflab.generators.scene import Scene, SceneParams
from spooflab.seeds import generator

_GLOSSY = 0.3
"""GGX roughness above which the room's reflection is so soft that few points will do."""
_OVERHEAD = 0.15
"""Rooms are brighter above than below: relative change of the ambient light with the normal's downward part."""
_ROUGHEST = 0.8
_SLEEVE_F0 = 0.075
"""A loose film mirrors at both of its faces."""


@dataclass(frozen=True)
class Finish:
    """The outermost surface of a sheet: GGX roughness, reflectance at normal incidence, slope of its waves."""

    roughness: float
    f0: float
    waves: float


def finish_of(params: PrintParams, paper: Paper) -> Finish:
    """Return the paper's own surface, or that of the film over it (one row)."""
    film, waves = FILMS[int(params.film)], float(params.waves)
    if film == "laminated":
        return Finish(float(params.film_roughness), 0.045, waves)
    if film == "sleeve":
        return Finish(float(params.film_roughness), _SLEEVE_F0, 2 * waves + 0.01)
    return Finish(paper.surface.roughness, paper.surface.f0, waves)


def light_sheet(
    hit: SheetHit, params: PrintParams, paper: Paper, placement: Placement, scene: Scene, *, off: Collection[str] = ()
) -> tuple[Tensor, Tensor | None]:
    """Return illumination and mirrored radiance (3, m, m) at the nodes; no mirrored radiance with `gloss` off.

    With `shading` off the illumination is even, its own mean.
    """
    room = params.scene
    eye = -hit.ray[0]
    surface = finish_of(params, paper)
    normal = _wavy(hit, params, 0.0 if "creases" in off else surface.waves)
    light = room.key_direction[0]
    cosine = (normal * light).sum(-1)
    overhead = 1 - _OVERHEAD * normal[..., 1]
    through = paper.surface.translucency
    key = cosine.clamp(min=0) + through * (-cosine).clamp(min=0)
    shade = room.ambient_rgb[0, :, None, None] * overhead + room.key_rgb[0, :, None, None] * key
    lamp = lamp_light(params.lamp, room)
    frame = lamp_frame(params.lamp, placement.view, placement.pose) if bool(lamp.any()) else None
    if frame is not None:
        shade = shade + lamp[:, None, None] * (normal * frame[0]).sum(-1).clamp(min=0)
    if "shading" in off:
        shade = shade.mean((1, 2), keepdim=True).expand_as(shade)
    if "gloss" in off:
        return shade, None
    normal = _creased(normal, hit, params, placement.pose, off)
    fine = 0.0 if "creases" in off else float(params.creases.crumple)
    alpha, f0 = min(_ROUGHEST, math.hypot(surface.roughness, fine)), surface.f0
    lobe = key_gloss(normal, eye, light, torch.tensor(alpha), f0, torch.deg2rad(room.key_radius_deg))
    gloss = room.key_rgb[0, :, None, None] * lobe + _room_gloss(normal, eye, params, scene, alpha, f0)
    if frame is not None and "glare" not in off:
        gloss = gloss + lamp_gloss(params.lamp, frame, lamp, normal, eye, alpha, f0)
    return shade, gloss


def crease_light(shade: Tensor, slope_u: Tensor, slope_v: Tensor, room: SceneParams, pose: Pose) -> None:
    """Add to illumination (3, H, W), in place, what slopes (H, W) of an otherwise flat sheet change, to first order."""
    u_axis, v_axis, away = (axis[0] for axis in pose.axes())
    light = room.key_direction[0]
    faces = float((light * away).sum()) < 0
    key = (slope_u * -float((light * u_axis).sum())).sub_(slope_v, alpha=float((light * v_axis).sum()))
    ambient = (slope_u * float(u_axis[1])).add_(slope_v, alpha=float(v_axis[1])).mul_(_OVERHEAD)
    for channel in range(3):
        if faces:
            shade[channel].add_(key, alpha=float(room.key_rgb[0, channel]))
        shade[channel].add_(ambient, alpha=float(room.ambient_rgb[0, channel]))
    shade.clamp_(min=0)


def _room_gloss(normal: Tensor, eye: Tensor, params: PrintParams, scene: Scene, alpha: float, f0: float) -> Tensor:
    """Return (3, m, m): the room, its key light apart, mirrored by the lobe."""
    rough = alpha > _GLOSSY
    step = 8 if rough else 2  # a rough lobe is smooth: fewer nodes will do
    few_normal, few_eye = normal[::step, ::step], eye[::step, ::step]
    size = few_normal.shape[:2]
    lobe = lobe_directions(few_normal.reshape(-1, 3), few_eye.reshape(-1, 3), alpha, 7 if rough else 5)
    unlit = dataclasses.replace(params.scene, key_rgb=torch.zeros_like(params.scene.key_rgb))
    mirrored = scene.reflection(unlit, lobe[None], every=True)[0].mean(1).reshape(3, *size)
    fresnel = schlick((few_normal * few_eye).sum(-1), f0)
    return F.interpolate((mirrored * fresnel)[None], size=normal.shape[:2], mode="bilinear", align_corners=True)[0]


def _wavy(hit: SheetHit, params: PrintParams, waves: float) -> Tensor:
    """Return the normals (m, m, 3) with the small waves that any handled sheet has: five sines of 25-120 mm."""
    gen = generator(int(params.printing.seed), "print", "waves")
    uv = hit.uv_mm[0]
    angle = 3.14159265 * torch.rand(5, generator=gen)
    wave_number = 6.2831853 / (25 + 95 * torch.rand(5, generator=gen))
    phase = 6.2831853 * torch.rand(5, generator=gen)
    way = torch.stack([angle.cos(), angle.sin()], -1)
    slope = torch.cos((uv @ way.T) * wave_number + phase) * (waves * 0.63)
    tilt = slope @ way
    u_axis, v_axis = _tangents(hit)
    bent = hit.normal[0] + tilt[..., :1] * u_axis + tilt[..., 1:] * v_axis
    unit: Tensor = bent / bent.norm(dim=-1, keepdim=True)
    return unit


def _creased(normal: Tensor, hit: SheetHit, params: PrintParams, pose: Pose, off: Collection[str]) -> Tensor:
    """Tilt normals by the creases' slopes; only what is mirrored needs it here, `crease_light` shades finely."""
    if "creases" in off or not creased(params.creases):
        return normal
    uv = hit.uv_mm[0]
    slopes = torch.stack(crease_slopes(params.creases, uv[..., 0], uv[..., 1], params.sheet_mm[0]))[None]
    for _ in range(2):  # what is finer than the nodes only roughens
        slopes = F.avg_pool2d(F.pad(slopes, (1, 1, 1, 1), mode="replicate"), 3, 1)
    slope_u, slope_v = slopes[0]
    u_axis, v_axis, _ = (axis[0] for axis in pose.axes())
    tilted = normal - slope_u[..., None] * u_axis - slope_v[..., None] * v_axis
    unit: Tensor = tilted / tilted.norm(dim=-1, keepdim=True)
    return unit


def _tangents(hit: SheetHit) -> tuple[Tensor, Tensor]:
    """Return two unit tangents (m, m, 3) of a sheet at its nodes."""
    normal = hit.normal[0]
    down = normal.new_tensor([0.0, 1.0, 0.0]).expand_as(normal)
    across = torch.linalg.cross(normal, down)
    across = across / across.norm(dim=-1, keepdim=True)
    return across, torch.linalg.cross(normal, across)
