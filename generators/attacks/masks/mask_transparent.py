"""A clear plastic mask over the live face (species `mask_transparent`)."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attack import Changed
from spooflab.generators.attacks.masks.banked import BankedMask
from spooflab.generators.attacks.masks.cover import face_outline
from spooflab.generators.attacks.masks.filter import box, dot, in_pixels, unit_planes
from spooflab.generators.attacks.masks.fit import put_on
from spooflab.generators.attacks.masks.generic import anonymous
from spooflab.generators.attacks.masks.hair import over_face_mask
from spooflab.generators.attacks.masks.light import eye_vectors, gloss
from spooflab.generators.attacks.masks.paint import ripples
from spooflab.generators.attacks.masks.params import MaskParams, sample_mask
from spooflab.generators.attacks.masks.shadow import shadow_on
from spooflab.generators.attacks.masks.sitting import Sitting
from spooflab.generators.attacks.masks.strap import strap, strap_albedo
from spooflab.generators.attacks.masks.surface import Surface, draw, head_parts
from spooflab.generators.attacks.masks.worn import Layer, composed, effects_off, light_of, openings
from spooflab.generators.face import Face
from spooflab.generators.geometry.head_fit import fit_head
from spooflab.generators.geometry.light import shading
from spooflab.generators.instruments.mask_material import Clear, mask_of
from spooflab.generators.instruments.thin_sheet import shift_mm, slab

_BELOW_JAW_MM, _BACK_MM = 14.0, -74.0
_EDGE_MM = 1.1
_HAZE_MM = 2.4
_BACKSCATTER = 0.30
"""Share of the hazed light that leaves towards the light's side: forward scattering dominates in clear plastics."""
_WEDGE = 0.35
"""Slope between both faces of the sheet relative to that of its ripples: forming thins it unevenly."""
_MEAN_COSINE = 0.65
"""Mean cosine at which diffuse light meets the sheet on its way to the skin."""


class MaskTransparent(BankedMask[MaskParams]):
    """Clear masks of a generic face: the live face seen through a glossy shell.

    Args:
        instruments: ids of the masks that may be used; None or empty for all of the bank.
        ablate: names of `EFFECTS` to switch off: the gloss, the loss of light in the sheet, its scattering, the
            displacement of what is behind it, the waves of its surface, its cut edge, its openings, its shadow, and
            its own shape (off: the wearer's).

    Raises:
        ConfigError: an id is not in the bank, or an effect is not known.
    """

    species = "mask_transparent"
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = (
        "gloss",
        "transmission",
        "haze",
        "refraction",
        "texture",
        "thickness",
        "openings",
        "contact_shadow",
        "geometry",
    )
    PARAMS = MaskParams

    def sample(self, batch_size: int, generator: torch.Generator) -> MaskParams:
        """Draw masks and how they sit."""
        return MaskParams(**sample_mask(self.masks, batch_size, generator, self.EFFECTS, self.ablate))

    def _one(self, face: Face, donor: Face | None, params: MaskParams) -> Changed:
        mask, off = mask_of(int(params.mask), self.species), effects_off(params.ablated, self.EFFECTS)
        fit = fit_head(face.landmarks[0], face.size)
        light, sources = light_of(face, fit, params)
        own = "geometry" in off
        head = anonymous(int(params.seed))
        worn = put_on(
            fit,
            fit.local if own else head.local,
            fit.eyes if own else head.eyes,
            follows=mask.shell.follows,
            thickness_mm=float(params.thickness_mm),
            gap_mm=float(params.gap_mm),
            grow=1.0 if own else float(params.grow),
            shift_mm=params.shift_mm[0],
            tilt_deg=params.tilt_deg[0],
        )
        surface = draw(fit, worn, head_parts(_BELOW_JAW_MM, _BACK_MM))
        sitting = Sitting(face, fit, light, sources, worn, surface, off)
        clear = mask.clear
        assert clear is not None
        holes = openings(surface, params, mask, off)
        layer = _clear_layer(sitting, params, clear, torch.tensor(mask.finish.colour), holes)
        return composed(sitting, layer, mask.id, landmarks=False, opaque=False)


def _clear_layer(sitting: Sitting, params: MaskParams, clear: Clear, edge: Tensor, holes: Tensor) -> Layer:
    """Return the sheet's layer: what it lets through of the wearer, what it scatters and what it mirrors."""
    surface, off = sitting.surface, sitting.off
    inside = face_outline(surface.rest, params)
    distance = torch.minimum(inside, -holes)
    alpha = (in_pixels(distance) + 0.5).clamp(0, 1) * surface.cover
    slope = torch.zeros(2, *surface.cover.shape)
    if "texture" not in off:
        slope = ripples(surface, params, clear.ripple, clear.ripple_mm)
    turn = sitting.worn.turn
    tilt = slope[0] * turn[:, 0, None, None] + slope[1] * turn[:, 1, None, None]
    normal = unit_planes(surface.normal - tilt)
    eye = eye_vectors(sitting.fit, surface.rows, surface.columns)
    n_v = dot(normal, eye).clamp(0.03, 1)
    absorb = torch.tensor(clear.absorption_per_mm)[:, None, None]
    mirrored, passed = slab(n_v, clear.index, absorb, params.thickness_mm)
    arriving = slab(torch.tensor(_MEAN_COSINE), clear.index, absorb, params.thickness_mm)[1]
    if "transmission" in off:
        passed, arriving = torch.ones_like(passed), torch.ones_like(arriving)
    behind = _behind(sitting, normal, n_v, slope, clear, params)
    fallen = shading(sitting.light, normal)
    radiance = behind * (passed * arriving)
    haze = 0.0 if "haze" in off else clear.haze
    if haze > 0:
        wide = max(1, round(_HAZE_MM / surface.mm_per_px))
        # A sheet met at a slant scatters along a longer path.
        share = (haze / n_v.clamp(min=0.2)).clamp(max=0.75)
        radiance = torch.lerp(radiance, box(box(radiance, wide), wide), share)
        radiance = radiance * (1 - _BACKSCATTER * share) + _BACKSCATTER * share * 0.8 * fallen
    f0 = ((clear.index - 1) / (clear.index + 1)) ** 2
    if "gloss" not in off:
        # Both faces mirror: the inner one by its own transmittance less.
        lit = torch.ones_like(alpha)
        shine = gloss(sitting.light, sitting.sources, normal, eye, ((float(params.alpha), 1.0),), f0, lit)
        single = f0 + (1 - f0) * (1 - n_v) ** 5
        radiance = radiance + shine * (mirrored / single).clamp(1, 2.2)
    if "thickness" not in off:
        rim = (1 - distance.abs() / (_EDGE_MM * (0.6 + float(params.thickness_mm)))).clamp(0, 1) * alpha
        radiance = torch.lerp(radiance, edge[:, None, None] * fallen * (0.5 + 0.9 * float(params.raw_edge)), 0.55 * rim)
    weak = 1 - float(passed.mean() * arriving.mean())
    shadow = shadow_on(sitting, distance, holes, alpha) * (weak + 0.1)
    shadow = torch.where(shadow > 0.012, shadow, 0.0)
    hidden = over_face_mask(sitting.face, surface, params)
    if hidden is not None:
        alpha, shadow = alpha * (1 - hidden), shadow * (1 - hidden)
    band = strap(sitting, inside, params) * (1 - alpha)
    radiance = torch.lerp(radiance, fallen * strap_albedo(params), band / (band + alpha).clamp(min=1e-4))
    return Layer(alpha + band, radiance, shadow, _facts(sitting, params, clear, haze, passed, mirrored, alpha, holes))


def _behind(sitting: Sitting, normal: Tensor, n_v: Tensor, slope: Tensor, clear: Clear, params: MaskParams) -> Tensor:
    """Return the wearer's picture as the sheet displaces it.

    Plane-parallel walls shift rays sideways; walls that are not parallel bend them by (n - 1) times the wedge between
    them, which tells over the distance to the skin.
    """
    surface, face = sitting.surface, sitting.face
    if "refraction" in sitting.off:
        return face.radiance[0][(slice(None), *surface.window)]
    aside = shift_mm(n_v, clear.index, params.thickness_mm)
    flat = torch.rsqrt((normal[0].square() + normal[1].square()).clamp(min=1e-6))
    # Slopes run along the head's axes, which nearly are the picture's: right and down.
    bent = (clear.index - 1) * _WEDGE * sitting.worn.height_mm
    dx = normal[0] * flat * aside + bent * slope[0]
    dy = normal[1] * flat * aside - bent * slope[1]
    height, width = face.size
    x = torch.arange(surface.columns.start, surface.columns.stop) + 0.5 + dx / surface.mm_per_px
    y = (torch.arange(surface.rows.start, surface.rows.stop) + 0.5)[:, None] + dy / surface.mm_per_px
    grid = torch.stack([x * (2 / width) - 1, y * (2 / height) - 1], -1)[None]
    return F.grid_sample(face.radiance, grid, "bilinear", "border", align_corners=False)[0]


def _facts(
    sitting: Sitting, params: MaskParams, clear: Clear, haze: float, passed: Tensor, mirrored: Tensor,
    alpha: Tensor, holes: Tensor,
) -> dict[str, Tensor]:  # fmt: skip
    surface: Surface = sitting.surface
    area = alpha.sum().clamp(min=1.0)
    opened = (surface.cover * (holes > 0)).sum()
    return {
        "thickness_mm": params.thickness_mm,
        "gap_mm": torch.tensor([max(0.0, sitting.worn.height_mm - float(params.thickness_mm))]),
        "roughness_alpha": params.alpha,
        "refractive_index": torch.tensor([clear.index]),
        "haze": torch.tensor([haze]),
        "transmittance": ((passed.mean(0) * alpha).sum() / area)[None],
        "reflectance": ((mirrored.mean(0) * alpha).sum() / area)[None],
        "cover_share": (alpha.sum() / (sitting.face.size[0] * sitting.face.size[1]))[None],
        "opening_share": (opened / (area + opened))[None],
        "fit_error": torch.tensor([sitting.fit.error]),
    }
