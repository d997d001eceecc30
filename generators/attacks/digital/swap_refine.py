"""Blended face swap synthesised anew by diffusion: the seam and the paste's own texture drown (`swap_refine`).

A `SwapBlend` is noised a part of the way within its mask and denoised again (SDEdit, Meng et al. 2022), the target's
pose held by a ControlNet, the source told by its embedding: what is left of the blend is what is coarser than the
noise, what is seen in detail is the model's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed, wanted_donor
from spooflab.generators.attacks.digital.swap_blend import SwapBlend, SwapBlendParams
from spooflab.generators.attacks.digital.swap_diffusion import MARGIN
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.face_frame import crop, face_frame
from spooflab.generators.diffusion.materials import FACE_PROMPT
from spooflab.generators.diffusion.studio import crop_face, encoded, lay_back, open_studio
from spooflab.generators.face import Face
from spooflab.params import Params

_EDGE = 0.3
"""Weight of the blend's mask from which on all that is seen is synthesised: the seam lies within."""


@dataclass(frozen=True)
class SwapRefineParams(Params):
    """One refined swap.

    Attributes:
        blend: the swap that is refined.
        seed: (B,) int64, names the noise.
        ablated: (B,) int64 bits of the effects that are off.
    """

    blend: SwapBlendParams
    seed: Tensor
    ablated: Tensor


class SwapRefine:
    """Landmark-warped, blended face swap that a diffusion model has synthesised anew.

    Args:
        diffusion: models and sampling; None for the model that comes with the package.
        ablate: effects to switch off: those of `SwapBlend`, and `resynthesis` (the blend alone).

    Raises:
        ConfigError: `ablate` names another effect.
    """

    species = "swap_refine"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = (*SwapBlend.EFFECTS, "resynthesis")

    def __init__(self, *, diffusion: DiffusionConfig | None = None, ablate: Sequence[str] = ()) -> None:
        self.diffusion, self.ablate = diffusion or DiffusionConfig(), tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)
        self._blend = SwapBlend(ablate=[name for name in self.ablate if name in SwapBlend.EFFECTS])

    def sample(self, batch_size: int, generator: torch.Generator) -> SwapRefineParams:
        """Draw the blend and the noise."""
        return SwapRefineParams(
            blend=self._blend.sample(batch_size, generator),
            seed=torch.randint(0, 2**62, (batch_size,), generator=generator),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, batch_size),
        )

    def parse(self, record: dict[str, Any]) -> SwapRefineParams:
        """Rebuild parameters from a record's JSON."""
        return SwapRefineParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the target with the donor's inner face; pixels where the mask is 0 keep their bits.

        Each row is painted alone, so that it does not depend on the others. Landmarks, box, subject and geometry stay
        the target's.

        Raises:
            DataError: no donor, or the face lacks what a ControlNet is shown.
            SkipSample: as `SwapBlend`.
        """
        assert isinstance(params, SwapRefineParams)
        donor = wanted_donor(donor, self.species)
        rows = range(face.batch_size)
        return Changed.stack(
            [self._one(face.row(i), donor.row(min(i, donor.batch_size - 1)), params.row(i)) for i in rows]
        )

    def _one(self, face: Face, donor: Face, params: SwapRefineParams) -> Changed:
        blended = self._blend.apply(face.replace(spoof_mask=None), donor, params.blend).face
        mask = blended.spoof_mask
        assert mask is not None
        covered = mask if face.spoof_mask is None else torch.maximum(mask, face.spoof_mask)
        if is_off(params.ablated, self.EFFECTS, "resynthesis"):
            return Changed(blended.replace(spoof_mask=covered))
        studio = open_studio(self.diffusion)
        frame = face_frame(face.landmarks[0], MARGIN)
        c = crop_face(blended, frame, studio.config.size)
        region = (crop(mask, frame, c.size) > 0.01).float()
        shown = face if bool(params.blend.self_swap[0]) else donor
        who = studio.identity.embed(encoded(shown), shown.landmarks)
        made = studio.refine([c], region, prompts=[FACE_PROMPT], seeds=[int(params.seed[0])], identities=who)
        radiance = lay_back(blended, made, c, (mask / _EDGE).clamp(max=1), colour=0.0)
        return Changed(blended.replace(radiance=radiance, spoof_mask=covered), models=studio.models)
