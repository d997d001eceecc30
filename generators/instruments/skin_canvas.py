"""A face as something to paint on: layers of product over its skin, smooth ones at half resolution, fine ones at full.

Light that leaves the face is multiplied by the ratio of the painted and the bare albedo, so that pores, creases and
cast shadows stay, and the product's own gloss is added.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from spooflab.errors import SkipSample
from spooflab.generators.box_mean import halved
from spooflab.generators.face import PARSING, Face
from spooflab.generators.face_memory import FaceMemory
from spooflab.generators.geometry import Geometry, face_area, specular
from spooflab.generators.instruments.eye_patch import STEP, EyePatch, aligned, frame_of, half_of
from spooflab.generators.instruments.kubelka_munk import Pigment, over
from spooflab.generators.instruments.makeup_regions import Lips, Window, signed_distance, soft_step
from spooflab.generators.instruments.skin_chart import Array, chart
from spooflab.generators.instruments.skin_colour import SkinColour, skin_colour, smooth
from spooflab.generators.masked import places

_FEWEST_PX = 60
_BEFORE = tuple(PARSING.index(name) for name in ("background", "hair", "clothes", "glasses"))
_SKIN = (PARSING.index("skin"), PARSING.index("nose"))


@dataclass
class SkinCanvas:
    """One face being painted. Half-resolution planes are those of `window` at every second pixel.

    Attributes:
        geometry: of the face.
        bare: (3, H, W) the picture as it was.
        radiance: (3, H, W) the picture, changed where something was painted at full resolution.
        cover: (H, W) share of each pixel that product covers.
        window: even rectangle that holds the face.
        colour: the skin as it was, at half resolution.
        albedo: (3, h, w) painted so far, at half resolution.
        thin: (h, w) cover of what was painted at half resolution.
        skin: (h, w) where product may go: visible skin with lids, without brows, lips, eyes and hair.
        brows: (h, w) hair of the brows.
        mouth: (h, w) lips.
        clear: (h, w) where nothing lies over the face: no glasses, no hair of the head.
        rest: (3, h, w) canonical millimetres.
        normals: (3, h, w).
        eyes: the eye at the image's left and the other.
        lips: outlines.
        mm_per_px: of full-resolution pixels.
        shine: (3, h, w) gloss to be added.
        dull: (h, w) share of the skin's own shine that powder or paint hides.
        lighting: (3, h, w) factors of the shading by relief.
        painted: (3, H', W') albedo painted so far at full resolution of `window`, from `bring_to_full` on.
        touched: whether anything was painted at half resolution.
        with_pigment, with_gloss: whether paint changes the albedo, and whether it changes the shine.
    """

    geometry: Geometry
    bare: Tensor
    radiance: Tensor
    cover: Tensor
    window: Window
    colour: SkinColour
    albedo: Tensor
    thin: Tensor
    skin: Tensor
    brows: Tensor
    mouth: Tensor
    clear: Tensor
    rest: Tensor
    normals: Tensor
    eyes: tuple[EyePatch, ...]
    lips: Lips
    mm_per_px: float
    shine: Tensor | None = None
    dull: Tensor | None = None
    lighting: Tensor | None = None
    _uv: Tensor | None = None
    _half_uv: Tensor | None = None
    painted: Tensor = field(default_factory=lambda: torch.empty(0))
    touched: bool = False
    with_pigment: bool = True
    with_gloss: bool = True

    @classmethod
    def of(cls, face: Face, geometry: Geometry) -> "SkinCanvas":
        """Prepare a batch of one; what the face alone decides is kept with it (see `FaceMemory`).

        Raises:
            SkipSample: `face_outside`, when the picture shows too little of the face to paint on.
        """
        bare = _memory.of(face, lambda one: cls._unpainted(one, geometry))
        if bare.geometry is not geometry:
            bare = cls._unpainted(face, geometry)
        return replace(
            bare,
            radiance=bare.bare.clone(),
            cover=torch.zeros(face.size),
            albedo=bare.colour.albedo.clone(),
            thin=torch.zeros_like(bare.skin),
        )

    @classmethod
    def _unpainted(cls, face: Face, geometry: Geometry) -> "SkinCanvas":
        """Return a canvas whose planes are nobody's to change."""
        marks = face.landmarks[0].double().numpy()
        window = _face_window(marks, face.size, geometry.fit.mm_per_px)
        if min(window.shape) < _FEWEST_PX:
            raise SkipSample("face_outside", f"{window.shape} pixels of the face are in the picture")
        eyes = tuple(EyePatch.of(marks, left, window) for left in (True, False))
        mouth = Lips.of(marks)
        light = halved(window.of(face.radiance)[0])
        maps = geometry.maps
        rest, normals, lit = (_thinned(window, m) for m in (maps.rest_mm, maps.normals, geometry.shading))
        bare = _thinned(window, geometry.skin)
        hair, lips = torch.zeros(2, *bare.shape)
        for eye in eyes:
            eye.add(hair, eye.brow)
        where = aligned(Window.around(mouth.outer, 4, frame_of(window)), window)
        if not where.empty:
            half_of(window, where, lips).copy_(soft_step(signed_distance(mouth.outer, where, STEP), 1.5))
        colour = skin_colour(light, lit, bare, geometry.light.skin_albedo, hair)
        # Lips are darker than the skin around them by pigment, not by shape.
        darker = float((colour.relief * lips).sum() / lips.sum().clamp(min=1e-6))
        colour = replace(colour, albedo=colour.albedo * torch.exp(0.7 * darker * lips))
        skin = _paintable(geometry, window, bare, colour.relief, eyes)
        skin = skin * (1 - hair) * (1 - soft_step(lips - 0.35, 0.3))
        return cls(
            geometry=geometry,
            bare=face.radiance[0],
            radiance=face.radiance[0],
            cover=skin,
            window=window,
            colour=colour,
            albedo=colour.albedo,
            thin=skin,
            skin=skin,
            brows=hair,
            mouth=lips * _closed(mouth, window, where),
            clear=_clear(geometry, window),
            rest=rest,
            normals=normals,
            eyes=eyes,
            lips=mouth,
            mm_per_px=geometry.fit.mm_per_px,
        )

    def lay(self, paint: Pigment, thickness: Tensor, where: EyePatch | None = None) -> None:
        """Paint at half resolution; `thickness` (h, w) in applications, of the canvas or of one eye's patch."""
        if self.with_pigment:
            if paint.a.dim() > 1:
                self.albedo = over(paint, thickness, self.albedo)
            elif where is None:
                index = places(thickness > 0)
                flat = self.albedo.reshape(3, -1)
                some = thickness.reshape(-1, 1).index_select(0, index)
                some = over(paint, some, flat.index_select(1, index)[..., None])
                flat.index_copy_(1, index, some[..., 0])
            else:
                part = where.part(self.albedo)
                part.copy_(over(paint, thickness, part))
        self._mark_thin(covered(thickness), where)

    def add_shine(
        self,
        share: Tensor,
        roughness: float,
        f0: float,
        bumps: Tensor | None = None,
        where: EyePatch | None = None,
    ) -> None:
        """Add gloss at half resolution: `share` (h, w) of the surface has it; `bumps` (2, h, w) tilts the normals."""
        if self.with_gloss:
            if self.shine is None:
                self.shine = torch.zeros_like(self.normals)
            into, normals = self.shine, self.normals
            if where is not None:
                into, normals = where.part(into), where.part(normals)
            index = places(share > 0)
            slopes = None if bumps is None else bumps.reshape(2, -1).index_select(1, index)
            some = tilted(normals.reshape(3, -1).index_select(1, index), slopes)
            light = specular(self.geometry.light, some, roughness, f0) * share.reshape(-1).index_select(0, index)
            full = torch.zeros(3, share.numel()).index_copy_(1, index, light)
            into.add_(full.reshape(into.shape))
        self._mark_thin((share * 4).clamp(max=1), where)

    def powder(self, share: Tensor, where: EyePatch | None = None) -> None:
        """Hide the skin's own shine where `share` (h, w) is."""
        if self.with_gloss:
            if self.dull is None:
                self.dull = torch.zeros_like(self.skin)
            part = self.dull if where is None else where.part(self.dull)
            torch.maximum(part, share, out=part)
        self._mark_thin((share * 2).clamp(max=1), where)

    def relight(self, factor: Tensor, share: Tensor) -> None:
        """Multiply the light by (3, h, w) factors, where relief of (h, w) `share` was built up; half resolution."""
        self.lighting = factor if self.lighting is None else self.lighting * factor
        self.thin = torch.maximum(self.thin, share)
        self.touched = True

    def add_light(self, light: Tensor) -> None:
        """Add (3, h, w) radiance at half resolution."""
        self.shine = light if self.shine is None else self.shine.add_(light)

    def full_uv(self) -> Tensor:
        """Return (2, H', W') chart positions of the whole window at full resolution."""
        if self._uv is None:
            self._uv = chart(self.window.of(self.geometry.maps.rest_mm))
        return self._uv

    @property
    def uv(self) -> Tensor:
        """(2, h, w) chart millimetres."""
        if self._half_uv is None:
            self._half_uv = chart(self.rest)
        return self._half_uv

    @property
    def whole(self) -> Tensor:
        """(h, w) the face's skin with its lips and brows, without eyes and opening of the mouth."""
        return torch.maximum(self.skin, torch.maximum(self.brows, self.mouth) * self.clear)

    def bring_to_full(self) -> None:
        """End the half-resolution phase: change the radiance by what was laid, and let fine painting begin."""
        if not self.touched:
            self.painted = self.window.enlarge(self.albedo, STEP)
            return
        ratio = self.albedo / self.colour.albedo
        if self.lighting is not None:
            ratio = ratio * self.lighting
        if self.dull is not None:
            ratio = ratio * torch.exp(-0.85 * self.dull * self.colour.relief.clamp(min=0))
        planes = [ratio, self.albedo, self.thin[None]]
        if self.shine is not None:
            planes.append(self.shine)
        wide = self.window.enlarge(torch.cat(planes), STEP)
        cover = self.window.of(self.cover)
        torch.maximum(cover, wide[6], out=cover)
        light = self.window.of(self.radiance)
        light.mul_(wide[:3])
        if self.shine is not None:
            light.add_(wide[7:10])
        self.painted = wide[3:6]

    def inner(self, window: Window) -> Window:
        """Return the part of a window of the picture that lies inside this canvas."""
        own = self.window
        top, left = min(max(window.top, own.top), own.bottom), min(max(window.left, own.left), own.right)
        bottom, right = max(min(window.bottom, own.bottom), top), max(min(window.right, own.right), left)
        return Window(top, left, bottom, right)

    def albedo_at(self, window: Window) -> Tensor:
        """Return the (3, h, w) painted albedo at full resolution, as a view."""
        own = self.window
        here = Window(window.top - own.top, window.left - own.left, window.bottom - own.top, window.right - own.left)
        return here.of(self.painted)

    def full(self, plane: Tensor, window: Window) -> Tensor:
        """Return (..., h, w) of a half-resolution plane at the full resolution of a window inside the canvas."""
        own = self.window
        top, left = (window.top - own.top) // STEP, (window.left - own.left) // STEP
        bottom, right = -(-(window.bottom - own.top) // STEP), -(-(window.right - own.left) // STEP)
        aligned = Window(own.top + top * STEP, own.left + left * STEP, own.top + bottom * STEP, own.left + right * STEP)
        wide = aligned.enlarge(plane[..., top:bottom, left:right], STEP)
        row, column = window.top - aligned.top, window.left - aligned.left
        height, width = window.shape
        return wide[..., row : row + height, column : column + width]

    def paint(self, window: Window, paint: Pigment, thickness: Tensor, cover: Tensor | None = None) -> None:
        """Paint at full resolution in a window (h, w) inside the canvas."""
        if self.with_pigment:
            below = self.albedo_at(window)
            above = over(paint, thickness, below)
            self.window_light(window).mul_(above / below)
            below.copy_(above)
        self.mark(window, covered(thickness) if cover is None else cover)

    def not_teeth(self, window: Window) -> Tensor:
        """Return (h, w): 0 on teeth, which are greyer than any skin, and in the dark of the mouth.

        A parsing tells for renders; landmarks of photographs place the lips' inner edge loosely.
        """
        if self.geometry.parsing is not None:
            labels = window.of(self.geometry.parsing)
            return (labels != PARSING.index("mouth")).float()
        light = window.of(self.bare).clamp(min=1e-3)
        red = (light[0] / light[1]).log()
        lit = window.of(self.geometry.shading)
        usual = float((self.colour.mean[0] / self.colour.mean[1]).log()) + (lit[0] / lit[1]).log()
        grey = soft_step(red - 0.58 * usual, 0.10)
        dark = soft_step((light / lit).mean(0) - 0.16 * float(self.colour.mean.mean()), 0.06)
        return grey * dark

    def window_light(self, window: Window) -> Tensor:
        """Return the radiance of a window, as a view."""
        return window.of(self.radiance)

    def mark(self, window: Window, cover: Tensor) -> None:
        """Note that product covers (h, w) shares of a window's pixels."""
        here = window.of(self.cover)
        torch.maximum(here, cover, out=here)

    def lit(self, window: Window) -> Tensor:
        """Return the (3, h, w) irradiance on a window."""
        return window.of(self.geometry.shading)

    def _mark_thin(self, cover: Tensor, where: EyePatch | None) -> None:
        self.touched = True
        part = self.thin if where is None else where.part(self.thin)
        torch.maximum(part, cover, out=part)


_KEPT = 8
_memory: FaceMemory[SkinCanvas] = FaceMemory(_KEPT)
"""About 1 MB each at 384 px."""


def covered(thickness: Tensor) -> Tensor:
    """Return how much of the surface a layer covers: a quarter of an application leaves none bare."""
    return (thickness * 4).clamp(max=1)


def tilted(normals: Tensor, bumps: Tensor | None) -> Tensor:
    """Return (3, ...) normals tilted in the picture's plane by (2, ...) slopes."""
    if bumps is None:
        return normals
    bent = normals.clone()
    bent[:2] += bumps
    return bent / bent.square().sum(0).clamp(min=1e-9).sqrt()


def _face_window(marks: Array, size: tuple[int, int], mm_per_px: float) -> Window:
    """Return the even rectangle from the hairline to under the chin, ear to ear."""
    up = marks[27] - marks[8]
    top = marks[27] + up * (78 / max(float(np.hypot(*up)) * mm_per_px, 1.0))
    points = np.concatenate([marks, top[None]])
    around = Window.around(points, 14 / mm_per_px, size)
    top_row, left = around.top // STEP * STEP, around.left // STEP * STEP
    bottom, right = (around.bottom - top_row) // STEP * STEP, (around.right - left) // STEP * STEP
    return Window(top_row, left, top_row + bottom, left + right)


def _paintable(geometry: Geometry, window: Window, bare: Tensor, relief: Tensor, eyes: tuple[EyePatch, ...]) -> Tensor:
    """Return (h, w) where product may go: bare skin without holes, lids, and nothing that lies over the face."""
    if geometry.parsing is not None:
        labels = window.of(geometry.parsing)
        face = (labels == _SKIN[0]) | (labels == _SKIN[1])
        out = halved(face.float())
    else:
        on = window.of(face_area(geometry.maps))[1::STEP, 1::STEP]
        # Skin is known pixel by pixel and noisily: highlights and folds are skin where their neighbours are.
        near = smooth(bare, on + 1e-3, 3)
        out = on * soft_step(near - 0.33, 0.16) * soft_step(relief + 0.85, 0.2)
        lids = torch.zeros_like(out)
        for eye in eyes:
            eye.add(lids, eye.lids)
        out = torch.maximum(out, on * lids * soft_step(relief + 1.0, 0.25))
    for eye in eyes:
        eye.part(out).mul_(1 - eye.opening)
    return out


def _closed(mouth: Lips, window: Window, where: Window) -> Tensor:
    """Return (h, w): 0 in the opening of the mouth, 1 elsewhere, at half resolution."""
    out = torch.ones(tuple(side // STEP for side in window.shape))
    if mouth.open_px > 1.5 and not where.empty:
        half_of(window, where, out).sub_(soft_step(signed_distance(mouth.inner, where, STEP), 1.0))
    return out


def _clear(geometry: Geometry, window: Window) -> Tensor:
    """Return (h, w) where the face is seen and not something before it, as far as a parsing tells."""
    if geometry.parsing is None:
        return _thinned(window, geometry.maps.cover)
    table = torch.ones(256)
    table[list(_BEFORE)] = 0
    return table[_thinned(window, geometry.parsing).long()]


def _thinned(window: Window, planes: Tensor) -> Tensor:
    """Return every second pixel of a window's planes, contiguous."""
    return window.of(planes)[..., 1::STEP, 1::STEP].contiguous()
