"""Makeup that makes its wearer look like somebody else: the other's colours and forms painted on one's own shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed, wanted_donor
from spooflab.generators.attacks.painted import Painted, painted_face
from spooflab.generators.face import Face
from spooflab.generators.face_memory import FaceMemory
from spooflab.generators.geometry import read_geometry
from spooflab.generators.instruments.kubelka_munk import Pigment, hiding_pigment, pigment
from spooflab.generators.instruments.likeness import Likeness, drawn_lips, forms, likeness
from spooflab.generators.instruments.makeup_bank import Kit, chosen, load_makeups, numbered
from spooflab.generators.instruments.makeup_eyes import brow_strokes, liner
from spooflab.generators.instruments.makeup_hand import Hand
from spooflab.generators.instruments.makeup_lips import lips
from spooflab.generators.instruments.makeup_regions import EyeFrame, soft_step
from spooflab.generators.instruments.skin_canvas import SkinCanvas
from spooflab.generators.instruments.skin_texture import BLOTCHES, GRAIN, texture
from spooflab.params import Params, choice, uniform
from spooflab.seeds import generator as named

_MOST_LIPS_MM = 3.0
_MOST_FORM = 0.45


@dataclass(frozen=True)
class MakeupImpersonationParams(Params):
    """One painted likeness.

    Attributes:
        kit: (B,) int64 `Kit.number`.
        amount: (B,) applications of the covering product.
        tone: (B,) how far the skin's colour is taken to the other's, 0-1.
        detail: (B,) how strongly moles, stubble and lines of the other are copied, 0-1.
        contour: (B,) how strongly the other's forms are painted as light and shade, 0-1.
        brows: (B,) applications of the brows' paint.
        lips: (B,) applications of the lips' paint.
        liner_mm: (B,) thickness of the line that reshapes the eyes.
        softness: (B,) factor of the kit's edge softness.
        strokes: (B,) unevenness of the application.
        seed: (B,) int64 of everything uneven.
        ablated: (B,) int64 bits of the effects that are off.
    """

    kit: Tensor
    amount: Tensor
    tone: Tensor
    detail: Tensor
    contour: Tensor
    brows: Tensor
    lips: Tensor
    liner_mm: Tensor
    softness: Tensor
    strokes: Tensor
    seed: Tensor
    ablated: Tensor


_likenesses: FaceMemory[Likeness] = FaceMemory(8)


class MakeupImpersonation:
    """A likeness painted on a live face (species `makeup_impersonation`), after SiW-Mv2, HQ-WMCA and MIFS.

    Only albedo and gloss change: the geometry stays the wearer's, which is what gives such makeup away.

    Args:
        instruments: ids of kits in `configs/instruments/makeups.yaml` that may be drawn; None for all.
        ablate: effects to switch off: `pigment` (paint changes no albedo), `gloss` (neither shine nor mattness),
            `strokes` (even, sharp application), `contour` (forms are not painted).

    Raises:
        ConfigError: an unknown id or effect.
    """

    species = "makeup_impersonation"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = ("pigment", "gloss", "strokes", "contour")

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.kits = chosen(load_makeups().kits, instruments, "makeup kits")
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every kit."""
        return tuple(kit.id for kit in load_makeups().kits)

    def sample(self, batch_size: int, generator: torch.Generator) -> MakeupImpersonationParams:
        """Draw the kit and how well the painter works."""
        n = batch_size
        kits = [self.kits[int(k)] for k in choice(n, len(self.kits), generator)]
        return MakeupImpersonationParams(
            kit=torch.tensor([kit.number for kit in kits]),
            amount=uniform(n, 0.7, 1.5, generator),
            tone=uniform(n, 0.55, 1.0, generator),
            detail=uniform(n, 0.5, 1.0, generator),
            contour=uniform(n, 0.3, 0.9, generator),
            brows=uniform(n, 0.7, 1.6, generator),
            lips=uniform(n, 0.5, 1.2, generator),
            liner_mm=uniform(n, 0.3, 1.4, generator),
            softness=uniform(n, 0.6, 1.4, generator),
            strokes=uniform(n, 0.5, 1.4, generator),
            seed=torch.randint(0, 2**62, (n,), generator=generator),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )

    def parse(self, record: dict[str, Any]) -> MakeupImpersonationParams:
        """Rebuild parameters from a record's JSON."""
        return MakeupImpersonationParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the wearer painted as the donor; pixels without paint keep their bits.

        Raises:
            DataError: no donor.
            SkipSample: a head cannot be fitted, or a face lies outside its picture.
            ConfigError: the record names a kit that is not in the bank.
        """
        assert isinstance(params, MakeupImpersonationParams)
        donor = wanted_donor(donor, self.species)
        rows = [
            self._paint(face.row(i), donor.row(min(i, donor.batch_size - 1)), params.row(i))
            for i in range(face.batch_size)
        ]
        changed = painted_face(face, rows)
        return Changed(
            changed.face.replace(synthetic=face.synthetic and donor.synthetic), changed.facts, changed.instrument_id
        )

    def _paint(self, face: Face, donor: Face, params: MakeupImpersonationParams) -> Painted:
        kit = numbered(load_makeups().kits, int(params.kit[0]), "makeup kit")
        off = {name: is_off(params.ablated, self.EFFECTS, name) for name in self.EFFECTS}
        canvas = SkinCanvas.of(face, read_geometry(face))
        other = _likenesses.of(donor, lambda one: likeness(SkinCanvas.of(one, read_geometry(one))))
        canvas.with_pigment, canvas.with_gloss = not off["pigment"], not off["gloss"]
        strokes = 0.0 if off["strokes"] else float(params.strokes[0])
        contour = 0.0 if off["contour"] else float(params.contour[0])
        shift = _cover(canvas, other, kit, params, strokes, contour)
        _brow_powder(canvas, other, params, strokes)
        canvas.bring_to_full()
        _features(canvas, other, params, strokes)
        facts = {
            "makeup_area_mm2": (canvas.cover.sum() * canvas.mm_per_px**2)[None],
            "cover_applications": params.amount,
            "tone_shift": shift[None],
        }
        return Painted(canvas.radiance, canvas.cover, facts, kit.id)


def _cover(
    canvas: SkinCanvas, other: Likeness, kit: Kit, params: MakeupImpersonationParams, strokes: float, contour: float
) -> Tensor:
    """Cover the skin with the other's colours; return the mean change of log albedo."""
    seed = int(params.seed[0]) & 0xFFFFFF
    softness = kit.softness_mm * float(params.softness[0])
    planes = other.skin.soften(0.0 if strokes == 0 else 0.7 * softness).at(canvas.uv)
    own = canvas.colour.mean
    tone = torch.exp(torch.lerp(own.log(), other.mean.log(), float(params.tone[0])))
    detail = float(params.detail[0])
    target = planes[:3] * detail + planes[3:4] * (0.55 * detail)
    if contour > 0:
        target = target + ((planes[4] - forms(canvas)) * contour).clamp(-_MOST_FORM, _MOST_FORM)
    target = (tone[:, None, None] * target.exp()).clamp(0.015, 0.92)
    product = load_makeups().product(kit.cover)
    scatter = hiding_pigment(own, product.hiding).scatter
    paint = pigment(target, scatter[:, None, None])
    where = torch.maximum(canvas.skin, torch.maximum(0.8 * canvas.brows, 0.7 * canvas.mouth) * canvas.clear)
    uneven = torch.ones(())
    if strokes > 0:
        uneven = 1 + strokes * (
            0.12 * texture(canvas.uv, 80.0, seed, BLOTCHES) + kit.grain * texture(canvas.uv, 45.0, seed + 1, GRAIN)
        )
    thickness = (where * uneven * float(params.amount[0])).clamp(min=0)
    canvas.lay(paint, thickness)
    canvas.powder((where * product.matte * (1 - 0.6 * kit.gloss)).clamp(max=1))
    canvas.add_shine(where * (0.4 * kit.gloss), product.roughness, product.f0)
    return (tone / own).log().mean()


def _brow_powder(canvas: SkinCanvas, other: Likeness, params: MakeupImpersonationParams, strokes: float) -> None:
    """Powder brows of the other's height, arch and thickness, beside one's own if need be."""
    total = torch.zeros_like(canvas.skin)
    for eye, theirs in zip(canvas.eyes, other.eyes, strict=True):
        if eye.window.empty:
            continue
        f = eye.fields
        line = _line_of(f.s, theirs)
        half = 0.5 * other.brow_thick * (1 - 0.55 * f.s.clamp(0, 1.3))
        ends = soft_step(f.s + 0.12, 0.06) * soft_step(float(theirs.tail[0]) + 0.06 - f.s, 0.06)
        eye.add(total, soft_step(half - (f.h - line + 0.04).abs(), 0.03) * ends)
    uneven = torch.ones(())
    if strokes > 0:
        uneven = 1 + 0.2 * strokes * texture(canvas.uv, 18.0, int(params.seed[0]) & 0xFFFFF, GRAIN)
    thickness = (total * torch.maximum(canvas.clear, canvas.skin) * float(params.brows[0]) * 0.7 * uneven - 0.02).clamp(
        min=0
    )
    canvas.lay(_brow_paint(other), thickness)


def _line_of(s: Tensor, theirs: EyeFrame) -> Tensor:
    """Return heights of the other's brow at positions s of an eye, in eye widths."""
    return torch.from_numpy(np.interp(s.numpy(), theirs.table[0], theirs.table[3])).to(torch.float32)


def _brow_paint(other: Likeness) -> Pigment:
    return hiding_pigment(other.brow.clamp(0.01, 0.6), 0.8)


def _features(canvas: SkinCanvas, other: Likeness, params: MakeupImpersonationParams, strokes: float) -> None:
    """Draw the hairs of the brows, reshape the eyes and the lips."""
    seed = int(params.seed[0])
    if strokes > 0:
        brow_strokes(canvas, _brow_paint(other), float(params.brows[0]), named(seed, "brows"), like=other.eyes)
    bank = load_makeups()
    mine, theirs = canvas.eyes[0].frame, other.eyes[0]
    opener = max(theirs.opening - mine.opening, 0.0) * 28
    liner(
        canvas,
        bank.product("liner_kohl"),
        0.8,
        thick_mm=float(params.liner_mm[0]) + 0.5 * opener,
        wing_mm=1.5 + 6 * max(theirs.opening - mine.opening, 0.0),
        wing_up=0.3,
        lower=0.35,
    )
    scale = _eye_gap(canvas) / max(other.eye_gap, 1e-6)
    outline = drawn_lips(canvas.lips, other, scale, _MOST_LIPS_MM / canvas.mm_per_px)
    lip = hiding_pigment(other.lips.clamp(0.02, 0.8), 0.8)
    hand = Hand(seed & 0xFFFFFF, strokes)
    lips(
        canvas,
        bank.product("lip_nude_pink"),
        float(params.lips[0]),
        hand,
        over_mm=(0.0, 0.0, 0.0),
        softness_mm=0.7,
        outline=outline,
        paint=lip,
    )


def _eye_gap(canvas: SkinCanvas) -> float:
    left, right = (eye.frame.inner + 0.5 * eye.frame.along for eye in canvas.eyes)
    return float(np.hypot(*(right - left)))
