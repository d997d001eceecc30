"""A dummy head before the camera (species `mannequin`)."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from spooflab.generators.attack import Changed
from spooflab.generators.attacks.masks.banked import BankedMask
from spooflab.generators.attacks.masks.cover import head_outline, jaw_line, wig_outline
from spooflab.generators.attacks.masks.features import Colours, paint_features
from spooflab.generators.attacks.masks.filter import box
from spooflab.generators.attacks.masks.fit import Worn, place, symmetric, without_expression
from spooflab.generators.attacks.masks.hair import hair_beside, hair_colour, over_head_mask
from spooflab.generators.attacks.masks.paint import clipped, made, shown_face, skin_plane, unevenly
from spooflab.generators.attacks.masks.params import MaskParams, sample_mask
from spooflab.generators.attacks.masks.sitting import Sitting
from spooflab.generators.attacks.masks.surface import Surface, draw, head_parts, painted_from
from spooflab.generators.attacks.masks.worn import Layer, composed, effects_off, light_of, solid
from spooflab.generators.face import PARSING, Face
from spooflab.generators.faces.procedural.hair import scalp_depth
from spooflab.generators.faces.procedural.mesh import vertex_normals
from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.faces.procedural.noise import look_up
from spooflab.generators.geometry.head_fit import HeadFit, fit_head
from spooflab.generators.geometry.light import Light
from spooflab.generators.instruments.bare_head import filled
from spooflab.generators.instruments.mask_material import Mask, mask_of
from spooflab.params import choice, uniform

HAIR = ("wig", "moulded", "bald")
"""By value of `MannequinParams.hair`: the picture's hair as a wig, hair moulded with the head, none."""
_WIG, _MOULDED, _BALD = range(3)
_BELOW_JAW_MM, _FAR_BACK_MM, _NEAR_BACK_MM = 75.0, -400.0, -125.0
_OVER_MM = 1.2
"""How far the dummy stands out over the head that it replaces, so that nothing live shows around it."""
_SEAM_MM = 0.6
_SKIN = tuple(PARSING.index(n) for n in ("skin", "nose", "ears", "brows", "eyes", "lips", "mouth", "beard", "neck"))
_FIBRES = 6.0
_SKIN_CHROMA, _SKIN_LEVEL, _NEAR_MM = 0.05, 1.0, 12.0


@dataclass(frozen=True)
class MannequinParams(MaskParams):
    """One dummy.

    Attributes:
        hair: (B,) int64 into `HAIR`.
        hairline: (B,) 0 low … 1 receded, of moulded hair.
        hair_tint: (B, 3) albedo of moulded hair.
        iris: (B, 3) albedo of the painted irises.
        features: (B,) strength of painted brows, lips and lashes.
        collar_mm: (B,) how far below the jaw the head ends and the neck's joint runs.
    """

    hair: Tensor
    hairline: Tensor
    hair_tint: Tensor
    iris: Tensor
    features: Tensor
    collar_mm: Tensor


class Mannequin(BankedMask[MannequinParams]):
    """Dummy heads: the picture's person made of fibreglass, plastic or wax, frozen, symmetric and painted.

    Args:
        instruments: ids of the dummies that may be used; None or empty for all of the bank.
        ablate: names of `EFFECTS` to switch off.

    Raises:
        ConfigError: an id is not in the bank, or an effect is not known.
    """

    species = "mannequin"
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = ("gloss", "subsurface", "texture", "geometry", "seam", "cast_shadow")
    PARAMS = MannequinParams

    def sample(self, batch_size: int, generator: torch.Generator) -> MannequinParams:
        """Draw dummies, their hair and their make-up."""
        n = batch_size
        common = sample_mask(self.masks, n, generator, self.EFFECTS, self.ablate)
        dark = torch.rand(n, 1, generator=generator) ** 2 * 0.35 + 0.012
        brown = torch.tensor([1.0, 0.66, 0.42])
        light = torch.tensor([[0.10, 0.17, 0.26], [0.12, 0.15, 0.07], [0.10, 0.05, 0.02], [0.03, 0.02, 0.015]])
        return MannequinParams(
            **common,
            hair=choice(n, len(HAIR), generator),
            hairline=uniform(n, 0.0, 0.4, generator),
            hair_tint=torch.where(torch.rand(n, 1, generator=generator) < 0.75, dark * brown, dark),
            iris=light[choice(n, len(light), generator)],
            features=uniform(n, 0.55, 1.0, generator),
            collar_mm=uniform(n, 38, 62, generator),
        )

    def _one(self, face: Face, donor: Face | None, params: MannequinParams) -> Changed:
        mask, off = mask_of(int(params.mask), self.species), effects_off(params.ablated, self.EFFECTS)
        # A dummy is no mask: nothing of the live face is left to be edged, opened or shadowed.
        off = off | {"thickness", "openings", "contact_shadow"}
        fit = fit_head(face.landmarks[0], face.size)
        light, sources = light_of(face, fit, params)
        worn = _dummy(fit, plain="geometry" in off)
        hair = int(params.hair)
        if hair != _WIG and hair_beside(face, fit):
            hair = _WIG
        parts = head_parts(_BELOW_JAW_MM, _NEAR_BACK_MM if hair == _WIG else _FAR_BACK_MM)
        surface = draw(fit, worn, parts, painted_from(face, fit, light) if mask.finish.paint == "donor" else None)
        sitting = Sitting(face, fit, light, sources, worn, surface, off)
        hidden = over_head_mask(face, light, surface, int(params.seed))
        if hair != _WIG:
            hidden = hidden * (surface.rest[1] < -60)
        paint, varnish, slope = _paint(sitting, params, mask, hair)
        if slope is not None:
            sitting = replace(sitting, surface=replace(surface, normal=slope))
        outline = wig_outline if hair == _WIG and face.parsing is None else head_outline
        inside = outline(surface.rest, float(params.collar_mm) + 25)
        holes = torch.full_like(inside, -99.0)
        layer = solid(sitting, params, mask, paint, inside, holes, hidden=hidden, varnish=varnish)
        if "seam" not in off:
            layer = _with_seam(layer, surface, float(params.collar_mm))
        layer.facts["hair"] = torch.tensor([float(hair)])
        for name in ("thickness_mm", "gap_mm", "opening_share"):
            del layer.facts[name]
        skin = paint.flatten(1).mean(1)
        return _with_the_rest(composed(sitting, layer, mask.id, landmarks=True), face, light, skin, surface)


def _dummy(fit: HeadFit, *, plain: bool) -> Worn:
    """Return the head without expression and half-way to its mirror image, a little larger than the live one."""
    calm = fit.local if plain else without_expression(fit, 1.0)
    even = calm if plain else torch.lerp(calm, symmetric(calm), 0.8)
    normals = vertex_normals(even, head_model().topo.fine_quads)
    short = ((fit.local - even) * normals).sum(1).clamp(min=0, max=3)
    return place(fit, even + normals * (_OVER_MM + 0.5 * short)[:, None], normals, fit.eyes, _OVER_MM)


def _paint(
    sitting: Sitting, params: MannequinParams, mask: Mask, hair: int
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the albedo (3, h, w), where varnish lies, and normals where hair is moulded."""
    surface, light, making = sitting.surface, sitting.light, mask.making
    shape = surface.cover.shape
    bare = mask.finish.paint == "bare"
    plain = "texture" in sitting.off
    skin = torch.tensor(mask.finish.colour)
    if mask.finish.paint == "donor":
        skin = light.skin_albedo
        detail = 0.0 if plain else making.detail_mm / sitting.fit.mm_per_px
        base = shown_face(sitting.face, light, surface, detail)
        # The sculptor's eyes are glass or paint, never the picture's glints.
        base = base if plain else made(base, skin, surface, params, making)
    else:
        if not bare:
            skin = torch.lerp(skin, light.skin_albedo, 0.6)
        flat = skin[:, None, None].expand(3, *shape)
        base = flat if plain else unevenly(flat, surface, params, making)
    hairs = hair_colour(sitting.face, light, surface) if hair == _WIG else params.hair_tint[0]
    lip = skin * torch.tensor([0.82, 0.42, 0.42])
    strength = float(params.features)
    if bare:
        hairs, lip, strength = skin * 0.8, skin * 0.95, 0.0
    colours = Colours(hairs * 0.8 + 0.01, lip, params.iris[0], torch.tensor([1.08, 0.72, 0.70]), strength)
    # A wax figure keeps the picture's face, but its eyes are painted or glass.
    drawn = paint_features(base, surface.rest, surface.ball, colours)
    paint = torch.lerp(base, drawn, surface.ball) if mask.finish.paint == "donor" else drawn
    normal = None
    if hair == _MOULDED:
        tint = skin * 0.97 if bare else params.hair_tint[0]
        paint, normal = _moulded(paint, surface, params, tint, sitting.worn.turn)
    return clipped(paint), None if bare else surface.ball, normal


def _moulded(
    paint: Tensor, surface: Surface, params: MannequinParams, tint: Tensor, turn: Tensor
) -> tuple[Tensor, Tensor]:
    """Return paint and normals with hair moulded on the scalp: combed grooves under one coat of colour."""
    shape = surface.cover.shape
    rest = surface.rest.reshape(3, -1)
    depth = scalp_depth(rest.T, float(params.hairline)).reshape(shape)
    scalp = (depth / 3.0).clamp(0, 1)
    plane = skin_plane(surface.rest) * torch.tensor([_FIBRES, 1.0])
    across, rise = look_up(plane, 57.0 * 9.0, torch.tensor([0.3, 0.7]), slice(4, 6)).reshape(2, *shape)
    tilt = 0.35 * scalp * (across * turn[:, 0, None, None] + 0.3 * rise * turn[:, 1, None, None])
    ridge = torch.exp(-(((depth - 1.5) / 2.0) ** 2)) * 0.5
    normal = surface.normal - tilt - ridge * turn[:, 1, None, None] * (depth > -4)
    length = (normal.square().sum(0)).clamp(min=1e-8).rsqrt()
    return torch.lerp(paint, tint[:, None, None].expand_as(paint), scalp), normal * length


def _with_seam(layer: Layer, surface: Surface, collar_mm: float) -> Layer:
    """Return the layer with the neck's joint: a dark gap and the lit rim below it."""
    off = surface.rest[1] - (jaw_line(surface.rest).clamp(max=-60) - collar_mm)
    wide = max(_SEAM_MM, 0.6 * surface.mm_per_px)
    gap, rim = _line(off / wide), _line(off / wide + 2.2)
    # Where head shells meet: down both sides, before the ears.
    x, y, z = surface.rest
    mould = _line((z + 62) / (0.8 * wide)) * (x.abs() > 40) * (y > -110)
    return replace(layer, radiance=layer.radiance * (1 - 0.65 * gap - 0.25 * mould) * (1 + 0.18 * rim))


def _line(off: Tensor) -> Tensor:
    """Return a soft line about 0, about two units wide."""
    return (1 - (0.5 * off).square()).clamp(min=0).square()


def _with_the_rest(made_of: Changed, face: Face, light: Light, skin: Tensor, surface: Surface) -> Changed:
    """Give the skin that shows beside the head's mesh (neck, ears, fringes) the dummy's colour."""
    mask = made_of.face.spoof_mask
    assert mask is not None
    window = surface.window
    part = mask[0, 0][window]
    before = face.radiance[0][(slice(None), *window)]
    beside = _live_skin(face, light, surface, part) * (part < 0.999)
    if not bool((beside > 0).any()):
        return made_of
    radiance, grown = made_of.face.radiance.clone(), mask.clone()
    # The light there is what the picture shows of it, in its own colour.
    tone = box(before, 2) / light.skin_albedo.clamp(min=0.02)[:, None, None]
    after = radiance[0][(slice(None), *window)]
    new = skin[:, None, None] * tone
    high = int(face.landmarks[0, 17:27, 1].amin()) - surface.rows.start
    if high > 8 and bool((beside[:high] > 0).any()):
        # Above the brows the dummy's own forehead goes on: thin hair there has not the skin's colour.
        new[:, :high] = filled(after[:, :high], (part[:high] > 0.95).float())
    new = torch.lerp(new, after, part)
    radiance[0][(slice(None), *window)] = torch.where(beside > 0, torch.lerp(after, new, beside), after)
    grown[0, 0][window] = torch.maximum(part, beside)
    return replace(made_of, face=made_of.face.replace(radiance=radiance, spoof_mask=grown))


def _live_skin(face: Face, light: Light, surface: Surface, covered: Tensor) -> Tensor:
    """Return (h, w) in [0, 1]: bare skin, by the parsing, or by its colour within a few centimetres of the dummy."""
    if face.parsing is not None:
        label = face.parsing[0, 0][surface.window]
        live = torch.zeros_like(label, dtype=torch.bool)
        for kind in _SKIN:
            live |= label == kind
        return live.float()
    radiance = face.radiance[0][(slice(None), *surface.window)]
    ratio = (radiance.clamp(min=1e-3) / light.skin_albedo[:, None, None]).log()
    level = ratio.mean(0)
    chroma = (ratio - level).square().sum(0)
    typical = light.irradiance[0].mean().clamp(min=1e-3).log()
    off = chroma / _SKIN_CHROMA + ((level - typical) / _SKIN_LEVEL).square()
    near = (box(covered, max(2, round(_NEAR_MM / surface.mm_per_px))) > 0.08).float()
    alike = box((off < 1).float(), 1)
    # Above the eyes what looks like skin may be fair hair.
    brow = float(face.landmarks[0, 17:27, 1].mean()) - surface.rows.start
    low = (torch.arange(covered.shape[0])[:, None] > brow).float()
    live_too: Tensor = ((alike - 0.3) / 0.4).clamp(0, 1) * near * low
    return live_too
