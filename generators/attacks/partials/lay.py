"""Lay sheets on a head: tilted as it is, drawn taut over it, and lifted until nothing pokes through."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from spooflab.generators.attacks.partials.outline import Outline
from spooflab.generators.attacks.partials.sheet import Sheet, bent_sheet, curved, facing_axes, height_of
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.masked import places

_LEAST_RADIUS_MM = 28.0


def laid_on(
    fit: HeadFit,
    centre_mm: tuple[float, float],
    half_mm: tuple[float, float],
    *,
    gap_mm: float,
    roll_deg: float,
    bend: float,
    turn_rad: float = 0.0,
    curl_per_mm: tuple[float, float] = (0.0, 0.0),
    margin_mm: float = 30.0,
    least_radius_mm: float = _LEAST_RADIUS_MM,
) -> Sheet:
    """Lay a sheet on the face: tilted by least squares, drawn taut over the head, lifted until nothing pokes through.

    Args:
        fit: the wearer's head.
        centre_mm: (x, y) in the head's frame over which the sheet's middle lies.
        half_mm: half width and height of the sheet.
        gap_mm: clearance over the highest point underneath.
        roll_deg: clockwise in the image.
        bend: share of the taut section's bend that the sheet takes on, 0 flat to 1.
        turn_rad: direction of the bend on the sheet.
        curl_per_mm: see `bent_sheet`; begins at 0.55 of the half extent.
        margin_mm: how far the surface goes on past the sheet, for its shadow.
        least_radius_mm: paper is not bent tighter.
    """
    points = fit.local
    offset = points[:, :2] - points.new_tensor(centre_mm)
    far = (offset.abs() / points.new_tensor(half_mm)).amax(1)
    eyes = float(fit.eyes[:, 2].mean())
    index = places((far < 1.03) & (points[:, 2] > eyes - 45))
    index = index[:: max(len(index) // 3000, 1)]
    under, lateral = points.index_select(0, index), offset.index_select(0, index)
    design = torch.stack([torch.ones_like(lateral[:, 0]), lateral[:, 0], lateral[:, 1]], 1)
    bowl = torch.cat([design, lateral.square()], 1).double()  # the bowl's curvature must not pass for a tilt
    normal = bowl.T @ bowl + torch.diag(torch.tensor([1e-6, *[1e-3] * 4], dtype=torch.float64))
    level, across, up, *_ = torch.linalg.solve(normal, bowl.T @ under[:, 2].double()).tolist()
    across, up = max(-1.6, min(1.6, across)), max(-0.7, min(0.7, up))
    axes = facing_axes(math.degrees(math.atan(-across)), math.degrees(math.atan(-up)), roll_deg)
    origin = points.new_tensor([*centre_mm, level])  # lifting leans with the sheet, so it must be short
    c, s = math.cos(turn_rad), math.sin(turn_rad)
    reach = math.hypot(*half_mm) + margin_mm
    flat = 0.55 * abs(c * half_mm[0]) + 0.55 * abs(s * half_mm[1])
    sheet = bent_sheet(
        origin, axes, (reach, reach), curvature_per_mm=0.0, turn_rad=turn_rad, curl_per_mm=curl_per_mm, flat_mm=flat
    )
    along, _, out = sheet.frame()
    local = under - origin
    x, z = local @ along, local @ out
    if len(x) > 8 and bend > 0:
        sheet = curved(sheet, sheet.angle_rad + bend * _taut_angles(x, z, sheet.along_mm, least_radius_mm))
    rise = z - height_of(sheet, x)
    lift = rise.amax() + gap_mm if len(rise) else torch.tensor(gap_mm)
    return replace(sheet, origin_mm=origin + lift * out)


def _taut_angles(x: Tensor, z: Tensor, along_mm: Tensor, least_radius_mm: float) -> Tensor:
    """Return (N,) slopes of paper drawn taut over a section of the head: its upper hull, no tighter than a radius.

    Args:
        x: (P,) places along the bend,
        z: (P,) and heights of the head under the paper.
        along_mm: (N,) places on the paper, 0 in its middle.
        least_radius_mm: paper is not bent tighter.
    """
    bins = 36
    low, high = float(x.min()), float(x.max())
    width = max(high - low, 1e-3) / bins
    index = ((x - low) / width).long().clamp(0, bins - 1)
    top = torch.full((bins,), -torch.inf).scatter_reduce(0, index, z, "amax")
    hull: list[tuple[float, float]] = []
    for k, height in enumerate(top.tolist()):
        point = (low + (k + 0.5) * width, height)
        if height == -math.inf:
            continue
        while len(hull) > 1 and _left_turn(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    if len(hull) < 2:
        return torch.zeros_like(along_mm)
    corners = torch.tensor(hull)
    step = corners[1:] - corners[:-1]
    length = step.norm(dim=1)
    slope = torch.atan2(-step[:, 1], step[:, 0])
    ends = torch.cumsum(length, 0)
    middle = int((corners[:, 0] < 0).sum().clamp(1, len(hull) - 1))
    zero = ends[middle - 1] - length[middle - 1] * ((corners[middle, 0]) / step[middle - 1, 0].clamp(min=1e-6)).clamp(
        0, 1
    )
    fine = torch.linspace(float(along_mm[0]), float(along_mm[-1]), 8 * len(along_mm))
    inside = (fine + zero).clamp(0.0, float(ends[-1]) - 1e-3)
    angle = slope[torch.searchsorted(ends, inside).clamp(max=len(slope) - 1)]
    # Bending stiffness: the slope changes over some length only.
    spread = max(1, round(0.35 * least_radius_mm / float(fine[1] - fine[0])))
    padded = torch.cat([angle[:1].expand(spread), angle, angle[-1:].expand(spread)])
    smooth = padded.unfold(0, 2 * spread + 1, 1).mean(1)
    at = torch.searchsorted(fine, along_mm.contiguous()).clamp(max=len(fine) - 1)
    limited = smooth[at] - smooth[at][len(along_mm) // 2]
    return limited.clamp(-1.25, 1.25)


def _left_turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) >= 0


def lifted(fit: HeadFit, sheet: Sheet, outline: Outline, clearance_mm: float) -> Sheet:
    """Return the sheet moved outwards, if need be, until the head under it stays `clearance_mm` below."""
    along, ruling, out = sheet.frame()
    local = fit.local - sheet.origin_mm
    x, t, z = local @ along, local @ ruling, local @ out
    index = places((z > -25) & (x.abs() < sheet.reach_mm[0]) & (t.abs() < sheet.reach_mm[1]))
    x, t, z = (part.index_select(0, index) for part in (x, t, z))
    c, s = math.cos(sheet.turn_rad), math.sin(sheet.turn_rad)
    inside = places(outline(c * x - s * t, s * x + c * t) < 0)
    if len(inside) == 0:
        return sheet
    rise = (z.index_select(0, inside) - height_of(sheet, x.index_select(0, inside))).amax() + clearance_mm
    return replace(sheet, origin_mm=sheet.origin_mm + rise.clamp(min=0) * out)
