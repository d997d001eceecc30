"""Blended face swap: one face's inner part warped onto another, recoloured and blended in.

After Face X-ray (Li et al. 2020) and Self-Blended Images (Shiohara and Yamasaki 2022). The work is done in L*a*b*, as
swapping programs work on encoded pictures and not on light.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.errors import SkipSample
from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed, wanted_donor
from spooflab.generators.attacks.digital.poisson import membrane
from spooflab.generators.attacks.digital.swap_colour import from_lab, to_lab, transfer
from spooflab.generators.attacks.digital.swap_mask import face_width, hull, mask_window, soft_mask
from spooflab.generators.attacks.digital.swap_occlusion import kept_mouth, occluded, without_glasses
from spooflab.generators.attacks.digital.swap_warp import dense_map, face_spline, folded_share
from spooflab.generators.face import Face
from spooflab.params import Params, uniform

BLENDS = ("feather", "poisson")
"""How the seam is hidden; `SwapBlendParams.blend` indexes them."""
_FOLDED = 0.08
_BLEED = (14.0, 9.0, 9.0)
"""Largest shift in L*, a*, b* that a gradient-domain seam may impose; the feather hides what is left."""
_SELF_SHIFT, _SELF_SCALE = 0.02, 0.05


@dataclass(frozen=True)
class SwapBlendParams(Params):
    """One swap; lengths are shares of the face's width.

    Attributes:
        blend: (B,) int64 index into `BLENDS`.
        self_swap: (B,) bool: the target's own face, altered by the four fields at the end, is blended onto itself.
        opacity: (B,) 0-1, weight of the donor where the mask is whole.
        rise: (B,) how far over the brows the region reaches, in nose lengths.
        inset: (B,) how far within the landmarks' hull it begins.
        feather: (B,) over what width it fades in.
        elastic: (B,) random displacement of its outline.
        colour: (B,) strength of the colour transfer, 0-1.
        misalign: (B, 2) shift of the donor.
        seed: (B,) int64, names the outline's displacement.
        self_scale: (B,) size of the altered self.
        self_shift: (B, 2) its shift.
        self_lab: (B, 3) its shift in L*, a*, b*.
        self_contrast: (B,) factor of its contrast in L*.
        careful: (B,) bool: as newer swapping programs do, hair before either face and the target's glasses, where a
            parsing tells them, and an open mouth under a donor's closed one are kept out of the mask; the donor's
            glasses are taken off.
        ablated: (B,) int64 bits of the effects that are off.
    """

    blend: Tensor
    self_swap: Tensor
    opacity: Tensor
    rise: Tensor
    inset: Tensor
    feather: Tensor
    elastic: Tensor
    colour: Tensor
    misalign: Tensor
    seed: Tensor
    self_scale: Tensor
    self_shift: Tensor
    self_lab: Tensor
    self_contrast: Tensor
    careful: Tensor
    ablated: Tensor


class SwapBlend:
    """Landmark-warped, colour-matched, blended face swap (species `swap_blend`).

    Args:
        poisson_share: probability of gradient-domain blending instead of a feathered mask.
        self_share: probability that a face is blended onto itself, as Self-Blended Images do.
        careful_share: probability that what covers the face, and the target's open mouth, are kept out of the mask.
        ablate: effects to switch off: `seam` (the donor is cloned with the target's own values all along the outline),
            `colour_transfer` (its skin keeps its colour), `misalignment` (it sits exactly, in an undeformed outline).

    Raises:
        ConfigError: `ablate` names another effect.
    """

    species = "swap_blend"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = ("seam", "colour_transfer", "misalignment")

    def __init__(
        self,
        *,
        poisson_share: float = 0.35,
        self_share: float = 0.15,
        careful_share: float = 0.85,
        ablate: Sequence[str] = (),
    ) -> None:
        shares = {"poisson_share": poisson_share, "self_share": self_share, "careful_share": careful_share}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"SwapBlend: {name} is {share}, wanted 0...1")
        self.poisson_share, self.self_share, self.careful_share = poisson_share, self_share, careful_share
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    def sample(self, batch_size: int, generator: torch.Generator) -> SwapBlendParams:
        """Draw seam, colour and alignment."""
        n = batch_size
        itself = torch.rand(n, generator=generator) < self.self_share
        brow = torch.rand(n, generator=generator) < 0.75
        full = torch.rand(n, generator=generator) < 0.75
        return SwapBlendParams(
            blend=(torch.rand(n, generator=generator) < self.poisson_share).long(),
            self_swap=itself,
            opacity=torch.where(full, 1.0, uniform(n, 0.7, 1.0, generator)),
            rise=torch.where(brow, uniform(n, 0.08, 0.22, generator), uniform(n, 0.25, 0.6, generator)),
            inset=uniform(n, -0.005, 0.05, generator),
            feather=uniform(n, 0.015, 0.16, generator),
            elastic=uniform(n, 0.0, 0.02, generator),
            colour=uniform(n, 0.7, 1.0, generator),
            misalign=(0.004 * torch.randn(n, 2, generator=generator)).clamp(-0.01, 0.01),
            seed=torch.randint(0, 2**62, (n,), generator=generator),
            self_scale=uniform(n, 1 - _SELF_SCALE, 1 + _SELF_SCALE, generator),
            self_shift=uniform(2 * n, -_SELF_SHIFT, _SELF_SHIFT, generator).reshape(n, 2),
            self_lab=torch.randn(n, 3, generator=generator) * torch.tensor([3.0, 2.0, 2.5]),
            self_contrast=uniform(n, 0.85, 1.15, generator),
            careful=torch.rand(n, generator=generator) < self.careful_share,
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )

    def parse(self, record: dict[str, Any]) -> SwapBlendParams:
        """Rebuild parameters from a record's JSON."""
        return SwapBlendParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the target with the donor's inner face; pixels where the mask is 0 keep their bits.

        Landmarks, box, subject and geometry stay the target's.

        Raises:
            DataError: no donor.
            SkipSample: `swap_folds`: the poses differ so much that the warp turns part of the face inside out;
                `swap_outside`: the face's hull lies outside the picture.
        """
        assert isinstance(params, SwapBlendParams)
        donor = wanted_donor(donor, self.species)
        rows = [
            _swap(face.row(i), donor.row(min(i, donor.batch_size - 1)), params.row(i)) for i in range(face.batch_size)
        ]
        mask = torch.cat([mask for _, mask in rows])
        changed = face.replace(
            radiance=torch.cat([radiance for radiance, _ in rows]),
            spoof_mask=mask if face.spoof_mask is None else torch.maximum(mask, face.spoof_mask),
            synthetic=face.synthetic and donor.synthetic,
        )
        return Changed(changed)


def _swap(face: Face, donor: Face, params: SwapBlendParams) -> tuple[Tensor, Tensor]:
    """Return radiance (1, 3, H, W) and mask (1, 1, H, W); only the window around the mask is worked on."""
    radiance, landmarks, itself = face.radiance, face.landmarks, bool(params.self_swap[0])
    seam, colour, exact = (is_off(params.ablated, SwapBlend.EFFECTS, name) for name in SwapBlend.EFFECTS)
    height, width = radiance.shape[-2:]
    wide = face_width(landmarks)
    mask = soft_mask(
        hull(landmarks, params.rise),
        params.inset * wide,
        params.feather * wide,
        0 * wide if exact else params.elastic * wide,
        params.seed,
        height,
        width,
    )
    window = mask_window(mask[0, 0])
    if window is None:
        raise SkipSample("swap_outside", "the face's hull lies outside the picture")
    rows, columns = window
    under, cover = radiance[:, :, rows, columns], mask[:, :, rows, columns]
    giver = face if itself else donor
    seen = giver.landmarks
    to = seen if exact else seen + (params.misalign * face_width(seen)[:, None])[:, None]
    if itself:
        centre = seen.mean(1, keepdim=True)
        to = centre + (seen - centre) / params.self_scale[:, None, None] + (params.self_shift * wide[:, None])[:, None]
    at = dense_map(face_spline(landmarks, to), rows.start, columns.start, *cover.shape[-2:])
    folded = float(folded_share(at, cover)[0])
    if folded > _FOLDED:
        raise SkipSample("swap_folds", f"{folded:.0%} of the warp is turned inside out")
    over = _look_up(giver.radiance, at)
    if bool(params.careful[0]):
        cover.mul_(1 - occluded(face, giver, at, rows, columns))
        cover.mul_(1 - kept_mouth(landmarks, seen, rows, columns))
        over = over if itself else without_glasses(over, giver, at)
    lab_under, lab_over = to_lab(under), to_lab(over)
    if itself:
        lab_over = _alter(lab_over, cover, params)
    elif not colour:
        lab_over = transfer(lab_over, lab_under, cover, params.colour)
    if seam:
        lab_over = lab_over + membrane((lab_under - lab_over)[0], cover[0, 0] > 0)[None]
    elif int(params.blend[0]) == BLENDS.index("poisson"):
        lab_over = lab_over + _seam_shift(lab_under - lab_over, cover)
    weight = cover * params.opacity[:, None, None, None]
    mixed = from_lab(lab_under + weight * (lab_over - lab_under))
    changed = radiance.clone()
    changed[:, :, rows, columns] = torch.where(weight > 0, mixed, under)
    return changed, mask


def _seam_shift(difference: Tensor, cover: Tensor) -> Tensor:
    """Return the membrane over the mask; what differs more than skin from skin (hair, background) does not bleed in."""
    limit = torch.tensor(_BLEED)[:, None, None]
    return membrane(torch.minimum(torch.maximum(difference[0], -limit), limit), cover[0, 0] > 0)[None]


def _look_up(image: Tensor, at: Tensor) -> Tensor:
    size = torch.tensor([image.shape[-1], image.shape[-2]])
    return F.grid_sample(image, at / size * 2 - 1, mode="bilinear", padding_mode="reflection", align_corners=False)


def _alter(lab: Tensor, weight: Tensor, params: SwapBlendParams) -> Tensor:
    """Shift the colour and stretch the contrast of an altered self."""
    light = lab[:, :1]
    mean = (light * weight).sum((-2, -1), keepdim=True) / weight.sum((-2, -1), keepdim=True)
    light = mean + (light - mean) * params.self_contrast[:, None, None, None]
    return torch.cat([light, lab[:, 1:]], 1) + params.self_lab[:, :, None, None]
