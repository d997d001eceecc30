"""A print with eyes, mouth or nose cut out, the attacker's own behind the holes (species `print_cut`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Rendered, wanted_donor
from spooflab.generators.attacks.cutouts.behind import light_of, light_past, rim_share
from spooflab.generators.attacks.cutouts.holes import (
    Holes,
    donor_at,
    flap_depth,
    hole_depth,
    sample_holes,
    to_donor,
)
from spooflab.generators.attacks.prints.maps import Maps, coarsely, finely
from spooflab.generators.attacks.prints.params import PRINT_EFFECTS, PrintParams, sample_print
from spooflab.generators.attacks.prints.place import Placement, place
from spooflab.generators.attacks.prints.process import paper_of
from spooflab.generators.attacks.prints.rows import stack_rows
from spooflab.generators.attacks.prints.sheet import Behind, Sheet, finish, show_sheet, switch_off
from spooflab.generators.enlarge import enlarge
from spooflab.generators.face import Face
from spooflab.generators.instruments.paper import choose_papers
from spooflab.generators.instruments.paper_bend import project_sheet
from spooflab.generators.scene import Scene
from spooflab.params import Params

_STEP = 2  # pixels at a time for what is soft
_EDGE = 0.85  # reflectance of a cut edge relative to the paper's


@dataclass(frozen=True)
class PrintCutParams(Params):
    """One cut print.

    Attributes:
        shown: the print.
        holes: its holes and the face behind them.
        ablated: (B,) int64 bits of the effects that are off; the print's own are its lowest.
    """

    shown: PrintParams
    holes: Holes
    ablated: Tensor


class PrintCut:
    """Prints of any kind with holes; `donor` is the attacker behind them.

    Args:
        instruments: ids of the papers that may be used; None or empty for all of the bank.
        ablate: names of `EFFECTS` to switch off.

    Raises:
        ConfigError: an id is not in the bank, or an effect is not known.
    """

    species = "print_cut"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = (*PRINT_EFFECTS, "rim", "edge_shadow")

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.papers = choose_papers(instruments, ("a4", "photo"))
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)
        self.scene = Scene()

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every paper that this attack can use."""
        return tuple(paper.id for paper in choose_papers(None, ("a4", "photo")))

    def sample(self, batch_size: int, generator: torch.Generator) -> PrintCutParams:
        """Draw prints, held fairly straight since they are worn before a face, and their holes."""
        off = ablation(self.species, self.EFFECTS, self.ablate, batch_size)
        shown = sample_print(self.papers, self.scene, batch_size, generator, ablated=off, max_tilt_deg=18.0, worn=True)
        return PrintCutParams(shown, sample_holes(batch_size, generator), off)

    def parse(self, record: dict[str, Any]) -> PrintCutParams:
        """Rebuild parameters from a record's JSON."""
        return PrintCutParams.from_json(record)

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        """Show the cut print with the donor behind it.

        Raises:
            DataError: there is no donor.
        """
        assert isinstance(params, PrintCutParams)
        donor = wanted_donor(donor, self.species)
        if donor.batch_size != face.batch_size:
            raise ValueError(f"print_cut: {donor.batch_size} donors for {face.batch_size} faces, wanted one each")
        remaining = iter([donor.row(i) for i in range(donor.batch_size)])
        return stack_rows(face, view, params, lambda f, v, p: _render(f, v, p, next(remaining), self.scene))


@dataclass(frozen=True)
class Near:
    """The window about the holes: sheet positions (h, w), mm, how far inside a hole each lies, a pixel's size."""

    window: tuple[slice, slice]
    u: Tensor
    v: Tensor
    inside: Tensor
    mm_per_px: float


def _render(face: Face, view: View, params: PrintCutParams, donor: Face, scene: Scene) -> Rendered:
    kept, off = switch_off(params.shown)
    rim, shadow = (not is_off(params.ablated, PrintCut.EFFECTS, name) for name in ("rim", "edge_shadow"))
    placement = place(face, view, kept)
    landmarks = placement.to_sheet(face.landmarks[0])
    window = _window(landmarks, kept, placement)
    found: list[Near] = []

    def opening(u: Tensor, v: Tensor) -> Tensor:
        return hole_depth(u, v, landmarks, params.holes, placement.mm_per_px)

    def edit(albedo: Tensor, maps: Maps) -> None:
        u, v = maps.u[window].contiguous(), maps.v[window].contiguous()
        inside = finely(opening, u, v, 2)
        found.append(Near(window, u, v, inside, maps.mm_per_px))
        white = _EDGE * paper_of(kept.printing).ink_model().white[:, None, None]
        part = (slice(None), *window)
        if float(params.holes.flap) > 0:
            flap = flap_depth(u, v, landmarks, params.holes, placement.mm_per_px)
            albedo[part] *= flap.sub(-1.5).div_(3.0).clamp_(0, 1).mul_(-0.35).add_(1)  # its shade
            lean = (0.7 + 0.4 * float(params.holes.flap)) * white
            albedo[part] = torch.lerp(albedo[part], lean, flap.div_(maps.mm_per_px).add_(0.5).clamp_(0, 1))
        if rim:
            fray = rim_share(inside.neg(), float(params.holes.rim_mm), maps.mm_per_px)
            albedo[part] = torch.lerp(albedo[part], white, fray)

    sheet = show_sheet(face, kept, off, placement, scene, edit=edit)
    near = found[0]
    hole = near.inside.div(near.mm_per_px).add_(0.5).clamp_(0, 1)
    behind = _behind(sheet, near, landmarks, donor, params, hole, opening if shadow else None)
    sheet.facts["hole_share"] = hole.sum()[None] / sheet.cover.numel()
    sheet.facts["hole_gap_mm"] = params.holes.gap_mm
    sheet.facts["cut_pattern"] = params.holes.pattern.float()
    return finish(face, sheet, scene, behind)


def _window(landmarks: Tensor, shown: PrintParams, placement: Placement) -> tuple[slice, slice]:
    """Return the rows and columns of the sensor that hold every hole: the features with generous room."""
    features = landmarks[27:60]
    low, high = features.amin(0), features.amax(0)
    room = 0.3 * (high - low).amax()
    low, high = low - room, high + room
    corners = torch.stack([low, high, torch.stack([low[0], high[1]]), torch.stack([high[0], low[1]])])
    seen, _ = project_sheet(placement.view, placement.pose, shown.bend, corners[None])
    (left, top), (right, bottom) = seen[0].amin(0).tolist(), seen[0].amax(0).tolist()
    height, width = placement.view.height, placement.view.width
    first_row, first_column = (min(max(0, int(x) - 2), n - 1) for x, n in ((top, height), (left, width)))
    last_row, last_column = (max(f + 1, min(n, int(x) + 3)) for x, f, n in (
        (bottom, first_row, height), (right, first_column, width)))  # fmt: skip
    return _even(first_row, last_row, height), _even(first_column, last_column, width)


def _even(first: int, last: int, size: int) -> slice:
    """Return a range widened to multiples of the shadow's step, where the frame allows it."""
    wide = slice(first // _STEP * _STEP, -(-last // _STEP) * _STEP)
    return wide if wide.stop <= size else slice(wide.start, size)


def _behind(
    sheet: Sheet, near: Near, landmarks: Tensor, donor: Face, params: PrintCutParams, hole: Tensor,
    opening: Callable[[Tensor, Tensor], Tensor] | None,
) -> Behind:  # fmt: skip
    """Light the attacker: the key light through the holes, shadowed by their edges, and dimmed ambient light.

    Without an `opening` no edge shadows him.
    """
    holes, room, placement, maps = params.holes, sheet.params.scene, sheet.placement, sheet.maps
    gap = float(holes.gap_mm)
    fit = to_donor(landmarks, donor, holes)
    through, _ = donor_at(near.u, near.v, donor, fit)
    open_light = light_of(room, placement.pose)
    if opening is not None:
        step = 1 if near.u.shape[0] % _STEP or near.u.shape[1] % _STEP else _STEP
        u, v, inside = (coarsely(plane, step) for plane in (near.u, near.v, near.inside))
        light = light_past(opening, u, v, inside, room, placement.pose, gap, step * near.mm_per_px,
                           float(holes.occlusion))  # fmt: skip
        through = through * enlarge(light, step)
    else:
        through = through * open_light[:, None, None]
    if donor.parsing is None:
        return Behind(near.window, hole, through, gap, None, torch.zeros_like(maps.u))
    beside, person = _beside(maps, donor, fit, sheet.cover)
    return Behind(near.window, hole, through, gap, beside.mul_(open_light[:, None, None]), person)


def _beside(maps: Maps, donor: Face, fit: Tensor, cover: Tensor) -> tuple[Tensor, Tensor]:
    """Return `donor_at` for every pixel (3, H, W) and (H, W) that the sheet does not hide; 0 where it does."""
    seen = (cover < 1).flatten().nonzero()[:, 0]
    radiance, person = torch.zeros(3, cover.numel()), torch.zeros(cover.numel())
    if seen.numel():
        u, v = (place.flatten().index_select(0, seen)[None] for place in (maps.u, maps.v))
        some, there = donor_at(u, v, donor, fit)
        for channel in range(3):
            radiance[channel].index_copy_(0, seen, some[channel, 0])
        person.index_copy_(0, seen, there[0])
    return radiance.reshape(3, *cover.shape), person.reshape(cover.shape)
