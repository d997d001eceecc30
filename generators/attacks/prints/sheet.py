"""A printed sheet before the camera: from a face to the irradiance on the sensor, one row at a time.

Each row has its own printer, hence its own tables, so rows are rendered one after another; that also makes a batch
equal to its rows exactly.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.ablation import names_off
from spooflab.generators.attack import Rendered
from spooflab.generators.attacks.prints.albedo import printed_area, sheet_albedo, visible_window
from spooflab.generators.attacks.prints.lamp import lamp_light
from spooflab.generators.attacks.prints.light import finish_of
from spooflab.generators.attacks.prints.maps import Maps, box_cover, sheet_cover, sheet_maps
from spooflab.generators.attacks.prints.mount import MOUNTS, paint_pieces, wall_radiance
from spooflab.generators.attacks.prints.params import FILMS, PRINT_EFFECTS, PrintParams
from spooflab.generators.attacks.prints.place import Placement, place
from spooflab.generators.attacks.prints.process import paper_of
from spooflab.generators.face import Face
from spooflab.generators.instruments.paper import Paper
from spooflab.generators.instruments.paper_bend import project_sheet
from spooflab.generators.scene import Scene

_FINGER_MM = 12.0
_SLEEVE_PASSES, _SLEEVE_HAZE = 0.86, 0.012
"""A loose film is crossed twice by light that it neither mirrors nor absorbs, and scatters a little."""


@dataclass(frozen=True)
class Behind:
    """What lies behind a cut sheet (one row).

    Attributes:
        window: rows and columns of the sensor that hold every opening.
        hole: (h, w) share of each of the window's pixels that is cut away.
        through: (3, h, w) radiance seen through the openings.
        gap_mm: distance of the attacker behind the sheet.
        beside: (3, H, W) radiance beyond the sheet's edges; None where nothing tells the attacker from his room.
        person: (H, W) where `beside` is seen rather than the room.
    """

    window: tuple[slice, slice]
    hole: Tensor
    through: Tensor
    gap_mm: float
    beside: Tensor | None
    person: Tensor


@dataclass(frozen=True)
class Sheet:
    """A printed sheet in its light, before anything covers it (one row).

    Attributes:
        params: the print's, with what is switched off taken out.
        off: names of the effects that are off.
        paper: its instrument.
        placement: where it is.
        maps: its smooth fields.
        radiance: (3, H, W) without dots.
        dots: (3, H, W) what dots multiply it by, already filtered by the lens; None for continuous tone.
        cover: (H, W) share of each pixel that it covers.
        facts: figures to keep.
    """

    params: PrintParams
    off: frozenset[str]
    paper: Paper
    placement: Placement
    maps: Maps
    radiance: Tensor
    dots: Tensor | None
    cover: Tensor
    facts: dict[str, Tensor]


def render_print(face: Face, view: View, params: PrintParams, scene: Scene) -> Rendered:
    """Render one row: printed, held, lit and seen."""
    kept, off = switch_off(params)
    sheet = show_sheet(face, kept, off, place(face, view, kept), scene)
    return finish(face, sheet, scene)


def switch_off(params: PrintParams) -> tuple[PrintParams, frozenset[str]]:
    """Return the parameters without the causes that are switched off, and the names of all that are (one row)."""
    off = frozenset(names_off(params.ablated, PRINT_EFFECTS))
    if "bend" in off:
        bend = params.bend
        params = dataclasses.replace(
            params,
            bend=dataclasses.replace(
                bend, shape=torch.zeros_like(bend.shape), curvature_per_mm=torch.zeros_like(bend.curvature_per_mm)
            ),
        )
    if "hand" in off:
        params = dataclasses.replace(
            params,
            scene=dataclasses.replace(params.scene, hand_style=torch.zeros_like(params.scene.hand_style)),
            mount=dataclasses.replace(params.mount, piece=torch.zeros_like(params.mount.piece)),
        )
    return params, off


def show_sheet(
    face: Face, params: PrintParams, off: frozenset[str], placement: Placement, scene: Scene,
    *, edit: Callable[[Tensor, Maps], None] | None = None,
) -> Sheet:  # fmt: skip
    """Print the face, light its sheet, and see what the lens leaves of its dots (one row).

    Args:
        face: the face that is printed.
        params: the print's, from `switch_off`.
        off: names of the effects that are off.
        placement: where the sheet is.
        scene: the room.
        edit: changes the reflectance (3, H, W) in place before light falls on it: frayed rims and the like.
    """
    paper = paper_of(params.printing)
    maps = sheet_maps(params, paper, placement, scene, off=off)
    window = visible_window(face, maps, params, placement)
    albedo, dots, facts = sheet_albedo(face, params, paper, placement, maps, window, off)
    cover = sheet_cover(maps, params.sheet_mm[0])
    if "border" in off:
        torch.minimum(cover, box_cover(maps, *printed_area(face, params, placement)), out=cover)
    if edit is not None:
        edit(albedo, maps)
    radiance = albedo.mul_(maps.shade)
    if FILMS[int(params.film)] == "sleeve" and "gloss" not in off:
        radiance.mul_(_SLEEVE_PASSES).add_(maps.shade, alpha=_SLEEVE_HAZE)
    if maps.gloss is not None:
        radiance.add_(maps.gloss)
    return Sheet(params, off, paper, placement, maps, radiance, dots, cover, facts)


def finish(face: Face, sheet: Sheet, scene: Scene, behind: Behind | None = None) -> Rendered:
    """Put the room behind the sheet and the hand before it, image all of it, and add the ground truth.

    Args:
        face: the printed face.
        sheet: as it is shown; its radiance is used up.
        scene: the room.
        behind: openings of the sheet and the person behind it; None for a whole sheet.
    """
    params, placement, maps, cover = sheet.params, sheet.placement, sheet.maps, sheet.cover
    view, printed = placement.view, sheet.radiance
    depth = torch.full_like(maps.depth_mm, torch.inf)
    picture = _surroundings(sheet, scene, behind)
    if MOUNTS[int(params.mount.kind)] == "wall":
        depth = maps.depth_mm + params.mount.gap_mm[0]
    paper_share = cover
    if behind is not None:
        rows, columns = behind.window
        printed[:, rows, columns] = torch.lerp(printed[:, rows, columns], behind.through, behind.hole)
        paper_share = cover.clone()
        paper_share[rows, columns] *= 1 - behind.hole
        person = (behind.person > 0.5) | (cover > 0.5)
        depth = torch.where(person, maps.depth_mm + behind.gap_mm, depth)
    for channel in range(3):
        torch.lerp(picture[channel], printed[channel], cover, out=picture[channel])
    pieces = paint_pieces(params.mount, params.scene, view, placement.pose, params.bend, params.sheet_mm[0], picture,
                          maps.u, maps.v, maps.shade)  # fmt: skip
    bare = torch.ones_like(cover)
    for window, hidden in pieces:
        bare[window] *= 1 - hidden
    if int(params.scene.hand_style) > 0:
        hand, hand_alpha = scene.hand(view, params.scene, placement.pose, params.sheet_mm / 2)
        torch.lerp(picture, hand[0], hand_alpha[0], out=picture)
        bare *= 1 - hand_alpha[0, 0]
    paper_share = paper_share * bare
    irradiance = view.blur(picture[None])
    if sheet.dots is not None:
        irradiance = sheet.dots.sub_(1).mul_(paper_share).add_(1).mul_(irradiance[0])[None]
    depth = torch.where(paper_share > 0.5, maps.depth_mm, depth)
    depth = torch.where(bare < 0.5, maps.depth_mm - _FINGER_MM, depth)
    return _with_truth(face, sheet, irradiance, paper_share, depth)


def _surroundings(sheet: Sheet, scene: Scene, behind: Behind | None) -> Tensor:
    """Return (3, H, W) what is seen past the sheet: its wall, or the room, with the attacker where he is known."""
    params, maps, view = sheet.params, sheet.maps, sheet.placement.view
    if float(sheet.cover.amin()) >= 1:
        return torch.zeros_like(sheet.radiance)  # weighed by 0, and 0 × NaN is NaN
    if MOUNTS[int(params.mount.kind)] == "wall":
        lamp = lamp_light(params.lamp, params.scene)
        room = dataclasses.replace(params.scene, ambient_rgb=params.scene.ambient_rgb + 0.8 * lamp)
        return wall_radiance(params.mount, room, sheet.placement.pose, maps.u, maps.v, params.sheet_mm[0],
                             maps.mm_per_px)  # fmt: skip
    if behind is not None and behind.beside is not None and float(behind.person.amin()) >= 1:
        return behind.beside
    picture = scene.background(view, params.scene, sheet.placement.distance_mm)[0]
    if behind is not None and behind.beside is not None:
        picture = torch.lerp(picture, behind.beside, behind.person)
    return picture


def _with_truth(face: Face, sheet: Sheet, irradiance: Tensor, paper_share: Tensor, depth: Tensor) -> Rendered:
    """Add what is known of the picture."""
    placement, params = sheet.placement, sheet.params
    corners = torch.stack([face.box[0, :2], face.box[0, :2] + face.box[0, 2:]])
    rim = torch.cat([corners, torch.stack([corners[:, 0].flip(0), corners[:, 1]], -1)])
    points = placement.to_sheet(torch.cat([face.landmarks[0], rim]))
    seen, _ = project_sheet(placement.view, placement.pose, params.bend, points[None])
    low, high = seen[0, 68:].amin(0), seen[0, 68:].amax(0)
    return Rendered(
        irradiance=irradiance.clamp_(min=0),
        mask=paper_share[None, None],
        depth_mm=depth[None, None],
        landmarks=seen[:, :68],
        box=torch.cat([low, high - low])[None],
        facts={**sheet.facts, **_facts(face, sheet, high - low)},
        instrument_id=(sheet.paper.id,),
    )


def _facts(face: Face, sheet: Sheet, face_px: Tensor) -> dict[str, Tensor]:
    params, paper, placement = sheet.params, sheet.paper, sheet.placement

    def one(value: float) -> Tensor:
        return torch.tensor([value], dtype=torch.float32)

    return {
        "distance_mm": placement.distance_mm,
        "binning": placement.view.binning.float(),
        "face_px": face_px[:1],
        "sensor_px_on_sheet_mm": one(sheet.maps.mm_per_px),
        "face_on_sheet_mm": face.box[:, 2] * placement.mm_per_px,
        "sheet_width_mm": params.sheet_mm[:, 0],
        "bend_shape": params.bend.shape.float(),
        "bend_curvature_per_m": 1000 * params.bend.curvature_per_mm.abs().amax(-1),
        "folds": params.creases.folds.sum(-1).float(),
        "crumple_slope": params.creases.crumple,
        "film": params.film.float(),
        "mount": params.mount.kind.float(),
        "lamp": params.lamp.kind.float(),
        "tilt_deg": torch.hypot(params.yaw_deg, params.pitch_deg),
        "roughness": one(finish_of(params, paper).roughness),
        "yule_nielsen_n": one(paper.yule_nielsen_n),
        "dot_gain": one(paper.dot_gain) + params.printing.tone_drift.mean(-1),
    }
