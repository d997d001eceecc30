"""A cut and wrapped print over the wearer's picture: where each pixel meets the sheet."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.attacks.cutouts.mask_paper_cut import cut_polygon, eye_holes, look_up_field, outline_field
from spooflab.generators.attacks.cutouts.mask_paper_params import PaperMaskParams
from spooflab.generators.attacks.cutouts.mask_paper_sheet import Wrap, chin, sheet_mesh, wrap
from spooflab.generators.attacks.masks.filter import unit_planes
from spooflab.generators.face import Face
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.geometry.mesh_maps import mesh_maps

_REACH_MM = 170
_ABOVE_MM, _BELOW_MM = 190.0, 160.0
_MARGIN_PX = 24
_LONGER = 1.05
"""How much longer than the wearer's a printed face may be that is as wide."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """A cut print before a wearer: window of the picture, maps over it, and the cut."""

    rows: slice
    columns: slice
    cover: Tensor
    depth_mm: Tensor
    normal: Tensor
    uv: Tensor
    inside: Tensor
    holes: Tensor
    landmarks: Tensor
    mm_per_px: float


def on_sheet(face: Face, fit: HeadFit, params: PaperMaskParams) -> tuple[Tensor, float]:
    """Return the (2, 3) affine map from the photograph's pixels to the sheet, and its millimetres per pixel.

    The eyes come level; the face is printed as wide as the wearer's, give or take.
    """
    points = face.landmarks[0]
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    across = right - left
    apart = float(across.square().sum().sqrt())
    mine = float((fit.eyes[0, :3] - fit.eyes[1, :3]).square().sum().sqrt())
    # Eyes of a turned head lie closer together: its length tells the size as well.
    drop = points[8] - (left + right) / 2
    length = float(drop.square().sum().sqrt())
    whole = _LONGER * float((fit.local[chin()] - fit.eyes[:, :3].mean(0)).square().sum().sqrt())
    scale = min(mine / max(apart, 1e-3), whole / max(length, 1e-3)) * float(params.life_size)
    turn = math.atan2(float(across[1]), float(across[0]))
    cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
    rotation = torch.tensor([[cos, sin], [-sin, cos]])
    middle = (left + right) / 2
    return torch.cat([rotation, -(rotation @ middle)[:, None]], 1), scale


def mapped(points: Tensor, affine: Tensor) -> Tensor:
    """Return points (N, 2) under an affine map (2, 3)."""
    return points @ affine[:, :2].T + affine[:, 2]


def wrapped(fit: HeadFit, params: PaperMaskParams, off: frozenset[str]) -> Wrap:
    """Return the sheet as it is bent before the wearer; flat where "geometry" is off."""
    flat = "geometry" in off
    return wrap(
        fit,
        radius_mm=1e6 if flat else float(params.radius_mm),
        flat_mm=float(params.flat_mm),
        fold_deg=0.0 if flat else float(params.fold_deg),
        lean_deg=float(params.lean_deg),
        roll_deg=float(params.roll_deg),
        shift_mm=params.shift_mm[0],
        stand_mm=float(params.stand_mm),
        reach_mm=_REACH_MM,
    )


def sheet_maps(fit: HeadFit, bent: Wrap, spots: Tensor, params: PaperMaskParams, off: frozenset[str]) -> Sheet:
    """Cut the sheet and rasterise it over the wearer's picture.

    Args:
        fit: the wearer's head.
        bent: the sheet's shape and place.
        spots: (68, 2) landmarks of the printed face, sheet millimetres.
        params: the draws.
        off: effects that are switched off.
    """
    polygon = cut_polygon(spots, int(params.outline), float(params.grow), int(params.seed), float(params.wander_mm))
    limit = torch.tensor([_REACH_MM - 4.0, _ABOVE_MM])
    polygon = torch.maximum(torch.minimum(polygon, torch.tensor([limit[0], _BELOW_MM])), -limit)
    field, low, high = outline_field(polygon)
    nodes, triangles = sheet_mesh(polygon.amin(0) - 4, polygon.amax(0) + 4)
    local, outward = bent.place(nodes)
    points, normals = fit.to_camera(local), outward @ fit.rotation.T
    pixel = fit.project(points)
    height, width = fit.size
    first = [max(0, int(v) - _MARGIN_PX) for v in pixel.amin(0).tolist()]
    last = [min(n, int(v) + _MARGIN_PX) for v, n in zip(pixel.amax(0).tolist(), (width, height), strict=True)]
    rows, columns = slice(first[1], max(last[1], first[1] + 16)), slice(first[0], max(last[0], first[0] + 16))
    size = (min(rows.stop, height) - rows.start, min(columns.stop, width) - columns.start)
    rows, columns = slice(rows.start, rows.start + size[0]), slice(columns.start, columns.start + size[1])
    centre = (fit.centre_px[0] - columns.start, fit.centre_px[1] - rows.start)
    maps = mesh_maps(
        points, triangles, torch.cat([normals, nodes], 1), fit.focal_px, centre, size, supersample=1, two_sided=True
    )
    uv = maps.attributes[3:5]
    inside = torch.where(maps.cover > 0, look_up_field(field, low, high, uv), -50.0)
    holes = torch.full_like(inside, -99.0)
    if float(params.holes[0, 0]) > 0 and "openings" not in off:
        holes = torch.minimum(eye_holes(uv, spots, *params.holes[0].tolist()), inside)
    seen = fit.project(fit.to_camera(bent.place(spots)[0]))
    scale = float(points[:, 2].mean()) / fit.focal_px
    normal = unit_planes(maps.attributes[:3])
    return Sheet(rows, columns, maps.cover, maps.depth_mm, normal, uv, inside, holes, seen, scale)
