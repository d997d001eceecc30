"""Novelty eyes: party frames, googly and slinky eyes, stickers with open eyes (species `partial_funny_eye`)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed
from spooflab.generators.attacks.partials.canvas import Canvas, cast_shadow, shade_under, spectacles
from spooflab.generators.attacks.partials.drawn_eye import DrawnEye, eye_reflectance, lash_line
from spooflab.generators.attacks.partials.frame import ball, frame_solids, spring
from spooflab.generators.attacks.partials.lay import laid_on
from spooflab.generators.attacks.partials.lens import dome, paint_lens
from spooflab.generators.attacks.partials.mesh import Solid, merged, paint_solid, see_solid, shade_by_solid
from spooflab.generators.attacks.partials.outline import Outline, ellipse, moved, without
from spooflab.generators.attacks.partials.rim import rim_outline
from spooflab.generators.attacks.partials.rows import change_rows
from spooflab.generators.attacks.partials.sheet import Sheet, bent_sheet, facing_axes
from spooflab.generators.attacks.partials.view import SheetView, see_sheet
from spooflab.generators.face import PARSING, Face
from spooflab.generators.geometry.geometry import Geometry
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.instruments.partial_bank import FunnyEye, by_number, choose, load_partials, within
from spooflab.params import Params, choice, uniform

LABEL = PARSING.index("glasses")
_LENS_MARGIN_MM = 24.0
_BALL = 0.92  # radius of an eyeball over its lens'


@dataclass(frozen=True)
class FunnyEyeParams(Params):
    """Worn novelty eyes; the eye at the image's left first.

    Attributes:
        instrument: (B,) int64 `FunnyEye.number`.
        ablated: (B,) int64 bits of the effects that are off.
        colour: (B,) int64 which of the plastic's colours.
        size: (B,) size over the instrument's.
        gap_mm: (B,) distance of the lenses before the eyeballs.
        slip_mm: (B, 2) displacement on the face, (u, v).
        pitch_deg, roll_deg: (B,) how the frame is turned on the head.
        bulge_mm: (B,) height of the lens over its edge.
        iris_mm: (B,) radius of the iris.
        hole_mm: (B,) radius of the hole in the pupil.
        gaze: (B, 2, 2) where each eye looks, of the room that its iris has.
        pupil: (B,) radius of the pupil over the iris'.
        iris: (B,) int64 colour of the iris.
        white: (B,) int64 colour of the white.
        veins: (B,) 0 none to 1 bloodshot.
        lid: (B,) share that a drawn upper lid covers.
        cartoon: (B,) bool, drawn flat.
        spring_mm: (B, 2) lengths of the springs.
        swing_deg: (B, 2, 2) how the springs hang: outwards, and to the side.
        seed: (B,) int64, names fibres and veins.
        lamp_radius_deg: (B,) angular radius of the dominant lamp, for the penumbra.
    """

    instrument: Tensor
    ablated: Tensor
    colour: Tensor
    size: Tensor
    gap_mm: Tensor
    slip_mm: Tensor
    pitch_deg: Tensor
    roll_deg: Tensor
    bulge_mm: Tensor
    iris_mm: Tensor
    hole_mm: Tensor
    gaze: Tensor
    pupil: Tensor
    iris: Tensor
    white: Tensor
    veins: Tensor
    lid: Tensor
    cartoon: Tensor
    spring_mm: Tensor
    swing_deg: Tensor
    seed: Tensor
    lamp_radius_deg: Tensor


class PartialFunnyEye:
    """Novelty eyes over the wearer's own.

    Args:
        instruments: ids that may be used; None or empty for all.
        ablate: effects to switch off.

    Raises:
        ConfigError: an unknown instrument or effect.
    """

    species = "partial_funny_eye"
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = ("gloss", "contact_shadow", "relief", "frame")

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.bank = choose(load_partials().partial_funny_eye, instruments, self.species)
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every instrument."""
        return tuple(item.id for item in load_partials().partial_funny_eye)

    def sample(self, batch_size: int, generator: torch.Generator) -> FunnyEyeParams:
        """Draw novelty eyes."""
        n, gen = batch_size, generator
        items = [self.bank[i] for i in choice(n, len(self.bank), gen).tolist()]
        unit = torch.rand(n, 10, generator=gen)
        hole = within(items, "hole_mm", unit[:, 3])
        cross = uniform(n * 4, -0.75, 0.75, gen).reshape(n, 2, 2)
        together = cross[:, :1].expand(-1, 2, -1)
        loose = torch.tensor([item.kind in ("googly", "slinky") for item in items])
        gaze = torch.where((loose | (unit[:, 9] < 0.15))[:, None, None], cross, 0.45 * together)
        springs = torch.stack([within(items, "spring_mm", torch.rand(n, generator=gen)) for _ in range(2)], 1)
        return FunnyEyeParams(
            instrument=torch.tensor([item.number for item in items]),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
            colour=choice(n, 1 << 20, gen),
            size=uniform(n, 0.92, 1.1, gen),
            gap_mm=within(items, "gap_mm", unit[:, 0]),
            slip_mm=torch.randn(n, 2, generator=gen).clamp(-2, 2) * torch.tensor([1.0, 1.8]),
            pitch_deg=(3.0 * torch.randn(n, generator=gen)).clamp(-9, 9) - 2,
            roll_deg=(2.2 * torch.randn(n, generator=gen)).clamp(-7, 7),
            bulge_mm=within(items, "bulge_mm", unit[:, 1]),
            iris_mm=within(items, "iris_mm", unit[:, 2]),
            hole_mm=torch.where(unit[:, 4] < 0.6, hole, 0.0),
            gaze=gaze,
            pupil=uniform(n, 0.3, 0.55, gen),
            iris=choice(n, 6, gen),
            white=torch.where(unit[:, 5] < 0.75, 0, choice(n, 4, gen)),
            veins=torch.where(unit[:, 6] < 0.45, uniform(n, 0.3, 0.9, gen), 0.0),
            lid=torch.where(unit[:, 7] < 0.4, uniform(n, 0.08, 0.42, gen), 0.0),
            cartoon=unit[:, 8] < 0.4,
            spring_mm=springs,
            swing_deg=torch.randn(n, 2, 2, generator=gen).clamp(-2, 2) * torch.tensor([9.0, 7.0]),
            seed=torch.randint(0, 2**62, (n,), generator=gen),
            lamp_radius_deg=uniform(n, 2.0, 14.0, gen),
        )

    def parse(self, record: dict[str, Any]) -> FunnyEyeParams:
        """Rebuild parameters from a record's JSON."""
        return FunnyEyeParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Put the eyes on; the donor is not looked at.

        Raises:
            SkipSample: no head can be fitted to the face.
        """
        assert isinstance(params, FunnyEyeParams)
        return change_rows(face, face, params, self._row)

    def _row(self, face: Face, _: Face, params: FunnyEyeParams, geometry: Geometry) -> Changed:
        item = by_number(load_partials().partial_funny_eye, int(params.instrument), self.species)
        off = {name: is_off(params.ablated, self.EFFECTS, name) for name in self.EFFECTS}
        canvas, fit = Canvas(face, geometry), geometry.fit
        half = (item.lens_mm[0] * float(params.size), item.lens_mm[1] * float(params.size))
        lamp = math.radians(float(params.lamp_radius_deg))
        sheets = [_lens_sheet(fit, item, params, half, side) for side in (0, 1)]
        solids = _solids(fit, item, params, sheets, half) if not off["frame"] else []
        views = [see_sheet(fit, sheet, half_mm=(1.4 * half[0], 1.4 * half[1])) for sheet in sheets]
        if not off["contact_shadow"]:
            for side, sheet in enumerate(sheets):
                coarse = None if item.kind == "slinky" else see_sheet(fit, sheet, shrink=2)
                if coarse is not None:
                    cast_shadow(canvas, coarse, _lens_outline(item, params, half, side), lamp)
            if solids:
                balls = [ball(_spring_line(sheets[k], params, k)[-1], _BALL * half[0]) for k in (0, 1)]
                shade_by_solid(canvas, merged([*solids, *(balls if item.kind == "slinky" else [])]), lamp)
            shade_under(canvas)
        for number, solid in enumerate([None, *solids]):
            if number == 2 or not solids:  # after the arms
                for side, view in enumerate(views):
                    if view is not None and item.kind != "slinky":
                        self._lens(canvas, item, params, half, side, view, off)
            seen = None if solid is None else see_solid(fit, solid)
            if seen is not None:
                f0 = 0.0 if off["gloss"] else item.plastic.f0
                paint_solid(canvas, seen, seen.values, item.plastic.roughness, f0, LABEL)
        if item.kind == "slinky":
            self._eyeballs(canvas, item, params, sheets, half, off)
        facts = {
            "lens_width_mm": torch.tensor([2 * half[0]]),
            "gap_mm": params.gap_mm,
            "hole_mm": 2 * params.hole_mm,
            "bulge_mm": params.bulge_mm,
            "spring_mm": params.spring_mm.mean(1),
        }
        return Changed(canvas.face(), facts, (item.id,))

    def _lens(
        self, canvas: Canvas, item: FunnyEye, params: FunnyEyeParams, half: tuple[float, float], side: int,
        view: SheetView, off: dict[str, bool],
    ) -> None:  # fmt: skip
        outline = _lens_outline(item, params, half, side)
        eye = _drawn(item, params, half, side)
        albedo = eye_reflectance(eye, view.u, view.v, min(half), view.mm_per_px)
        if item.kind == "sticker":
            albedo = torch.lerp(
                albedo, torch.full_like(albedo, 0.015), lash_line(outline, view.u, view.v, view.mm_per_px)
            )
        bulge = 0.0 if off["relief"] else float(params.bulge_mm)
        normal = dome(view, half, bulge) if bulge > 0.3 else view.normal
        gloss = 0.0 if off["gloss"] else item.plastic.f0
        # A googly eye's white cup and loose disc are flat; only its clear dome mirrors as a dome does.
        flat = item.kind == "googly"
        hidden = spectacles(canvas, view.pixel) if item.kind == "sticker" else None
        paint_lens(
            canvas,
            view,
            outline,
            albedo,
            view.normal if flat else normal,
            normal,
            item.lens_roughness,
            gloss,
            LABEL,
            hidden,
        )

    def _eyeballs(
        self, canvas: Canvas, item: FunnyEye, params: FunnyEyeParams, sheets: list[Sheet], half: tuple[float, float],
        off: dict[str, bool],
    ) -> None:  # fmt: skip
        """Draw the balls at the springs' ends."""
        fit = canvas.geometry.fit
        radius = _BALL * half[0]
        for side, sheet in enumerate(sheets):
            middle = _spring_line(sheet, params, side)[-1]
            solid = ball(middle, radius)
            seen = see_solid(fit, solid)
            if seen is None:
                continue
            eye = _drawn(item, params, half, side)
            out, across, down = sheet.axes[2], sheet.axes[0], sheet.axes[1]
            swing = float(params.swing_deg[0, side, 1])
            gaze = out + 0.35 * down + math.radians(swing) * across  # the ball's own front hangs a little down
            local = _ball_frame(gaze / gaze.norm())
            place = local @ seen.values
            polar = torch.atan2(torch.hypot(place[0], place[1]), place[2]) * radius
            aside = torch.hypot(place[0], place[1]).clamp(min=1e-4)
            albedo = eye_reflectance(
                eye, place[0] / aside * polar, place[1] / aside * polar, 1.5 * radius, fit.mm_per_px
            )
            paint_solid(canvas, seen, albedo, item.lens_roughness, 0.0 if off["gloss"] else item.plastic.f0, LABEL)


def _ball_frame(gaze: Tensor) -> Tensor:
    """Return rows right, down, forward (head frame) of a ball that looks along `gaze`."""
    right = torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), gaze)
    right = right / right.norm()
    return torch.stack([right, torch.linalg.cross(right, gaze), gaze])


def _drawn(item: FunnyEye, params: FunnyEyeParams, half: tuple[float, float], side: int) -> DrawnEye:
    googly = item.kind == "googly"
    iris = min(float(params.iris_mm), (0.72 if item.rim != "almond" else 0.66) * min(half))
    room = (max(half[0] - iris - 1.0, 0.0), max(half[1] - iris - 1.0, 0.0))
    gx, gy = params.gaze[0, side].tolist()
    if googly:  # the loose disc lies where gravity leaves it: at the bottom, somewhere along the rim
        angle = math.pi / 2 + 0.9 * gx
        gaze = (room[0] * math.cos(angle) * 0.97, room[1] * math.sin(angle) * 0.97)
    else:
        gaze = (0.6 * room[0] * gx, 0.4 * room[1] * gy)
    return DrawnEye(
        gaze_mm=gaze,
        iris_mm=iris,
        pupil=1.0 if googly else float(params.pupil),
        iris=int(params.iris),
        white=0 if googly else int(params.white),
        veins=0.0 if googly or item.kind == "sticker" else float(params.veins),
        lid=0.0 if googly or item.kind in ("slinky", "sticker") else float(params.lid),
        cartoon=bool(params.cartoon) and not googly,
        seed=int(params.seed) ^ side,
    )


def _lens_outline(item: FunnyEye, params: FunnyEyeParams, half: tuple[float, float], side: int) -> Outline:
    outline = rim_outline(item.rim, half, 1.0 if side else -1.0)
    hole = float(params.hole_mm)
    if hole < 0.3 or item.kind in ("googly", "sticker"):
        return outline
    at = _drawn(item, params, half, side).gaze_mm
    return without(outline, moved(ellipse((0.0, 0.0), (hole, hole)), torch.tensor(at)))


def _lens_sheet(fit: HeadFit, item: FunnyEye, params: FunnyEyeParams, half: tuple[float, float], side: int) -> Sheet:
    """Return the plane of one lens; `side` 0 is the image's left."""
    eye = fit.eyes[1 - side]
    du, dv = params.slip_mm[0].tolist()
    if item.kind == "sticker":
        centre = (float(eye[0]) + 0.5 * du, float(eye[1]) - 1.0 - 0.5 * dv)
        return laid_on(
            fit, centre, (half[0] * 0.8, half[1] * 0.8), gap_mm=float(params.gap_mm), roll_deg=float(params.roll_deg),
            bend=1.0, margin_mm=8.0, least_radius_mm=18.0,
        )  # fmt: skip
    out = 1.0 if side else -1.0
    apart = max(abs(float(eye[0])), half[0] + 6.0)
    roll = math.radians(float(params.roll_deg))
    middle = fit.eyes[:, :3].mean(0)
    front = float(fit.eyes[:, 2].mean() + fit.eyes[:, 3].mean()) + float(params.gap_mm)
    place = torch.stack([
        middle[0] + du + out * apart * math.cos(roll),
        middle[1] - 2.0 - dv - out * apart * math.sin(roll),
        torch.tensor(front),
    ])  # fmt: skip
    axes = facing_axes(out * 3.0, float(params.pitch_deg), float(params.roll_deg))
    reach = (half[0] * 1.3 + _LENS_MARGIN_MM, half[1] * 1.3 + _LENS_MARGIN_MM)
    return bent_sheet(place, axes, reach, curvature_per_mm=0.0)


def _spring_line(sheet: Sheet, params: FunnyEyeParams, side: int) -> Tensor:
    """Return (N, 3) the spring's axis: out of the lens, then down under the ball's weight."""
    length = float(params.spring_mm[0, side])
    outwards, sideways = (math.radians(a) for a in params.swing_deg[0, side].tolist())
    share = torch.linspace(0, 1, 41)[:, None]
    out = sheet.axes[2]
    down = torch.tensor([math.sin(sideways), -math.cos(sideways), math.sin(outwards) * 0.6])
    start = sheet.origin_mm
    elbow = start + out * min(26.0, 0.45 * length + 8.0)
    end = elbow + down * length
    return (1 - share).square() * start + 2 * share * (1 - share) * elbow + share.square() * end


def _solids(
    fit: HeadFit, item: FunnyEye, params: FunnyEyeParams, sheets: list[Sheet], half: tuple[float, float]
) -> list[Solid]:
    """Return arms, frame and springs, from back to front, in their colours."""
    if item.kind == "sticker":
        return []
    colour = item.plastic.reflectance(int(params.colour))
    solids = [part.coloured(colour) for part in frame_solids(fit, item, sheets, half)]
    if item.kind == "slinky":
        for side, sheet in enumerate(sheets):
            coil = spring(_spring_line(sheet, params, side), 0.55 * half[0])
            solids.append(coil.coloured(torch.tensor([0.5, 0.5, 0.52])))
    return solids
