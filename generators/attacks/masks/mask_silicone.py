"""A soft mask of silicone or latex, worn over face or head (species `mask_silicone`)."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from spooflab.generators.attack import Changed
from spooflab.generators.attacks.masks.banked import BankedMask
from spooflab.generators.attacks.masks.cover import face_outline, head_outline
from spooflab.generators.attacks.masks.filter import unit_planes
from spooflab.generators.attacks.masks.hair import hair_beside, over_face_mask, over_head_mask
from spooflab.generators.attacks.masks.light import vertex_light
from spooflab.generators.attacks.masks.mask_rigid import worn_mask
from spooflab.generators.attacks.masks.paint import painted, ripples
from spooflab.generators.attacks.masks.params import MASK_EFFECTS, MaskParams, sample_mask
from spooflab.generators.attacks.masks.sitting import Sitting
from spooflab.generators.attacks.masks.surface import Surface, draw, head_parts, painted_from
from spooflab.generators.attacks.masks.worn import composed, effects_off, light_of, openings, solid
from spooflab.generators.face import Face
from spooflab.generators.geometry.head_fit import fit_head
from spooflab.generators.instruments.mask_material import mask_of
from spooflab.params import choice, uniform

COVERAGES = ("face", "wig", "bald")
"""By value of `SiliconeParams.coverage`: a face piece with glued edges; a head mask under hair that serves as its wig;
a head mask over bald head and ears (a wig where too much hair would stand out). Without a parsing, a face piece."""
_FACE, _WIG, _BALD = range(3)
_PUCKER_MM, _PUCKER_SLOPE, _PUCKER_REACH_MM = 7.0, 0.16, 9.0
_BELOW_JAW_MM = {_FACE: 14.0, _WIG: 70.0, _BALD: 70.0}
_BACK_MM = {_FACE: -74.0, _WIG: -125.0, _BALD: -400.0}


@dataclass(frozen=True)
class SiliconeParams(MaskParams):
    """One soft mask.

    Attributes:
        coverage: (B,) int64 into `COVERAGES`.
        collar_mm: (B,) how far below the jaw a head mask reaches.
    """

    coverage: Tensor
    collar_mm: Tensor


class MaskSilicone(BankedMask[SiliconeParams]):
    """Soft masks with the donor's face, which follow part of the wearer's.

    Args:
        instruments: ids of the masks that may be used; None or empty for all of the bank.
        ablate: names of `EFFECTS` to switch off.

    Raises:
        ConfigError: an id is not in the bank, or an effect is not known.
    """

    species = "mask_silicone"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = (*MASK_EFFECTS, "seam")
    PARAMS = SiliconeParams

    def sample(self, batch_size: int, generator: torch.Generator) -> SiliconeParams:
        """Draw masks, how they sit and what they cover."""
        return SiliconeParams(
            **sample_mask(self.masks, batch_size, generator, self.EFFECTS, self.ablate),
            coverage=choice(batch_size, len(COVERAGES), generator),
            collar_mm=uniform(batch_size, 12, 60, generator),
        )

    def _one(self, face: Face, donor: Face | None, params: SiliconeParams) -> Changed:
        assert donor is not None
        mask, off = mask_of(int(params.mask), self.species), effects_off(params.ablated, self.EFFECTS)
        coverage = int(params.coverage)
        fit, shown = fit_head(face.landmarks[0], face.size), fit_head(donor.landmarks[0], donor.size)
        light, sources = light_of(face, fit, params)
        worn = worn_mask(fit, shown, params, mask, off)
        own = vertex_light(donor, shown)
        if face.parsing is None:
            coverage = _FACE  # nobody knows where its hair begins: a face piece needs not know
        if coverage == _BALD and hair_beside(face, fit):
            coverage = _WIG
        parts = head_parts(_BELOW_JAW_MM[coverage], _BACK_MM[coverage])
        surface = draw(fit, worn, parts, painted_from(donor, shown, own))
        sitting = Sitting(face, fit, light, sources, worn, surface, off)
        paint = painted(donor, shown, own, surface, params, mask, off)
        if coverage == _FACE:
            inside = face_outline(surface.rest, params)
            hidden = over_face_mask(face, surface, params)
        else:
            inside = head_outline(surface.rest, float(params.collar_mm))
            hidden = over_head_mask(face, light, surface, int(params.seed))
            if coverage == _BALD:
                hidden = hidden * (surface.rest[1] < -60)
        if "seam" not in off:
            puckered = _puckered(surface, inside, params, worn.turn)
            sitting = replace(sitting, surface=replace(surface, normal=puckered))
        layer = solid(sitting, params, mask, paint, inside, openings(surface, params, mask, off), hidden=hidden)
        layer.facts["coverage"] = torch.tensor([float(coverage)])
        return composed(sitting, layer, mask.id, landmarks=True)


def _puckered(surface: Surface, inside: Tensor, params: SiliconeParams, turn: Tensor) -> Tensor:
    """Return normals (3, h, w) of soft material that is drawn together where it is glued down or ends."""
    slope = ripples(surface, params, 1.0, _PUCKER_MM)
    tight = _PUCKER_SLOPE * torch.exp(-inside.abs() / _PUCKER_REACH_MM)
    tilt = slope[0] * turn[:, 0, None, None] + slope[1] * turn[:, 1, None, None]
    return unit_planes(surface.normal - tight * tilt)
