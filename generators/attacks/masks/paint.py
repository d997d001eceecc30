"""What a mask is painted with, and the relief and unevenness that making leaves."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.masks.filter import slopes, unit_planes
from spooflab.generators.attacks.masks.params import MaskParams
from spooflab.generators.attacks.masks.surface import Surface
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural.noise import look_up
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.geometry.light import Light
from spooflab.generators.instruments.mask_material import Making, Mask
from spooflab.seeds import generator

_DARKEST, _BRIGHTEST = 0.008, 0.92
_PORE_CYCLES = 57.0
_BLOTCH_CYCLES = 15.0
_BLOTCH_MM = 10.0
_HEADROOM = 1.35
"""Paint over this multiple of skin's albedo was a highlight of the photograph, which the painter leaves out."""


def painted(
    shown: Face, fit: HeadFit, light: Light, surface: Surface, params: MaskParams, mask: Mask, off: frozenset[str]
) -> Tensor:
    """Return (3, h, w): the albedo of a mask of the shown face, or of its bare material or single skin colour.

    Args:
        shown: the face of whom the mask is; fit, light: its head and the light on its picture.
        fit: see `shown`.
        light: see `shown`.
        surface: with `painted_from`'s attributes as its `source`.
        params: the draws.
        mask: the instrument.
        off: effects that are switched off; "texture" leaves out what making does.
    """
    making = mask.making
    if mask.finish.paint in ("bare", "pattern"):
        flat = torch.tensor(mask.finish.colour)[:, None, None].expand(3, *surface.cover.shape)
        return flat if "texture" in off else unevenly(flat, surface, params, making)
    skin = light.skin_albedo
    if mask.finish.paint == "skin":
        # Casting colours come in a few tones: half of the way from the stock colour to the shown skin.
        skin = torch.lerp(torch.tensor(mask.finish.colour), skin, 0.5)
        flat = skin[:, None, None].expand(3, *surface.cover.shape)
        return flat if "texture" in off else unevenly(flat, surface, params, making)
    if "texture" in off:
        return clipped(shown_face(shown, light, surface, 0.0))
    paint = shown_face(shown, light, surface, making.detail_mm / fit.mm_per_px)
    return made(paint, skin, surface, params, making)


def shown_face(shown: Face, light: Light, surface: Surface, detail_px: float) -> Tensor:
    """Return (3, h, w): the albedo that the shown face's picture lays on the mask, its unseen parts in skin colour.

    Args:
        shown: the face of whom the mask is.
        light: on that picture.
        surface: with `painted_from`'s attributes as its `source`.
        detail_px: standard deviation of the blur that printing or airbrushing adds, in the picture's pixels.
    """
    at, lit, seen = surface.source[:2], surface.source[2:5], surface.source[5]
    picture = shown.radiance
    if detail_px > 0.75:
        # A tent as wide as its step, then linear interpolation: together a standard deviation of 0.58 steps.
        factor = 0.58 / detail_px
        small = [max(8, round(side * factor)) for side in shown.size]
        picture = F.interpolate(picture, size=small, mode="bilinear", antialias=True, align_corners=False)
    grid = at.permute(1, 2, 0)[None]
    colour = F.grid_sample(picture, grid, "bilinear", "border", align_corners=False)[0]
    skin = light.skin_albedo[:, None, None]
    paint = colour / lit.clamp(min=0.02)
    # Glints come off: what is brighter than skin can be rolls off towards it.
    most = _HEADROOM * skin
    paint = torch.where(paint > most, most + 0.25 * (paint - most), paint)
    return torch.lerp(skin.expand_as(paint), paint, seen)


def made(paint: Tensor, skin: Tensor, surface: Surface, params: MaskParams, making: Making) -> Tensor:
    """Return paint (3, h, w) with the maker's contrast, colour error and blotches."""
    flat = paint.clamp(min=_DARKEST)
    if making.contrast != 1:
        middle = skin[:, None, None].clamp(min=_DARKEST)
        flat = middle * (flat / middle) ** making.contrast
    return unevenly(flat, surface, params, making)


def unevenly(albedo: Tensor, surface: Surface, params: MaskParams, making: Making) -> Tensor:
    """Return an albedo (3, h, w) with the drawn colour error and the making's blotches."""
    return clipped(albedo * params.colour[0, :, None, None] * (1 + making.mottle * blotches(surface, params)))


def clipped(albedo: Tensor) -> Tensor:
    """Return an albedo that a solid can have."""
    return albedo.clamp(_DARKEST, _BRIGHTEST)


def blotches(surface: Surface, params: MaskParams) -> Tensor:
    """Return (h, w) blotches of all sizes from the face's to some millimetres, unit variance."""
    cloudy, mid = look_up(skin_plane(surface.rest), _BLOTCH_CYCLES * _BLOTCH_MM, _shift(params, 0), slice(0, 2))
    mixed: Tensor = 0.9 * cloudy + 0.45 * mid
    return mixed.reshape(surface.cover.shape)


def relief(surface: Surface, params: MaskParams, making: Making, turn: Tensor) -> tuple[Tensor, float]:
    """Return the normals (3, h, w) tilted by grain and printed layers, and the variance of slopes too fine to see.

    Args:
        surface: smooth.
        params: name the pattern.
        making: strength and length of the grain, height of layers.
        turn: (3, 3) head frame into camera axes.
    """
    footprint = surface.mm_per_px
    shown = min(1.0, making.grain_mm / (2.5 * footprint))
    slope = making.relief * shown
    lost = making.relief**2 * (1 - shown * shown)
    across, rise = look_up(
        skin_plane(surface.rest), _PORE_CYCLES * making.grain_mm, _shift(params, 1), slice(4, 6)
    ).reshape(2, *surface.cover.shape)
    normal = surface.normal - slope * (across * turn[:, 0, None, None] + rise * turn[:, 1, None, None])
    if making.layer_mm > 0:
        normal = normal + _layers(surface, making.layer_mm) * turn[:, 2, None, None]
    return unit_planes(normal), lost


def ripples(surface: Surface, params: MaskParams, slope: float, length_mm: float) -> Tensor:
    """Return (2, h, w) slopes across and up the head of a formed sheet's waves, two octaves of them."""
    plane, shape = skin_plane(surface.rest), surface.cover.shape
    long = look_up(plane, _PORE_CYCLES * length_mm, _shift(params, 1), slice(4, 6)).reshape(2, *shape)
    short = look_up(plane, _PORE_CYCLES * length_mm * 0.4, _shift(params, 2), slice(4, 6)).reshape(2, *shape)
    return slope * (0.85 * long + 0.4 * short)


def _layers(surface: Surface, layer_mm: float) -> Tensor:
    """Return (h, w) slopes of the terraces of a print that was built towards the viewer, as far as pixels show them.

    A terrace's edge runs where the height passes a multiple of the layer; where that happens more than once in two
    pixels it cannot be seen, and its weight falls with the pixel's transfer.
    """
    height = surface.rest[2] / layer_mm
    dx, dy = slopes(height)
    cycles = torch.sqrt(dx * dx + dy * dy)
    weight = torch.sinc(cycles.clamp(max=1.0)) * torch.exp(-((cycles / 0.45) ** 2))
    return 0.35 * weight * torch.sin(2 * math.pi * height)


def skin_plane(rest: Tensor) -> Tensor:
    """Return (N, 2) millimetres on the head unrolled about its axis."""
    x, y, z = rest
    return torch.stack([torch.atan2(x, z + 95) * 100, y], -1).reshape(-1, 2)


def _shift(params: MaskParams, which: int) -> Tensor:
    return torch.rand(2, generator=generator(int(params.seed), "mask", which))
