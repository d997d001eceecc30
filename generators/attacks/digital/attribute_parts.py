"""Edits of hair, irises and glasses."""

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.attacks.digital.attribute_scene import EditScene, shifted
from spooflab.generators.attacks.digital.morph_retouch import blur
from spooflab.generators.attacks.digital.poisson import fill
from spooflab.generators.faces.procedural import glasses
from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.faces.procedural.params import IdentityParams
from spooflab.generators.faces.procedural.sample import sample_identity
from spooflab.generators.faces.procedural.shape import Head
from spooflab.generators.geometry.mesh_maps import mesh_maps
from spooflab.generators.geometry.polygon import polygon_cover
from spooflab.seeds import generator

HAIR = {
    "black": (0.020, 0.016, 0.014),
    "brown": (0.075, 0.042, 0.026),
    "blond": (0.38, 0.26, 0.13),
    "red": (0.21, 0.065, 0.022),
    "grey": (0.26, 0.26, 0.26),
    "white": (0.55, 0.55, 0.54),
    "blue": (0.04, 0.08, 0.28),
    "pink": (0.42, 0.12, 0.22),
}
"""Mean albedo of dyed hair, linear sRGB: natural ones between d'Eon et al. 2011's pigments, the last two dyes."""
IRIS = {
    "blue": (0.16, 0.25, 0.38),
    "green": (0.16, 0.22, 0.11),
    "hazel": (0.22, 0.14, 0.06),
    "brown": (0.09, 0.045, 0.02),
    "grey": (0.24, 0.26, 0.28),
    "violet": (0.22, 0.12, 0.36),
}
"""Mean albedo of irises and coloured lenses."""
_IRIS_MM = 5.9
_GLASSES_MM = (1.6, 3.0)
_NOSE_REST, _TEMPLE_REST = (0.0, -4.0, 14.0), (70.0, 4.0, -62.0)


def hair_colour(scene: EditScene, radiance: Tensor, strength: float, colour: Tensor) -> Tensor | None:
    """Return (3, H, W) with the hair's mean albedo moved to (3,) `colour`, None where no hair is seen.

    Brightness relative to the hair's mean, its shading and strands, stays, the same for all channels.
    """
    if scene.hair is None:
        return None
    hair = scene.hair
    light = radiance.clamp(min=1e-4)
    level = light.mean(0)
    mean = float((level.log() * hair).sum() / hair.sum())
    pattern = (level.log() - mean).clamp(-2.5, 2.5)
    # Pale hair scatters within: its shadows fill up, so contrast falls as it gets paler.
    contrast = 1 - 0.35 * float(colour.mean()) / 0.55
    dyed = colour[:, None, None] * scene.light[:, None, None] * torch.exp(contrast * pattern - 0.15)
    weight = scene.careless(hair) * strength
    mixed = torch.exp(torch.lerp(light.log(), dyed.clamp(min=1e-4).log(), weight))
    return torch.where(weight > 0, mixed, radiance)


def iris_colour(scene: EditScene, radiance: Tensor, strength: float, colour: Tensor) -> Tensor:
    """Return (3, H, W) with irises of (3,) albedo; pupils and glints stay, as under a tinted contact lens."""
    height, width = radiance.shape[1:]
    out = radiance
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    for first in (36, 42):
        lids = scene.landmarks[first : first + 6]
        opening = polygon_cover(lids, (height, width), feather_px=1.0)
        radius = _IRIS_MM / scene.fit.mm_per_px
        centre = _pupil(radiance, opening, lids)
        far = torch.hypot(x - centre[0], y - centre[1]) / radius
        ring = ((1.0 - far) / 0.12).clamp(0, 1) * ((far - 0.36) / 0.10).clamp(0, 1)
        weight = scene.careless(ring * opening) * strength
        level = out.mean(0)
        inside = (ring * opening).clamp(min=1e-6)
        mean = (level * inside).sum() / inside.sum()
        pattern = (level / mean.clamp(min=1e-3)).clamp(0.3, 3.0)
        tinted = (
            colour[:, None, None] * scene.light[:, None, None] * 0.6 * pattern * (1.15 - 0.5 * far.clamp(0, 1) ** 4)
        )
        out = torch.lerp(out, tinted, weight * 0.8)
    return out


def _pupil(radiance: Tensor, opening: Tensor, lids: Tensor) -> Tensor:
    """Return (2,) the middle of what is dark between the lids."""
    level = radiance.mean(0)
    dark = opening * (1 - level / (level * opening).amax().clamp(min=1e-4)).clamp(min=0) ** 3
    total = dark.sum()
    if float(total) < 1e-3:
        return lids.mean(0)
    y, x = (torch.arange(n) + 0.5 for n in level.shape)
    found = torch.stack([(dark.sum(0) * x).sum(), (dark.sum(1) * y).sum()]) / total
    return torch.lerp(lids.mean(0), found, 0.75)


def add_glasses(scene: EditScene, radiance: Tensor, strength: float, style: int, colour: Tensor) -> Tensor:
    """Return (3, H, W) with frames posed on the head, lit roughly, and a soft shadow; lenses are clear.

    Args:
        scene: the face.
        radiance: as edited so far.
        strength: of the shadow.
        style: index into `procedural.params.GLASSES`, 1-3.
        colour: (3,) albedo of the frame.
    """
    fit = scene.fit
    head = Head(fit.local, torch.zeros_like(fit.local), fit.eyes[:, :3], fit.eyes[:, 3])  # frames ask for no normals
    nose, left, right = fit.local[_places()]
    worn = glasses.build(head, _wearer(style), nose, torch.stack([left, right]))
    assert worn is not None
    facing = worn.normals @ fit.rotation.T
    seen = mesh_maps(
        fit.to_camera(worn.points), worn.triangles, facing, fit.focal_px, fit.centre_px, fit.size, supersample=2
    )
    cover = seen.cover * (seen.depth_mm < scene.maps.depth_mm + 3).float()
    reach = max(1, round(2.5 / fit.mm_per_px))
    shadow = shifted(blur(cover[None, None], float(reach))[0, 0], 0, reach) * (scene.maps.cover > 0)
    light = torch.tensor([-0.35, -0.75, -0.55])
    lit = (seen.attributes * light[:, None, None]).sum(0)
    gloss = lit.clamp(min=0) ** 24 * 0.35
    frame = scene.light[:, None, None] * (colour[:, None, None] * (0.45 + 0.6 * lit.clamp(min=0)) + gloss)
    return torch.lerp(radiance * (1 - 0.35 * strength * shadow), frame, cover)


def remove_glasses(scene: EditScene, radiance: Tensor) -> Tensor | None:
    """Return (3, H, W) with the parsed frames filled in smoothly, None where none are parsed.

    The gap is filled from its edges by push and pull, which leaves the usual smear and the lenses' reflections.
    """
    if scene.parsing is None:
        return None
    frames = scene.classes("glasses")
    if float(frames.sum()) < 30:
        return None
    reach = max(1.0, _GLASSES_MM[0] / scene.fit.mm_per_px)
    gap = blur(frames[None, None], reach)[0, 0] > 0.12
    known = (~gap).float()
    height, width = known.shape
    pad = (0, -width % 32, 0, -height % 32)
    edged = torch.nn.functional.pad(known[None], pad)[0]
    filled = fill(torch.nn.functional.pad(radiance, pad) * edged, edged)[:, :height, :width]
    weight = scene.careless(gap.float()) if scene.halo_px > 0 else gap.float()
    return torch.lerp(radiance, torch.where(gap, filled, blur(radiance[None], reach)[0]), weight)


@lru_cache(maxsize=1)
def _places() -> Tensor:
    """Return the fine vertices at the bridge of the nose and at the left and the right temple."""
    rest = head_model().rest
    x, y, z = _TEMPLE_REST
    targets = torch.tensor([_NOSE_REST, (x, y, z), (-x, y, z)])
    return torch.cdist(targets, rest).argmin(1)


@lru_cache(maxsize=4)
def _wearer(style: int) -> IdentityParams:
    """Return a person of whom only the style of the glasses matters."""
    person = sample_identity(1, generator(0, "wearer"))
    return replace(person, glasses_style=torch.tensor([style]))
