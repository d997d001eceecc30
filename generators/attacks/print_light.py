"""Light on a held sheet: diffuse from its normals, through it from behind, and what its surface mirrors."""

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.print_params import PrintParams
from spooflab.generators.instruments.paper import Paper
from spooflab.generators.instruments.paper_bend import SheetHit
from spooflab.generators.instruments.paper_gloss import key_gloss, lobe_directions, schlick
from spooflab.generators.scene import Scene
from spooflab.seeds import generator

_GLOSSY = 0.3
"""GGX roughness above which the room's reflection is so soft that few points will do."""


def light_sheet(hit: SheetHit, params: PrintParams, paper: Paper, scene: Scene) -> tuple[Tensor, Tensor]:
    """Return illumination and mirrored radiance (3, m, m) at the nodes."""
    room = params.scene
    eye = -hit.ray[0]
    normal = _wavy(hit, params)
    light = room.key_direction[0]
    cosine = (normal * light).sum(-1)
    overhead = 1 - 0.15 * normal[..., 1]  # rooms are brighter above than below
    through = paper.surface.translucency
    key = cosine.clamp(min=0) + through * (-cosine).clamp(min=0)
    shade = room.ambient_rgb[0, :, None, None] * overhead + room.key_rgb[0, :, None, None] * key
    alpha = paper.surface.roughness
    f0 = paper.surface.f0
    lobe = key_gloss(normal, eye, light, torch.tensor(alpha), f0, torch.deg2rad(room.key_radius_deg))
    gloss = room.key_rgb[0, :, None, None] * lobe + _room_gloss(normal, eye, params, scene, alpha, f0)
    return shade, gloss


def _room_gloss(normal: Tensor, eye: Tensor, params: PrintParams, scene: Scene, alpha: float, f0: float) -> Tensor:
    """Return (3, m, m): the room, its key light apart, mirrored by the lobe."""
    rough = alpha > _GLOSSY
    step = 8 if rough else 2  # a rough lobe is smooth: fewer nodes will do
    few_normal, few_eye = normal[::step, ::step], eye[::step, ::step]
    size = few_normal.shape[:2]
    lobe = lobe_directions(few_normal.reshape(-1, 3), few_eye.reshape(-1, 3), alpha, 7 if rough else 5)
    unlit = dataclasses.replace(params.scene, key_rgb=torch.zeros_like(params.scene.key_rgb))
    mirrored = scene.reflection(unlit, lobe[None])[0].mean(1).reshape(3, *size)
    fresnel = schlick((few_normal * few_eye).sum(-1), f0)
    return F.interpolate((mirrored * fresnel)[None], size=normal.shape[:2], mode="bilinear", align_corners=True)[0]


def _wavy(hit: SheetHit, params: PrintParams) -> Tensor:
    """Return the normals (m, m, 3) with the small waves that any handled sheet has: five sines of 25-120 mm."""
    gen = generator(int(params.seed), "print", "waves")
    uv = hit.uv_mm[0]
    angle = 3.14159265 * torch.rand(5, generator=gen)
    wave_number = 6.2831853 / (25 + 95 * torch.rand(5, generator=gen))
    phase = 6.2831853 * torch.rand(5, generator=gen)
    way = torch.stack([angle.cos(), angle.sin()], -1)
    slope = torch.cos((uv @ way.T) * wave_number + phase) * (float(params.waves) * 0.63)
    tilt = slope @ way
    u_axis, v_axis = _tangents(hit)
    bent = hit.normal[0] + tilt[..., :1] * u_axis + tilt[..., 1:] * v_axis
    unit: Tensor = bent / bent.norm(dim=-1, keepdim=True)
    return unit


def _tangents(hit: SheetHit) -> tuple[Tensor, Tensor]:
    """Return two unit tangents (m, m, 3) of a sheet at its nodes."""
    normal = hit.normal[0]
    down = normal.new_tensor([0.0, 1.0, 0.0]).expand_as(normal)
    across = torch.linalg.cross(normal, down)
    across = across / across.norm(dim=-1, keepdim=True)
    return across, torch.linalg.cross(normal, across)
