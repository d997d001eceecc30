"""A worn mask painted by diffusion: its rendered relief conditions a ControlNet, its material is prompted.

Species `mask_controlnet`. The mask is put on first as its own species does, for its region, depth, normals and classes;
what is seen within the region is then painted anew, from the bona fide picture. Eyes stay live where the mask is open.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.errors import ConfigError
from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed, wanted_donor
from spooflab.generators.attacks.masks.worn import rows_of
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.face_frame import crop
from spooflab.generators.diffusion.mask_frame import mask_frame
from spooflab.generators.diffusion.materials import MATERIALS, MaskGeometry, prompt_of
from spooflab.generators.diffusion.studio import crop_face, lay_back, open_studio
from spooflab.generators.face import Face
from spooflab.params import Params, choice
from spooflab.seeds import generator as named_generator

MARGIN = 1.15
"""Side of the painted square in spans of the mask and the face."""
_PREFIX = "generated_"
_EDGE = (0.3, 0.7)
"""Cover over which the painted mask fades in."""


@dataclass(frozen=True)
class MaskControlNetParams(Params):
    """One painted mask.

    Attributes:
        material: (B,) int64 index into `MATERIALS`.
        mask_seed: (B,) int64, names the draws of the rendered mask: which one, and how it sits.
        seed: (B,) int64, names the noise.
        ablated: (B,) int64 bits of the effects that are off.
    """

    material: Tensor
    mask_seed: Tensor
    seed: Tensor
    ablated: Tensor


class MaskControlNet:
    """Masks of silicone, latex, resin, transparent plastic, half masks and paper, painted.

    Args:
        instruments: ids that may be used (`generated_silicone` ...); None or empty for all.
        diffusion: models and sampling; None for the model that comes with the package.
        ablate: effects to switch off: `relief` (the ControlNet sees the wearer's face instead of the mask), `openings`
            (the whole mask is painted, its holes too).

    Raises:
        ConfigError: an id or an effect that is not known.
    """

    species = "mask_controlnet"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = ("relief", "openings")

    def __init__(
        self,
        *,
        instruments: Sequence[str] | None = None,
        diffusion: DiffusionConfig | None = None,
        ablate: Sequence[str] = (),
    ) -> None:
        unknown = sorted(set(instruments or ()) - set(self.bank_ids()))
        if unknown:
            raise ConfigError(f"{self.species}: instruments {unknown}", wanted=f"ids of {', '.join(self.bank_ids())}")
        self._may = [k for k, name in enumerate(self.bank_ids()) if not instruments or name in instruments]
        self.diffusion, self.ablate = diffusion or DiffusionConfig(), tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    @classmethod
    def bank_ids(cls) -> tuple[str, ...]:
        """Return the ids: one for each material."""
        return tuple(f"{_PREFIX}{name}" for name in MATERIALS)

    def sample(self, batch_size: int, generator: torch.Generator) -> MaskControlNetParams:
        """Draw materials, masks and noise."""
        n = batch_size
        return MaskControlNetParams(
            material=torch.tensor(self._may)[choice(n, len(self._may), generator)],
            mask_seed=torch.randint(0, 2**62, (n,), generator=generator),
            seed=torch.randint(0, 2**62, (n,), generator=generator),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )

    def parse(self, record: dict[str, Any]) -> MaskControlNetParams:
        """Rebuild parameters from a record's JSON."""
        return MaskControlNetParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the wearer behind a painted mask; row by row, pixels where the mask is 0 keep their bits.

        Raises:
            DataError: no donor, or the face lacks what a ControlNet is shown.
            SkipSample: a head cannot be fitted, or the mask lies outside the picture.
        """
        assert isinstance(params, MaskControlNetParams)
        return rows_of(face, wanted_donor(donor, self.species), params, self._one)

    def _one(self, face: Face, donor: Face | None, params: MaskControlNetParams) -> Changed:
        studio = open_studio(self.diffusion)
        relief, openings = (not is_off(params.ablated, self.EFFECTS, name) for name in self.EFFECTS)
        material = list(MATERIALS)[int(params.material[0])]
        geometry = MaskGeometry(material, openings=openings)
        drawn = geometry.sample(named_generator(int(params.mask_seed[0]), "mask"))
        worn = geometry.worn(face.replace(spoof_mask=None), donor if geometry.needs_donor else None, drawn).face
        mask = _region(worn)
        frame = mask_frame(worn, MARGIN)
        c = crop_face((worn if relief else face).replace(radiance=face.radiance), frame, studio.config.size)
        region = (crop(mask, frame, c.size) > 0.01).float()
        seeds = [int(params.seed[0])]
        painted = studio.paint([c], region, prompts=[prompt_of(material)], seeds=seeds, identities=None, worn=True)
        radiance = lay_back(face, painted, c, mask, colour=0.0)
        changed = worn.replace(
            radiance=radiance,
            spoof_mask=mask if face.spoof_mask is None else torch.maximum(mask, face.spoof_mask),
            subject_id=face.subject_id,
            source_id=face.source_id,
            box=face.box,
            synthetic=face.synthetic,
        )
        return Changed(changed, instrument_id=(f"{_PREFIX}{material}",), models=studio.models)


def _region(worn: Face) -> Tensor:
    """Return (1, 1, H, W) weights of the painted mask: the rendered one's, without the shadow that it casts."""
    assert worn.spoof_mask is not None
    low, high = _EDGE
    return ((worn.spoof_mask - low) / (high - low)).clamp(0, 1)
