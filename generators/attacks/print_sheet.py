"""A printed sheet before the camera: from a face to the irradiance on the sensor, one row at a time.

Each row has its own printer, hence its own tables, so rows are rendered one after another; that also makes a batch
equal to its rows exactly.
"""

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.view import View
from spooflab.errors import DataError
from spooflab.generators.attack import Rendered
from spooflab.generators.attacks.print_content import encode_photograph, exposure_gain
from spooflab.generators.attacks.print_light import light_sheet
from spooflab.generators.attacks.print_params import PrintParams
from spooflab.generators.face import Face
from spooflab.generators.instruments.halftone import CELL
from spooflab.generators.instruments.halftone_view import Screens, am_lattice, dots_ratio, fm_lattice, plan_dots
from spooflab.generators.instruments.ink_model import InkModel, grow_dots, neugebauer_planes
from spooflab.generators.instruments.ink_separation import apply_table
from spooflab.generators.instruments.paper import Paper, load_papers, separation_of
from spooflab.generators.instruments.paper_bend import cast_sheet, project_sheet, surface
from spooflab.generators.instruments.paper_texture import fibre_at, ink_unevenness
from spooflab.generators.pose import Pose, framing
from spooflab.generators.scene import Scene

Window = tuple[int, int, int, int]
"""Left, top, right, bottom of a part of the photograph, pixels."""
_BLOCK = 16
NODES = 49
"""Points a side at which geometry and light are computed; both are smooth in between."""
_MIN_DISTANCE_MM = 150.0
_FINGER_MM = 12.0
_BANDS = 4
_FAINT_FIBRES = 0.0025
_COVERED = 1.2  # picture pixels per sensor pixel above which the picture is averaged before it is sampled


@dataclass(frozen=True)
class Placement:
    """Where the photograph is on the sheet and the sheet before the camera (one row).

    Attributes:
        mm_per_px: size of the photograph's pixels on the sheet.
        face_mm: (2,) sheet position of the face box's centre.
        face_px: (2,) the same in the photograph's pixels.
        view: the camera with its binning.
        pose: the sheet's.
        distance_mm: (1,) to the face's centre.
    """

    mm_per_px: float
    face_mm: Tensor
    face_px: Tensor
    view: View
    pose: Pose
    distance_mm: Tensor

    def to_sheet(self, points: Tensor) -> Tensor:
        """Map points of the photograph (..., 2), pixels, to the sheet, mm."""
        return (points - self.face_px) * self.mm_per_px + self.face_mm


@dataclass(frozen=True)
class Maps:
    """Smooth fields at every sensor pixel (one row).

    Attributes:
        u, v: (H, W) sheet position, mm.
        depth_mm: (H, W) along the camera axis.
        shade: (3, H, W) illumination of the sheet.
        gloss: (3, H, W) radiance that its surface mirrors.
        footprint: (m, m, 2, 2) mm per pixel at the nodes.
        mm_per_px: median size of a sensor pixel on the sheet.
        low_mm, high_mm: (2,) the bounding box of what the frame sees of the sheet's plane.
    """

    u: Tensor
    v: Tensor
    depth_mm: Tensor
    shade: Tensor
    gloss: Tensor
    footprint: Tensor
    mm_per_px: float
    low_mm: Tensor
    high_mm: Tensor


@dataclass(frozen=True)
class Behind:
    """The attacker behind a cut sheet (one row).

    Attributes:
        window: rows and columns of the sensor that hold every hole.
        hole: (h, w) share of each of the window's pixels that is cut away.
        through: (3, h, w) radiance seen through the holes.
        gap_mm: distance of the attacker behind the sheet.
        beside: (3, H, W) radiance of the attacker beyond the sheet's edges; None where nothing tells him from his room.
        person: (H, W) where that is the attacker rather than the room.
    """

    window: tuple[slice, slice]
    hole: Tensor
    through: Tensor
    gap_mm: float
    beside: Tensor | None
    person: Tensor


def paper_of(params: PrintParams) -> Paper:
    """Return the instrument of a batch of one.

    Raises:
        DataError: the bank has no such paper (any more).
    """
    number = int(params.paper[0])
    for paper in load_papers().values():
        if paper.number == number:
            return paper
    raise DataError(f"print: paper number {number} is not in the bank", wanted="the bank that the record was made with")


def place(face: Face, view: View, params: PrintParams) -> Placement:
    """Lay the photograph on the sheet and hold the sheet so that its face is where the frame wants it."""
    mm_per_px = float(params.picture_mm) / face.size[1]
    box = face.box[0]
    face_px = box[:2] + box[2:] / 2
    sheet_width = params.sheet_mm[:, 0] - 2 * params.margin_mm
    width = torch.minimum(box[2:3] * mm_per_px, sheet_width)
    distance, binning = framing(view, width, params.share, params.reach_mm)
    distance = distance.clamp(min=_MIN_DISTANCE_MM)
    binned = view.with_binning(binning)
    turned = Pose(torch.zeros(1, 3), params.yaw_deg, params.pitch_deg, params.roll_deg)
    face_mm = params.offset_mm[0]
    axes = torch.stack(turned.axes(), -2)
    arm = (surface(params.bend, face_mm[None, None]) @ axes)[:, 0]
    per_px = binned.pixel_um / 1000 / binned.focal_mm
    aim = params.aim * torch.tensor([view.width, view.height]) * (per_px * distance)[:, None]
    centre = torch.cat([aim, distance[:, None]], -1) - arm
    return Placement(mm_per_px, face_mm, face_px, binned, dataclasses.replace(turned, centre_mm=centre), distance)


def print_photograph(
    face: Face, params: PrintParams, paper: Paper, mm_per_px: float, window: Window
) -> tuple[Tensor, Tensor]:
    """Return the physical dot areas (4, h, w) and the mean reflectance (3, h, w) that the printer lays down.

    Only the `window` of the photograph is made; its edges lie on the JPEG's blocks, so that it equals the whole's.
    """
    left, top, right, bottom = window
    radiance = face.radiance[0]
    gain = exposure_gain(radiance, face.box[0], float(params.face_level))
    encoded = encode_photograph(radiance[:, top:bottom, left:right], gain, int(params.quality))
    nominal = apply_table(separation_of(paper), encoded[None])[0]
    model = paper.ink_model()
    faults = paper.faults
    uneven = ink_unevenness(
        window, face.size, mm_per_px,
        banding=faults.banding, band_mm=faults.band_mm, mottle=faults.mottle, seed=int(params.seed),
    )  # fmt: skip
    laid = uneven.add_(1 + params.density_drift[0, :, None, None]).mul_(nominal)
    laid = _shift(laid, params.misregistration_mm[0] / mm_per_px).clamp_(0, 1)
    if model.density is not None:
        exponent = (-2.302585093 * model.density).T @ laid.reshape(4, -1)
        mean = exponent.exp_().reshape(3, *laid.shape[1:]).mul_(model.white[:, None, None])
        return laid, mean
    dots = grow_dots(laid, model.dot_gain + params.tone_drift[0, :, None, None])
    return dots, neugebauer_planes(dots, model.primaries, model.n)


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


def screens_of(paper: Paper, params: PrintParams, model: InkModel) -> Screens | None:
    """Return the sheet's screens; None for continuous tone."""
    solid = torch.stack([model.primaries[1 << ink] for ink in range(4)]) / model.white
    if paper.screen is not None:
        angles = paper.screen.angles_deg
        turned = torch.tensor([angles.c, angles.m, angles.y, angles.k]) + params.screen_turn_deg
        lattice = am_lattice(paper.screen.lpi * params.screen_scale, turned)
        return Screens(paper.screen.spot, lattice, params.screen_phase[0], solid, model.n)
    if paper.fm is not None:
        return Screens("fm", fm_lattice(paper.fm.dpi), params.screen_phase[0], solid, model.n)
    return None


def sheet_maps(view: View, params: PrintParams, paper: Paper, placement: Placement, scene: Scene) -> Maps:
    """Cast rays at the nodes, light the sheet there, and spread everything over the pixels."""
    height, width = view.height, view.width
    x = torch.linspace(0.5, width - 0.5, NODES)
    y = torch.linspace(0.5, height - 0.5, NODES)
    sensor = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    hit = cast_sheet(view, placement.pose, params.bend, sensor)
    shade, gloss = light_sheet(hit, params, paper, scene)
    step = torch.tensor([(width - 1) / (NODES - 1), (height - 1) / (NODES - 1)])
    uv = hit.uv_mm[0]
    footprint = torch.stack([torch.gradient(uv, dim=1)[0], torch.gradient(uv, dim=0)[0]], -1) / step
    fields = torch.cat([uv.permute(2, 0, 1), hit.depth_mm, shade, gloss])[None]
    full = _spread(fields[0], height, width)
    area = (footprint[..., 0, 0] * footprint[..., 1, 1] - footprint[..., 0, 1] * footprint[..., 1, 0]).abs()
    coarse = footprint[:: NODES // 16, :: NODES // 16]
    size = float(area.median().sqrt())
    low, high = uv.amin((0, 1)), uv.amax((0, 1))
    return Maps(full[0], full[1], full[2], full[3:6], full[6:9], coarse, size, low, high)


@lru_cache(maxsize=16)
def _linear(size: int) -> Tensor:
    """Return (size, NODES): linear interpolation from the nodes to pixel centres."""
    at = torch.linspace(0, NODES - 1, size, dtype=torch.float64)[:, None]
    return (1 - (at - torch.arange(NODES)).abs()).clamp(min=0).float()


def _spread(fields: Tensor, height: int, width: int) -> Tensor:
    """Return (C, height, width) of fields (C, NODES, NODES): linear between the nodes.

    A band of columns lies between few nodes, so only those are multiplied.
    """
    down, across = _linear(height), _linear(width)
    tall = (down @ fields).reshape(-1, NODES)
    full = torch.empty(len(fields) * height, width)
    for band in range(_BANDS):
        first, last = band * width // _BANDS, (band + 1) * width // _BANDS
        if first == last:
            continue
        low = max(0, (NODES - 1) * first // max(1, width - 1) - 1)
        high = min(NODES, (NODES - 1) * (last - 1) // max(1, width - 1) + 3)
        full[:, first:last] = tall[:, low:high] @ across[first:last, low:high].T
    return full.reshape(len(fields), height, width)


def sheet_cover(maps: Maps, sheet_mm: Tensor) -> Tensor:
    """Return (H, W): share of each pixel that the sheet covers."""
    half_width, half_height = (sheet_mm[0] / 2).tolist()
    beyond = torch.maximum(maps.u.abs().sub_(half_width), maps.v.abs().sub_(half_height))
    return beyond.mul_(-1 / maps.mm_per_px).add_(0.5).clamp_(0, 1)


def sample_picture(maps: Maps, planes: Tensor, corner_mm: Tensor, mm_per_px: float) -> Tensor:
    """Return (C, H, W) of printed planes (C, h, w) as the sensor's pixels see them; 0 outside.

    Args:
        maps: where each pixel looks.
        planes: in the photograph's pixels.
        corner_mm: (2,) sheet position of their upper left corner.
        mm_per_px: size of those pixels.
    """
    extent = torch.tensor([planes.shape[-1], planes.shape[-2]]) * mm_per_px
    shrink = maps.mm_per_px / mm_per_px
    if shrink > _COVERED:
        small = [max(8, round(s / shrink)) for s in planes.shape[-2:]]
        planes = F.interpolate(planes[None], size=small, mode="bilinear", antialias=True, align_corners=False)[0]
    grid = torch.empty(2, *maps.u.shape)  # whole planes: writing pairs is slow
    torch.sub(maps.u, float(corner_mm[0]), out=grid[0]).mul_(2 / float(extent[0])).sub_(1)
    torch.sub(maps.v, float(corner_mm[1]), out=grid[1]).mul_(2 / float(extent[1])).sub_(1)
    grid = grid.permute(1, 2, 0)
    return F.grid_sample(planes[None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False)[0]


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


def render_print(face: Face, view: View, params: PrintParams, scene: Scene) -> Rendered:
    """Render one row: printed, held, lit and seen."""
    paper = paper_of(params)
    placement = place(face, view, params)
    maps = sheet_maps(placement.view, params, paper, placement, scene)
    albedo, ratio, facts = sheet_albedo(face, params, paper, placement, maps)
    sheet = albedo.mul_(maps.shade).add_(maps.gloss)
    return finish(face, params, paper, placement, maps, scene, sheet, ratio, facts)


def sheet_albedo(
    face: Face, params: PrintParams, paper: Paper, placement: Placement, maps: Maps
) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
    """Return the sheet's reflectance without dots (3, H, W), what the dots multiply it by, and the figures of both."""
    model = paper.ink_model()
    window = visible_window(face, maps, params, placement)
    dots, mean = print_photograph(face, params, paper, placement.mm_per_px, window)
    facts = {"ink_coverage": dots.mean()[None], "lpi": torch.zeros(1), "dots_per_mm": torch.zeros(1)}
    facts |= {"halftone_cycles_per_px": torch.zeros(1), "halftone_modulation": torch.zeros(1)}
    white = model.white[:, None, None]
    planes = mean.div_(white).sub_(1)
    screens = screens_of(paper, params, model)
    plan = None
    if screens is not None:
        plan = plan_dots(placement.view, screens, maps.footprint, dots.amax((1, 2)))
        pitch = screens.lattice[3, 0].norm()[None] * (CELL if paper.fm is not None else 1)
        facts["lpi"] = pitch * 25.4 if paper.screen is not None else torch.zeros(1)
        facts |= {"dots_per_mm": pitch, "halftone_cycles_per_px": pitch * maps.mm_per_px}
        facts["halftone_modulation"] = torch.tensor([plan.strength])
        if plan.visible:
            planes = torch.cat([planes, dots])
    corner = placement.to_sheet(torch.tensor(window[:2], dtype=torch.float32))
    planes = crop_to_margins(planes, params, corner, placement.mm_per_px)
    seen = sample_picture(maps, planes, corner, placement.mm_per_px)
    brightened = white.clone()
    brightened[2] *= 1 + paper.surface.brightener * float(params.ultraviolet)
    albedo = seen[:3].add_(1).mul_(brightened)
    contrast = paper.surface.fibre_contrast
    if contrast > _FAINT_FIBRES:
        shift_u, shift_v = params.fibre_shift[0].tolist()
        fibres = fibre_at(maps.u, maps.v, paper.surface.fibre_mm, (shift_u, shift_v))
        albedo.mul_(fibres.mul_(contrast).add_(1))
    ratio = dots_ratio(plan, maps.u, maps.v, seen[3:]) if plan is not None and plan.visible else None
    return albedo, ratio, facts


def finish(
    face: Face, params: PrintParams, paper: Paper, placement: Placement, maps: Maps, scene: Scene,
    sheet: Tensor, ratio: Tensor | None, facts: dict[str, Tensor], behind: Behind | None = None,
) -> Rendered:  # fmt: skip
    """Put the room behind the sheet and the hand before it, image all of it, and add the ground truth.

    Args:
        face: the printed face.
        params: the print's.
        paper: its instrument.
        placement: where it is.
        maps: its smooth fields.
        scene: the room.
        sheet: (3, H, W) radiance of the sheet without dots.
        ratio: (3, H, W) what dots multiply it by, already filtered by the lens; None for continuous tone.
        facts: figures to keep.
        behind: holes in the sheet and the person behind it; None for a whole sheet.
    """
    view = placement.view
    cover = sheet_cover(maps, params.sheet_mm)
    distance = placement.distance_mm
    picture = scene.background(view, params.scene, distance)[0]
    depth = torch.full_like(maps.depth_mm, torch.inf)
    paper_share = cover
    if behind is not None:
        if behind.beside is not None:
            picture = torch.lerp(picture, behind.beside, behind.person)
        rows, columns = behind.window
        sheet[:, rows, columns] = torch.lerp(sheet[:, rows, columns], behind.through, behind.hole)
        paper_share = cover.clone()
        paper_share[rows, columns] *= 1 - behind.hole
        person = (behind.person > 0.5) | (cover > 0.5)
        depth = torch.where(person, maps.depth_mm + behind.gap_mm, depth)
    hand, hand_alpha = scene.hand(view, params.scene, placement.pose, params.sheet_mm / 2)
    bare = 1 - hand_alpha[0, 0]
    picture = torch.lerp(picture, sheet, cover)
    torch.lerp(hand[0], picture, bare, out=picture)
    paper_share = paper_share * bare
    irradiance = view.blur(picture[None])
    if ratio is not None:
        irradiance = ratio.sub_(1).mul_(paper_share).add_(1).mul_(irradiance[0])[None]
    depth = torch.where(paper_share > 0.5, maps.depth_mm, depth)
    depth = torch.where(bare < 0.5, maps.depth_mm - _FINGER_MM, depth)
    corners = torch.stack([face.box[0, :2], face.box[0, :2] + face.box[0, 2:]])
    rim = torch.cat([corners, torch.stack([corners[:, 0].flip(0), corners[:, 1]], -1)])
    points = placement.to_sheet(torch.cat([face.landmarks[0], rim]))
    seen, _ = project_sheet(view, placement.pose, params.bend, points[None])
    low, high = seen[0, 68:].amin(0), seen[0, 68:].amax(0)
    return Rendered(
        irradiance=irradiance.clamp_(min=0),
        mask=paper_share[None, None],
        depth_mm=depth[None, None],
        landmarks=seen[:, :68],
        box=torch.cat([low, high - low])[None],
        facts={**facts, **_facts(face, params, paper, placement, maps, high - low)},
        instrument_id=(paper.id,),
    )


def _facts(
    face: Face, params: PrintParams, paper: Paper, placement: Placement, maps: Maps, face_px: Tensor
) -> dict[str, Tensor]:
    def one(value: float) -> Tensor:
        return torch.tensor([value])

    return {
        "distance_mm": placement.distance_mm,
        "binning": placement.view.binning.float(),
        "face_px": face_px[:1],
        "sensor_px_on_sheet_mm": one(maps.mm_per_px),
        "face_on_sheet_mm": face.box[:, 2] * placement.mm_per_px,
        "bend_shape": params.bend.shape.float(),
        "bend_curvature_per_m": 1000 * params.bend.curvature_per_mm.abs().amax(-1),
        "tilt_deg": torch.hypot(params.yaw_deg, params.pitch_deg),
        "roughness": one(paper.surface.roughness),
        "yule_nielsen_n": one(paper.yule_nielsen_n),
        "dot_gain": one(paper.dot_gain) + params.tone_drift.mean(-1),
    }


def _shift(planes: Tensor, offset_px: Tensor) -> Tensor:
    """Return planes (4, h, w) displaced by (4, 2) pixels (x, y), less than one; edges replicate."""
    moved = []
    for plane, (dx, dy) in zip(planes, offset_px.clamp(-0.99, 0.99).tolist(), strict=True):
        padded = F.pad(plane[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
        near = padded[1:-1]
        rows = torch.lerp(near, padded[:-2] if dy > 0 else padded[2:], abs(dy))
        other = rows[:, :-2] if dx > 0 else rows[:, 2:]
        moved.append(torch.lerp(rows[:, 1:-1], other, abs(dx)))
    return torch.stack(moved)
