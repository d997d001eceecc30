"""A printed face cut out and worn before the head, bent around it (species `mask_paper`)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.ablation import ablation
from spooflab.generators.attack import Changed, wanted_donor
from spooflab.generators.attacks.cutouts.mask_paper_cut import (
    nose_slit,
)
from spooflab.generators.attacks.cutouts.mask_paper_maps import Sheet, mapped, on_sheet, sheet_maps, wrapped
from spooflab.generators.attacks.cutouts.mask_paper_params import PaperMaskParams
from spooflab.generators.attacks.masks.filter import box, in_pixels, moved, unit_planes
from spooflab.generators.attacks.masks.light import edge_occlusion, eye_vectors, gloss, lamps, vertex_light
from spooflab.generators.attacks.masks.params import sample_lamps
from spooflab.generators.attacks.masks.surface import head_cover
from spooflab.generators.attacks.masks.worn import effects_off, rows_of
from spooflab.generators.attacks.prints.content import encode_photograph, exposure_gain
from spooflab.generators.attacks.prints.process import paper_of, printed_reflectance, sample_printing
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural.noise import look_up
from spooflab.generators.geometry.head_fit import HeadFit, fit_head
from spooflab.generators.geometry.light import shading
from spooflab.generators.instruments.ink_colour import srgb_decode
from spooflab.generators.instruments.paper import Paper, Use, choose_papers
from spooflab.generators.instruments.paper_texture import fibre_at
from spooflab.params import Params, log_uniform, uniform

_USES: tuple[Use, ...] = ("a4", "photo")
_EDGE_MM = 0.35
_FAINT = 0.012
_FADE_MM = 26.0


class MaskPaper:
    """Cut-out prints of `face`, worn by the donor: the picture is the donor's, the face that it shows is not.

    Args:
        instruments: ids of the papers that may be used; None or empty for all of the bank.
        ablate: names of `EFFECTS` to switch off: the inks' colour, the gloss, fibres and waves, the bend (off: flat),
            the paper's cut edge, its holes, its shadow.

    Raises:
        ConfigError: an id is not in the bank, or an effect is not known.
    """

    species = "mask_paper"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = (
        "ink",
        "gloss",
        "texture",
        "geometry",
        "thickness",
        "openings",
        "contact_shadow",
    )

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.papers = choose_papers(instruments, _USES)
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every paper that this attack can use."""
        return tuple(paper.id for paper in choose_papers(None, _USES))

    def sample(self, batch_size: int, generator: torch.Generator) -> PaperMaskParams:
        """Draw prints, how they are cut and how they are worn."""
        n = batch_size
        printing, _ = sample_printing(self.papers, n, generator)
        holed = torch.rand(n, generator=generator) < 0.6
        wide = uniform(n, 1.0, 1.5, generator)
        holes = torch.stack([wide, wide * uniform(n, 0.45, 0.9, generator)], 1)
        folded = torch.rand(n, generator=generator) < 0.3
        rows = [sample_lamps(generator) for _ in range(n)]
        return PaperMaskParams(
            printing=printing,
            life_size=uniform(n, 0.95, 1.15, generator),
            outline=torch.multinomial(torch.tensor([0.45, 0.25, 0.15, 0.15]), n, True, generator=generator),
            grow=uniform(n, 0.97, 1.1, generator),
            wander_mm=uniform(n, 0.2, 1.2, generator),
            holes=torch.where(holed[:, None], holes, 0.0),
            flap=torch.rand(n, generator=generator) < 0.2,
            radius_mm=log_uniform(n, 65, 260, generator),
            flat_mm=uniform(n, 5, 45, generator),
            fold_deg=torch.where(folded, uniform(n, 6, 24, generator), 0.0),
            lean_deg=(3 * torch.randn(n, generator=generator)).clamp(-8, 8),
            roll_deg=(2.5 * torch.randn(n, generator=generator)).clamp(-8, 8),
            shift_mm=(torch.randn(n, 2, generator=generator) * torch.tensor([2.5, 3.5])).clamp(-9, 9),
            stand_mm=uniform(n, 0.5, 8.0, generator),
            waves=log_uniform(n, 0.008, 0.05, generator),
            band=torch.rand(n, generator=generator) < 0.55,
            **{name: torch.cat([row[name] for row in rows]) for name in rows[0]},
            seed=torch.randint(0, 2**62, (n,), generator=generator),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )

    def parse(self, record: dict[str, Any]) -> PaperMaskParams:
        """Rebuild parameters from a record's JSON."""
        return PaperMaskParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the donor's picture with the printed face worn in it, under the printed face's name.

        Landmarks and box are those of the printed face on the paper.

        Raises:
            DataError: there is no donor.
            SkipSample: the wearer's head cannot be fitted.
        """
        assert isinstance(params, PaperMaskParams)
        return rows_of(face, wanted_donor(donor, self.species), params, self._one)

    def _one(self, face: Face, donor: Face | None, params: PaperMaskParams) -> Changed:
        assert donor is not None
        off = effects_off(params.ablated, self.EFFECTS)
        return _wear(face, donor, params, off)


def _wear(face: Face, wearer: Face, params: PaperMaskParams, off: frozenset[str]) -> Changed:
    fit = fit_head(wearer.landmarks[0], wearer.size)
    light = vertex_light(wearer, fit)
    sources = lamps(light, params.lamp_direction[0], params.lamp_share[0], params.lamp_radius_rad[0])
    paper = paper_of(params.printing)
    to_mm, scale = on_sheet(face, fit, params)
    spots = mapped(face.landmarks[0], to_mm)
    bent = wrapped(fit, params, off)
    sheet = sheet_maps(fit, bent, spots, params, off)
    ink = _ink(face, params, paper, scale, sheet, to_mm, off)
    alpha = (in_pixels(torch.minimum(sheet.inside, -sheet.holes)) + 0.5).clamp(0, 1) * sheet.cover
    normal = sheet.normal
    if "texture" not in off:
        normal = unit_planes(normal + _waves(sheet, params))
    if "thickness" not in off:
        rim = (1 - torch.minimum(sheet.inside, -sheet.holes) / _EDGE_MM).clamp(0, 1)
        ink = torch.lerp(ink, paper.ink_model().white[:, None, None].expand_as(ink), 0.8 * rim)
    fallen = shading(light, normal)
    radiance = ink * fallen
    eye = eye_vectors(fit, sheet.rows, sheet.columns)
    if "gloss" not in off:
        surface = paper.surface
        lit = torch.ones_like(alpha)
        radiance = radiance + gloss(light, sources, normal, eye, ((surface.roughness, 1.0),), surface.f0, lit)
    if bool(params.flap) and "openings" not in off:
        # The slit shows the dark gap below, and the flap's lower side its own shadow.
        slit = nose_slit(sheet.uv, spots)
        radiance = radiance * (1 - 0.7 * (1 - slit / 0.8).clamp(0, 1))
    radiance, alpha = _banded(radiance, alpha, sheet, params, fallen)
    shadow = torch.zeros_like(alpha)
    if "contact_shadow" not in off:
        shadow = _shadow(sheet, alpha, params, sources[0].direction, sources[0].radius_rad, light.key_share)
    facts = _facts(sheet, alpha, params, paper, scale, wearer, fit)
    shadow = shadow * _ground(wearer, fit, sheet)
    return _composed(face, wearer, sheet, alpha, radiance, shadow, facts, paper.id)


def _ink(
    face: Face, params: PaperMaskParams, paper: Paper, scale: float, sheet: Sheet, to_mm: Tensor, off: frozenset[str]
) -> Tensor:
    """Return (3, h, w): the sheet's reflectance at each pixel of the window."""
    if "ink" in off:
        gain = exposure_gain(face.radiance[0], face.box[0], float(params.printing.face_level))
        flat = srgb_decode(encode_photograph(face.radiance[0], gain, int(params.printing.quality)))
    else:
        flat = printed_reflectance(face.radiance[0], face.box[0], params.printing, scale)
    inverse = torch.linalg.inv(to_mm[:, :2])
    u, v = sheet.uv
    du, dv = u - to_mm[0, 2], v - to_mm[1, 2]
    height, width = face.size
    x = (inverse[0, 0] * du + inverse[0, 1] * dv) * (2 / width) - 1
    y = (inverse[1, 0] * du + inverse[1, 1] * dv) * (2 / height) - 1
    shrink = sheet.mm_per_px / scale
    if shrink > 1.3:
        small = [max(8, round(n / shrink)) for n in face.size]
        flat = F.interpolate(flat[None], size=small, mode="bilinear", antialias=True, align_corners=False)[0]
    grid = torch.stack([x, y], -1)[None]
    ink = F.grid_sample(flat[None], grid, "bilinear", "border", align_corners=False)[0]
    beyond = (torch.maximum(x.abs(), y.abs()) - 1) * (width * scale / 2) / sheet.mm_per_px
    ink = torch.lerp(ink, paper.ink_model().white[:, None, None].expand_as(ink), (beyond + 0.5).clamp(0, 1))
    if "texture" in off:
        return ink
    tile = (float(params.printing.fibre_shift[0, 0]), float(params.printing.fibre_shift[0, 1]))
    fibre = fibre_at(u, v, paper.surface.fibre_mm, tile)
    faded = min(1.0, paper.surface.fibre_mm / sheet.mm_per_px)
    ink = ink * (1 + paper.surface.fibre_contrast * faded * fibre)
    if float(params.fold_deg) > 0:
        # The coat breaks along a fold and shows the paper.
        crease = torch.exp(-((u / max(0.35, 0.5 * sheet.mm_per_px)) ** 2)) * 0.3
        ink = torch.lerp(ink, paper.ink_model().white[:, None, None].expand_as(ink), crease)
    return ink


def _waves(sheet: Sheet, params: PaperMaskParams) -> Tensor:
    """Return (3, h, w) tilts of the sheet's small waves: it was held, cut and folded."""
    plane = sheet.uv.permute(1, 2, 0).reshape(-1, 2)
    shift = torch.tensor([int(params.seed) % 997 / 997, int(params.seed) % 991 / 991])
    slopes = look_up(plane, 57 * 26.0, shift, slice(4, 6)).reshape(2, *sheet.cover.shape)
    tilt = float(params.waves) * slopes
    return torch.cat([tilt, torch.zeros_like(tilt[:1])])


def _banded(
    radiance: Tensor, alpha: Tensor, sheet: Sheet, params: PaperMaskParams, fallen: Tensor
) -> tuple[Tensor, Tensor]:
    """Add the staples that hold an elastic band: bright bars near the sides at the height of the ears."""
    if not bool(params.band):
        return radiance, alpha
    u, v = sheet.uv
    side = (sheet.inside - 6).abs()
    bar = (1.0 - side / 5).clamp(0, 1).ceil() * (0.5 + (0.45 - (v - 8).abs()) / sheet.mm_per_px).clamp(0, 1)
    bar = bar * (u.abs() > 40) * alpha
    return torch.lerp(radiance, 0.55 * fallen, 0.8 * bar), alpha


def _shadow(
    sheet: Sheet, alpha: Tensor, params: PaperMaskParams, toward: Tensor, radius_rad: float, key_share: float
) -> Tensor:
    """Return (h, w): the share of light that the sheet takes from what is behind it."""
    within = (sheet.holes > 0).float()
    height = 6 + float(params.stand_mm) + 10 * (1 - within)
    slope = (toward[:2] / -toward[2]).clamp(-2.0, 2.0)
    dx, dy = height * float(slope[0]) / sheet.mm_per_px, height * float(slope[1]) / sheet.mm_per_px
    blocked = box(moved(alpha, dx, dy), max(1, round(12 * radius_rad / sheet.mm_per_px)))
    wide = max(2, round(_FADE_MM / 2 / sheet.mm_per_px))
    beside = torch.where(within > 0, sheet.holes, (1 - 2 * box(alpha, wide)).clamp(0, 1) * wide * sheet.mm_per_px)
    room = edge_occlusion(beside, float(params.stand_mm) + 6) * (1 + 0.6 * within)
    share = min(key_share, 0.7)
    fade = ((_FADE_MM / 2 - beside) / 8).clamp(0, 1)
    lost = (share * blocked + (1 - share) * room) * fade
    return (box(lost, 1) - _FAINT).clamp(0, 0.9)


def _ground(wearer: Face, fit: HeadFit, sheet: Sheet) -> Tensor:
    """Return (h, w): the wearer, on whom a shadow can fall; the room behind is too far away."""
    if wearer.parsing is not None:
        return box((wearer.parsing[0, 0][sheet.rows, sheet.columns] > 0).float(), 1)
    return box(head_cover(fit, sheet.rows, sheet.columns), 2)


def _facts(
    sheet: Sheet, alpha: Tensor, params: PaperMaskParams, paper: Paper, scale: float, wearer: Face, fit: HeadFit
) -> dict[str, Tensor]:
    area = alpha.sum()
    opened = ((sheet.holes > 0) * sheet.cover).sum()
    return {
        "print_mm_per_px": torch.tensor([scale]),
        "bend_radius_mm": params.radius_mm,
        "fold_deg": params.fold_deg,
        "stand_mm": params.stand_mm,
        "roughness_alpha": torch.tensor([paper.surface.roughness]),
        "cut_outline": params.outline.float(),
        "cover_share": (area / (wearer.size[0] * wearer.size[1]))[None],
        "opening_share": (opened / (area + opened).clamp(min=1.0))[None],
        "fit_error": torch.tensor([fit.error]),
    }


def _composed(
    face: Face, wearer: Face, sheet: Sheet, alpha: Tensor, radiance: Tensor, shadow: Tensor,
    facts: dict[str, Tensor], instrument_id: str,
) -> Changed:  # fmt: skip
    """Return the wearer's picture with the sheet, under the printed face's name."""
    window = (sheet.rows, sheet.columns)
    under = wearer.radiance[0][(slice(None), *window)]
    shadow = torch.where(shadow > _FAINT, shadow, 0.0)
    mixed = torch.lerp(under * (1 - shadow), radiance.clamp(min=0), alpha)
    changed = torch.maximum(alpha, shadow)
    whole = wearer.radiance.clone()
    whole[0][(slice(None), *window)] = torch.where(changed > 0, mixed, under)
    mask = torch.zeros_like(whole[:, :1])
    mask[0, 0][window] = changed
    if wearer.spoof_mask is not None:
        mask = torch.maximum(mask, wearer.spoof_mask)
    solid = alpha > 0.5
    depth = torch.full_like(mask, torch.inf) if wearer.depth_mm is None else wearer.depth_mm.clone()
    depth[0, 0][window] = torch.where(solid, sheet.depth_mm, depth[0, 0][window])
    normals = None if wearer.normals is None else wearer.normals.clone()
    if normals is not None:
        part = normals[0][(slice(None), *window)]
        normals[0][(slice(None), *window)] = torch.where(solid, sheet.normal, part)
    return Changed(
        face=wearer.replace(
            radiance=whole,
            spoof_mask=mask,
            depth_mm=depth,
            normals=normals,
            landmarks=sheet.landmarks[None],
            box=_box(face, sheet.landmarks)[None],
            subject_id=face.subject_id,
            source_id=face.source_id,
            synthetic=face.synthetic and wearer.synthetic,
        ),
        facts=facts,
        instrument_id=(instrument_id,),
    )


def _box(face: Face, landmarks: Tensor) -> Tensor:
    """Return the shown face's box as it lies about its landmarks on the sheet."""
    old, box_ = face.landmarks[0], face.box[0]
    low, size = old.amin(0), (old.amax(0) - old.amin(0)).clamp(min=1.0)
    new_low, new_size = landmarks.amin(0), (landmarks.amax(0) - landmarks.amin(0)).clamp(min=1.0)
    corner = new_low + (box_[:2] - low) / size * new_size
    return torch.cat([corner, box_[2:] / size * new_size])
