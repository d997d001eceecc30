"""The picture of a face while things are put on it: light, cover, depth, normals and parsing of one row."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from spooflab.errors import SkipSample
from spooflab.generators.attacks.partials.outline import Outline
from spooflab.generators.attacks.partials.shadow import hidden_lamp, hidden_sky
from spooflab.generators.attacks.partials.view import SheetView
from spooflab.generators.enlarge import enlarge
from spooflab.generators.face import PARSING, Face
from spooflab.generators.geometry.geometry import Geometry
from spooflab.generators.geometry.light import LUMINANCE, Light, shading
from spooflab.generators.masked import places

_GLASSES = PARSING.index("glasses")
_FAINT = 0.006
_LEAST = 1 / 512
_LEAST_COVER = 0.002
_SHADOW_MASK = 0.25
_SOFT_MM = 1.2
_FARTHEST_MM = 90.0
_GRAZING = 0.12
_BOUNCE = 0.8
"""Share of the hidden surroundings' light that does not come back from the thing's own lit back and from skin."""


class Canvas:
    """A copy of one face that is changed in place; `face()` gives the result.

    Args:
        face: a batch of one; not changed.
        geometry: what was read from it.

    Attributes:
        geometry: see there.
        light: on the things, see `balanced`.
        size: height and width of the picture.
        cover: (H, W) share of each pixel that things cover; a shadow on bare skin counts at most a quarter.
        hidden: (2, h, w) shares of the dominant lamp and of the surroundings that things hide from the head, over the
            picture at half its size.
    """

    def __init__(self, face: Face, geometry: Geometry) -> None:
        self._face, self.geometry = face, geometry
        self.light = balanced(geometry.light)
        self.radiance = face.radiance[0].clone()
        self.size = face.size
        self.cover = torch.zeros(face.size)
        self.hidden = torch.zeros(2, -(-face.size[0] // 2), -(-face.size[1] // 2))
        self.depth = None if face.depth_mm is None else face.depth_mm[0, 0].clone()
        self.normals = None if face.normals is None else face.normals[0].clone()
        self.parsing = None if face.parsing is None else face.parsing[0, 0].clone()
        self._scale = 1.0
        if self.depth is not None:
            fitted = geometry.maps.depth_mm.flatten()[::53]
            ratio = self.depth.flatten()[::53] / fitted
            known = ratio[torch.isfinite(ratio) & (ratio > 0)]
            self._scale = float(known.median()) if len(known) else 1.0

    def visible(self, pixel: Tensor, depth_mm: Tensor) -> Tensor:
        """Return (P,) in [0, 1]: how much of something at this depth the head leaves to be seen."""
        head = self.geometry.maps.depth_mm.flatten().index_select(0, pixel)
        return ((head - depth_mm) / _SOFT_MM + 0.5).clamp_(0, 1)

    def paint(
        self, pixel: Tensor, cover: Tensor, radiance: Tensor, depth_mm: Tensor, normal: Tensor | None, label: int
    ) -> None:
        """Lay something over some pixels.

        Args:
            pixel: (P,) int64 row-major indices, each once.
            cover: (P,) share of each pixel.
            radiance: (3, P) of the thing.
            depth_mm: (P,) of the thing in the fitted head's camera.
            normal: (3, P) camera axes; None to leave the normals.
            label: class of `PARSING` where most of a pixel is covered.
        """
        keep = places(cover > _LEAST)
        pixel, cover, radiance = (
            pixel.index_select(0, keep),
            cover.index_select(0, keep),
            radiance.index_select(1, keep),
        )
        flat = self.radiance.reshape(3, -1)
        below = flat.index_select(1, pixel)
        flat.index_copy_(1, pixel, torch.lerp(below, radiance, cover))
        mask = self.cover.reshape(-1)
        total = 1 - (1 - mask.index_select(0, pixel)) * (1 - cover)
        mask.index_copy_(0, pixel, total)
        most = places(total > 0.5)
        there, kept = pixel.index_select(0, most), keep.index_select(0, most)
        if self.depth is not None:
            depth = self.depth.reshape(-1)
            placed = depth_mm.index_select(0, kept) * self._scale
            depth.index_copy_(0, there, torch.minimum(depth.index_select(0, there) - 0.1, placed))
        if self.normals is not None and normal is not None:
            self.normals.reshape(3, -1).index_copy_(1, there, normal.index_select(1, kept))
        if self.parsing is not None:
            self.parsing.reshape(-1).index_fill_(0, there, label)

    def hide(self, pixel: Tensor, shares: Tensor) -> None:
        """Hide more of the head's light at pixels (P,) of the half-sized picture: shares (2, P) of lamp and sky."""
        flat = self.hidden.reshape(2, -1)
        flat.index_copy_(1, pixel, 1 - (1 - flat.index_select(1, pixel)) * (1 - shares))

    def face(self) -> Face:
        """Return the changed face; its landmarks and box are the old ones.

        Raises:
            SkipSample: `instrument_not_seen`, nothing of the things can be seen in the picture.
        """
        if float(self.cover.mean()) < _LEAST_COVER:
            raise SkipSample("instrument_not_seen", f"it covers {float(self.cover.mean()):.2%} of the picture")
        before = self._face.spoof_mask
        mask = self.cover[None, None]
        return self._face.replace(
            radiance=self.radiance[None],
            depth_mm=None if self.depth is None else self.depth[None, None],
            normals=None if self.normals is None else self.normals[None],
            parsing=None if self.parsing is None else self.parsing[None, None],
            spoof_mask=mask if before is None else torch.maximum(mask, before),
        )


def spectacles(canvas: Canvas, pixel: Tensor) -> Tensor | None:
    """Return (P,) 1 where the wearer's own spectacles are, else 0; None where the picture does not tell."""
    parsing = canvas.geometry.parsing
    return None if parsing is None else (parsing.reshape(-1).index_select(0, pixel) == _GLASSES).float()


def balanced(light: Light) -> Light:
    """Return the light with half its tint: pictures are white-balanced, and skin tells its light's colour poorly.

    The level and the direction stay; the logarithm of the mean irradiance's colour is halved.
    """
    mean = light.irradiance[0].clamp(min=1e-4)
    grey = (mean @ mean.new_tensor(LUMINANCE)).clamp(min=1e-4)
    gain = (grey / mean).sqrt()
    return replace(light, irradiance=light.irradiance * gain, key_irradiance=light.key_irradiance * gain)


def shade_under(canvas: Canvas) -> None:
    """Take the hidden shares of the lamp and of the surroundings off the head's light, before things are painted."""
    hidden = canvas.hidden
    used = (hidden.amax(0) > _FAINT / 2).nonzero()
    if len(used) == 0:
        return
    # One cell more all around, so that the enlarged factor rises to 1 inside.
    (top, left), (bottom, right) = (used.amin(0) - 1).clamp(min=0).tolist(), (used.amax(0) + 2).tolist()
    lamp_at, sky_at = hidden[:, top:bottom, left:right]
    maps, light = canvas.geometry.maps, canvas.geometry.light
    height, width = maps.cover.shape
    coarse = (slice(2 * top, 2 * bottom, 2), slice(2 * left, 2 * right, 2))
    lamp_at, sky_at = (part[: maps.cover[coarse].shape[0], : maps.cover[coarse].shape[1]] for part in (lamp_at, sky_at))
    normal = maps.normals[(slice(None), *coarse)]
    whole = shading(light, normal)
    facing = torch.tensordot(light.key_direction, normal, 1).clamp_(min=0)
    key = torch.minimum(light.key_irradiance[:, None, None] * facing, 0.95 * whole)
    lost = (key * lamp_at + (whole - key) * (_BOUNCE * sky_at)) / whole * (maps.cover[coarse] > 0)
    large = enlarge(lost, 2)
    large = large[:, : height - 2 * top, : width - 2 * left].clamp_(0, 0.98)
    rows, columns = slice(2 * top, 2 * top + large.shape[1]), slice(2 * left, 2 * left + large.shape[2])
    most = large.amax(0)
    shaded = (most > _FAINT) & (maps.cover[rows, columns] > 0)
    if canvas.geometry.parsing is not None:  # the wearer's own spectacles lie before the head
        shaded &= canvas.geometry.parsing[rows, columns] != _GLASSES
    index = places(shaded)
    row = torch.div(index, large.shape[2], rounding_mode="floor")
    pixel = (row * (width - large.shape[2])).add_(index).add_(rows.start * width + columns.start)
    flat, mask = canvas.radiance.reshape(3, -1), canvas.cover.reshape(-1)
    kept = (1 - large.reshape(3, -1).index_select(1, index)).mul_(flat.index_select(1, pixel))
    flat.index_copy_(1, pixel, kept)
    share = most.flatten().index_select(0, index).mul_(_SHADOW_MASK)
    mask.index_copy_(0, pixel, torch.maximum(mask.index_select(0, pixel), share))


def cast_shadow(canvas: Canvas, view: SheetView, outline: Outline, lamp_radius_rad: float) -> None:
    """Let a sheet hide light from the head behind it; see `spooflab.generators.attacks.partials.shadow`.

    Each point of the head has a foot on the sheet, straight above it, and a place where its ray to the lamp crosses the
    sheet; the outline's distance at both tells what is hidden.

    Args:
        canvas: what it hides is noted there, see `Canvas.hide`.
        view: the sheet with its margin, as a picture of half the size sees it.
        outline: of the sheet.
        lamp_radius_rad: angular radius of the dominant lamp.
    """
    head = canvas.geometry.maps.depth_mm[::2, ::2].flatten().index_select(0, view.pixel)
    behind = (head - view.depth_mm).clamp_(min=0)
    near = (behind < _FARTHEST_MM).float()
    way = view.ray * (behind.clamp_(max=_FARTHEST_MM) / view.ray[2])
    gap = -(view.normal * way).sum(0)
    foot_u, foot_v = view.u + (view.along_u * way).sum(0), view.v + (view.along_v * way).sum(0)
    gap = gap.clamp_(min=0.15)
    light = canvas.geometry.light.key_direction
    rise = light @ view.normal
    reach = gap / rise.clamp(min=_GRAZING)
    hit = outline(foot_u + reach * (light @ view.along_u), foot_v + reach * (light @ view.along_v))
    radius = (reach * math.tan(lamp_radius_rad)).clamp_(min=0.25 * view.mm_per_px)
    # A lamp that rises over the sheet's plane only just lights its edge as well as it shades below.
    lamp = hidden_lamp(hit, radius) * ((rise - _GRAZING) / _GRAZING).clamp_(0, 1) * near
    sky = hidden_sky(outline(foot_u, foot_v), gap.clamp_(min=0.2 * view.mm_per_px)) * near
    canvas.hide(view.pixel, torch.stack([lamp, sky]))
