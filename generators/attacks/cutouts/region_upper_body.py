"""A piece cut from a print and held before the attacker (species `region_upper_body`): head and shoulders, life-size,
or a part of a face close over his own. After the upper-body and region masks of CelebA-Spoof (Zhang et al. 2020)."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.lens import resample, window_rays
from spooflab.augment.view import View
from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Rendered, wanted_donor
from spooflab.generators.attacks.cutouts.behind import light_of, light_past, rim_share
from spooflab.generators.attacks.cutouts.silhouette import SHAPES, Cutout, Outline, outline_of, sample_cutout
from spooflab.generators.attacks.prints.maps import Maps, coarsely, finely
from spooflab.generators.attacks.prints.params import PRINT_EFFECTS, PrintParams, sample_print
from spooflab.generators.attacks.prints.place import Placement, hold
from spooflab.generators.attacks.prints.process import paper_of
from spooflab.generators.attacks.prints.rows import stack_rows
from spooflab.generators.attacks.prints.sheet import Behind, Sheet, finish, show_sheet, switch_off
from spooflab.generators.enlarge import enlarge
from spooflab.generators.face import Face
from spooflab.generators.instruments.paper import Paper, choose_papers
from spooflab.generators.pose import framing
from spooflab.generators.scene import HAND_EDGES, Scene
from spooflab.params import Params, choice, log_uniform, uniform

_EDGE = 0.9  # reflectance of a cut edge relative to the paper's
_STIFFEST = 0.35  # share of a sheet's bends that a small piece keeps


@dataclass(frozen=True)
class RegionParams(Params):
    """One piece of a print before somebody; every field is batched.

    Attributes:
        shown: the print; its sheet is what was cut from it.
        cutout: the piece's shape.
        face_mm: (B,) width of the attacker's face.
        step_back: (B,) how much smaller he stands in the frame than his picture has him, >= 1, where he is known from
            his room.
        scale: (B,) size of the printed face relative to his.
        gap_mm: (B,) distance of the piece before his face, at most a sixth of his own.
        shift_mm: (B, 2) its misplacement.
        turn_deg: (B,) its roll against his face.
        reach_mm: (B,) greatest distance of his face to the camera.
        occlusion: (B,) share of the ambient light beside the piece that it leaves.
        ablated: (B,) int64 bits of the effects that are off; the print's own are its lowest.
    """

    shown: PrintParams
    cutout: Cutout
    face_mm: Tensor
    step_back: Tensor
    scale: Tensor
    gap_mm: Tensor
    shift_mm: Tensor
    turn_deg: Tensor
    reach_mm: Tensor
    occlusion: Tensor
    ablated: Tensor


class RegionUpperBody:
    """Cut-out prints held before the live attacker, who is the `donor`.

    Args:
        instruments: ids of the papers that may be used; None or empty for all of the bank but the woven ones.
        ablate: names of `EFFECTS` to switch off.

    Raises:
        ConfigError: an id is not in the bank, or an effect is not known.
    """

    species = "region_upper_body"
    needs_donor = True
    EFFECTS: ClassVar[tuple[str, ...]] = (*PRINT_EFFECTS, "rim", "edge_shadow")

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.papers = _papers(instruments)
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)
        self.scene = Scene()

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every paper that this attack can use."""
        return tuple(paper.id for paper in _papers(None))

    def sample(self, batch_size: int, generator: torch.Generator) -> RegionParams:
        """Draw prints, their cuts and how they are held."""
        n = batch_size
        off = ablation(self.species, self.EFFECTS, self.ablate, n)
        shown = sample_print(self.papers, self.scene, n, generator, ablated=off, max_tilt_deg=16.0, worn=True)
        cutout = sample_cutout(n, generator)
        body = cutout.shape == SHAPES.index("silhouette")
        gap = torch.where(body, log_uniform(n, 12, 90, generator), log_uniform(n, 2, 18, generator))
        drift = torch.where(body, 9.0, 2.5)[:, None] * torch.randn(n, 2, generator=generator)
        lowered = torch.where(body, uniform(n, 0, 22, generator), 0.0)
        size = torch.where(body, uniform(n, 0.9, 1.15, generator), uniform(n, 0.93, 1.08, generator))
        back = torch.where(body, uniform(n, 1.1, 1.6, generator), uniform(n, 1.0, 1.3, generator))
        return RegionParams(
            shown=_held(shown, body, generator),
            cutout=cutout,
            face_mm=uniform(n, 132, 162, generator),
            step_back=back,
            scale=size,
            gap_mm=gap,
            shift_mm=drift + torch.stack([torch.zeros(n), lowered], -1),
            turn_deg=torch.where(body, 4.0, 2.0) * torch.randn(n, generator=generator),
            reach_mm=uniform(n, 380, 800, generator),
            occlusion=uniform(n, 0.8, 1.0, generator),
            ablated=off,
        )

    def parse(self, record: dict[str, Any]) -> RegionParams:
        """Rebuild parameters from a record's JSON."""
        return RegionParams.from_json(record)

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        """Show the piece of the printed `face` before the live `donor`.

        Raises:
            DataError: there is no donor.
        """
        assert isinstance(params, RegionParams)
        donor = wanted_donor(donor, self.species)
        if donor.batch_size != face.batch_size:
            raise ValueError(f"{self.species}: {donor.batch_size} donors for {face.batch_size} faces, wanted one each")
        remaining = iter([donor.row(i) for i in range(donor.batch_size)])
        return stack_rows(face, view, params, lambda f, v, p: _render(f, v, p, next(remaining), self.scene))


def _papers(instruments: Sequence[str] | None) -> tuple[Paper, ...]:
    """Return what scissors cut: papers and films, not the woven banners, unless they are asked for."""
    papers = choose_papers(instruments, ("a4", "photo", "poster"))
    return papers if instruments else tuple(paper for paper in papers if not paper.surface.woven)


def _held(shown: PrintParams, body: Tensor, generator: torch.Generator) -> PrintParams:
    """Return prints as pieces are held: by low edges or, if small, often by nothing; hardly bent; never in a sleeve."""
    n, room = body.shape[0], shown.scene
    low = torch.where(choice(n, 3, generator) == 0, HAND_EDGES.index("bottom"), 1 + choice(n, 2, generator))
    along = torch.where(body, uniform(n, 0.45, 0.95, generator), uniform(n, -0.6, 0.6, generator))
    stuck = ~body & (torch.rand(n, generator=generator) < 0.45)
    style = torch.where(stuck, 0, room.hand_style.clamp(max=1) + 2 * (room.hand_style == 3))
    bend = dataclasses.replace(
        shown.bend, curvature_per_mm=shown.bend.curvature_per_mm * torch.where(body, 0.6, _STIFFEST)[:, None]
    )
    return dataclasses.replace(
        shown,
        margin_mm=torch.zeros(n),
        ground=torch.ones(n, 3),
        film=torch.where(shown.film == 2, 0, shown.film),
        bend=bend,
        creases=dataclasses.replace(shown.creases, folds=torch.zeros_like(shown.creases.folds)),
        yaw_deg=torch.where(body, shown.yaw_deg, 0.6 * shown.yaw_deg),
        pitch_deg=torch.where(body, shown.pitch_deg, 0.6 * shown.pitch_deg),
        scene=dataclasses.replace(
            room,
            hand_style=style,
            hand_edge=low,
            hand_along=along,
            hand_reach_mm=torch.where(body, room.hand_reach_mm, 6 + 0.25 * room.hand_reach_mm),
        ),
    )


@dataclass(frozen=True)
class Live:
    """The attacker before the camera, filling the window as a genuine face does or a little smaller (one row).

    Attributes:
        view: the camera with its binning.
        radiance: (3, H, W) his light as his picture has it.
        person: (H, W) where he, or what his picture shows beside him, is seen.
        landmarks: (68, 2) sensor pixels.
        box_px: (2,) centre of his face's box, sensor pixels.
        distance_mm: (1,) of his face.
    """

    view: View
    radiance: Tensor
    person: Tensor
    landmarks: Tensor
    box_px: Tensor
    distance_mm: Tensor


def _live(donor: Face, view: View, params: RegionParams) -> Live:
    """Place the attacker as `Bonafide` does, or farther off, at the distance at which his face is as large as it is."""
    rays, zoom = window_rays(view)
    back = float(params.step_back) if donor.parsing is not None else 1.0
    window = torch.tensor([view.width, view.height])
    image = torch.tensor([donor.size[1], donor.size[0]])
    foot = 1 - 1 / back  # his picture's lower edge stays at the window's, where it hides that he has no legs

    def seen(points: Tensor) -> Tensor:
        centred = (points / image - 0.5) * 2 / back + torch.tensor([0.0, foot])
        return view.distort((centred * zoom / 2 + 0.5) * window)

    person = torch.ones(view.height, view.width)
    if donor.parsing is not None and back > 1:
        rays = rays.mul(back).sub_(torch.tensor([0.0, foot * back]))
        person = _known(donor.parsing, rays)
        radiance = F.grid_sample(donor.radiance, rays, padding_mode="reflection", align_corners=False)[0]
    else:
        radiance = resample(donor.radiance, rays)[0]
    box = donor.box[0]
    edges = seen(torch.stack([box[:2], box[:2] + box[2:]])[None])[0]
    share = ((edges[1, 0] - edges[0, 0]) / view.width).clamp(min=0.05)[None]
    distance, binning = framing(view, params.face_mm, share, params.reach_mm)
    return Live(view.with_binning(binning), radiance, person, seen(donor.landmarks)[0], edges.mean(0), distance)


def _known(parsing: Tensor, rays: Tensor) -> Tensor:
    """Return (H, W) where rays meet the person of a parsing map; hair that its upper edge cuts off is rounded."""
    there = (parsing != 0).float()
    known = F.grid_sample(there, rays, padding_mode="border", align_corners=False)[0, 0]
    x, y = rays[0].unbind(-1)
    columns = (there[0, 0, 0] > 0).nonzero()[:, 0]
    if len(columns) == 0:
        return known * (y > -1)
    first, last = (float(c) * 2 / parsing.shape[-1] - 1 for c in (columns[0], columns[-1] + 1))
    middle, half = (first + last) / 2, (last - first) / 2
    cap = torch.hypot((x - middle) / half, (y + 1) / (0.25 * half)) < 1
    return torch.where(y > -1, known, cap.float())


def _place(face: Face, live: Live, params: RegionParams) -> tuple[PrintParams, Placement, Outline]:
    """Size the print to the attacker, cut its piece, and hold that before his face."""
    shown, view, box = params.shown, live.view, face.box[0]
    depth = live.distance_mm - _gap(live, params)
    per_px = float(view.pixel_um / 1000 / view.focal_mm)
    face_px = box[:2] + box[2:] / 2
    if SHAPES[int(params.cutout.shape)] == "silhouette":
        mm_per_px = float(params.face_mm * params.scale / box[2])
        point_px, at_px, turn = face_px, live.box_px, torch.zeros(1)
    else:
        here, there = _anchors(face.landmarks[0]), _anchors(live.landmarks)
        spans = [(p - p.mean(0)).norm() for p in (here, there)]
        mm_per_px = float(spans[1] / spans[0] * per_px * depth * params.scale)
        point_px, at_px, turn = here.mean(0), there.mean(0), _roll(there) - _roll(here)
    free = outline_of(face, params.cutout, mm_per_px, face_px, torch.zeros(2))
    face_mm = -(free.low_mm + free.high_mm) / 2  # the piece's middle is the sheet's
    outline = outline_of(face, params.cutout, mm_per_px, face_px, face_mm)
    size = (outline.high_mm - outline.low_mm + 2 * params.cutout.margin_mm.clamp(min=0) + 4)[None]
    shown = dataclasses.replace(
        shown, sheet_mm=size, picture_mm=torch.tensor([mm_per_px * face.size[1]]), offset_mm=face_mm[None],
        roll_deg=params.turn_deg + turn,
    )  # fmt: skip
    ideal = view.undistort(at_px[None, None])[0, 0]
    centre = (ideal - torch.tensor([view.width, view.height]) / 2) * per_px * depth
    at_mm = torch.cat([centre + params.shift_mm[0], depth])[None]
    pose = hold(shown, (point_px - face_px) * mm_per_px + face_mm, at_mm)
    return shown, Placement(mm_per_px, face_mm, face_px, view, pose, depth), outline


def _gap(live: Live, params: RegionParams) -> Tensor:
    return torch.minimum(params.gap_mm, live.distance_mm / 6)


def _anchors(landmarks: Tensor) -> Tensor:
    return torch.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[48:60].mean(0)])


def _roll(anchors: Tensor) -> Tensor:
    """Return (1,) degrees by which the line of the eyes is turned."""
    across = anchors[1] - anchors[0]
    return torch.rad2deg(torch.atan2(across[1], across[0]))[None]


def _render(face: Face, view: View, params: RegionParams, donor: Face, scene: Scene) -> Rendered:
    kept, off = switch_off(params.shown)
    params = dataclasses.replace(params, shown=kept)
    rim, shadow = (not is_off(params.ablated, RegionUpperBody.EFFECTS, name) for name in ("rim", "edge_shadow"))
    live = _live(donor, view, params)
    shown, placement, outline = _place(face, live, params)
    depths: list[Tensor] = []

    def edit(albedo: Tensor, maps: Maps) -> None:
        depths.append(finely(outline.depth, maps.u, maps.v, 2))
        if rim:
            fray = rim_share(depths[0], float(params.cutout.rim_mm), maps.mm_per_px)
            white = _EDGE * paper_of(shown.printing).ink_model().white
            for channel in range(3):
                albedo[channel].lerp_(white[channel], fray)

    sheet = show_sheet(face, shown, off, placement, scene, edit=edit)
    cut = depths[0].div(sheet.maps.mm_per_px).add_(0.5).clamp_(0, 1)
    sheet = dataclasses.replace(sheet, cover=sheet.cover * cut)
    gap = float(_gap(live, params))
    if shadow:
        light = _shadowed(sheet, outline, gap, float(params.occlusion))
    else:
        light = light_of(shown.scene, placement.pose)[:, None, None]
    nowhere = (slice(0, 0), slice(0, 0))
    behind = Behind(nowhere, torch.zeros(0, 0), torch.zeros(3, 0, 0), gap, live.radiance * light, live.person)
    sheet.facts["region_gap_mm"] = torch.tensor([gap])
    sheet.facts["region_shape"] = params.cutout.shape.float()
    sheet.facts["region_scale"] = params.scale
    sheet.facts["region_share"] = sheet.cover.mean()[None]
    return finish(face, sheet, scene, behind)


def _shadowed(sheet: Sheet, outline: Outline, gap: float, occlusion: float) -> Tensor:
    """Return (3, H, W) the light on the attacker, at a quarter of the resolution and enlarged: shadows are soft."""
    maps, placement = sheet.maps, sheet.placement

    def opening(u: Tensor, v: Tensor) -> Tensor:
        return outline.depth(u, v).neg_()

    step = 4 if maps.u.shape[0] % 4 == 0 and maps.u.shape[1] % 4 == 0 else 1
    u, v = (coarsely(plane, step) for plane in (maps.u, maps.v))
    light = light_past(opening, u, v, opening(u, v), sheet.params.scene, placement.pose, gap,
                       step * maps.mm_per_px, occlusion)  # fmt: skip
    return enlarge(light, step)
