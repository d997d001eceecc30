"""Printed eyes of another worn over the wearer's (species `partial_eye`)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed, wanted_donor
from spooflab.generators.attacks.partials.canvas import Canvas, cast_shadow, shade_under, spectacles
from spooflab.generators.attacks.partials.enlarge import enlarged_view
from spooflab.generators.attacks.partials.lay import laid_on
from spooflab.generators.attacks.partials.outline import Outline, box, ellipse, inset, join, moved, turned, uneven
from spooflab.generators.attacks.partials.paint import paint_sheet, paint_tape
from spooflab.generators.attacks.partials.print import LocalPrintParams, life_size, sample_local_print
from spooflab.generators.attacks.partials.rows import change_rows
from spooflab.generators.attacks.partials.sheet import Sheet
from spooflab.generators.attacks.partials.stock import carried_points, material_of, printed_albedo, tape_of
from spooflab.generators.attacks.partials.view import SheetView, see_sheet
from spooflab.generators.face import PARSING, Face
from spooflab.generators.geometry.geometry import Geometry
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.instruments.partial_bank import EyePatch, by_number, choose, load_partials, within
from spooflab.params import Params, choice, uniform

LABEL = PARSING.index("glasses")


@dataclass(frozen=True)
class PartialEyeParams(Params):
    """Worn eye patches.

    Attributes:
        instrument: (B,) int64 `EyePatch.number`.
        ablated: (B,) int64 bits of the effects that are off.
        print: the print.
        both: (B,) bool, over both eyes.
        side: (B,) int64 which one else: 0 the eye at the image's left.
        size_mm: (B, 2) width and height of a patch.
        rim_mm: (B,) unprinted border.
        rim_shift: (B, 2, 2) displacement of each print within its border, of the border's width.
        centre_mm: (B, 2, 2) displacement of each patch from its eye, (u, v).
        roll_deg: (B, 2) of each patch.
        gap_mm: (B, 2) clearance.
        bend: (B, 2) share of the face's curvature that each takes on.
        bend_turn_deg: (B, 2) direction of its bend.
        curl_per_mm: (B, 2, 2) curvature by which the ends lift.
        cut_mm: (B,) unsteadiness of the scissors.
        cut_phase: (B, 2, 3) of its waves, radians.
        tape: (B,) int64 kind of tape.
        tape_turn_deg: (B, 2) direction of the tape.
        wave_slope: (B,) root mean square slope of the paper's waves.
        lamp_radius_deg: (B,) angular radius of the dominant lamp, for the penumbra.
    """

    instrument: Tensor
    ablated: Tensor
    print: LocalPrintParams
    both: Tensor
    side: Tensor
    size_mm: Tensor
    rim_mm: Tensor
    rim_shift: Tensor
    centre_mm: Tensor
    roll_deg: Tensor
    gap_mm: Tensor
    bend: Tensor
    bend_turn_deg: Tensor
    curl_per_mm: Tensor
    cut_mm: Tensor
    cut_phase: Tensor
    tape: Tensor
    tape_turn_deg: Tensor
    wave_slope: Tensor
    lamp_radius_deg: Tensor


class PartialEye:
    """Eyes cut from a print of the donor, stuck or taped over one or both eyes of the wearer.

    Args:
        instruments: ids that may be used; None or empty for all.
        ablate: effects to switch off.

    Raises:
        ConfigError: an unknown instrument or effect.
    """

    species = "partial_eye"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = ("ink", "gloss", "contact_shadow", "thickness", "relief", "tape")

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.bank = choose(load_partials().partial_eye, instruments, self.species)
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every instrument."""
        return tuple(item.id for item in load_partials().partial_eye)

    def sample(self, batch_size: int, generator: torch.Generator) -> PartialEyeParams:
        """Draw patches."""
        n, gen = batch_size, generator
        items = [self.bank[i] for i in choice(n, len(self.bank), gen).tolist()]
        unit = torch.rand(n, 8, generator=gen)

        either = unit[:, 0] < 0.5
        both = torch.tensor([item.sides == "both" for item in items]) | (
            torch.tensor([item.sides == "either" for item in items]) & either
        )
        gap = torch.stack([within(items, "gap_mm", torch.rand(n, generator=gen)) for _ in range(2)], 1)
        curl = torch.stack([within(items, "curl_per_m", torch.rand(n, generator=gen)) for _ in range(4)], 1) / 1000
        return PartialEyeParams(
            instrument=torch.tensor([item.number for item in items]),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
            print=sample_local_print(n, gen),
            both=both,
            side=choice(n, 2, gen),
            size_mm=torch.stack([within(items, "width_mm", unit[:, 1]), within(items, "height_mm", unit[:, 2])], 1),
            rim_mm=within(items, "rim_mm", (unit[:, 3] * 1.6 - 0.6).clamp(min=0)),
            rim_shift=uniform(n * 4, -0.9, 0.9, gen).reshape(n, 2, 2),
            centre_mm=(1.5 * torch.randn(n, 2, 2, generator=gen)).clamp(-4, 4),
            roll_deg=(4 * torch.randn(n, 2, generator=gen)).clamp(-12, 12),
            gap_mm=gap,
            bend=torch.rand(n, 2, generator=gen),
            bend_turn_deg=30 * torch.randn(n, 2, generator=gen),
            curl_per_mm=curl.reshape(n, 2, 2),
            cut_mm=uniform(n, 0.0, 0.8, gen),
            cut_phase=2 * math.pi * torch.rand(n, 2, 3, generator=gen),
            tape=choice(n, 3, gen),
            tape_turn_deg=12 * torch.randn(n, 2, generator=gen),
            wave_slope=uniform(n, 0.005, 0.03, gen),
            lamp_radius_deg=uniform(n, 2.0, 14.0, gen),
        )

    def parse(self, record: dict[str, Any]) -> PartialEyeParams:
        """Rebuild parameters from a record's JSON."""
        return PartialEyeParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Put the patches on.

        Raises:
            DataError: no donor.
            SkipSample: no head can be fitted to the face.
        """
        assert isinstance(params, PartialEyeParams)
        return change_rows(face, wanted_donor(donor, self.species), params, self._row)

    def _row(self, face: Face, donor: Face, params: PartialEyeParams, geometry: Geometry) -> Changed:
        item = by_number(load_partials().partial_eye, int(params.instrument), self.species)
        off = {name: is_off(params.ablated, self.EFFECTS, name) for name in self.EFFECTS}
        canvas, fit = Canvas(face, geometry), geometry.fit
        points = face.landmarks[0].clone()
        sides = (0, 1) if bool(params.both) else (int(params.side),)
        patches = [_patch(fit, item, params, side) for side in sides]
        seen = [(patch, see_sheet(fit, patch.sheet, shrink=2)) for patch in patches]
        if not off["contact_shadow"]:
            for patch, coarse in seen:
                if coarse is not None:
                    cast_shadow(canvas, coarse, patch.outline, math.radians(float(params.lamp_radius_deg)))
            shade_under(canvas)
        for patch, coarse in seen:
            if coarse is not None:
                _put_on(canvas, donor, params, item, patch, coarse, points, off)
        half = (params.size_mm[0] / 2).tolist()
        facts = {
            "patch_mm2": torch.tensor([sum(area_mm2(patch.outline, half) for patch in patches)]),
            "gap_mm": params.gap_mm[:, list(sides)].mean(1),
            "print_scale": params.print.scale,
            "patches": torch.tensor([float(len(sides))]),
        }
        return Changed(canvas.face().replace(landmarks=points[None]), facts, (item.id,))


@dataclass(frozen=True, eq=False)
class _Patch:
    """One patch: over which eye, its sheet, outline and displacement from the eye."""

    side: int
    sheet: Sheet
    outline: Outline
    shift_mm: Tensor


def _patch(fit: HeadFit, item: EyePatch, params: PartialEyeParams, side: int) -> _Patch:
    """Lay one patch over an eye."""
    eye = fit.eyes[1 - side]  # the fit counts from the subject's left, which is the image's right
    du, dv = params.centre_mm[0, side].tolist()
    half = (float(params.size_mm[0, 0]) / 2, float(params.size_mm[0, 1]) / 2)
    sheet = laid_on(
        fit,
        (float(eye[0]) + du, float(eye[1]) - dv),
        half,
        gap_mm=float(params.gap_mm[0, side]),
        roll_deg=float(params.roll_deg[0, side]),
        bend=float(params.bend[0, side]),
        turn_rad=math.radians(float(params.bend_turn_deg[0, side])),
        curl_per_mm=(float(params.curl_per_mm[0, side, 0]), float(params.curl_per_mm[0, side, 1])),
        margin_mm=14.0,
        least_radius_mm=22.0,
    )
    outline = uneven(_cut(item, half), float(params.cut_mm), params.cut_phase[0, side])
    return _Patch(side, sheet, outline, torch.tensor([du, dv]))


def _put_on(
    canvas: Canvas, donor: Face, params: PartialEyeParams, item: EyePatch, patch: _Patch, coarse: SheetView,
    points: Tensor, off: Mapping[str, bool],
) -> None:  # fmt: skip
    """Print and paint one patch; write the landmarks that it shows."""
    fit, side = canvas.geometry.fit, patch.side
    half = (params.size_mm[0] / 2).tolist()
    taped = item.fastening == "tape" and not off["tape"]
    view = enlarged_view(coarse, (half[0] + 2 + 12 * taped, half[1] + 2 + 4 * taped), canvas.size)
    if view is None:
        return
    between = float((fit.eyes[0, :3] - fit.eyes[1, :3]).norm())
    place = life_size(donor, donor.landmarks5[0, side], -patch.shift_mm, between, params.print)
    inner = moved(inset(patch.outline, float(params.rim_mm)), params.rim_shift[0, side] * params.rim_mm)
    albedo = printed_albedo(donor, params.print, item, place, view, inner, ink=not off["ink"])
    material = material_of(item, params.print, float(params.wave_slope), off, seed_offset=side)
    paint_sheet(canvas, view, patch.outline, albedo, material, LABEL, behind=spectacles(canvas, view.pixel))
    if taped:
        tape = tape_of(int(params.tape), _strips(params, half, side))
        paint_tape(canvas, view, patch.outline, tape, LABEL, gloss=not off["gloss"])
    rows = range(36, 42) if side == 0 else range(42, 48)
    carried_points(points, donor, rows, place, patch.sheet, fit, patch.outline)


def _cut(item: EyePatch, half: Sequence[float]) -> Outline:
    if item.cut == "rectangle":
        return box((0.0, 0.0), (half[0], half[1]), 0.8)
    return ellipse((0.0, 0.0), (half[0], half[1]), 2.0 if item.cut == "oval" else 1.55)


def _strips(params: PartialEyeParams, half: Sequence[float], side: int) -> Outline:
    """Return the tape's outline: a strip over each end, or one above and one below."""
    turn = float(params.tape_turn_deg[0, side])
    width = 4.5 + 2.5 * (float(params.cut_phase[0, side, 0]) / 6.2832)
    strips = []
    for end in (-1.0, 1.0):
        strip = box((end * (half[0] + 1.0), 0.0), (9.0, width), 0.3)
        strips.append(turned(strip, (end * half[0], 0.0), math.radians(turn * end)))
    return join(*strips)


def area_mm2(outline: Outline, half: Sequence[float]) -> float:
    """Return the area inside an outline, by counting points a millimetre apart."""
    span_u, span_v = torch.arange(-half[0] - 2, half[0] + 2, 1.0), torch.arange(-half[1] - 2, half[1] + 2, 1.0)
    u, v = torch.meshgrid(span_u, span_v, indexing="xy")
    return float((outline(u, v) < 0).sum())
