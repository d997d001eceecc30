"""Light on a worn sheet: what its face, its cut edge and tape send to the camera."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.attacks.partials.canvas import Canvas
from spooflab.generators.attacks.partials.enlarge import SheetPixels
from spooflab.generators.attacks.partials.outline import Outline
from spooflab.generators.attacks.partials.view import SheetView
from spooflab.generators.geometry.light import shading, specular
from spooflab.generators.masked import either, places
from spooflab.seeds import generator

_WAVES = 5
_SEEN_EDGE = 0.2


@dataclass(frozen=True, eq=False)
class Material:
    """What a sheet is made of.

    Attributes:
        roughness: perceptual roughness (its square is GGX's alpha).
        f0: specular reflectance at normal incidence; 0 for no gloss.
        thickness_mm: of the sheet; 0 hides its cut edge.
        core: (3,) reflectance of the cut edge.
        wave_slope: root mean square slope of its small waves or folds.
        wave_mm: shortest and longest of them.
        seed: names the waves.
    """

    roughness: float
    f0: float
    thickness_mm: float
    core: Tensor
    wave_slope: float
    wave_mm: tuple[float, float]
    seed: int


def cover_of(distance_mm: Tensor, mm_per_px: float) -> Tensor:
    """Return the share of a pixel that lies inside a straight edge at a signed distance from the pixel's middle."""
    return (0.5 - distance_mm / mm_per_px).clamp(0, 1)


def paint_sheet(
    canvas: Canvas, view: SheetPixels, outline: Outline, albedo: Tensor, material: Material, label: int, *,
    behind: Tensor | None = None,
) -> None:  # fmt: skip
    """Light a sheet and lay it over the picture, its cut edge included; what the head hides stays hidden.

    Args:
        canvas: changed in place.
        view: the sheet.
        outline: of the sheet.
        albedo: (3, P) reflectance of its face.
        material: see there.
        label: class of `PARSING`.
        behind: (P,) share that something else of the picture hides, such as the wearer's spectacles.
    """
    light, coarse = canvas.light, view.coarse
    normal = waved(coarse, material)
    fields = [shading(light, normal)]
    if material.f0 > 0:
        fields.append(specular(light, normal, material.roughness, material.f0, view=-coarse.ray))
    thick = material.thickness_mm > _SEEN_EDGE * view.mm_per_px
    if thick:
        facing = (coarse.normal * coarse.ray).sum(0).clamp_(max=-0.15)
        aside = torch.stack([(coarse.along_u * coarse.ray).sum(0), (coarse.along_v * coarse.ray).sum(0)])
        fields += [aside * (-material.thickness_mm / facing), shading(light, _edge_normal(coarse))]
    lit = view.enlarge(torch.cat(fields))
    radiance = albedo * lit[:3]
    if material.f0 > 0:
        radiance += lit[3:6]
    body = front = cover_of(outline(view.u, view.v), view.mm_per_px)
    if thick:
        aside_u, aside_v, edge = lit[-5], lit[-4], lit[-3:]
        back = outline(view.u + aside_u, view.v + aside_v)
        body = torch.maximum(front, cover_of(back, view.mm_per_px))
        radiance = torch.lerp(material.core[:, None] * edge, radiance, front / body.clamp(min=1e-4))
    shown = body * canvas.visible(view.pixel, view.depth_mm)
    if behind is not None:
        shown = shown * (1 - behind)
    facing_way = None if canvas.normals is None else view.enlarge(coarse.normal)
    canvas.paint(view.pixel, shown, radiance, view.depth_mm, facing_way, label)


def _edge_normal(view: SheetView) -> Tensor:
    """Return (3, P) the way that the cut edge which can be seen faces: towards the camera, within the sheet."""
    back = view.normal * (view.normal * view.ray).sum(0) - view.ray
    return back * torch.rsqrt(back.square().sum(0).clamp_(min=1e-8))


def waved(view: SheetView, material: Material) -> Tensor:
    """Return the sheet's normals (3, P) with small waves: sines of random direction and phase."""
    if material.wave_slope <= 0:
        return view.normal
    gen = generator(material.seed, "partial", "waves")
    angle = math.pi * torch.rand(_WAVES, generator=gen)
    low, high = material.wave_mm
    number = 2 * math.pi / torch.exp(math.log(low) + math.log(high / low) * torch.rand(_WAVES, generator=gen))
    phase = 2 * math.pi * torch.rand(_WAVES, generator=gen)
    scale = material.wave_slope * math.sqrt(2 / _WAVES)
    tilt_u, tilt_v = torch.zeros_like(view.u), torch.zeros_like(view.u)
    for c, s, k, p in zip(angle.cos().tolist(), angle.sin().tolist(), number.tolist(), phase.tolist(), strict=True):
        slope = torch.cos(view.u * (c * k) + view.v * (s * k) + p) * scale
        tilt_u, tilt_v = tilt_u.add_(slope, alpha=c), tilt_v.add_(slope, alpha=s)
    normal = view.normal + view.along_u * tilt_u + view.along_v * tilt_v
    return normal * torch.rsqrt(normal.square().sum(0))


@dataclass(frozen=True, eq=False)
class Tape:
    """Strips of adhesive tape.

    Attributes:
        outline: of all strips.
        tint: (3,) reflectance of its own body.
        body: share of the light that the body scatters: 0 clear, 1 opaque.
        roughness: perceptual.
    """

    outline: Outline
    tint: Tensor
    body: float
    roughness: float


def paint_tape(
    canvas: Canvas, view: SheetPixels, sheet: Outline, tape: Tape, label: int, *, gloss: bool = True
) -> None:
    """Lay tape over a sheet's edge and the skin beside it.

    On the sheet it lies as the sheet does, on skin as the skin; what is under it shows through by 1 − `body`.

    Args:
        canvas: changed in place; already with the sheet.
        view: the sheet.
        sheet: the sheet's outline.
        tape: see there.
        label: class of `PARSING`.
        gloss: False for no mirrored light.
    """
    near = tape.outline(view.u, view.v)
    index = places(near < view.mm_per_px)
    if len(index) == 0:
        return
    light, maps, pixel = canvas.light, canvas.geometry.maps, view.pixel[index]
    head = maps.normals.reshape(3, -1).index_select(1, pixel)
    on_head = maps.cover.reshape(-1).index_select(0, pixel) > 0
    sheet_normal, ray = view.enlarge(torch.cat([view.coarse.normal, view.coarse.ray]))[:, index].chunk(2)
    on_sheet = cover_of(sheet(view.u[index], view.v[index]), 1.5)
    normal = either(on_head, torch.lerp(head, sheet_normal, on_sheet), sheet_normal)
    normal = normal * torch.rsqrt(normal.square().sum(0).clamp(min=1e-6))
    own = tape.tint[:, None] * shading(light, normal)
    below = canvas.radiance.reshape(3, -1).index_select(1, pixel)
    radiance = torch.lerp(below * 0.92, own, tape.body)
    if gloss:
        radiance = radiance + specular(light, normal, tape.roughness, 0.04, view=-ray)
    cover = cover_of(near[index], view.mm_per_px) * (on_head | (on_sheet > 0.5))
    depth = view.depth_mm[index]
    lain = torch.minimum(depth, maps.depth_mm.reshape(-1).index_select(0, pixel))
    canvas.paint(pixel, cover * canvas.visible(pixel, lain), radiance, lain, None, label)
