"""Fingers that hold an instrument's edge: rounded, tapered bones joined into one height field, shaded as skin.

The hand is built in millimetres in the instrument's plane. Its near parts (thumb, fingertips) lie on the instrument's
face, the palm and wrist behind it, so that these show only past the edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.view import View
from spooflab.generators.enlarge import enlarge
from spooflab.generators.pose import Hit, Pose, cast_points, project
from spooflab.generators.scene_bones import hand_bones
from spooflab.generators.scene_skin import Spots, Surroundings, light_up, skin_texture

if TYPE_CHECKING:
    from spooflab.generators.scene import SceneParams

CELL_MM = 0.55
"""Size of the cells that the hand is shaded on, enlarged afterwards: skin is smooth, and it is the costliest part."""
MIN_STEP, MAX_STEP = 2, 3
"""Sensor pixels to a cell."""
FAR = 1e4
"""How far outside everything a missing bone lies, mm."""
_LENS_NODES = 17
_FAINT_SHADOW = 0.03
_REACH_MM = 12.0
"""How far past a bone's outline its joints and shade reach."""
_CORNERS = ((-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0))


def hand(view: View, params: SceneParams, pose: Pose, half_size_mm: Tensor, *, shadow: bool) -> tuple[Tensor, Tensor]:
    """Return rgb (B, 3, H, W), not premultiplied, and alpha (B, 1, H, W); see `Scene.hand`."""
    rgb = torch.zeros(params.batch_size, 3, view.height, view.width)
    alpha = torch.zeros(params.batch_size, 1, view.height, view.width)
    for index, row in enumerate(_rows(params, half_size_mm)):
        table = torch.tensor(hand_bones(*row))
        if len(table) == 0:
            continue
        shot = _Shot(view.row(index), pose.row(index), params.row(index), half_size_mm[index : index + 1])
        cells = _cells(shot, table)
        if all(cell.empty for cell in cells):
            continue
        shade = [cell for cell in _cells(shot, _cast(table, shot.params)) if not cell.empty] if shadow else []
        edges = zip(*(cells + shade), strict=True)
        frame = _Cells(*(f(edge) for f, edge in zip((min, min, max, max), edges, strict=True)))
        patch = _hand_patch(shot, table, frame, [cell.within(frame) for cell in cells], shadow=shadow)
        full = enlarge(patch, shot.step)
        top, left = frame.top * shot.step, frame.left * shot.step
        full = full[..., : view.height - top, : view.width - left]
        bottom, right = top + full.shape[-2], left + full.shape[-1]
        rgb[index, :, top:bottom, left:right] = full[0, :3] / full[0, 3:].clamp(min=1e-4)
        alpha[index, :, top:bottom, left:right] = full[0, 3:]
    return rgb, alpha


@dataclass(frozen=True)
class _Shot:
    """One sample's view, pose, scene and instrument, each a batch of one."""

    view: View
    pose: Pose
    params: SceneParams
    half_mm: Tensor

    @property
    def mm_per_px(self) -> float:
        """Size of a sensor pixel at the instrument."""
        return float(self.pose.centre_mm[0, 2] * self.view.pixel_um[0] / 1000 / self.view.focal_mm[0])

    @property
    def step(self) -> int:
        """Sensor pixels to a cell."""
        return min(MAX_STEP, max(MIN_STEP, round(CELL_MM / self.mm_per_px)))


class _Cells(NamedTuple):
    """A rectangle of the coarse grid."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def empty(self) -> bool:
        """Whether it holds no cell."""
        return self.top >= self.bottom or self.left >= self.right

    def within(self, frame: _Cells) -> tuple[slice, slice]:
        """Return its rows and columns counted from the frame's corner."""
        return slice(self.top - frame.top, self.bottom - frame.top), slice(
            self.left - frame.left, self.right - frame.left
        )


def _cast(table: Tensor, params: SceneParams) -> Tensor:
    """Return the near bones where the key light casts their shade on the instrument."""
    near = table[table[:, 6] == 0]
    offset = _cast_offset(params)[0]
    return near + torch.cat([offset, offset, torch.zeros(near.shape[1] - 4)])


def _cast_offset(params: SceneParams) -> Tensor:
    """Return (B, 2) mm by which the key light displaces a bone's shade: its axis lies about 7 mm high."""
    slant = (-params.key_direction[:, 2]).clamp(min=0.25)
    return params.key_direction[:, :2] / slant[:, None] * -7.0


def _cells(shot: _Shot, table: Tensor) -> list[_Cells]:
    """Return, for each bone, the cells that it, its joints and its shade can touch; empty ones are kept, at 0."""
    radius = torch.maximum(table[:, 4:5], table[:, 5:6]) + _REACH_MM
    corners = [table[:, i : i + 2] + radius * torch.tensor(s) for i in (0, 2) for s in _CORNERS]
    at = project(shot.view, shot.pose, torch.cat(corners)[None])[0].reshape(len(corners), -1, 2) / shot.step
    size = torch.tensor([-(-shot.view.width // shot.step), -(-shot.view.height // shot.step)])
    low = torch.minimum(at.amin(0).floor().clamp(min=0).long(), size)
    high = torch.minimum(at.amax(0).ceil().clamp(min=0).long() + 1, size)
    found = [_Cells(y0, x0, y1, x1) for (x0, y0), (x1, y1) in zip(low.tolist(), high.tolist(), strict=True)]
    seen = [cell for cell in found if not cell.empty]
    anchor = seen[0] if seen else _Cells(0, 0, 0, 0)
    return [cell if not cell.empty else _Cells(anchor.top, anchor.left, anchor.top, anchor.left) for cell in found]


def _hand_patch(shot: _Shot, table: Tensor, frame: _Cells, cells: list[tuple[slice, slice]], *, shadow: bool) -> Tensor:
    """Return (1, 4, h, w): premultiplied rgb and alpha on the frame's cells."""
    hit = cast_points(shot.view, shot.pose, _ideal(shot, frame))
    softness = shot.mm_per_px * max(shot.step, float(torch.sqrt(0.5 + shot.view.blur_px[0] ** 2)))
    outside = (hit.uv_mm.abs() - shot.half_mm[:, None, None]).amax(-1)
    body = Surface.build(table, hit.uv_mm, outside, softness, cells)
    rgb = _shade(body, shot.params, shot.pose, hit, shot.mm_per_px * shot.step) * body.cover[:, None]
    alpha = body.cover
    if shadow:
        alpha = alpha + (1 - alpha) * _shadow(shot.params, table, hit.uv_mm, outside, cells)
    return torch.cat([rgb, alpha[:, None]], 1)


def _ideal(shot: _Shot, frame: _Cells) -> Tensor:
    """Return (1, h, w, 2) pinhole points of the frame's cells: the lens's displacement, linear between few nodes."""
    rows, columns = frame.bottom - frame.top, frame.right - frame.left
    down = (torch.linspace(0.5, rows - 0.5, _LENS_NODES) + frame.top) * shot.step
    across = (torch.linspace(0.5, columns - 0.5, _LENS_NODES) + frame.left) * shot.step
    nodes = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1)[None]
    ideal = shot.view.undistort(nodes).permute(0, 3, 1, 2).contiguous()
    return F.interpolate(ideal, size=(rows, columns), mode="bilinear", align_corners=True).permute(0, 2, 3, 1)


def _rows(params: SceneParams, half: Tensor) -> list[tuple[float, ...]]:
    columns = (params.hand_style, params.hand_edge, params.hand_along, params.hand_reach_mm, params.hand_tilt_deg,
               params.hand_scale, half[:, 0], half[:, 1])  # fmt: skip
    return list(zip(*(c.tolist() for c in columns), strict=True))


@dataclass(frozen=True)
class Surface:
    """The hand as a height field over the instrument's plane, every map (B, h, w).

    Attributes:
        cover: share of the pixel that the hand covers.
        height: mm towards the camera.
        nail: 0-1, on a nail.
        rim: 0-1, in the groove round a nail; tip: 0-1 towards a fingertip.
        free: 0-1 on a nail's white free edge.
        crease: wrinkles across a joint.
        sleeve: 0-1 on cloth.
    """

    cover: Tensor
    height: Tensor
    nail: Tensor
    rim: Tensor
    free: Tensor
    tip: Tensor
    crease: Tensor
    sleeve: Tensor

    @classmethod
    def build(
        cls,
        table: Tensor,
        uv: Tensor,
        outside: Tensor,
        softness: float,
        cells: list[tuple[slice, slice]],
    ) -> Surface:
        """Join the bones: covers add up softly, heights by a smooth maximum."""
        near, behind, cloth = (torch.full_like(outside, -FAR) for _ in range(3))
        height = torch.full_like(outside, -40.0)
        marks = torch.zeros(5, *outside.shape)  # nail, rim, free edge, fingertip, creases
        for index in range(len(table)):
            bone = table[index : index + 1]
            part = (slice(None), *cells[index])
            at = uv[part]
            if at.numel() == 0:
                continue
            kind, nail = int(bone[0, 6]), bool(bone[0, 7])
            inner, rise, s, q, length = rod(bone, at)
            outline = near if kind == 0 else behind
            outline[part] = smooth_max(outline[part], inner, 2.0 if kind == 0 else 8.0)
            if kind == 2:
                cloth[part] = torch.maximum(cloth[part], inner)
            joined = smooth_max(height[part], rise - (0.0, 16.0, 8.0)[kind], 3.0)
            height[part] = torch.where(inner > -6.0, joined, height[part])
            if nail:
                own = marks_of(bone, s, q, length, inner)
                marks[(slice(None), *part)] = torch.maximum(marks[(slice(None), *part)], own)
        return cls.joined(near, behind, cloth, height, marks, outside, softness)

    @classmethod
    def joined(
        cls,
        near: Tensor,
        behind: Tensor,
        cloth: Tensor,
        height: Tensor,
        marks: Tensor,
        outside: Tensor,
        softness: Tensor | float,
    ) -> Surface:
        """Return the surface of joined bones: their depths inside the outlines (mm), heights and (5, ...) marks."""
        face = (near / softness + 0.5).clamp(0, 1)
        past = (behind / softness + 0.5).clamp(0, 1) * (outside / softness + 0.5).clamp(0, 1)
        sleeve = (cloth / softness + 0.5).clamp(0, 1) * (1 - face)
        nail_at, rim, free, tip, crease = marks.unbind(0)
        return cls(face + (1 - face) * past, height, nail_at, rim, free, tip, crease, sleeve)


def rod(bone: Tensor, uv: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return, per point: depth inside the outline, surface height, position along (mm), across (-1...1), length."""
    ax, ay, bx, by, ra, rb = (c[:, None, None] for c in bone.unbind(-1)[:6])
    dx, dy = bx - ax, by - ay
    length = torch.hypot(dx, dy)
    px, py = uv[..., 0] - ax, uv[..., 1] - ay
    s = px * (dx / length) + py * (dy / length)
    across = px * (dy / length) - py * (dx / length)
    over = s - torch.minimum(s.clamp(min=0), length)  # beyond either end
    radius = ra + (s - over) * ((rb - ra) / length)
    distance = torch.sqrt(across * across + over * over)
    inner = radius - distance
    roundness = torch.sqrt((1 - (distance / radius).square()).clamp(min=0))
    rise = radius * (0.75 + 0.85 * roundness) - 2.0 + 2 * inner.clamp(max=0)
    return inner, rise, s, across / radius, length


def _inside(bone: Tensor, uv: Tensor) -> Tensor:
    """Return only the depth inside a rod's outline."""
    ax, ay, bx, by, ra, rb = bone[0, :6].tolist()
    length = math.hypot(bx - ax, by - ay)
    cx, cy = (bx - ax) / length, (by - ay) / length
    px, py = uv[..., 0] - ax, uv[..., 1] - ay
    s = px * cx + py * cy
    within = s.clamp(0, length)
    off = torch.sqrt((px * cy - py * cx).square() + (s - within).square())
    depth: Tensor = ra + within * ((rb - ra) / length) - off
    return depth


def marks_of(bone: Tensor, s: Tensor, q: Tensor, length: Tensor, inner: Tensor) -> Tensor:
    """Return (5, B, h, w) of a fingertip: nail, groove round it, its free edge, the tip's tint, creases."""
    radius = bone[:, 5][:, None, None]
    along = (s - length) / radius  # 0 at the last centre, 1 at the fingertip
    middle, half = 0.02, 0.70
    box_a, box_q = (along - middle) / half, q / 0.68
    shape = 1 - (box_a**4 + box_q**4) ** 0.25  # a rounded rectangle, positive inside
    nail = (shape / 0.10 + 0.5).clamp(0, 1)
    rim = torch.exp(-(((shape + 0.02) / 0.09) ** 2))
    q2 = q * q
    free = ((along - middle - half * 0.72 + 0.25 * q2) / 0.1 + 0.5).clamp(0, 1) * nail
    tip = torch.sigmoid((along + 1.2) / 0.5) * (inner > -6.0)
    joint = s / radius - 0.1  # wrinkles where the last phalanx begins
    crease = torch.cos(joint * 8 + 1.5 * q2) * torch.exp(-((joint / 0.55) ** 2))
    knuckle = (along + 1.75) / 0.35
    crease = crease + 0.6 * torch.cos(knuckle * 4) * torch.exp(-(knuckle**2))
    return torch.stack([nail, rim, free, tip, crease * (1 - q2).clamp(min=0) * (inner > 0)])


def smooth_max(a: Tensor, b: Tensor, width: float) -> Tensor:
    """Polynomial smooth maximum (Quilez); differs from max only where both lie within `width`."""
    mix = (width - (a - b).abs()).clamp(min=0) / width
    return torch.maximum(a, b) + mix * mix * (width / 4)


def slopes(height: Tensor, step_mm: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return the slopes (B, h, w) of a height field (mm) along the image's axes."""
    pad = F.pad(height[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    slope_x = (pad[:, 1:-1, 2:] - pad[:, 1:-1, :-2]).mul_(0.5 / step_mm)
    slope_y = (pad[:, 2:, 1:-1] - pad[:, :-2, 1:-1]).mul_(0.5 / step_mm)
    return slope_x, slope_y


def _normals(slope_x: Tensor, slope_y: Tensor, pose: Pose) -> Tensor:
    """Return (3, N) unit normals towards the camera of slopes (N,) over the instrument of a batch of one."""
    roll = torch.deg2rad(pose.roll_deg)  # image axes to the instrument's
    slope_u, slope_v = slope_x * roll.cos() + slope_y * roll.sin(), slope_y * roll.cos() - slope_x * roll.sin()
    u, v, n = (axis[0, :, None] for axis in pose.axes())
    return unit(-slope_u * u - slope_v * v - n)


def unit(vectors: Tensor) -> Tensor:
    """Return vectors (..., 3, N) at length 1."""
    return vectors * torch.rsqrt((vectors * vectors).sum(-2, keepdim=True))


def _shade(body: Surface, params: SceneParams, pose: Pose, hit: Hit, step_mm: float) -> Tensor:
    """Return (1, 3, h, w) radiance of skin, nails and sleeve; 0 where the hand is not."""
    texture = skin_texture(params, hit.uv_mm)
    slope = slopes(relief(body, texture), step_mm)
    maps = torch.stack([*slope, texture, body.nail, body.rim, body.free, body.tip, body.crease, body.sleeve]).flatten(1)
    there = (body.cover > 0).flatten().nonzero()[:, 0]
    radiance = torch.zeros(3, maps.shape[1])
    if there.numel():
        spots = Spots(*maps.index_select(1, there).unbind(0))
        lit = light_up(spots, _normals(spots.slope_x, spots.slope_y, pose), Surroundings.one(params))
        for channel in range(3):
            radiance[channel].index_copy_(0, there, lit[channel])
    return radiance.reshape(1, 3, *body.cover.shape[1:])


def relief(body: Surface, texture: Tensor) -> Tensor:
    """Return (B, h, w) mm: the height with its creases, nails and pores."""
    return body.height + 0.16 * body.crease - 0.35 * body.rim + 0.35 * body.nail + 0.10 * texture * (1 - body.nail)


def _shadow(
    params: SceneParams, table: Tensor, uv: Tensor, outside: Tensor, cells: list[tuple[slice, slice]]
) -> Tensor:
    """Return (B, h, w) opacity of the shade that the near parts cast on the instrument: contact and key light."""
    direction = params.key_direction
    share = params.key_rgb.mean(1) * (-direction[:, 2]).clamp(min=0)
    share = (share / (share + params.ambient_rgb.mean(1)))[:, None, None]
    contact, cast = torch.zeros_like(uv[..., 0]), torch.zeros_like(uv[..., 0])
    shifted = uv - _cast_offset(params)[:, None, None]
    penumbra = float(7.0 * 2 * torch.deg2rad(params.key_radius_deg[0]) + 1.0)
    rest = math.exp(-_REACH_MM / 5.0)  # what is left at the edge of a bone's own cells
    for index in range(len(table)):
        bone = table[index : index + 1]
        part = (slice(None), *cells[index])
        at = uv[part]
        if float(bone[0, 6]) > 0 or at.numel() == 0:
            continue
        near = _inside(bone, at).clamp_(max=0).div_(5.0).exp_().sub_(rest).div_(1 - rest)
        contact[part] = torch.maximum(contact[part], near)
        if float(share) > _FAINT_SHADOW:  # a slanted light casts it beyond the bone's own cells
            far = _inside(bone, shifted).div_(penumbra).add_(0.5).clamp_(0, 1)
            torch.maximum(cast, far, out=cast)
    lit = 1 - (1 - 0.55 * contact.clamp_(min=0) * (1 - share)) * (1 - 0.85 * share * cast)
    return lit * (outside < 0)
