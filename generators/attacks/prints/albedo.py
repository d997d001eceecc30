"""The reflectance of a printed sheet at every sensor pixel, and what the lens leaves of its dots."""

from collections.abc import Collection

import torch
from torch import Tensor

from spooflab.generators.attacks.prints.creases import worn
from spooflab.generators.attacks.prints.maps import Maps, box_cover, sample_picture
from spooflab.generators.attacks.prints.params import PrintParams
from spooflab.generators.attacks.prints.place import Placement
from spooflab.generators.attacks.prints.process import Printing, Window, ground_reflectance, print_photograph
from spooflab.generators.face import Face
from spooflab.generators.instruments.halftone import CELL
from spooflab.generators.instruments.halftone_view import Dots, Screens, am_lattice, dots_ratio, fm_lattice, plan_dots
from spooflab.generators.instruments.ink_model import InkModel
from spooflab.generators.instruments.paper import Paper
from spooflab.generators.instruments.paper_texture import fibre_at

_BLOCK = 16
_FAINT_TEXTURE = 0.0025


def printed_area(face: Face, params: PrintParams, placement: Placement) -> tuple[Tensor, Tensor]:
    """Return two corners (2,), mm, of the photograph as the sheet's margins crop it."""
    half = params.sheet_mm[0] / 2 - params.margin_mm
    first = placement.to_sheet(torch.zeros(2))
    last = placement.to_sheet(torch.tensor([face.size[1], face.size[0]], dtype=torch.float32))
    return torch.maximum(first, -half), torch.minimum(last, half)


def visible_window(face: Face, maps: Maps, params: PrintParams, placement: Placement) -> Window:
    """Return the part of the photograph that is inside the sheet's margins and the frame, on multiples of 16 pixels."""
    half = params.sheet_mm[0] / 2 - params.margin_mm
    low = torch.maximum(maps.low_mm, -half)
    high = torch.minimum(maps.high_mm, half)
    edges = torch.stack([low, high]) - placement.face_mm
    (x0, y0), (x1, y1) = (edges / placement.mm_per_px + placement.face_px).tolist()
    height, width = face.size
    left, right = _blocks(x0, x1, width)
    top, bottom = _blocks(y0, y1, height)
    return left, top, right, bottom


def _blocks(low: float, high: float, size: int) -> tuple[int, int]:
    """Widen a range of pixels by 3 and to whole blocks, within the picture and never empty."""
    first = min(max(0, int(low - 3) // _BLOCK * _BLOCK), (size - 1) // _BLOCK * _BLOCK)
    last = min(size, -(-int(high + 4) // _BLOCK) * _BLOCK)
    return first, max(last, min(size, first + _BLOCK))


def screens_of(paper: Paper, printing: Printing, model: InkModel) -> Screens | None:
    """Return the sheet's screens; None for continuous tone."""
    solid = torch.stack([model.primaries[1 << ink] for ink in range(4)]) / model.white
    if paper.screen is not None:
        angles = paper.screen.angles_deg
        turned = torch.tensor([angles.c, angles.m, angles.y, angles.k]) + printing.screen_turn_deg
        lattice = am_lattice(paper.screen.lpi * printing.screen_scale, turned)
        return Screens(paper.screen.spot, lattice, printing.screen_phase[0], solid, model.n)
    if paper.fm is not None:
        return Screens("fm", fm_lattice(paper.fm.dpi), printing.screen_phase[0], solid, model.n)
    return None


def crop_to_margins(planes: Tensor, params: PrintParams, corner_mm: Tensor, mm_per_px: float) -> Tensor:
    """Zero what lies in the unprinted border of planes (C, h, w), with the border's edge within a pixel."""
    height, width = planes.shape[-2:]
    half = (params.sheet_mm[0] / 2 - params.margin_mm).tolist()
    u = float(corner_mm[0]) + (torch.arange(width) + 0.5) * mm_per_px
    v = float(corner_mm[1]) + (torch.arange(height) + 0.5) * mm_per_px
    across = ((half[0] - u.abs()) / mm_per_px + 0.5).clamp(0, 1)
    down = ((half[1] - v.abs()) / mm_per_px + 0.5).clamp(0, 1)
    cropped: Tensor = planes * (down[:, None] * across)
    return cropped


def sheet_albedo(
    face: Face, params: PrintParams, paper: Paper, placement: Placement, maps: Maps, window: Window,
    off: Collection[str],
) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:  # fmt: skip
    """Return the sheet's reflectance without dots (3, H, W), what the dots multiply it by, and the figures of both."""
    model, printing = paper.ink_model(), params.printing
    dots, mean = print_photograph(face.radiance[0], face.box[0], printing, paper, placement.mm_per_px, window, off=off)
    white = model.white[:, None, None]
    planes = mean.div_(white)
    ground = None
    if bool((params.ground < 1).any()):
        ground = ground_reflectance(params.ground[0], paper)[:, None, None] / white
    planes.sub_(1.0 if ground is None else ground)
    plan, facts = _plan(paper, params, placement, maps, model, dots, off)
    if plan is not None and plan.visible:
        planes = torch.cat([planes, dots])
    corner = placement.to_sheet(torch.tensor(window[:2], dtype=torch.float32))
    planes = crop_to_margins(planes, params, corner, placement.mm_per_px)
    seen = sample_picture(maps, planes, corner, placement.mm_per_px)
    albedo = seen[:3]
    if ground is not None:
        half = params.sheet_mm[0] / 2 - params.margin_mm
        inked = box_cover(maps, -half, half)
        for channel in range(3):
            albedo[channel].add_(inked, alpha=float(ground[channel]) - 1)
    if (
        "creases" not in off
        and (lost := worn(params.creases, maps.u, maps.v, params.sheet_mm[0], maps.mm_per_px)) is not None
    ):
        albedo.mul_(lost.neg_().add_(1))
    albedo.add_(1).mul_(_paper_white(params, paper, model, off))
    surface, texture = paper.surface, paper.surface.fibre_contrast
    if int(params.film) > 0:
        texture = texture / 2  # the film's even surface hides what is relief
    if texture > _FAINT_TEXTURE and "fibre" not in off:
        shift_u, shift_v = printing.fibre_shift[0].tolist()
        fibres = fibre_at(maps.u, maps.v, surface.fibre_mm, (shift_u, shift_v), mm_per_px=maps.mm_per_px,
                          woven=surface.woven)  # fmt: skip
        albedo.mul_(fibres.mul_(texture).add_(1))
    ratio = dots_ratio(plan, maps.u, maps.v, seen[3:]) if plan is not None and plan.visible else None
    return albedo, ratio, facts


def _paper_white(params: PrintParams, paper: Paper, model: InkModel, off: Collection[str]) -> Tensor:
    """Return (3, 1, 1): the paper's reflectance with its brightener's glow, or a perfect white's."""
    if "paper_white" in off:
        return torch.ones(3, 1, 1)
    white = model.white[:, None, None].clone()
    white[2] *= 1 + paper.surface.brightener * float(params.ultraviolet)
    return white


def _plan(
    paper: Paper, params: PrintParams, placement: Placement, maps: Maps, model: InkModel, dots: Tensor,
    off: Collection[str],
) -> tuple[Dots | None, dict[str, Tensor]]:  # fmt: skip
    """Return what the view can see of the sheet's dots, and their figures."""
    facts = {"ink_coverage": dots.mean()[None], "lpi": torch.zeros(1), "dots_per_mm": torch.zeros(1)}
    facts |= {"halftone_cycles_per_px": torch.zeros(1), "halftone_modulation": torch.zeros(1)}
    screens = screens_of(paper, params.printing, model)
    if screens is None or "halftone" in off:
        return None, facts
    plan = plan_dots(placement.view, screens, maps.footprint, dots.amax((1, 2)))
    pitch = screens.lattice[3, 0].norm()[None] * (CELL if paper.fm is not None else 1)
    facts["lpi"] = pitch * 25.4 if paper.screen is not None else torch.zeros(1)
    facts |= {"dots_per_mm": pitch, "halftone_cycles_per_px": pitch * maps.mm_per_px}
    facts["halftone_modulation"] = torch.tensor([plan.strength])
    return plan, facts
