"""A printed lower part of another's face worn over the wearer's (species `partial_mouth`)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed, wanted_donor
from spooflab.generators.attacks.partials.canvas import Canvas, cast_shadow, shade_under
from spooflab.generators.attacks.partials.enlarge import enlarged_view
from spooflab.generators.attacks.partials.fasten import band, ear
from spooflab.generators.attacks.partials.lay import laid_on
from spooflab.generators.attacks.partials.mesh import Solid, merged, paint_solid, see_solid, shade_by_solid
from spooflab.generators.attacks.partials.outline import Outline, box, ellipse, inset, join, moved, turned, uneven
from spooflab.generators.attacks.partials.paint import paint_sheet, paint_tape
from spooflab.generators.attacks.partials.print import LocalPrintParams, life_size, sample_local_print
from spooflab.generators.attacks.partials.rows import change_rows
from spooflab.generators.attacks.partials.sheet import Sheet
from spooflab.generators.attacks.partials.stock import carried_points, material_of, printed_albedo, tape_of
from spooflab.generators.attacks.partials.view import see_sheet
from spooflab.generators.face import PARSING, Face
from spooflab.generators.faces.procedural.landmarks import attachments
from spooflab.generators.geometry.geometry import Geometry
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.instruments.partial_bank import MouthPiece, by_number, choose, load_partials, within
from spooflab.params import Params, choice, uniform

LABEL = PARSING.index("clothes")
_CLOTH = ((0.86, 0.86, 0.84), (0.06, 0.06, 0.07), (0.55, 0.6, 0.68))
_CENTRE = {"mouth": 0.0, "mouth_nose": 13.0, "lower_face": 4.0}
"""How far above the mouth's middle the piece's middle lies, mm."""


@dataclass(frozen=True)
class PartialMouthParams(Params):
    """A worn mouth piece.

    Attributes:
        instrument: (B,) int64 `MouthPiece.number`.
        ablated: (B,) int64 bits of the effects that are off.
        print: the print.
        size_mm: (B, 2) width and height.
        rim_mm: (B,) unprinted border.
        rim_shift: (B, 2) displacement of the print within it, of the border's width.
        centre_mm: (B, 2) displacement on the face, (u, v).
        roll_deg: (B,) clockwise turn.
        gap_mm: (B,) clearance.
        bend: (B,) share of the face's curvature that it takes on.
        curl_per_mm: (B, 2) curvature by which the ends lift.
        cut_mm: (B,) unsteadiness of the scissors.
        cut_phase: (B, 3) of its waves, radians.
        tape: (B,) int64 kind of tape, or colour of elastic.
        tape_turn_deg: (B, 2) direction of the strips.
        tape_mm: (B,) half width of tape, elastic or strap, relative to the usual one.
        lamp_radius_deg: (B,) angular radius of the dominant lamp, for the penumbra.
    """

    instrument: Tensor
    ablated: Tensor
    print: LocalPrintParams
    size_mm: Tensor
    rim_mm: Tensor
    rim_shift: Tensor
    centre_mm: Tensor
    roll_deg: Tensor
    gap_mm: Tensor
    bend: Tensor
    curl_per_mm: Tensor
    cut_mm: Tensor
    cut_phase: Tensor
    tape: Tensor
    tape_turn_deg: Tensor
    tape_mm: Tensor
    lamp_radius_deg: Tensor


class PartialMouth:
    """A print of the donor's mouth, mouth and nose, or lower face, taped, tied or glued over the wearer's.

    Args:
        instruments: ids that may be used; None or empty for all.
        ablate: effects to switch off.

    Raises:
        ConfigError: an unknown instrument or effect.
    """

    species = "partial_mouth"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = ("ink", "gloss", "contact_shadow", "thickness", "relief", "fastening")

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.bank = choose(load_partials().partial_mouth, instruments, self.species)
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every instrument."""
        return tuple(item.id for item in load_partials().partial_mouth)

    def sample(self, batch_size: int, generator: torch.Generator) -> PartialMouthParams:
        """Draw mouth pieces."""
        n, gen = batch_size, generator
        items = [self.bank[i] for i in choice(n, len(self.bank), gen).tolist()]
        unit = torch.rand(n, 5, generator=gen)
        curls = uniform(n * 2, -0.03, 0.012, gen).clamp(min=0).reshape(n, 2)
        return PartialMouthParams(
            instrument=torch.tensor([item.number for item in items]),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
            print=sample_local_print(n, gen),
            size_mm=torch.stack([within(items, "width_mm", unit[:, 0]), within(items, "height_mm", unit[:, 1])], 1),
            rim_mm=within(items, "rim_mm", (unit[:, 2] * 1.6 - 0.6).clamp(min=0)),
            rim_shift=uniform(n * 2, -0.9, 0.9, gen).reshape(n, 2),
            centre_mm=torch.randn(n, 2, generator=gen).clamp(-2, 2) * torch.tensor([1.5, 2.5]),
            roll_deg=(2.5 * torch.randn(n, generator=gen)).clamp(-8, 8),
            gap_mm=within(items, "gap_mm", unit[:, 3]),
            bend=uniform(n, 0.45, 1.0, gen),
            curl_per_mm=curls,
            cut_mm=uniform(n, 0.0, 0.9, gen),
            cut_phase=2 * math.pi * torch.rand(n, 3, generator=gen),
            tape=choice(n, 3, gen),
            tape_turn_deg=15 * torch.randn(n, 2, generator=gen),
            tape_mm=uniform(n, 0.7, 1.4, gen),
            lamp_radius_deg=uniform(n, 2.0, 14.0, gen),
        )

    def parse(self, record: dict[str, Any]) -> PartialMouthParams:
        """Rebuild parameters from a record's JSON."""
        return PartialMouthParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Put the piece on.

        Raises:
            DataError: no donor.
            SkipSample: no head can be fitted to the face.
        """
        assert isinstance(params, PartialMouthParams)
        return change_rows(face, wanted_donor(donor, self.species), params, self._row)

    def _row(self, face: Face, donor: Face, params: PartialMouthParams, geometry: Geometry) -> Changed:
        item = by_number(load_partials().partial_mouth, int(params.instrument), self.species)
        off = {name: is_off(params.ablated, self.EFFECTS, name) for name in self.EFFECTS}
        canvas, fit = Canvas(face, geometry), geometry.fit
        points = face.landmarks[0].clone()
        sheet, mouth_uv = _worn(fit, item, params)
        half = (float(params.size_mm[0, 0]) / 2, float(params.size_mm[0, 1]) / 2)
        outline = uneven(piece_outline(item.corner, half), float(params.cut_mm), params.cut_phase[0])
        lamp = math.radians(float(params.lamp_radius_deg))
        coarse = see_sheet(fit, sheet, shrink=2)
        reach = (half[0] + 2 + 16 * (item.fastening == "tape"), half[1] + 2)
        view = None if coarse is None else enlarged_view(coarse, reach, fit.size)
        if coarse is not None and view is not None:
            anchor = donor.landmarks[0, 48:60].mean(0)
            place = life_size(donor, anchor, mouth_uv, float((fit.eyes[0, :3] - fit.eyes[1, :3]).norm()), params.print)
            inner = moved(inset(outline, float(params.rim_mm)), params.rim_shift[0] * params.rim_mm)
            albedo = printed_albedo(donor, params.print, item, place, view, inner, ink=not off["ink"])
            waves = (16.0, 60.0) if item.fabric else (14.0, 70.0)
            material = material_of(item, params.print, item.fold_slope, off, wave_mm=waves)
            ties = None if off["fastening"] else _ties(fit, sheet, item, params, half)
            if not off["contact_shadow"]:
                cast_shadow(canvas, coarse, outline, lamp)
                if ties is not None:
                    shade_by_solid(canvas, ties, lamp)
                shade_under(canvas)
            if ties is not None and (seen := see_solid(fit, ties)) is not None:
                paint_solid(canvas, seen, seen.values, 0.8, 0.0 if off["gloss"] else 0.03, LABEL)
            paint_sheet(canvas, view, outline, albedo, material, LABEL)
            if item.fastening == "tape" and not off["fastening"]:
                strips = tape_of(int(params.tape), _strips(params, half))
                paint_tape(canvas, view, outline, strips, LABEL, gloss=not off["gloss"])
            if item.region != "mouth":
                carried_points(points, donor, range(29, 36), place, sheet, fit, outline)
            carried_points(points, donor, range(48, 68), place, sheet, fit, outline)
        facts = {
            "piece_width_mm": params.size_mm[:, 0],
            "piece_height_mm": params.size_mm[:, 1],
            "gap_mm": params.gap_mm,
            "print_scale": params.print.scale,
            "bend_per_m": torch.tensor([1000 * float(sheet.angle_rad.diff().median() / sheet.along_mm.diff()[0])]),
        }
        return Changed(canvas.face().replace(landmarks=points[None]), facts, (item.id,))


def _worn(fit: HeadFit, item: MouthPiece, params: PartialMouthParams) -> tuple[Sheet, Tensor]:
    """Return the piece laid over the face, and (2,) where the wearer's mouth is on it."""
    fixed, _ = attachments()
    mouth = fixed.carry(fit.local)[1 + 48 - 17 : 1 + 60 - 17].mean(0)
    du, dv = params.centre_mm[0].tolist()
    half = (params.size_mm[0] / 2).tolist()
    centre = (float(mouth[0]) + du, float(mouth[1]) + _CENTRE[item.region] - dv)
    sheet = laid_on(
        fit,
        centre,
        (half[0], half[1]),
        gap_mm=float(params.gap_mm),
        roll_deg=float(params.roll_deg),
        bend=float(params.bend),
        curl_per_mm=(float(params.curl_per_mm[0, 0]), float(params.curl_per_mm[0, 1])),
        margin_mm=24.0,
        least_radius_mm=34.0,
    )
    offset = mouth - sheet.origin_mm
    return sheet, torch.stack([offset @ sheet.axes[0], offset @ sheet.axes[1]])


def piece_outline(corner: float, half_mm: tuple[float, float]) -> Outline:
    """Return a shape between a rectangle (`corner` 0) and an ellipse (1)."""
    if corner < 0.1:
        return box((0.0, 0.0), half_mm, 1.0)
    return ellipse((0.0, 0.0), half_mm, 2.0 / max(corner, 0.25) ** 0.8)


def _strips(params: PartialMouthParams, half: tuple[float, float]) -> Outline:
    wide = 6.0 * float(params.tape_mm)
    strips = []
    for end, turn in zip((-1.0, 1.0), params.tape_turn_deg[0].tolist(), strict=True):
        strip = box((end * (half[0] + 2.0), 0.0), (13.0, wide), 0.3)
        strips.append(turned(strip, (end * half[0], 0.0), math.radians(turn)))
    return join(*strips)


def _ties(
    fit: HeadFit, sheet: Sheet, item: MouthPiece, params: PartialMouthParams, half: tuple[float, float]
) -> Solid | None:
    """Return ear loops or the strap, in their colour."""
    if item.fastening not in ("elastic", "strap"):
        return None
    colour = torch.tensor(_CLOTH[int(params.tape)])
    wide = float(params.tape_mm)
    parts = []
    for side, end in ((0, 1.0), (1, -1.0)):
        if item.fastening == "strap":
            start = sheet.point(torch.tensor([end * (half[0] - 1.0), 0.0]))
            goal = ear(fit, side) + torch.tensor([0.0, -28.0, -16.0])
            parts.append(band(fit, start, goal, half_mm=(0.6, 6.0 * wide), lift_mm=0.5))
            continue
        for level, low in ((-0.55, False), (0.55, True)):
            start = sheet.point(torch.tensor([end * half[0] * 0.93, level * half[1]]))
            parts.append(band(fit, start, ear(fit, side, low=low), half_mm=(0.5, 1.3 * wide), lift_mm=0.8))
    return merged([part.coloured(colour) for part in parts])
