"""Glasses cut from a print of another's eyes (species `partial_paper_glasses`)."""

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
from spooflab.generators.attacks.partials.fasten import arm, band, ear
from spooflab.generators.attacks.partials.glasses_cut import front_outline
from spooflab.generators.attacks.partials.lay import lifted
from spooflab.generators.attacks.partials.mesh import Solid, merged, paint_solid, see_solid, shade_by_solid
from spooflab.generators.attacks.partials.outline import inset, moved, uneven
from spooflab.generators.attacks.partials.paint import paint_sheet
from spooflab.generators.attacks.partials.print import LocalPrintParams, ink_model_of, life_size, sample_local_print
from spooflab.generators.attacks.partials.rows import change_rows
from spooflab.generators.attacks.partials.sheet import Sheet, bent_sheet, facing_axes
from spooflab.generators.attacks.partials.stock import carried_points, material_of, printed_albedo
from spooflab.generators.attacks.partials.view import see_sheet
from spooflab.generators.face import PARSING, Face
from spooflab.generators.geometry.geometry import Geometry
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.instruments.partial_bank import PaperGlasses as Item
from spooflab.generators.instruments.partial_bank import by_number, choose, load_partials, within
from spooflab.params import Params, choice, uniform

LABEL = PARSING.index("glasses")
_MARGIN_MM = 26.0
_STRING = torch.tensor([0.55, 0.5, 0.42])


@dataclass(frozen=True)
class PaperGlassesParams(Params):
    """Worn paper glasses.

    Attributes:
        instrument: (B,) int64 `PaperGlasses.number`.
        ablated: (B,) int64 bits of the effects that are off.
        print: the print.
        size_mm: (B, 2) width and height of the front.
        rim_mm: (B,) unprinted border.
        rim_shift: (B, 2) displacement of the border, of its width.
        gap_mm: (B,) distance of the paper before the eyeballs.
        radius_mm: (B,) radius of the bend about the vertical.
        slip_mm: (B, 2) displacement on the face, (u, v).
        yaw_deg, pitch_deg, roll_deg: (B,) how the front is turned on the head.
        notch_mm: (B,) half width of the nose's notch.
        cut_mm: (B,) unsteadiness of the scissors.
        cut_phase: (B, 3) of its waves, radians.
        wave_slope: (B,) root mean square slope of the paper's waves.
        lamp_radius_deg: (B,) angular radius of the dominant lamp, for the penumbra.
    """

    instrument: Tensor
    ablated: Tensor
    print: LocalPrintParams
    size_mm: Tensor
    rim_mm: Tensor
    rim_shift: Tensor
    gap_mm: Tensor
    radius_mm: Tensor
    slip_mm: Tensor
    yaw_deg: Tensor
    pitch_deg: Tensor
    roll_deg: Tensor
    notch_mm: Tensor
    cut_mm: Tensor
    cut_phase: Tensor
    wave_slope: Tensor
    lamp_radius_deg: Tensor


class PartialPaperGlasses:
    """A printed strip or spectacle front with the donor's eye region before the wearer's eyes.

    Args:
        instruments: ids that may be used; None or empty for all.
        ablate: effects to switch off.

    Raises:
        ConfigError: an unknown instrument or effect.
    """

    species = "partial_paper_glasses"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = ("ink", "gloss", "contact_shadow", "thickness", "relief")

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.bank = choose(load_partials().partial_paper_glasses, instruments, self.species)
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every instrument."""
        return tuple(item.id for item in load_partials().partial_paper_glasses)

    def sample(self, batch_size: int, generator: torch.Generator) -> PaperGlassesParams:
        """Draw glasses."""
        n, gen = batch_size, generator
        items = [self.bank[i] for i in choice(n, len(self.bank), gen).tolist()]
        unit = torch.rand(n, 6, generator=gen)
        radius = torch.exp(within(items, "radius_mm", unit[:, 4], log=True))
        return PaperGlassesParams(
            instrument=torch.tensor([item.number for item in items]),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
            print=sample_local_print(n, gen),
            size_mm=torch.stack([within(items, "width_mm", unit[:, 0]), within(items, "height_mm", unit[:, 1])], 1),
            rim_mm=within(items, "rim_mm", (unit[:, 2] * 1.5 - 0.5).clamp(min=0)),
            rim_shift=uniform(n * 2, -0.9, 0.9, gen).reshape(n, 2),
            gap_mm=within(items, "gap_mm", unit[:, 3]),
            radius_mm=radius,
            slip_mm=torch.randn(n, 2, generator=gen).clamp(-2, 2) * torch.tensor([1.2, 2.0]),
            yaw_deg=(2.0 * torch.randn(n, generator=gen)).clamp(-6, 6),
            pitch_deg=(3.0 * torch.randn(n, generator=gen)).clamp(-9, 9) - 2,
            roll_deg=(2.2 * torch.randn(n, generator=gen)).clamp(-7, 7),
            notch_mm=uniform(n, 8.0, 13.0, gen),
            cut_mm=uniform(n, 0.0, 0.8, gen),
            cut_phase=2 * math.pi * torch.rand(n, 3, generator=gen),
            wave_slope=uniform(n, 0.005, 0.03, gen),
            lamp_radius_deg=uniform(n, 2.0, 14.0, gen),
        )

    def parse(self, record: dict[str, Any]) -> PaperGlassesParams:
        """Rebuild parameters from a record's JSON."""
        return PaperGlassesParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Put the glasses on.

        Raises:
            DataError: no donor.
            SkipSample: no head can be fitted to the face.
        """
        assert isinstance(params, PaperGlassesParams)
        return change_rows(face, wanted_donor(donor, self.species), params, self._row)

    def _row(self, face: Face, donor: Face, params: PaperGlassesParams, geometry: Geometry) -> Changed:
        item = by_number(load_partials().partial_paper_glasses, int(params.instrument), self.species)
        off = {name: is_off(params.ablated, self.EFFECTS, name) for name in self.EFFECTS}
        canvas, fit = Canvas(face, geometry), geometry.fit
        points = face.landmarks[0].clone()
        sheet, eyes_uv = hung(fit, params)
        size = (float(params.size_mm[0, 0]), float(params.size_mm[0, 1]))
        outline = uneven(
            front_outline(item.cut, size, eyes_uv, float(params.notch_mm)), float(params.cut_mm), params.cut_phase[0]
        )
        sheet = lifted(fit, sheet, outline, 0.6)
        coarse = see_sheet(fit, sheet, shrink=2)
        view = None if coarse is None else enlarged_view(coarse, (size[0] / 2 + 6, size[1] / 2 + 6), fit.size)
        lamp = math.radians(float(params.lamp_radius_deg))
        facts = {
            "front_width_mm": params.size_mm[:, 0],
            "front_height_mm": params.size_mm[:, 1],
            "gap_mm": params.gap_mm,
            "bend_radius_mm": params.radius_mm,
            "print_scale": params.print.scale,
        }
        if coarse is not None and view is not None:
            rim, shift = float(params.rim_mm), params.rim_shift[0] * params.rim_mm
            place = life_size(donor, donor.landmarks5[0, :2].mean(0), eyes_uv.mean(0), _width(eyes_uv), params.print)
            albedo = printed_albedo(
                donor, params.print, item, place, view, moved(inset(outline, rim), shift), ink=not off["ink"]
            )
            arms = _arms(fit, sheet, item, size)
            if not off["contact_shadow"]:
                cast_shadow(canvas, coarse, outline, lamp)
                if arms is not None:
                    shade_by_solid(canvas, arms, lamp)
                shade_under(canvas)
            if arms is not None and (seen := see_solid(fit, arms)) is not None:
                paint_solid(canvas, seen, seen.values, 0.7, 0.0 if off["gloss"] else 0.04, LABEL)
            paint_sheet(
                canvas, view, outline, albedo, material_of(item, params.print, float(params.wave_slope), off), LABEL
            )
            carried_points(points, donor, range(17, 28), place, sheet, fit, outline)
            carried_points(points, donor, range(36, 48), place, sheet, fit, outline)
        return Changed(canvas.face().replace(landmarks=points[None]), facts, (item.id,))


def hung(fit: HeadFit, params: PaperGlassesParams) -> tuple[Sheet, Tensor]:
    """Return the front as it hangs before the eyes, and where they are on it (2, 2): the image's left one first."""
    eyes = fit.eyes.flip(0)  # the fit counts from the subject's left, which is the image's right
    middle = eyes[:, :3].mean(0)
    slip_u, slip_v = params.slip_mm[0].tolist()
    front = middle + torch.tensor([slip_u, -slip_v, float(eyes[:, 3].mean()) + float(params.gap_mm)])
    axes = facing_axes(float(params.yaw_deg), float(params.pitch_deg), float(params.roll_deg))
    reach = (float(params.size_mm[0, 0]) / 2 + _MARGIN_MM, float(params.size_mm[0, 1]) / 2 + _MARGIN_MM)
    sheet = bent_sheet(front, axes, reach, curvature_per_mm=1 / float(params.radius_mm))
    offset = eyes[:, :3] - front
    return sheet, torch.stack([offset @ axes[0], offset @ axes[1]], -1)


def _width(eyes_uv: Tensor) -> float:
    return float((eyes_uv[1] - eyes_uv[0]).norm())


def _arms(fit: HeadFit, sheet: Sheet, item: Item, size: tuple[float, float]) -> Solid | None:
    """Return the paper arms or the string, in their colour."""
    if item.temples == "none":
        return None
    parts = []
    for side, end in ((0, 1.0), (1, -1.0)):
        lift = -0.28 * size[1] if item.cut != "strip" else 0.0
        hinge = sheet.point(torch.tensor([end * (size[0] / 2 - 1.5), lift]))
        if item.temples == "paper":
            white = ink_model_of(item.paper(0)).white
            solid = arm(fit, hinge, side, height_mm=item.temple_mm, thickness_mm=item.card_mm + 0.3)
            parts.append(solid.coloured(white))
        else:
            parts.append(band(fit, hinge, ear(fit, side), half_mm=(0.6, 0.6), lift_mm=1.0).coloured(_STRING))
    return merged(parts)
