"""A mask over the upper or the lower half of the face, of any material (species `mask_half`)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spooflab.generators.attack import Changed
from spooflab.generators.attacks.masks.banked import BankedMask
from spooflab.generators.attacks.masks.cover import face_outline, soft_least
from spooflab.generators.attacks.masks.features import Colours, paint_features
from spooflab.generators.attacks.masks.filter import box
from spooflab.generators.attacks.masks.fit import put_on, without_expression
from spooflab.generators.attacks.masks.generic import anonymous
from spooflab.generators.attacks.masks.hair import over_face_mask
from spooflab.generators.attacks.masks.paint import blotches, skin_plane, unevenly
from spooflab.generators.attacks.masks.params import MASK_EFFECTS, MaskParams, sample_mask
from spooflab.generators.attacks.masks.pattern import PATTERNS, pattern
from spooflab.generators.attacks.masks.sitting import Sitting
from spooflab.generators.attacks.masks.surface import Surface, draw, head_parts
from spooflab.generators.attacks.masks.worn import composed, effects_off, light_of, openings, solid
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural.skinoptics import reflectance
from spooflab.generators.geometry.head_fit import fit_head
from spooflab.generators.instruments.mask_material import Mask, mask_of
from spooflab.params import choice, log_uniform, uniform

PARTS = ("upper", "domino", "lower", "side")
"""By value of `HalfParams.part`: forehead to nose, a band around the eyes, nose to chin, one side of the face."""
_UPPER, _DOMINO, _LOWER, _SIDE = range(4)
_BELOW_JAW_MM, _BACK_MM = 16.0, -74.0
_OWN_SHAPE = 0.55


@dataclass(frozen=True)
class HalfParams(MaskParams):
    """One half mask.

    Attributes:
        part: (B,) int64 into `PARTS`.
        border_mm: (B,) y in the rest head (x for one side) where it ends on the face.
        nose: (B,) how far an upper mask covers the nose, 0-1.
        pattern: (B,) int64 into `PATTERNS`, of patterned ones.
        period_mm: (B,) of the pattern.
        tints: (B, 3, 3) albedos of the pattern.
        melanin, blood: (B,) volume fractions of the skin that an anonymous face is painted like.
        features: (B,) strength of painted features.
    """

    part: Tensor
    border_mm: Tensor
    nose: Tensor
    pattern: Tensor
    period_mm: Tensor
    tints: Tensor
    melanin: Tensor
    blood: Tensor
    features: Tensor


class MaskHalf(BankedMask[HalfParams]):
    """Masks of half a face: plain, patterned or an anonymous face.

    Args:
        instruments: ids of the masks that may be used; None or empty for all of the bank.
        ablate: names of `EFFECTS` to switch off.

    Raises:
        ConfigError: an id is not in the bank, or an effect is not known.
    """

    species = "mask_half"
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = MASK_EFFECTS
    PARAMS = HalfParams

    def sample(self, batch_size: int, generator: torch.Generator) -> HalfParams:
        """Draw masks, which half they cover and how they are painted."""
        n = batch_size
        common = sample_mask(self.masks, n, generator, self.EFFECTS, self.ablate)
        part = choice(n, len(PARTS), generator)
        low = uniform(n, -48, -34, generator)
        border = torch.where(part == _LOWER, uniform(n, -34, -6, generator), low)
        border = torch.where(part == _DOMINO, uniform(n, -26, -16, generator), border)
        border = torch.where(part == _SIDE, uniform(n, -4, 10, generator), border)
        grey = torch.rand(n, 3, 1, generator=generator) ** 1.5 * 0.7 + 0.02
        hue = torch.rand(n, 3, 3, generator=generator)
        vivid = torch.rand(n, 3, 1, generator=generator) < 0.6
        return HalfParams(
            **common,
            part=part,
            border_mm=border,
            nose=uniform(n, 0.0, 1.0, generator),
            pattern=choice(n, len(PATTERNS), generator),
            period_mm=log_uniform(n, 8, 40, generator),
            tints=torch.where(vivid, 0.02 + 0.7 * hue**2, grey.expand(n, 3, 3)),
            melanin=log_uniform(n, 0.015, 0.35, generator),
            blood=uniform(n, 0.03, 0.07, generator),
            features=uniform(n, 0.2, 0.95, generator),
        )

    def _one(self, face: Face, donor: Face | None, params: HalfParams) -> Changed:
        mask, off = mask_of(int(params.mask), self.species), effects_off(params.ablated, self.EFFECTS)
        fit = fit_head(face.landmarks[0], face.size)
        light, sources = light_of(face, fit, params)
        own = "geometry" in off
        head = anonymous(int(params.seed))
        calm = without_expression(fit, float(params.neutral))
        worn = put_on(
            fit,
            fit.local if own else torch.lerp(head.local, calm, _OWN_SHAPE),
            fit.eyes if own else torch.lerp(head.eyes, fit.eyes, _OWN_SHAPE),
            follows=mask.shell.follows,
            thickness_mm=float(params.thickness_mm),
            gap_mm=float(params.gap_mm),
            grow=1.0 if own else float(params.grow),
            shift_mm=params.shift_mm[0],
            tilt_deg=params.tilt_deg[0],
        )
        surface = draw(fit, worn, head_parts(_BELOW_JAW_MM, _BACK_MM))
        sitting = Sitting(face, fit, light, sources, worn, surface, off)
        paint = _paint(surface, params, mask, off)
        inside = half_outline(surface.rest, params)
        hidden = over_face_mask(face, surface, params)
        layer = solid(sitting, params, mask, paint, inside, openings(surface, params, mask, off), hidden=hidden)
        layer.facts["part"] = params.part.float()
        return composed(sitting, layer, mask.id, landmarks=False)


def half_outline(rest: Tensor, params: HalfParams) -> Tensor:
    """Return (h, w) millimetres inside the mask's edge."""
    x, y, _ = rest
    whole, part, border = face_outline(rest, params), int(params.part), float(params.border_mm)
    if part == _LOWER:
        # Over the bridge of the nose, falling to the ears.
        bridge = 16 * torch.exp(-(x / 17).square())
        return soft_least(whole, border + bridge - 0.0035 * x.square() - y, 12.0)
    if part == _SIDE:
        side = 1.0 if int(params.seed) % 2 else -1.0
        return soft_least(whole, side * x + border + 0.06 * (y + 30), 8.0)
    # Around the wings of the nose, rising to the cheeks' sides.
    dip = (8 + 24 * float(params.nose)) * torch.exp(-(x / 15).square()) * (1.0 if part == _UPPER else 0.4)
    low = y - (border + 22 - dip + 0.004 * x.square()) if part == _UPPER else y - (border - 0.3 * dip)
    if part == _DOMINO:
        arch = 30 + 5 * torch.exp(-((x.abs() - 28) / 16).square()) - 0.002 * x.square()
        whole = soft_least(whole, arch - y, 14.0)
    return soft_least(whole, low, 14.0)


def _paint(surface: Surface, params: HalfParams, mask: Mask, off: frozenset[str]) -> Tensor:
    kind, shape = mask.finish.paint, surface.cover.shape
    if kind == "skin":
        skin = reflectance(params.melanin, params.blood)[0]
        grey = skin.mean()
        colours = Colours(
            brow=0.25 * skin,
            lip=torch.stack([skin[0] * 0.85, skin[1] * 0.5, skin[2] * 0.5]),
            iris=params.tints[0, 0] * 0.5,
            blush=torch.tensor([1.05, 0.7, 0.7]),
            strength=float(params.features),
        )
        base = (0.8 * skin + 0.2 * grey)[:, None, None].expand(3, *shape)
        paint = paint_features(base, surface.rest, surface.ball, colours)
        radius = max(1, round(mask.making.detail_mm / surface.mm_per_px))
        paint = paint if "texture" in off else box(paint, radius)
    elif kind == "pattern":
        plane = skin_plane(surface.rest).T.reshape(2, *shape)
        noise = blotches(surface, params)
        figure = int(params.pattern)
        paint = pattern(plane, noise, figure, params.tints[0], float(params.period_mm), surface.mm_per_px)
    else:
        paint = torch.tensor(mask.finish.colour)[:, None, None].expand(3, *shape)
    return paint if "texture" in off else unevenly(paint, surface, params, mask.making)
