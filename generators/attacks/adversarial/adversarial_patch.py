"""A printed patch worn on the face, optimised against a given detector (species `adversarial_patch`)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.adversarial.attackable import attackable
from spooflab.generators.adversarial.detector import Detector
from spooflab.generators.adversarial.surrogate import load_surrogate
from spooflab.generators.adversarial.worn_patch import (
    Printer,
    Transforms,
    WornScene,
    decoded,
    encoded,
    optimise_pattern,
)
from spooflab.generators.attack import Changed
from spooflab.generators.attacks.adversarial.adversarial_pixel import same_detector, scores
from spooflab.generators.attacks.partials.canvas import Canvas, cast_shadow, shade_under
from spooflab.generators.attacks.partials.enlarge import SheetPixels, enlarged_view
from spooflab.generators.attacks.partials.fasten import arm
from spooflab.generators.attacks.partials.glasses_cut import front_outline
from spooflab.generators.attacks.partials.lay import laid_on, lifted
from spooflab.generators.attacks.partials.mesh import merged, paint_solid, see_solid
from spooflab.generators.attacks.partials.outline import Outline, box, ellipse, inset, moved, without
from spooflab.generators.attacks.partials.paint import cover_of, paint_sheet
from spooflab.generators.attacks.partials.print import LocalPrintParams, ink_model_of, inked, sample_local_print
from spooflab.generators.attacks.partials.rows import change_rows
from spooflab.generators.attacks.partials.sheet import Sheet, bent_sheet, facing_axes
from spooflab.generators.attacks.partials.stock import fibred, material_of
from spooflab.generators.attacks.partials.view import see_sheet
from spooflab.generators.face import PARSING, Face
from spooflab.generators.geometry.geometry import Geometry
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.geometry.light import shading
from spooflab.generators.instruments.ink_separation import apply_table
from spooflab.generators.instruments.paper import Paper, separation_of
from spooflab.generators.instruments.partial_bank import PrintedPatch, by_number, choose, load_partials, within
from spooflab.params import Params, choice, uniform
from spooflab.seeds import generator

_FILE_PX = 4  # pixels of the printed file for each cell of the pattern
_TURNED_DEG = 8.0
_PLACES = {"forehead": (0.0, 40.0), "cheek": (41.0, -38.0), "band": (0.0, 43.0)}


@dataclass(frozen=True)
class AdversarialPatchParams(Params):
    """One worn patch.

    Attributes:
        instrument: (B,) int64 `PrintedPatch.number`.
        ablated: (B,) int64 bits of the effects that are off.
        detector: (B,) int64 `Detector.number` of the model that is attacked.
        print: the printer's state; scale, shift and turn are not used.
        size_mm: (B, 2) width and height.
        cells: (B,) int64 pattern cells across.
        frame_mm: (B,) width of a spectacle frame's rim.
        centre_mm: (B, 2) displacement on the face, (u, v).
        roll_deg: (B,) clockwise turn.
        gap_mm: (B,) clearance, or distance before the eyes of glasses.
        side: (B,) int64 0 the cheek at the image's left.
        iterations: (B,) int64 steps.
        step: (B,) change of a code at each.
        momentum: (B,) decay of the gradient's memory.
        shift, scale, light, noise: (B,) the transformations that the attacker expects, see `Transforms`.
        seed: (B,) int64 of the start and of the transformations.
        wave_slope: (B,) root mean square slope of the paper's waves.
        lamp_radius_deg: (B,) angular radius of the dominant lamp, for the penumbra.
    """

    instrument: Tensor
    ablated: Tensor
    detector: Tensor
    print: LocalPrintParams
    size_mm: Tensor
    cells: Tensor
    frame_mm: Tensor
    centre_mm: Tensor
    roll_deg: Tensor
    gap_mm: Tensor
    side: Tensor
    iterations: Tensor
    step: Tensor
    momentum: Tensor
    shift: Tensor
    scale: Tensor
    light: Tensor
    noise: Tensor
    seed: Tensor
    wave_slope: Tensor
    lamp_radius_deg: Tensor


class AdversarialPatch:
    """A sticker, band or spectacle frame whose printed pattern raises a detector's bona fide score for its wearer.

    The attacker optimises against a photograph of himself (`optimise_pattern`), prints the pattern and wears it.
    Whether the score rose is a fact of the record: a sample that failed to raise it is a sample like any other.

    Args:
        detector: attacked model; the shipped surrogate by default.
        instruments: ids that may be used; None or empty for all.
        ablate: effects to switch off: `gradient` leaves a random pattern of the same cells, `print` ideal colours.

    Raises:
        ConfigError: an unknown instrument or effect.
    """

    species = "adversarial_patch"
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = ("gradient", "print", "contact_shadow", "gloss", "thickness", "relief")

    def __init__(
        self, detector: Detector | None = None, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()
    ) -> None:
        self.detector = load_surrogate() if detector is None else detector
        self.bank = choose(load_partials().adversarial_patch, instruments, self.species)
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every instrument."""
        return tuple(item.id for item in load_partials().adversarial_patch)

    def sample(self, batch_size: int, generator: torch.Generator) -> AdversarialPatchParams:
        """Draw patches and how hard they are optimised."""
        n, gen = batch_size, generator
        items = [self.bank[i] for i in choice(n, len(self.bank), gen).tolist()]
        unit = torch.rand(n, 6, generator=gen)
        iterations = torch.randint(8, 25, (n,), generator=gen)
        return AdversarialPatchParams(
            instrument=torch.tensor([item.number for item in items]),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
            detector=torch.full((n,), self.detector.number, dtype=torch.int64),
            print=sample_local_print(n, gen),
            size_mm=torch.stack([within(items, "width_mm", unit[:, 0]), within(items, "height_mm", unit[:, 1])], 1),
            cells=within(items, "cells", unit[:, 2]).round().to(torch.int64),
            frame_mm=uniform(n, 5.0, 9.0, gen),
            centre_mm=torch.randn(n, 2, generator=gen).clamp(-2, 2) * torch.tensor([3.0, 2.0]),
            roll_deg=(3 * torch.randn(n, generator=gen)).clamp(-9, 9),
            gap_mm=within(items, "gap_mm", unit[:, 3]),
            side=choice(n, 2, gen),
            iterations=iterations,
            step=uniform(n, 1.2, 2.4, gen) / iterations,
            momentum=torch.where(unit[:, 4] < 0.6, 0.9, 0.0),
            shift=uniform(n, 0.0, 0.04, gen),
            scale=uniform(n, 0.0, 0.08, gen),
            light=uniform(n, 0.0, 0.25, gen),
            noise=uniform(n, 0.0, 0.02, gen),
            seed=torch.randint(0, 2**62, (n,), generator=gen),
            wave_slope=uniform(n, 0.004, 0.02, gen),
            lamp_radius_deg=uniform(n, 2.0, 14.0, gen),
        )

    def parse(self, record: dict[str, Any]) -> AdversarialPatchParams:
        """Rebuild parameters from a record's JSON."""
        return AdversarialPatchParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Optimise, print and wear each patch by itself; the donor is not looked at.

        Raises:
            DataError: the parameters were drawn for another detector.
            SkipSample: no head can be fitted to the face.
        """
        assert isinstance(params, AdversarialPatchParams)
        same_detector(self.detector, params.detector, self.species)
        return change_rows(face, face, params, self._row)

    def _row(self, face: Face, _: Face, params: AdversarialPatchParams, geometry: Geometry) -> Changed:
        item = by_number(load_partials().adversarial_patch, int(params.instrument), self.species)
        off = {name: is_off(params.ablated, self.EFFECTS, name) for name in self.EFFECTS}
        canvas, fit = Canvas(face, geometry), geometry.fit
        sheet, outline = _worn(fit, item, params)
        half = (float(params.size_mm[0, 0]) / 2 + 2, float(params.size_mm[0, 1]) / 2 + 2)
        coarse = see_sheet(fit, sheet, shrink=2)
        view = None if coarse is None else enlarged_view(coarse, half, fit.size)
        steps = 0.0
        if coarse is not None and view is not None:
            if not off["contact_shadow"]:
                cast_shadow(canvas, coarse, outline, math.radians(float(params.lamp_radius_deg)))
                shade_under(canvas)
            pattern = _start(params, random=off["gradient"])
            paper = item.paper(int(params.print.paper))
            printer = decoded if off["print"] else _characterised(paper)
            grid = _grid(view, params)
            material = material_of(item, params.print, float(params.wave_slope), off)
            if not off["gradient"]:
                scene = _scene(canvas, view, outline, grid).at(self.detector.size)
                steps = float(params.iterations)
                pattern = self._optimised(scene, printer, pattern, params)
            label = PARSING.index("glasses" if item.place == "glasses" else "clothes")
            laid = decoded(pattern) if off["print"] else _printed(pattern, paper, params)
            albedo = F.grid_sample(laid[None], grid[None, None], padding_mode="border", align_corners=False).reshape(
                3, -1
            )
            albedo = albedo if off["print"] else fibred(albedo, params.print, paper, view)
            if item.place == "glasses":
                _put_arms(canvas, sheet, params, gloss=not off["gloss"])
            paint_sheet(canvas, view, outline, albedo, material, label)
        changed = canvas.face()
        before, after = encoded(face.radiance), encoded(changed.radiance)
        first, last = scores(self.detector, before, after)
        difference = after - before
        facts = {
            "score_before": first,
            "score_after": last,
            "linf": difference.abs().amax((1, 2, 3)),
            "l2": difference.square().sum((1, 2, 3)).sqrt(),
            "iterations": torch.tensor([steps]),
            "patch_width_mm": params.size_mm[:, 0],
            "patch_height_mm": params.size_mm[:, 1],
            "cell_mm": params.size_mm[:, 0] / params.cells,
        }
        return Changed(changed, facts, (item.id,), (self.detector.model_id,))

    def _optimised(self, scene: WornScene, printer: Printer, start: Tensor, params: AdversarialPatchParams) -> Tensor:
        expected = Transforms(*(float(v) for v in (params.shift, params.scale, params.light, params.noise)))
        with attackable(self.detector.module):
            return optimise_pattern(
                self.detector.score, scene, printer, start,
                iters=int(params.iterations), step=float(params.step), momentum=float(params.momentum),
                expected=expected, seed=int(params.seed),
            )  # fmt: skip


def _worn(fit: HeadFit, item: PrintedPatch, params: AdversarialPatchParams) -> tuple[Sheet, Outline]:
    """Return the sheet where it is worn, and its outline."""
    half = (float(params.size_mm[0, 0]) / 2, float(params.size_mm[0, 1]) / 2)
    du, dv = params.centre_mm[0].tolist()
    roll, gap = float(params.roll_deg), float(params.gap_mm)
    if item.place == "glasses":
        return _spectacles(fit, params, half)
    x, y = _PLACES[item.place]
    yaw = fit.angles_deg[0]
    right = bool(params.side) if abs(yaw) < _TURNED_DEG else yaw < 0  # a patch is worn where the camera sees it
    x = x if right else -x
    sheet = laid_on(
        fit, (x + du, y - dv), (half[0] * 0.97, half[1] * 0.97), gap_mm=gap, roll_deg=roll, bend=1.0, margin_mm=14.0,
        least_radius_mm=30.0,
    )  # fmt: skip
    outline = ellipse((0.0, 0.0), half) if item.cut == "oval" else box((0.0, 0.0), half, 1.5)
    return sheet, outline


def _spectacles(fit: HeadFit, params: AdversarialPatchParams, half: tuple[float, float]) -> tuple[Sheet, Outline]:
    """Return a spectacle front with open lenses."""
    eyes = fit.eyes.flip(0)
    du, dv = params.centre_mm[0].tolist()
    front = eyes[:, :3].mean(0) + torch.tensor([0.4 * du, -dv, float(eyes[:, 3].mean()) + float(params.gap_mm)])
    axes = facing_axes(0.0, -2.0, 0.5 * float(params.roll_deg))
    offset = eyes[:, :3] - front
    at = torch.stack([offset @ axes[0], offset @ axes[1]], -1)
    whole = front_outline("wayfarer", (2 * half[0], 2 * half[1]), at, 10.0)
    rim = float(params.frame_mm)
    bridge = moved(box((0.0, 0.0), (9.0, 0.25 * half[1])), at.mean(0) - torch.tensor([0.0, 0.35 * half[1]]))
    outline = without(whole, without(inset(whole, rim), bridge))
    sheet = bent_sheet(front, axes, (half[0] + 18.0, half[1] + 18.0), curvature_per_mm=1 / 400)
    return lifted(fit, sheet, outline, 0.6), outline


def _put_arms(canvas: Canvas, sheet: Sheet, params: AdversarialPatchParams, *, gloss: bool) -> None:
    """Put the black plastic arms on that carry the printed front."""
    half = params.size_mm[0] / 2
    parts = []
    for side, end in ((0, 1.0), (1, -1.0)):
        hinge = sheet.point(torch.stack([end * (half[0] - 2.0), -0.3 * half[1]]))
        parts.append(arm(canvas.geometry.fit, hinge, side, height_mm=5.0, thickness_mm=2.0))
    seen = see_solid(canvas.geometry.fit, merged([part.coloured(torch.full((3,), 0.03)) for part in parts]))
    if seen is not None:
        paint_solid(canvas, seen, seen.values, 0.3, 0.045 if gloss else 0.0, PARSING.index("glasses"))


def _grid(view: SheetPixels, params: AdversarialPatchParams) -> Tensor:
    """Return (P, 2) where each pixel looks on the pattern, −1…1."""
    half = params.size_mm[0] / 2
    return torch.stack([view.u / half[0], view.v / half[1]], -1)


def _start(params: AdversarialPatchParams, *, random: bool) -> Tensor:
    """Return random codes (3, h, w)."""
    across = int(params.cells)
    down = max(4, round(across * float(params.size_mm[0, 1] / params.size_mm[0, 0])))
    noise = torch.rand(3, down, across, generator=generator(int(params.seed), "pattern"))
    return noise if random else 0.35 + 0.3 * noise  # room to move either way


def _characterised(paper: Paper) -> Printer:
    """Return what the attacker expects of his printer: its own profile, without drift, banding or misregistration."""
    model, table = ink_model_of(paper), separation_of(paper)

    def put(codes: Tensor) -> Tensor:
        nominal = apply_table(table, codes[None])[0]
        return model.reflectance(nominal.permute(1, 2, 0)).permute(2, 0, 1)

    return put


def _printed(codes: Tensor, paper: Paper, params: AdversarialPatchParams) -> Tensor:
    """Return the reflectance (3, h, w) of the printed file, which has `_FILE_PX` pixels for each cell."""
    mm_per_px = float(params.size_mm[0, 0]) / (int(params.cells) * _FILE_PX)
    file = F.interpolate(codes[None], scale_factor=_FILE_PX, mode="bilinear", align_corners=False)[0]
    height, width = file.shape[-2:]
    return inked(file, params.print, paper, mm_per_px, (0, 0, width, height), (height, width))


def _scene(canvas: Canvas, view: SheetPixels, outline: Outline, grid: Tensor) -> WornScene:
    """Return the whole picture but for the pattern."""
    cover = cover_of(outline(view.u, view.v), view.mm_per_px) * canvas.visible(view.pixel, view.depth_mm)
    height, width = canvas.cover.shape
    fixed, gain = canvas.radiance.reshape(3, -1).clone(), torch.zeros(3, height * width)
    fixed.index_copy_(1, view.pixel, fixed.index_select(1, view.pixel) * (1 - cover))
    gain.index_copy_(1, view.pixel, cover * view.enlarge(shading(canvas.light, view.coarse.normal)))
    places = torch.zeros(height * width, 2).index_copy_(0, view.pixel, grid)
    return WornScene(fixed.reshape(3, height, width), gain.reshape(3, height, width), places.reshape(height, width, 2))
