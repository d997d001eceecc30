"""Morph: two faces brought to landmarks between them and averaged, so that one document serves both.

After Ferrara, Franco and Maltoni 2014 ("The magic passport") and the public tools (OpenCV's and FaceMorpher's Delaunay
morphs, UBO's triangles with retouch): shape and texture have a weight of their own. A `complete` morph averages the
whole pictures, so what no landmark aligns (hair, irises, nostrils, collars) shows twice; in a `splicing` morph only the
inner face is averaged and blended into the first face's picture (Makrushin, Neubert and Dittmann 2017; "combined" in
Neubert et al. 2018). The work is done on code values, as those tools do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.tone import srgb_decode, srgb_encode
from spooflab.errors import SkipSample
from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed, wanted_donor
from spooflab.generators.attacks.digital.morph_retouch import blur, soften
from spooflab.generators.attacks.digital.morph_warp import controls, piecewise_maps, plate_maps
from spooflab.generators.attacks.digital.poisson import membrane
from spooflab.generators.attacks.digital.swap_colour import moments
from spooflab.generators.attacks.digital.swap_mask import face_width, hull, mask_window, soft_mask
from spooflab.generators.attacks.digital.swap_warp import folded_share
from spooflab.generators.face import Face
from spooflab.params import Params, choice, uniform

KINDS = ("complete", "splicing")
"""What is averaged; `MorphParams.kind` indexes them."""
WARPS = ("triangles", "thin_plate")
"""How pictures are brought to the blended landmarks; `MorphParams.warp` indexes them."""
_FOLDED = 0.08
_REACH = (0.12, 0.5)
"""From where to where around the hull a spliced morph's warp fades, in face widths."""


@dataclass(frozen=True)
class MorphParams(Params):
    """One morph; weights are the donor's share.

    Attributes:
        kind: (B,) int64 index into `KINDS`.
        warp: (B,) int64 index into `WARPS`.
        alpha_shape: (B,) weight of the donor's landmarks, 0-1.
        alpha_texture: (B,) weight of its picture, 0-1.
        poisson: (B,) bool, a splice is cloned in the gradient domain rather than feathered.
        colour: (B,) how far a splice's donor is moved to the target's mean and contrast, 0-1.
        feather: (B,) width of a splice's edge, in face widths.
        rise: (B,) how far over the brows a splice reaches, in nose lengths.
        seed: (B,) int64, names the splice's outline.
        retouch: (B,) strength of the smoothing that hides traces, 0 none.
        sharpen: (B,) strength of the sharpening that makes up for it.
        ablated: (B,) int64 bits of the effects that are off.
    """

    kind: Tensor
    warp: Tensor
    alpha_shape: Tensor
    alpha_texture: Tensor
    poisson: Tensor
    colour: Tensor
    feather: Tensor
    rise: Tensor
    seed: Tensor
    retouch: Tensor
    sharpen: Tensor
    ablated: Tensor


class Morph:
    """Landmark-based face morph (species `morph`).

    Args:
        splicing_share: probability that only the inner face is averaged.
        ablate: effects to switch off: `ghosting` (outside the inner face a complete morph shows the target alone),
            `seam` (a splice takes the target's values along its outline), `colour_match` (a splice's donor keeps its
            colour), `retouch` (no smoothing or sharpening).

    Raises:
        ConfigError: `ablate` names another effect.
    """

    species = "morph"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = ("ghosting", "seam", "colour_match", "retouch")

    def __init__(self, *, splicing_share: float = 0.5, ablate: Sequence[str] = ()) -> None:
        if not 0 <= splicing_share <= 1:
            raise ValueError(f"Morph: splicing_share is {splicing_share}, wanted 0...1")
        self.splicing_share, self.ablate = splicing_share, tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    def sample(self, batch_size: int, generator: torch.Generator) -> MorphParams:
        """Draw weights, warp, splice and retouch."""
        n = batch_size
        shape, texture = (uniform(n, 0.3, 0.7, generator) for _ in range(2))
        both = torch.rand(n, generator=generator) < 0.5
        retouched = torch.rand(n, generator=generator) < 0.4
        strength = uniform(n, 0.2, 0.9, generator)
        return MorphParams(
            kind=(torch.rand(n, generator=generator) < self.splicing_share).long(),
            warp=choice(n, 3, generator).clamp(min=1) - 1,
            alpha_shape=shape,
            alpha_texture=torch.where(both, shape, texture),
            poisson=torch.rand(n, generator=generator) < 0.5,
            colour=uniform(n, 0.6, 1.0, generator),
            feather=uniform(n, 0.03, 0.15, generator),
            rise=uniform(n, 0.1, 0.4, generator),
            seed=torch.randint(0, 2**62, (n,), generator=generator),
            retouch=torch.where(retouched, strength, 0.0),
            sharpen=uniform(n, -0.4, 0.6, generator).clamp(min=0),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )

    def parse(self, record: dict[str, Any]) -> MorphParams:
        """Rebuild parameters from a record's JSON."""
        return MorphParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the morph; landmarks, box and geometry are the blended ones.

        Raises:
            DataError: no donor.
            SkipSample: `morph_folds`: the poses differ so much that a warp turns part of the face inside out;
                `morph_degenerate`: landmarks that no triangles can tell apart.
        """
        assert isinstance(params, MorphParams)
        donor = wanted_donor(donor, self.species)
        others = [donor.row(min(i, donor.batch_size - 1)) for i in range(face.batch_size)]
        changed = Face.stack([_morph(face.row(i), other, params.row(i)) for i, other in enumerate(others)])
        return Changed(changed, {"alpha_shape": params.alpha_shape, "alpha_texture": params.alpha_texture})


def _morph(face: Face, donor: Face, params: MorphParams) -> Face:
    """Morph one face; both pictures are taken to show their faces in the same frame, whatever their sizes."""
    height, width = face.size
    scale = torch.tensor([width / donor.size[1], height / donor.size[0]])
    shape = float(params.alpha_shape[0])
    own, other = face.landmarks, donor.landmarks * scale
    blended = torch.lerp(own, other, shape)
    at, to = controls(blended, height, width), [controls(points, height, width)[0] for points in (own, other)]
    warp = piecewise_maps if WARPS[int(params.warp[0])] == "triangles" else plate_maps
    maps = warp(at[0], to, height, width)
    inner = soft_mask(
        hull(blended, params.rise), 0 * params.feather, params.feather * face_width(blended), 0 * params.feather,
        params.seed, height, width,
    )  # fmt: skip
    _check(maps, inner)
    splicing = KINDS[int(params.kind[0])] == "splicing"
    reach = torch.ones_like(inner)
    if splicing:
        reach = _reach(blended, params, height, width)
        maps[0] = _pixels(height, width).lerp(maps[0], reach[0, 0, ..., None])
    rays = [_rays(at) for at in maps]
    own_codes, other_codes = srgb_encode(face.radiance), srgb_encode(donor.radiance)
    seen = _look_up(own_codes, rays[0]), _look_up(other_codes, rays[1])
    mixed = _splice(*seen, inner, params) if splicing else _average(*seen, inner, params)
    mixed = _retouched(mixed, inner, params)
    mask = torch.maximum(reach, inner) if splicing else reach
    light = torch.where(mask > 0, srgb_decode(mixed).clamp_(min=0), face.radiance)
    corners = torch.lerp(face.box, donor.box * scale.repeat(2), shape)
    moved = face.replace(
        radiance=light,
        landmarks=blended,
        box=corners,
        spoof_mask=mask if face.spoof_mask is None else torch.maximum(mask, face.spoof_mask),
        synthetic=face.synthetic and donor.synthetic,
    )
    return _geometry(moved, face, donor, rays, 0.0 if splicing else shape)


def _check(maps: list[Tensor], inner: Tensor) -> None:
    folded = max(float(folded_share(at, inner)[0]) for at in maps)
    if folded > _FOLDED:
        raise SkipSample("morph_folds", f"{folded:.0%} of the warp is turned inside out")


def _average(own: Tensor, other: Tensor, inner: Tensor, params: MorphParams) -> Tensor:
    weight = params.alpha_texture
    if is_off(params.ablated, Morph.EFFECTS, "ghosting"):
        return torch.lerp(own, other, weight * inner)
    return torch.lerp(own, other, weight)


def _splice(own: Tensor, other: Tensor, inner: Tensor, params: MorphParams) -> Tensor:
    """Average within the mask alone, the donor's mean and contrast moved to the target's."""
    window = mask_window(inner[0, 0])
    if window is None:
        return own
    where = (..., *window)
    under, over, cover = own[where], other[where], inner[where]
    if not is_off(params.ablated, Morph.EFFECTS, "colour_match"):
        (mean, spread), (mean_to, spread_to) = moments(over, cover), moments(under, cover)
        matched = (over - mean) * (spread_to / spread.clamp(min=1e-3)).clamp(0.5, 2.0) + mean_to
        over = torch.lerp(over, matched, params.colour)
    blend = torch.lerp(under, over, params.alpha_texture)
    if bool(params.poisson[0]) or is_off(params.ablated, Morph.EFFECTS, "seam"):
        blend = blend + membrane((under - blend)[0], cover[0, 0] > 0)[None]
    spliced = own.clone()
    spliced[where] = torch.lerp(under, blend, cover)
    return spliced


def _retouched(picture: Tensor, inner: Tensor, params: MorphParams) -> Tensor:
    strength = float(params.retouch[0])
    if strength == 0 or is_off(params.ablated, Morph.EFFECTS, "retouch"):
        return picture.clamp(0, 1)
    radius = max(1.0, picture.shape[-1] / 110)
    smooth = soften(picture, inner * strength, radius_px=radius, threshold=0.06)
    detail = smooth - blur(smooth, 1.0)
    return smooth.add_(inner * params.sharpen * detail).clamp_(0, 1)


def _reach(blended: Tensor, params: MorphParams, height: int, width: int) -> Tensor:
    """Return (1, 1, H, W): 1 on the face, falling to 0 around it: how much of the warp is made there."""
    low, high = (share * face_width(blended) for share in _REACH)
    return soft_mask(hull(blended, params.rise), -high, high - low, 0 * high, params.seed, height, width)


def _pixels(height: int, width: int) -> Tensor:
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]


def _rays(at: Tensor) -> Tensor:
    """Return a map (1, H, W, 2) of pixels in `grid_sample`'s unit, in which both pictures have the same size."""
    rays = torch.empty_like(at)
    for axis, extent in enumerate((at.shape[2], at.shape[1])):  # one by one: an inner loop of two is slow
        torch.mul(at[..., axis], 2 / extent, out=rays[..., axis])
        rays[..., axis].sub_(1)
    return rays


def _look_up(image: Tensor, rays: Tensor, mode: str = "bilinear") -> Tensor:
    return F.grid_sample(image, rays, mode=mode, padding_mode="border", align_corners=False)


def _geometry(moved: Face, face: Face, donor: Face, rays: list[Tensor], alpha: float) -> Face:
    """Return the morph with warped depth, normals and parsing: averages where both faces have them, else the target's.

    Args:
        moved: the morph.
        face, donor: the two faces.
        rays: where each pixel looks in either.
        alpha: the donor's weight; 0 leaves it out.
    """
    pairs = [(face, rays[0])] if alpha == 0 else [(face, rays[0]), (donor, rays[1])]
    near = int(alpha > 0.5)
    changes: dict[str, Tensor] = {}
    if face.depth_mm is not None:
        depths = [_look_up(f.depth_mm, at, "nearest") for f, at in pairs if f.depth_mm is not None]
        both = torch.isfinite(depths[0]) & torch.isfinite(depths[-1])
        changes["depth_mm"] = torch.where(
            both, torch.lerp(depths[0], depths[-1], alpha), depths[near and len(depths) - 1]
        )
    if face.normals is not None:
        normals = [_look_up(f.normals, at) for f, at in pairs if f.normals is not None]
        mean = torch.lerp(normals[0], normals[-1], alpha)
        changes["normals"] = mean * mean.square().sum(1, keepdim=True).clamp_(min=1e-12).rsqrt_()
    if face.parsing is not None:
        classes = [(f.parsing, at) for f, at in pairs if f.parsing is not None]
        parsing, at = classes[near and len(classes) - 1]
        changes["parsing"] = _look_up(parsing.float(), at, "nearest").to(torch.uint8)
    return moved.replace(**changes)
