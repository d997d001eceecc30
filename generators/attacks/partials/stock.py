"""From an instrument and its print to a sheet's albedo, material and tape; and the landmarks that a print shows."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from spooflab.generators.attacks.partials.enlarge import SheetPixels
from spooflab.generators.attacks.partials.outline import Outline
from spooflab.generators.attacks.partials.paint import Material, Tape, cover_of
from spooflab.generators.attacks.partials.print import LocalPrintParams, Similarity, ink_model_of, printed
from spooflab.generators.attacks.partials.sheet import Sheet
from spooflab.generators.face import Face
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.instruments.paper import Paper
from spooflab.generators.instruments.paper_texture import fibre_at
from spooflab.generators.instruments.partial_bank import EyePatch, MouthPiece, PaperGlasses, PrintedPatch, reflectance
from spooflab.generators.masked import places

Carrier = EyePatch | MouthPiece | PaperGlasses | PrintedPatch
TAPES = ("clear", "frosted", "masking")
_TAPES = {"clear": ((92, 0, 3), 0.06, 0.22), "frosted": ((93, 0, 2), 0.3, 0.5), "masking": ((84, 3, 24), 0.9, 0.62)}


def printed_albedo(
    donor: Face, params: LocalPrintParams, item: Carrier, place: Similarity, view: SheetPixels, inner: Outline, *,
    ink: bool,
) -> Tensor:  # fmt: skip
    """Return (3, P): the print within `inner`, bare paper around it, with the paper's fibres.

    Args:
        donor: whose photograph is printed, a batch of one.
        params: of the print.
        item: the instrument.
        place: where the photograph lies on the sheet.
        view: the sheet.
        inner: outline of the printed part.
        ink: False for ideal colours on ideal paper.
    """
    paper = item.paper(int(params.paper))
    near = inner(view.u, view.v)
    white = ink_model_of(paper).white if ink else torch.ones(3)
    albedo = white[:, None].repeat(1, len(near))
    index = places(near < view.mm_per_px)
    if len(index):
        inside = printed(
            donor, params, paper, place, view.u.index_select(0, index), view.v.index_select(0, index), ink=ink
        )
        share = cover_of(near.index_select(0, index), view.mm_per_px)
        albedo.index_copy_(1, index, torch.lerp(white[:, None].expand_as(inside), inside, share))
    return fibred(albedo, params, paper, view) if ink else albedo


def fibred(albedo: Tensor, params: LocalPrintParams, paper: Paper, view: SheetPixels) -> Tensor:
    """Return the albedo (3, P) with the paper's fibre texture."""
    fine = paper.surface.fibre_mm
    shift = (float(params.fibre_shift[0, 0]), float(params.fibre_shift[0, 1]))
    texture = fibre_at(view.u, view.v, fine, shift, mm_per_px=view.mm_per_px)
    return albedo * (1 + paper.surface.fibre_contrast * texture)


def material_of(
    item: Carrier, params: LocalPrintParams, wave_slope: float, off: Mapping[str, bool], *, seed_offset: int = 0,
    wave_mm: tuple[float, float] = (14.0, 70.0),
) -> Material:  # fmt: skip
    """Return the sheet's material.

    Args:
        item: the instrument.
        params: of the print: which paper, and the seed that names the waves.
        wave_slope: root mean square slope.
        off: which of `gloss`, `thickness` and `relief` are switched off.
        seed_offset: tells several sheets of one instrument apart.
        wave_mm: shortest and longest wave.
    """
    surface = item.paper(int(params.paper)).surface
    return Material(
        roughness=math.sqrt(surface.roughness),
        f0=0.0 if off["gloss"] else surface.f0,
        thickness_mm=0.0 if off["thickness"] else item.card_mm,
        core=reflectance(item.core_lab),
        wave_slope=0.0 if off["relief"] else wave_slope,
        wave_mm=wave_mm,
        seed=int(params.seed) ^ seed_offset,
    )


def tape_of(kind: int, outline: Outline) -> Tape:
    """Return strips of one of `TAPES`."""
    lab, body, roughness = _TAPES[TAPES[kind % len(TAPES)]]
    return Tape(outline, reflectance(lab), body, roughness)


def carried_points(
    points: Tensor, donor: Face, rows: range, place: Similarity, sheet: Sheet, fit: HeadFit, outline: Outline
) -> None:
    """Put the donor's landmarks where the worn print shows them, those that lie on the sheet.

    Args:
        points: (68, 2) the wearer's, changed in place.
        donor: a batch of one.
        rows: landmarks that the print may show.
        place: where the photograph lies on the sheet.
        sheet: worn.
        fit: the wearer's head.
        outline: of the sheet.
    """
    index = torch.tensor(list(rows))
    uv = place.to_sheet(donor.landmarks[0, index])
    on = outline(uv[:, 0], uv[:, 1]) < 0
    if bool(on.any()):
        points[index[on]] = fit.project(fit.to_camera(sheet.point(uv[on])))
