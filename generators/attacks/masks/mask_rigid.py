"""A hard mask of resin, plaster or printed plastic, worn before the face (species `mask_rigid`)."""

from typing import ClassVar

import torch

from spooflab.generators.attack import Changed
from spooflab.generators.attacks.masks.banked import BankedMask
from spooflab.generators.attacks.masks.cover import face_outline
from spooflab.generators.attacks.masks.fit import Worn, put_on, without_expression
from spooflab.generators.attacks.masks.hair import over_face_mask
from spooflab.generators.attacks.masks.light import vertex_light
from spooflab.generators.attacks.masks.paint import painted
from spooflab.generators.attacks.masks.params import MASK_EFFECTS, MaskParams, sample_mask
from spooflab.generators.attacks.masks.sitting import Sitting
from spooflab.generators.attacks.masks.surface import draw, head_parts, painted_from
from spooflab.generators.attacks.masks.worn import composed, effects_off, light_of, openings, solid
from spooflab.generators.face import Face
from spooflab.generators.geometry.head_fit import HeadFit, fit_head
from spooflab.generators.instruments.mask_material import Mask, mask_of

_BELOW_JAW_MM, _BACK_MM = 14.0, -74.0


class MaskRigid(BankedMask[MaskParams]):
    """Hard masks with the donor's face, painted or bare.

    Args:
        instruments: ids of the masks that may be used; None or empty for all of the bank.
        ablate: names of `EFFECTS` to switch off.

    Raises:
        ConfigError: an id is not in the bank, or an effect is not known.
    """

    species = "mask_rigid"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = MASK_EFFECTS
    PARAMS = MaskParams

    def sample(self, batch_size: int, generator: torch.Generator) -> MaskParams:
        """Draw masks and how they sit."""
        return MaskParams(**sample_mask(self.masks, batch_size, generator, self.EFFECTS, self.ablate))

    def _one(self, face: Face, donor: Face | None, params: MaskParams) -> Changed:
        assert donor is not None
        mask, off = mask_of(int(params.mask), self.species), effects_off(params.ablated, self.EFFECTS)
        fit, shown = fit_head(face.landmarks[0], face.size), fit_head(donor.landmarks[0], donor.size)
        light, sources = light_of(face, fit, params)
        worn = worn_mask(fit, shown, params, mask, off)
        own = vertex_light(donor, shown)
        parts = head_parts(_BELOW_JAW_MM, _BACK_MM)
        surface = draw(fit, worn, parts, painted_from(donor, shown, own))
        sitting = Sitting(face, fit, light, sources, worn, surface, off)
        paint = painted(donor, shown, own, surface, params, mask, off)
        inside = face_outline(surface.rest, params)
        hidden = over_face_mask(face, surface, params)
        layer = solid(sitting, params, mask, paint, inside, openings(surface, params, mask, off), hidden=hidden)
        return composed(sitting, layer, mask.id, landmarks=True)


def worn_mask(fit: HeadFit, shown: HeadFit, params: MaskParams, mask: Mask, off: frozenset[str]) -> Worn:
    """Return the donor's mask on the wearer."""
    plain = "geometry" in off
    return put_on(
        fit,
        fit.local if plain else without_expression(shown, float(params.neutral)),
        fit.eyes if plain else shown.eyes,
        follows=mask.shell.follows,
        thickness_mm=float(params.thickness_mm),
        gap_mm=float(params.gap_mm),
        grow=1.0 if plain else float(params.grow),
        shift_mm=params.shift_mm[0],
        tilt_deg=params.tilt_deg[0],
    )
