"""Attributes edited by diffusion: glasses, beards, age, wrinkles or a smile, as words say (`attribute_diffusion`).

The photograph is taken back to the noise that the model would have made it from (DDIM inversion, Song et al. 2021), and
made anew under other words, within the face's outline alone (Couairon et al. 2023, DiffEdit). Pose is held by a
ControlNet, who it is by the person's own embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.errors import SkipSample
from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed
from spooflab.generators.attacks.digital.swap_mask import face_width, hull, mask_window, soft_mask
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.face_frame import crop, face_frame
from spooflab.generators.diffusion.studio import crop_face, encoded, lay_back, open_studio
from spooflab.generators.face import Face
from spooflab.params import Params, uniform

EDITS = ("full_beard", "stubble", "moustache", "glasses", "wrinkles", "old", "young", "smiling")
"""What can be edited; records hold indices into this, so only append."""
MARGIN = 1.3
"""Side of the painted square in spans of the face's outline."""
SOURCE = "a photo of a person"
_WITH = {"full_beard": "a full beard", "stubble": "stubble", "moustache": "a moustache"} | {
    name: name for name in ("glasses", "wrinkles")
}
_PERSON = {"old": "an old person", "young": "a young person"}
_EXCLUSIVE = ({"full_beard", "stubble", "moustache"}, {"old", "young"}, {"young", "wrinkles"})
_TWO = 0.5
"""Share of faces of which two attributes are edited."""


@dataclass(frozen=True)
class AttributeDiffusionParams(Params):
    """One face's edits; lengths are shares of the face's width.

    Attributes:
        edits: (B, 2) int64 indices into `EDITS`; the second is -1 where there is one edit alone.
        share: (B,) of the schedule that is inverted, 0-1: less keeps more of the photograph.
        rise: (B,) how far over the brows the region reaches, in nose lengths.
        inset: (B,) how far within the landmarks' hull it begins.
        feather: (B,) over what width it fades in.
        seed: (B,) int64, names the noise where nothing is inverted.
        ablated: (B,) int64 bits of the effects that are off.
    """

    edits: Tensor
    share: Tensor
    rise: Tensor
    inset: Tensor
    feather: Tensor
    seed: Tensor
    ablated: Tensor


class AttributeDiffusion:
    """Attributes of a photograph edited by a diffusion model.

    Args:
        diffusion: models and sampling; None for the model that comes with the package.
        ablate: effects to switch off: `inversion` (the region is painted from plain noise under the new words),
            `feather` (a hard edge).

    Raises:
        ConfigError: `ablate` names another effect.
    """

    species = "attribute_diffusion"
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = ("inversion", "feather")

    def __init__(self, *, diffusion: DiffusionConfig | None = None, ablate: Sequence[str] = ()) -> None:
        self.diffusion, self.ablate = diffusion or DiffusionConfig(), tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    def sample(self, batch_size: int, generator: torch.Generator) -> AttributeDiffusionParams:
        """Draw edits, region and noise."""
        n = batch_size
        order = torch.rand(n, len(EDITS), generator=generator).argsort(1)
        two = torch.rand(n, generator=generator) < _TWO
        return AttributeDiffusionParams(
            edits=torch.tensor([_chosen(row, both) for row, both in zip(order.tolist(), two.tolist(), strict=True)]),
            share=uniform(n, 0.6, 0.9, generator),
            rise=uniform(n, 0.4, 0.8, generator),
            inset=uniform(n, -0.02, 0.02, generator),
            feather=uniform(n, 0.04, 0.12, generator),
            seed=torch.randint(0, 2**62, (n,), generator=generator),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )

    def parse(self, record: dict[str, Any]) -> AttributeDiffusionParams:
        """Rebuild parameters from a record's JSON."""
        return AttributeDiffusionParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the edited face; pixels where the mask is 0 keep their bits, landmarks stay. `donor` is not used.

        Each row is edited alone, so that it does not depend on the others.

        Raises:
            DataError: the face lacks what a ControlNet is shown.
            ConfigError: a model that cannot be inverted.
            SkipSample: `attribute_outside`: the face's hull lies outside the picture.
        """
        assert isinstance(params, AttributeDiffusionParams)
        return Changed.stack([self._one(face.row(i), params.row(i)) for i in range(face.batch_size)])

    def _one(self, face: Face, params: AttributeDiffusionParams) -> Changed:
        studio = open_studio(self.diffusion)
        mask = _mask(face, params)
        frame = face_frame(face.landmarks[0], MARGIN)
        c = crop_face(face, frame, studio.config.size)
        region = (crop(mask, frame, c.size) > 0.01).float()
        who = studio.identity.embed(encoded(face), face.landmarks)
        words = [prompt_of([EDITS[k] for k in params.edits[0].tolist() if k >= 0])]
        if is_off(params.ablated, self.EFFECTS, "inversion"):
            seeds = [int(params.seed[0])]
            made = studio.paint([c], region, prompts=words, seeds=seeds, identities=who, worn=False)
        else:
            share = float(params.share[0])
            made = studio.edit([c], region, source_prompts=[SOURCE], target_prompts=words, identities=who, share=share)
        changed = face.replace(
            radiance=lay_back(face, made, c, mask, colour=0.0),
            spoof_mask=mask if face.spoof_mask is None else torch.maximum(mask, face.spoof_mask),
        )
        return Changed(changed, models=studio.models)


def prompt_of(edits: Sequence[str]) -> str:
    """Return a caption, as the model was trained with, of a person with these of `EDITS`."""
    person = next((_PERSON[name] for name in edits if name in _PERSON), "a person")
    worn = [_WITH[name] for name in EDITS if name in edits and name in _WITH]
    words = f"a photo of {person}" + (f" with {' and '.join(worn)}" if worn else "")
    return f"{words}, smiling" if "smiling" in edits else words


def _chosen(order: Sequence[int], two: bool) -> list[int]:
    """Return the first of `order`, and, of two, the next that does not contradict it, else -1."""
    first = order[0]
    fits = (k for k in order[1:] if not any({EDITS[first], EDITS[k]} <= pair for pair in _EXCLUSIVE))
    return [first, next(fits) if two else -1]


def _mask(face: Face, params: AttributeDiffusionParams) -> Tensor:
    """Return (1, 1, H, W) weights of the edited region in the picture."""
    wide, hard = face_width(face.landmarks), is_off(params.ablated, AttributeDiffusion.EFFECTS, "feather")
    mask = soft_mask(
        hull(face.landmarks, params.rise),
        params.inset * wide,
        0 * wide if hard else params.feather * wide,
        0 * wide,
        params.seed,
        *face.size,
    )
    if mask_window(mask[0, 0]) is None:
        raise SkipSample("attribute_outside", "the face's hull lies outside the picture")
    return mask
