"""A print with eyes or mouth cut out, the attacker's own behind the holes (species `print_cut`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.attack import Rendered, wanted_donor
from spooflab.generators.attacks.print_holes import Holes, donor_at, hole_depth, sample_holes, to_donor
from spooflab.generators.attacks.print_params import PrintParams, sample_print
from spooflab.generators.attacks.print_rows import face_row, stack_rows
from spooflab.generators.attacks.print_sheet import (
    Behind,
    Maps,
    Placement,
    finish,
    paper_of,
    place,
    sheet_albedo,
    sheet_cover,
    sheet_maps,
)
from spooflab.generators.face import Face
from spooflab.generators.instruments.paper import choose_papers
from spooflab.generators.instruments.paper_bend import project_sheet
from spooflab.generators.scene import Scene
from spooflab.params import Params


@dataclass(frozen=True)
class PrintCutParams(Params):
    """One cut print.

    Attributes:
        shown: the print.
        holes: its holes and the face behind them.
    """

    shown: PrintParams
    holes: Holes


class PrintCut:
    """Prints of any kind with holes; `donor` is the attacker behind them.

    Args:
        instruments: ids of the papers that may be used; None or empty for all of the bank.

    Raises:
        ConfigError: an id is not in the bank.
    """

    species = "print_cut"
    needs_donor = True

    def __init__(self, *, instruments: Sequence[str] | None = None) -> None:
        self.papers = choose_papers(instruments, ("a4", "photo"))
        self.scene = Scene()

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every paper that this attack can use."""
        return tuple(paper.id for paper in choose_papers(None, ("a4", "photo")))

    def sample(self, batch_size: int, generator: torch.Generator) -> PrintCutParams:
        """Draw prints, held fairly straight since they are worn before a face, and their holes."""
        shown = sample_print(self.papers, self.scene, batch_size, generator, max_tilt_deg=18.0)
        return PrintCutParams(shown, sample_holes(batch_size, generator))

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
        attackers = [face_row(donor, i) for i in range(donor.batch_size)]
        remaining = iter(attackers)
        return stack_rows(face, view, params, lambda f, v, p: _render(f, v, p, next(remaining), self.scene))


def _render(face: Face, view: View, params: PrintCutParams, donor: Face, scene: Scene) -> Rendered:
    shown, holes = params.shown, params.holes
    paper = paper_of(shown)
    placement = place(face, view, shown)
    maps = sheet_maps(placement.view, shown, paper, placement, scene)
    albedo, ratio, facts = sheet_albedo(face, shown, paper, placement, maps)
    landmarks = placement.to_sheet(face.landmarks[0])
    window = _window(landmarks, shown, placement)
    near = Near(maps.u[window].contiguous(), maps.v[window].contiguous(), maps.mm_per_px)
    inside = hole_depth(near.u, near.v, landmarks, holes, placement.mm_per_px)
    hole = (inside / near.mm_per_px + 0.5).clamp(0, 1)
    fray = ((float(holes.rim_mm) + inside) / near.mm_per_px + 0.5).clamp(0, 1)
    white = paper.ink_model().white[:, None, None]
    cut = (slice(None), *window)
    albedo[cut] = torch.lerp(albedo[cut], 0.85 * white, 0.8 * fray)
    behind = _behind(maps, near, window, landmarks, donor, params, placement, inside, hole)
    facts["hole_share"] = hole.sum()[None] / maps.u.numel()
    facts["hole_gap_mm"] = holes.gap_mm
    facts["cut_pattern"] = holes.pattern.float()
    sheet = albedo.mul_(maps.shade).add_(maps.gloss)
    return finish(face, shown, paper, placement, maps, scene, sheet, ratio, facts, behind)


@dataclass(frozen=True)
class Near:
    """Sheet positions (h, w), mm, in the window about the holes, and the size of a sensor pixel."""

    u: Tensor
    v: Tensor
    mm_per_px: float


def _window(landmarks: Tensor, shown: PrintParams, placement: Placement) -> tuple[slice, slice]:
    """Return the rows and columns of the sensor that hold every hole: the eyes and the mouth with generous room."""
    features = torch.cat([landmarks[36:48], landmarks[48:60]])
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
    return slice(first_row, last_row), slice(first_column, last_column)


def _behind(
    maps: Maps, near: Near, window: tuple[slice, slice], landmarks: Tensor, donor: Face, params: PrintCutParams,
    placement: Placement, inside: Tensor, hole: Tensor,
) -> Behind:  # fmt: skip
    """Light the attacker: the key light through the holes, shadowed by their edges, and dimmed ambient light."""
    holes, room = params.holes, params.shown.scene
    gap = float(holes.gap_mm)
    fit = to_donor(landmarks, donor, holes)
    radiance, _ = donor_at(near.u, near.v, donor, fit)
    u_axis, v_axis, normal = placement.pose.axes()
    light = room.key_direction
    facing = max(0.0, -float((light * normal).sum()))  # 0 where the light is behind the sheet
    key = room.key_rgb[0, :, None, None] * facing
    ambient = room.ambient_rgb[0, :, None, None]
    lit: Tensor | float = 1.0
    if facing > 0:
        slant = gap / max(facing, 0.35)
        at_u = near.u + slant * float((light * u_axis).sum())
        at_v = near.v + slant * float((light * v_axis).sum())
        soft = near.mm_per_px + 2 * gap * float(torch.deg2rad(room.key_radius_deg))
        lit = (hole_depth(at_u, at_v, landmarks, holes, placement.mm_per_px) / soft + 0.5).clamp(0, 1)
    near_edge = (0.5 + 0.5 * inside / gap).clamp(0.25, 1)
    through = radiance * (key * lit + ambient * (float(holes.occlusion) * near_edge))
    if donor.parsing is None:
        return Behind(window, hole, through, gap, None, torch.zeros_like(maps.u))
    beside, person = _beside(maps, donor, fit, sheet_cover(maps, params.shown.sheet_mm))
    return Behind(window, hole, through, gap, beside.mul_(key + ambient), person)


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
