"""What of a worn sheet each pixel sees."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.attacks.partials.sheet import Sheet
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.masked import places

_SLACK_MM = 2.5


@dataclass(frozen=True, eq=False)
class SheetView:
    """What P pixels see of a sheet (and of the surface that continues it).

    Attributes:
        pixel: (P,) int64 row-major index of each into the picture.
        size: height and width of that picture.
        u, v: (P,) place on the sheet, mm.
        depth_mm: (P,) along the camera's axis.
        normal, along_u, along_v: (3, P) unit vectors in camera axes; the normal points away from the head.
        ray: (3, P) unit vectors away from the camera.
        mm_per_px: median size of a pixel on the sheet.
    """

    pixel: Tensor
    size: tuple[int, int]
    u: Tensor
    v: Tensor
    depth_mm: Tensor
    normal: Tensor
    along_u: Tensor
    along_v: Tensor
    ray: Tensor
    mm_per_px: float


def see_sheet(
    fit: HeadFit, sheet: Sheet, *, half_mm: tuple[float, float] | None = None, shrink: int = 1
) -> SheetView | None:
    """Return what the picture's pixels see of a sheet; None where it lies outside the picture.

    All rays start at the camera, and a ray's direction across the rulings tells where it meets the curve: a table of
    that direction at the curve's nodes is searched, and the segment that it names is cut exactly.

    Args:
        fit: the wearer's head.
        sheet: worn. Where it turns its back to the camera or hides itself, it is not seen.
        half_mm: half width and height of the part that is wanted; None for all of it, the margin included.
        shrink: 2 for a picture of half the size, which will do for shadows.
    """
    focal = fit.focal_px / shrink
    middle = (fit.centre_px[0] / shrink, fit.centre_px[1] / shrink)
    size = (-(-fit.size[0] // shrink), -(-fit.size[1] // shrink))
    limits = sheet.reach_mm if half_mm is None else (half_mm[0] + _SLACK_MM, half_mm[1] + _SLACK_MM)
    turned = half_mm is not None
    window = pixel_window(_border(fit, sheet, limits, on_sheet=turned), focal, middle, size, 1)
    if window is None:
        return None
    rows, columns = window
    x = (torch.arange(columns.start, columns.stop) + (0.5 - middle[0])) / focal
    y = ((torch.arange(rows.start, rows.stop) + (0.5 - middle[1])) / focal)[:, None]
    met = _meet(fit, sheet, x, y)
    if met is None:
        return None
    index, depth, place, t, angle = met
    u, v = _turn(place, t, sheet.turn_rad)
    inside = (u.abs() < limits[0]) & (v.abs() < limits[1]) if turned else t.abs() < limits[1]
    keep = places(inside)
    if len(keep) == 0:
        return None
    if len(keep) < len(index):
        index = index.index_select(0, keep)
        depth, u, v, angle = torch.stack([depth, u, v, angle]).index_select(1, keep)
    along, ruling, out = (fit.rotation @ axis for axis in sheet.frame())
    sine, cosine = angle.sin(), angle.cos()
    normal = along[:, None] * sine + out[:, None] * cosine
    tangent = along[:, None] * cosine - out[:, None] * sine
    straight = ruling[:, None].expand_as(tangent)
    c, s = math.cos(sheet.turn_rad), math.sin(sheet.turn_rad)
    row = torch.div(index, len(x), rounding_mode="floor")
    column = index - row * len(x) + columns.start
    row = row + rows.start
    return SheetView(
        pixel=row * size[1] + column,
        size=size,
        u=u,
        v=v,
        depth_mm=depth,
        normal=normal,
        along_u=tangent if sheet.turn_rad == 0.0 else c * tangent - s * straight,
        along_v=straight if sheet.turn_rad == 0.0 else s * tangent + c * straight,
        ray=camera_rays(row, column, focal, middle),
        mm_per_px=float(depth.median()) / focal,
    )


def _meet(fit: HeadFit, sheet: Sheet, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor] | None:
    """Return where rays (x, y, 1) of a window meet a sheet that has no end along its rulings; None for nowhere.

    Returns:
        (P,) each: index into the window, depth, place along the bend, place along the rulings, and slope there.
    """
    along, ruling, out = (fit.rotation @ axis for axis in sheet.frame())
    camera = -fit.to_camera(sheet.origin_mm)
    camera_a, camera_t, camera_o = (float(camera @ axis) for axis in (along, ruling, out))
    start_a, start_o = sheet.x_mm - camera_a, sheet.z_mm - camera_o
    aim = start_a / -start_o.clamp(max=-1.0)
    first, last = _facing(aim.tolist())
    ray_a, ray_o = (_affine(axis, x, y) for axis in (along, out))
    seek = ray_a / -ray_o.clamp(max=-1e-3)
    wanted = (seek > aim[first]) & (seek < aim[last]) & (ray_o < -1e-3)
    index = places(wanted)
    if len(index) == 0:
        return None
    seek = seek.flatten().index_select(0, index)
    node = torch.searchsorted(aim[first : last + 1].contiguous(), seek).clamp_(1, last - first).add_(first - 1)
    segments = torch.stack(
        [
            start_a[:-1], start_o[:-1], sheet.x_mm.diff(), sheet.z_mm.diff(), sheet.along_mm[:-1],
            sheet.angle_rad[:-1], sheet.angle_rad.diff(),
        ]
    )  # fmt: skip
    from_a, from_o, step_a, step_o, from_place, from_angle, turn = segments.index_select(1, node)
    share = torch.addcmul(from_a, seek, from_o) / torch.addcmul(step_a, seek, step_o).neg_()
    depth = torch.addcmul(from_o, share, step_o) / ray_o.flatten().index_select(0, index)
    place = from_place + share * float(sheet.along_mm[1] - sheet.along_mm[0])
    t = camera_t + depth * _affine(ruling, x, y).flatten().index_select(0, index)
    return index, depth, place, t, torch.addcmul(from_angle, share, turn)


def _affine(axis: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return (h, w) the component along `axis` of rays (x, y, 1)."""
    a, b, c = axis.tolist()
    component: Tensor = (x * a) + (y * b + c)
    return component


def _facing(aim: list[float]) -> tuple[int, int]:
    """Return the first and the last node about the middle between which directions ascend."""
    first = last = len(aim) // 2
    while first > 0 and aim[first - 1] < aim[first] - 1e-6:
        first -= 1
    while last < len(aim) - 1 and aim[last + 1] > aim[last] + 1e-6:
        last += 1
    return (first, last) if last > first else (first, first + 1) if first + 1 < len(aim) else (first - 1, first)


def _turn(place: Tensor, t: Tensor, turn_rad: float) -> tuple[Tensor, Tensor]:
    """Return u and v of places along the bend and along the rulings."""
    if turn_rad == 0.0:
        return place, t
    c, s = math.cos(turn_rad), math.sin(turn_rad)
    return c * place - s * t, s * place + c * t


def _border(fit: HeadFit, sheet: Sheet, half: tuple[float, float], *, on_sheet: bool) -> Tensor:
    """Return points in camera axes around a rectangle, of (u, v) or else along the bend and the rulings."""
    side = torch.linspace(-1, 1, 9)
    one = torch.ones_like(side)
    edge = torch.cat([torch.stack(p, -1) for p in ((side, one), (side, -one), (one, side), (-one, side))])
    edge = edge * torch.tensor(half)
    if not on_sheet:
        edge = torch.stack(_turn(edge[:, 0], edge[:, 1], sheet.turn_rad), -1)
    return fit.to_camera(sheet.point(edge))


def camera_rays(row: Tensor, column: Tensor, focal_px: float, centre_px: tuple[float, float]) -> Tensor:
    """Return (3, P) unit vectors from the camera through the middles of pixels."""
    x = (column + (0.5 - centre_px[0])) / focal_px
    y = (row + (0.5 - centre_px[1])) / focal_px
    scale = torch.rsqrt(1 + x.square() + y.square())
    return torch.stack([x * scale, y * scale, scale])


def pixel_window(
    points: Tensor, focal_px: float, centre_px: tuple[float, float], size: tuple[int, int], margin: int
) -> tuple[slice, slice] | None:
    """Return the rows and columns of a picture that points (N, 3) in camera axes span; None where nearly none."""
    ahead = points
    if float(points[:, 2].amin()) <= 1.0:
        ahead = points.index_select(0, places(points[:, 2] > 1.0))
    if len(ahead) == 0:
        return None
    pixel = ahead[:, :2] * (focal_px / ahead[:, 2:]) + points.new_tensor(centre_px)
    (left, top), (right, bottom) = pixel.amin(0).floor().tolist(), pixel.amax(0).ceil().tolist()
    left, top = max(0, int(left) - margin), max(0, int(top) - margin)
    right, bottom = min(size[1], int(right) + margin), min(size[0], int(bottom) + margin)
    return (slice(top, bottom), slice(left, right)) if right - left > 2 and bottom - top > 2 else None
