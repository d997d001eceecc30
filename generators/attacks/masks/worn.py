"""A solid mask on a live face: lit by the wearer's light, cut open, edged, and casting its shadow on the wearer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from spooflab.generators.ablation import names_off
from spooflab.generators.attack import Changed
from spooflab.generators.attacks.masks import light as mask_light
from spooflab.generators.attacks.masks.cover import eye_opening, jaw_line, other_openings
from spooflab.generators.attacks.masks.filter import box, dot, in_pixels, moved, slopes, unit_planes
from spooflab.generators.attacks.masks.hair import under_hair
from spooflab.generators.attacks.masks.light import Lamp, cast_shadow, eye_vectors, gloss
from spooflab.generators.attacks.masks.paint import relief
from spooflab.generators.attacks.masks.params import MaskParams
from spooflab.generators.attacks.masks.shadow import shadow_on
from spooflab.generators.attacks.masks.sitting import Sitting
from spooflab.generators.attacks.masks.strap import strap, strap_albedo
from spooflab.generators.attacks.masks.surface import Surface
from spooflab.generators.face import PARSING, Face
from spooflab.generators.faces.procedural.landmarks import landmark_points
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.geometry.light import Light, shading
from spooflab.generators.instruments.ggx import directional_albedo
from spooflab.generators.instruments.mask_material import Mask
from spooflab.generators.instruments.subsurface import scale_mm, soften
from spooflab.params import Params

ParamsT = TypeVar("ParamsT", bound=Params)
_SKIN, _NECK = PARSING.index("skin"), PARSING.index("neck")
_BACKGROUND, _EARS, _HAIR = PARSING.index("background"), PARSING.index("ears"), PARSING.index("hair")
_EDGE_MM = 1.3
_COAT_ALPHA, _VARNISH_ALPHA = 0.12, 0.07


@dataclass(frozen=True, eq=False)
class Layer:
    """What the mask adds to the window.

    Attributes:
        alpha: (h, w) share of each pixel that it covers.
        radiance: (3, h, w) of the mask.
        shadow: (h, w) share of its light that what lies beside and behind loses.
        facts: figures, (1,) each.
    """

    alpha: Tensor
    radiance: Tensor
    shadow: Tensor
    facts: dict[str, Tensor]


def effects_off(ablated: Tensor, effects: tuple[str, ...]) -> frozenset[str]:
    """Return the effects that are off in a batch of one."""
    return frozenset(names_off(ablated, effects))


def rows_of(
    face: Face, donor: Face | None, params: ParamsT, one: Callable[[Face, Face | None, ParamsT], Changed]
) -> Changed:
    """Apply `one` to each row alone and stack the results.

    Raises:
        ValueError: not as many donors as faces.
    """
    if donor is not None and donor.batch_size != face.batch_size:
        raise ValueError(f"{donor.batch_size} donors for {face.batch_size} faces, wanted one each")
    made = [one(face.row(i), None if donor is None else donor.row(i), params.row(i)) for i in range(face.batch_size)]
    return Changed.stack(made)


def openings(surface: Surface, params: MaskParams, mask: Mask, off: frozenset[str]) -> Tensor:
    """Return (h, w) millimetres inside the mask's openings."""
    if "openings" in off:
        return torch.full_like(surface.cover, -99.0)
    holes = other_openings(surface.rest, params, nostrils=mask.shell.nostrils)
    return torch.maximum(eye_opening(surface.rest, params), holes)


def solid(
    sitting: Sitting,
    params: MaskParams,
    mask: Mask,
    paint: Tensor,
    inside: Tensor,
    holes: Tensor,
    *,
    hidden: Tensor | None = None,
    varnish: Tensor | None = None,
) -> Layer:
    """Return the layer of an opaque mask.

    Args:
        sitting: who wears it and where.
        params: the draws.
        mask: the instrument.
        paint: (3, h, w) diffuse albedo.
        inside: (h, w) millimetres inside the outer edge.
        holes: (h, w) millimetres inside an opening.
        hidden: (h, w) share of the mask that something of the wearer lies over.
        varnish: (h, w) where a clear gloss lies on the paint, as on painted eyes.
    """
    surface, off = sitting.surface, sitting.off
    holes = torch.minimum(holes, inside)  # there is none beside the mask
    distance = torch.minimum(inside, -holes)
    alpha = (in_pixels(distance) + 0.5).clamp(0, 1) * surface.cover
    normal, lost = (
        (surface.normal, 0.0) if "texture" in off else relief(surface, params, mask.making, sitting.worn.turn)
    )
    if "thickness" not in off:
        normal, paint = _edge(distance, normal, paint, surface, params, mask)
    eye = eye_vectors(sitting.fit, surface.rows, surface.columns)
    n_v = dot(normal, eye).clamp_(min=0.02)
    lit = key_lit(sitting)
    fallen = irradiance(sitting, normal, lit)
    width = free_path(mask, paint, surface.mm_per_px)
    if width is not None and "subsurface" not in off:
        fallen = soften(fallen, alpha, width / surface.mm_per_px)
    rough = float((params.alpha.square() + 2 * lost).sqrt().clamp(max=1))
    radiance = paint * fallen * (1 - directional_albedo(n_v, rough, mask.finish.f0))
    if "gloss" not in off:
        radiance = radiance + _gloss(sitting, mask, normal, eye, rough, lit)
        if varnish is not None:
            radiance = radiance + _varnished(sitting, mask, normal, eye, varnish)
    shadow = shadow_on(sitting, distance, holes, alpha)
    if "thickness" not in off:
        radiance, alpha = _walls(radiance, alpha, holes, fallen, sitting, params, mask)
    if hidden is not None:
        if "cast_shadow" not in off:
            radiance = radiance * (1 - under_hair(sitting, hidden))
        alpha, shadow = alpha * (1 - hidden), shadow * (1 - hidden)
    band = strap(sitting, inside, params) * (1 - alpha)
    if bool(params.strap):
        radiance = torch.lerp(radiance, fallen * strap_albedo(params), (band / (band + alpha).clamp(min=1e-4)))
        alpha = alpha + band
    scatter = 0.0 if width is None or "subsurface" in off else float(width[0])
    return Layer(alpha, radiance, shadow, solid_facts(sitting, params, rough, scatter, alpha, holes))


def _gloss(sitting: Sitting, mask: Mask, normal: Tensor, eye: Tensor, rough: float, lit: Tensor) -> Tensor:
    coat = mask.finish.coat
    lobes = ((rough, 1.0),) if coat == 0 else ((rough, 1 - coat), (min(rough, _COAT_ALPHA), coat))
    out = gloss(sitting.light, sitting.sources, normal, eye, lobes, mask.finish.f0, lit)
    # Cavities see little of the room.
    return out.mul_(open_sky(sitting.surface.sky))


def _varnished(sitting: Sitting, mask: Mask, normal: Tensor, eye: Tensor, varnish: Tensor) -> Tensor:
    """Return (3, h, w) the gloss of painted eyes; few pixels have it."""
    index = varnish.reshape(-1).nonzero()[:, 0]
    out = torch.zeros(3, varnish.numel())
    n, v = (value.reshape(3, -1).index_select(1, index)[:, None] for value in (normal, eye))
    shine = gloss(
        sitting.light, sitting.sources, n, v, ((_VARNISH_ALPHA, 1.0),), mask.finish.f0, torch.ones(1, len(index))
    )
    return out.index_copy_(1, index, shine[:, 0]).reshape(3, *varnish.shape)


def open_sky(sky: Tensor) -> Tensor:
    """Return (h, w) ambient visibility relative to a cheek's, 0-1."""
    return (sky / 0.82).clamp(0.15, 1)


def key_lit(sitting: Sitting) -> Tensor:
    """Return (h, w): share of the key that the mask's own relief lets through."""
    if "cast_shadow" in sitting.off:
        return torch.ones_like(sitting.surface.cover)
    return 1 - cast_shadow(sitting.surface.depth_mm, sitting.sources[0].direction, sitting.surface.mm_per_px)


def irradiance(sitting: Sitting, normal: Tensor, lit: Tensor) -> Tensor:
    """Return (3, h, w): the estimated light on the mask less what its relief hides of lamp and room."""
    light, surface = sitting.light, sitting.surface
    whole = shading(light, normal)
    if "cast_shadow" in sitting.off:
        return whole
    toward = sitting.sources[0].direction[:, None, None]
    key = light.key_irradiance[:, None, None] * dot(normal, toward).clamp_(min=0)
    key = torch.minimum(key, 0.75 * whole)
    rest = (whole - key) * torch.lerp(torch.ones_like(surface.sky), open_sky(surface.sky), 0.75)
    return rest + key * lit


def free_path(mask: Mask, paint: Tensor, mm_per_px: float) -> Tensor | None:
    """Return (3,) the scale d of the diffusion profile in millimetres, None for opaque paint."""
    path = torch.tensor(mask.finish.free_path_mm)
    if float(path.max()) == 0:
        return None
    return scale_mm(path, paint.mean((1, 2)).clamp(0.05, 0.9)).clamp(min=0.05 * mm_per_px)


def _edge(
    distance: Tensor, normal: Tensor, paint: Tensor, surface: Surface, params: MaskParams, mask: Mask
) -> tuple[Tensor, Tensor]:
    """Round the edge of the wall: a fillet that turns away from the mask and shows the bare material."""
    radius = min(_EDGE_MM, float(params.thickness_mm))
    bent = (1 - distance / max(radius, 0.2)).clamp(0, 1)
    dx, dy = slopes(distance)
    length = torch.sqrt(dx * dx + dy * dy).clamp(min=1e-4)
    outward = torch.stack([-dx / length, -dy / length, torch.zeros_like(dx)])
    turned = normal + outward * (1.4 * bent * bent)
    raw = torch.tensor(mask.finish.colour)[:, None, None]
    worn = (bent - 0.35).clamp(0, 1) * float(params.raw_edge)
    return unit_planes(turned), torch.lerp(paint, raw.expand_as(paint), worn)


def _walls(
    radiance: Tensor, alpha: Tensor, holes: Tensor, fallen: Tensor, sitting: Sitting, params: MaskParams, mask: Mask
) -> tuple[Tensor, Tensor]:
    """Show the walls of openings: where the ray passes the outer rim but meets the inner one."""
    if float(holes.max()) < 0:
        return radiance, alpha
    surface = sitting.surface
    smooth = box(surface.normal[:2], 4)
    reach = float(params.thickness_mm) / surface.mm_per_px
    inner = moved(holes, smooth[0] * reach, smooth[1] * reach)
    wall = (in_pixels(holes) + 0.5).clamp(0, 1) * (0.5 - inner / surface.mm_per_px).clamp(0, 1) * surface.cover
    raw = torch.tensor(mask.finish.colour)[:, None, None] * (0.25 + 0.75 * float(params.raw_edge))
    shaded = (raw * fallen.mean((1, 2), keepdim=True) * 0.5).expand_as(radiance)
    return torch.lerp(radiance, shaded, wall / (wall + alpha).clamp(min=1e-4)), (alpha + wall).clamp(max=1)


def solid_facts(
    sitting: Sitting, params: MaskParams, rough: float, scatter_mm: float, alpha: Tensor, holes: Tensor
) -> dict[str, Tensor]:
    """Return the figures of a mask, (1,) each."""
    surface = sitting.surface
    area = alpha.sum()
    opened = (surface.cover * (holes > 0)).sum()
    pixels = sitting.face.size[0] * sitting.face.size[1]
    return {
        "thickness_mm": params.thickness_mm,
        "gap_mm": torch.tensor([max(0.0, sitting.worn.height_mm - float(params.thickness_mm))]),
        "roughness_alpha": torch.tensor([rough]),
        "scatter_red_mm": torch.tensor([scatter_mm]),
        "cover_share": (area / pixels)[None],
        "opening_share": (opened / (area + opened).clamp(min=1.0))[None],
        "fit_error": torch.tensor([sitting.fit.error]),
    }


def composed(sitting: Sitting, layer: Layer, instrument_id: str, *, landmarks: bool, opaque: bool = True) -> Changed:
    """Lay the mask over the wearer's picture.

    Args:
        sitting: the wearer.
        layer: the mask in the sitting's window.
        instrument_id: of the mask.
        landmarks: whether the face that is seen is the mask's (else the wearer's points stay).
        opaque: whether the mask is seen instead of what is behind it, so that its own surface is what classes say.
    """
    face, surface = sitting.face, sitting.surface
    alpha = layer.alpha.clamp(0, 1)
    under = face.radiance[0, :, surface.rows, surface.columns]
    kept = 1 - layer.shadow * (alpha < 1)
    mixed = torch.lerp(under * kept, layer.radiance.clamp(min=0), alpha)
    changed = torch.maximum(alpha, layer.shadow)
    radiance = face.radiance.clone()
    radiance[0, :, surface.rows, surface.columns] = torch.where(changed > 0, mixed, under)
    mask = torch.zeros_like(face.radiance[:, :1])
    mask[0, 0, surface.rows, surface.columns] = changed
    if face.spoof_mask is not None:
        mask = torch.maximum(mask, face.spoof_mask)
    return Changed(
        face=face.replace(
            radiance=radiance,
            spoof_mask=mask,
            depth_mm=_depth(face, surface, alpha),
            normals=_normals(face, surface, alpha),
            parsing=_classes(face, surface, alpha) if opaque else face.parsing,
            landmarks=mask_landmarks(sitting) if landmarks else face.landmarks,
        ),
        facts=layer.facts,
        instrument_id=(instrument_id,),
    )


def _classes(face: Face, surface: Surface, alpha: Tensor) -> Tensor | None:
    """Return the picture's classes with the mask's: a face's skin or neck, and no hair, glasses or room behind it."""
    if face.parsing is None:
        return None
    parsing = face.parsing.clone()
    part = parsing[0, 0, surface.rows, surface.columns]
    below = surface.rest[1] < jaw_line(surface.rest)
    shown = torch.where(below, _NECK, _SKIN).to(part.dtype)
    hides = (part == _BACKGROUND) | (part == _EARS) | (part >= _HAIR)  # what the classes list from hair on
    parsing[0, 0, surface.rows, surface.columns] = torch.where((alpha > 0.5) & hides, shown, part)
    return parsing


def mask_landmarks(sitting: Sitting) -> Tensor:
    """Return (1, 68, 2) landmarks of the mask's face."""
    return landmark_points(sitting.fit.project(sitting.worn.points))[None]


def _depth(face: Face, surface: Surface, alpha: Tensor) -> Tensor:
    """Return the picture's depth with the mask's; where the picture had none, `inf` beside the mask."""
    depth = torch.full_like(face.radiance[:, :1], torch.inf) if face.depth_mm is None else face.depth_mm.clone()
    part = depth[0, 0, surface.rows, surface.columns]
    depth[0, 0, surface.rows, surface.columns] = torch.where(alpha > 0.5, surface.depth_mm, part)
    return depth


def _normals(face: Face, surface: Surface, alpha: Tensor) -> Tensor | None:
    if face.normals is None:
        return None
    normals = face.normals.clone()
    part = normals[0, :, surface.rows, surface.columns]
    normals[0, :, surface.rows, surface.columns] = torch.where(alpha > 0.5, surface.normal, part)
    return normals


def light_of(face: Face, fit: HeadFit, params: MaskParams) -> tuple[Light, tuple[Lamp, ...]]:
    """Return the light on the wearer and the lamps that a mask before them mirrors."""
    light = mask_light.vertex_light(face, fit)
    return light, mask_light.lamps(light, params.lamp_direction[0], params.lamp_share[0], params.lamp_radius_rad[0])
