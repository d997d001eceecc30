"""Face swap by diffusion: the target's inner face painted anew under the source's identity (`swap_diffusion`).

As DiffSwap (Zhao et al. 2023), Face-Adapter (Han et al. 2024) and InstantID (Wang et al. 2024) do it: inpainting within
the face's outline, pose and expression held by a ControlNet on the target's geometry, who it is told by an embedding of
the source through an IP-Adapter (Ye et al. 2023).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.errors import SkipSample
from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed, wanted_donor
from spooflab.generators.attacks.digital.swap_mask import face_width, hull, mask_window, soft_mask
from spooflab.generators.attacks.digital.swap_occlusion import before_face
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.face_frame import crop, face_frame
from spooflab.generators.diffusion.lent_shape import lent_shape
from spooflab.generators.diffusion.materials import FACE_PROMPT
from spooflab.generators.diffusion.studio import Studio, crop_face, encoded, lay_back, open_studio
from spooflab.generators.face import Face
from spooflab.params import Params, uniform

MARGIN = 1.3
"""Side of the painted square in spans of the face's outline."""
_SHAPE = (0.2, 0.7)
"""Two renders' landmarks lie 0.07 eye distances apart in the mean: all of it would be a visible change of the head."""


@dataclass(frozen=True)
class SwapDiffusionParams(Params):
    """One swap; lengths are shares of the face's width.

    Attributes:
        rise: (B,) how far over the brows the region reaches, in nose lengths.
        inset: (B,) how far within the landmarks' hull it begins.
        feather: (B,) over what width it fades in.
        elastic: (B,) random displacement of its outline.
        colour: (B,) strength of the colour match afterwards, 0-1.
        careful: (B,) bool: hair and glasses before the target's face stay, where a parsing tells them.
        seed: (B,) int64, names the noise and the outline's displacement.
        shape: (B,) 0-1, share of the source's face shape that the target's landmarks take on for the ControlNet, in the
            target's pose and expression: a swap that holds the target's shape cannot look like the source.
        ablated: (B,) int64 bits of the effects that are off.
    """

    rise: Tensor
    inset: Tensor
    feather: Tensor
    elastic: Tensor
    colour: Tensor
    careful: Tensor
    seed: Tensor
    shape: Tensor
    ablated: Tensor


class SwapDiffusion:
    """Diffusion face swap.

    Args:
        diffusion: models and sampling; None for the model that comes with the package.
        ablate: effects to switch off: `identity` (nobody's identity is told: a face that fits), `colour_match`,
            `feather` (a hard edge), `shape` (the target's own landmarks are held).

    Raises:
        ConfigError: `ablate` names another effect.
    """

    species = "swap_diffusion"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = ("identity", "colour_match", "feather", "shape")

    def __init__(self, *, diffusion: DiffusionConfig | None = None, ablate: Sequence[str] = ()) -> None:
        self.diffusion, self.ablate = diffusion or DiffusionConfig(), tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    def sample(self, batch_size: int, generator: torch.Generator) -> SwapDiffusionParams:
        """Draw region, seam, colour, noise and shape."""
        n = batch_size
        return SwapDiffusionParams(
            rise=uniform(n, 0.12, 0.5, generator),
            inset=uniform(n, -0.02, 0.03, generator),
            feather=uniform(n, 0.03, 0.12, generator),
            elastic=uniform(n, 0.0, 0.015, generator),
            colour=uniform(n, 0.3, 0.9, generator),
            careful=torch.rand(n, generator=generator) < 0.8,
            seed=torch.randint(0, 2**62, (n,), generator=generator),
            shape=uniform(n, *_SHAPE, generator),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )

    def parse(self, record: dict[str, Any]) -> SwapDiffusionParams:
        """Rebuild parameters from a record's JSON."""
        return SwapDiffusionParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the target with the donor's identity; pixels where the mask is 0 keep their bits.

        Each row is painted alone, so that it does not depend on the others. Landmarks, box, subject and geometry stay
        the target's.

        Raises:
            DataError: no donor, or the face lacks what a ControlNet is shown.
            SkipSample: `swap_outside`: the face's hull lies outside the picture; `head_fit_failed` or `profile_face`:
                one of the faces has no shape that could be lent.
        """
        assert isinstance(params, SwapDiffusionParams)
        donor, studio = wanted_donor(donor, self.species), open_studio(self.diffusion)
        rows = [
            _swap(studio, face.row(i), donor.row(min(i, donor.batch_size - 1)), params.row(i))
            for i in range(face.batch_size)
        ]
        mask = torch.cat([mask for _, mask in rows])
        changed = face.replace(
            radiance=torch.cat([radiance for radiance, _ in rows]),
            spoof_mask=mask if face.spoof_mask is None else torch.maximum(mask, face.spoof_mask),
            synthetic=face.synthetic and donor.synthetic,
        )
        return Changed(changed, models=studio.models)


def swap_mask(face: Face, params: SwapDiffusionParams) -> Tensor:
    """Return (1, 1, H, W) weights of the painted face in the picture.

    Raises:
        SkipSample: `swap_outside`: the region lies outside the picture.
    """
    wide, hard = face_width(face.landmarks), is_off(params.ablated, SwapDiffusion.EFFECTS, "feather")
    mask = soft_mask(
        hull(face.landmarks, params.rise),
        params.inset * wide,
        0 * wide if hard else params.feather * wide,
        params.elastic * wide,
        params.seed,
        *face.size,
    )
    if bool(params.careful[0]):
        mask = mask * (1 - before_face(face))
    if mask_window(mask[0, 0]) is None:
        raise SkipSample("swap_outside", "the face's hull lies outside the picture")
    return mask


def _swap(studio: Studio, face: Face, donor: Face, params: SwapDiffusionParams) -> tuple[Tensor, Tensor]:
    """Return radiance (1, 3, H, W) and mask (1, 1, H, W)."""
    effects = SwapDiffusion.EFFECTS
    identity, match, _, lent = (not is_off(params.ablated, effects, name) for name in effects)
    mask = swap_mask(face, params)
    frame = face_frame(face.landmarks[0], MARGIN)
    # Pose and expression stay the target's; where nobody is told, so does the shape.
    held = lent_shape(face, donor, float(params.shape[0]) if lent and identity else 0.0)
    c = crop_face(face.replace(landmarks=held), frame, studio.config.size)
    region = (crop(mask, frame, c.size) > 0.01).float()
    who = studio.identity.embed(encoded(donor), donor.landmarks)
    painted = studio.paint(
        [c],
        region,
        prompts=[FACE_PROMPT],
        seeds=[int(params.seed[0])],
        identities=who if identity else torch.zeros_like(who),
        worn=False,
    )
    return lay_back(face, painted, c, mask, colour=float(params.colour[0]) if match else 0.0), mask
