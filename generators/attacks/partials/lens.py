"""Lenses, flat or domed: how they face, and how their face and their clear cover send light to the camera."""

import torch
from torch import Tensor

from spooflab.generators.attacks.partials.canvas import Canvas
from spooflab.generators.attacks.partials.outline import Outline
from spooflab.generators.attacks.partials.paint import cover_of
from spooflab.generators.attacks.partials.view import SheetView
from spooflab.generators.geometry.light import shading, specular


def dome(view: SheetView, half_mm: tuple[float, float], height_mm: float) -> Tensor:
    """Return (3, P) normals of an ellipsoidal cap over a lens.

    The cap of height h on a base of half extents a, b: z = h·sqrt(1 − k (u²/a² + v²/b²)) with k = 0.94, which keeps the
    slope at the rim finite.

    Args:
        view: the lens' plane.
        half_mm: half width and height of the base.
        height_mm: of the cap.
    """
    a, b = half_mm
    keep = 0.94
    root = (1 - keep * ((view.u / a).square() + (view.v / b).square())).clamp(min=1 - keep).sqrt()
    slope = height_mm * keep / root
    normal = view.normal + view.along_u * (slope * view.u / a**2) + view.along_v * (slope * view.v / b**2)
    return normal * torch.rsqrt(normal.square().sum(0))


def paint_lens(
    canvas: Canvas, view: SheetView, outline: Outline, albedo: Tensor, face: Tensor, cover: Tensor, roughness: float,
    f0: float, label: int, hidden: Tensor | None = None,
) -> None:  # fmt: skip
    """Light a lens and lay it over the picture.

    Args:
        canvas: changed in place.
        view: the lens' plane.
        outline: of the lens.
        albedo: (3, P).
        face: (3, P) normals of what is printed.
        cover: (3, P) normals of what mirrors.
        roughness: perceptual.
        f0: specular reflectance at normal incidence; 0 for no gloss.
        label: class of `PARSING`.
        hidden: (P,) share that something else hides.
    """
    radiance = albedo * shading(canvas.light, face)
    if f0 > 0:
        radiance = radiance + specular(canvas.light, cover, roughness, f0, view=-view.ray)
    shown = cover_of(outline(view.u, view.v), view.mm_per_px) * canvas.visible(view.pixel, view.depth_mm)
    if hidden is not None:
        shown = shown * (1 - hidden)
    canvas.paint(view.pixel, shown, radiance, view.depth_mm, cover, label)
