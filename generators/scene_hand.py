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
from spooflab.seeds import generator as named_generator

if TYPE_CHECKING:
    from spooflab.generators.scene import SceneParams

_CELL_MM = 0.55
"""Size of the cells that the hand is shaded on, enlarged afterwards: skin is smooth, and it is the costliest part."""
_MIN_STEP, _MAX_STEP = 2, 3
_FAR = 1e4
_REACH_MM = 12.0
"""How far past a bone's outline its joints and shade reach."""
_CORNERS = ((-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0))

_LIGHT = torch.tensor([0.60, 0.36, 0.26]).log()
_DARK = torch.tensor([0.085, 0.042, 0.026]).log()


def skin_albedo(melanin: Tensor, warmth: Tensor) -> Tensor:
    """Return (B, 3) linear albedo of skin from `melanin` 0-1 (pale to deep) and `warmth` -1...1 (sallow to ruddy)."""
    rgb = (_LIGHT + (_DARK - _LIGHT) * melanin[:, None]).exp()
    return rgb * torch.stack([1 + 0.05 * warmth, 1 - 0.02 * warmth, 1 - 0.08 * warmth], -1)


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
        frame = _Cells(*(f(edge) for f, edge in zip((min, min, max, max), zip(*cells, strict=True), strict=True)))
        if frame.empty:
            continue
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
        return min(_MAX_STEP, max(_MIN_STEP, round(_CELL_MM / self.mm_per_px)))


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
    y = (torch.arange(frame.top, frame.bottom) + 0.5) * shot.step
    x = (torch.arange(frame.left, frame.right) + 0.5) * shot.step
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    hit = cast_points(shot.view, shot.pose, shot.view.undistort(grid))
    softness = shot.mm_per_px * max(shot.step, float(torch.sqrt(0.5 + shot.view.blur_px[0] ** 2)))
    outside = (hit.uv_mm.abs() - shot.half_mm[:, None, None]).amax(-1)
    body = _Surface.build(table, hit.uv_mm, outside, softness, cells)
    rgb = _shade(body, shot.params, shot.pose, hit, shot.mm_per_px * shot.step) * body.cover[:, None]
    alpha = body.cover
    if shadow:
        alpha = alpha + (1 - alpha) * _shadow(body, shot.params, table, hit.uv_mm, outside)
    return torch.cat([rgb, alpha[:, None]], 1)


def _rows(params: SceneParams, half: Tensor) -> list[tuple[float, ...]]:
    columns = (params.hand_style, params.hand_edge, params.hand_along, params.hand_reach_mm, params.hand_tilt_deg,
               params.hand_scale, half[:, 0], half[:, 1])  # fmt: skip
    return list(zip(*(c.tolist() for c in columns), strict=True))


@dataclass(frozen=True)
class _Surface:
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
    ) -> _Surface:
        """Join the bones: covers add up softly, heights by a smooth maximum."""
        near, behind, cloth = (torch.full_like(outside, -_FAR) for _ in range(3))
        height = torch.full_like(outside, -40.0)
        marks = torch.zeros(5, *outside.shape)  # nail, rim, free edge, fingertip, creases
        for index in range(len(table)):
            bone = table[index : index + 1]
            part = (slice(None), *cells[index])
            at = uv[part]
            if at.numel() == 0:
                continue
            kind, nail = int(bone[0, 6]), bool(bone[0, 7])
            inner, rise, s, q, length = _rod(bone, at)
            outline = near if kind == 0 else behind
            outline[part] = _smooth_max(outline[part], inner, 2.0 if kind == 0 else 8.0)
            if kind == 2:
                cloth[part] = torch.maximum(cloth[part], inner)
            joined = _smooth_max(height[part], rise - (0.0, 16.0, 8.0)[kind], 3.0)
            height[part] = torch.where(inner > -6.0, joined, height[part])
            if nail:
                own = _marks(bone, s, q, length, inner)
                marks[(slice(None), *part)] = torch.maximum(marks[(slice(None), *part)], own)
        face = (near / softness + 0.5).clamp(0, 1)
        past = (behind / softness + 0.5).clamp(0, 1) * (outside / softness + 0.5).clamp(0, 1)
        sleeve = (cloth / softness + 0.5).clamp(0, 1) * (1 - face)
        nail_at, rim, free, tip, crease = marks.unbind(0)
        return cls(face + (1 - face) * past, height, nail_at, rim, free, tip, crease, sleeve)


def _rod(bone: Tensor, uv: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
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


def _marks(bone: Tensor, s: Tensor, q: Tensor, length: Tensor, inner: Tensor) -> Tensor:
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


def _smooth_max(a: Tensor, b: Tensor, width: float) -> Tensor:
    """Polynomial smooth maximum (Quilez); differs from max only where both lie within `width`."""
    mix = (width - (a - b).abs()).clamp(min=0) / width
    return torch.maximum(a, b) + mix * mix * (width / 4)


def _normals(height: Tensor, pose: Pose, step_mm: float) -> Tensor:
    """Return (B, 3, h, w) unit normals towards the camera of a height field (mm) over the instrument."""
    pad = F.pad(height[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    slope_u = (pad[:, 1:-1, 2:] - pad[:, 1:-1, :-2]) / (2 * step_mm)
    slope_v = (pad[:, 2:, 1:-1] - pad[:, :-2, 1:-1]) / (2 * step_mm)
    roll = torch.deg2rad(pose.roll_deg)[:, None, None]  # image axes to the instrument's
    su, sv = slope_u * roll.cos() + slope_v * roll.sin(), slope_v * roll.cos() - slope_u * roll.sin()
    u, v, n = (axis[:, :, None, None] for axis in pose.axes())
    return _unit(-su[:, None] * u - sv[:, None] * v - n)


def _unit(vectors: Tensor) -> Tensor:
    return vectors * torch.rsqrt((vectors * vectors).sum(1, keepdim=True))


def _shade(body: _Surface, params: SceneParams, pose: Pose, hit: Hit, step_mm: float) -> Tensor:
    """Return (B, 3, h, w) radiance of skin, nails and sleeve."""
    texture = _skin_texture(params, hit.uv_mm)
    relief = body.height + 0.16 * body.crease - 0.35 * body.rim + 0.35 * body.nail + 0.10 * texture * (1 - body.nail)
    normal = _normals(relief, pose, step_mm)
    toward = (-normal[:, 2]).clamp(0, 1)
    cosine = torch.einsum("bchw,bc->bhw", normal, params.key_direction)
    albedo = _albedo(body, params, texture)
    # Light that enters skin comes out redder and further on: the terminator is soft and red.
    wrap = torch.tensor([0.32, 0.16, 0.10])[:, None, None]
    key = ((cosine[:, None] + wrap) / (1 + wrap)).clamp(min=0)
    light = params.key_rgb[:, :, None, None] * key
    occlusion = 0.45 + 0.55 * toward
    over = 0.5 + 0.5 * (-normal[:, 1]).clamp(-1, 1)  # more comes from above than from below
    light = light + params.ambient_rgb[:, :, None, None] * (occlusion * (0.7 + 0.5 * over))[:, None]
    half = _unit(params.key_direction - torch.tensor([0.0, 0.0, 1.0]))
    shine = torch.einsum("bchw,bc->bhw", normal, half).clamp(min=0)
    gloss = 0.035 * shine**18 + 0.30 * body.nail * shine**70 + 0.05 * body.nail * toward**4 * over
    gloss = gloss * (1 - body.sleeve)
    spark = params.key_rgb.mean(1)[:, None, None] * gloss + 0.02 * params.ambient_rgb.mean(1)[:, None, None] * body.nail
    return albedo * light + spark[:, None]


def _albedo(body: _Surface, params: SceneParams, texture: Tensor) -> Tensor:
    skin = params.skin_rgb[:, :, None, None]
    blood = torch.tensor([1.08, 0.80, 0.78])[:, None, None]
    tint = (0.55 * body.tip + 0.10 * texture).clamp(-0.3, 1)[:, None]
    base = skin * (1 + (blood - 1) * tint) * (1 + 0.05 * texture[:, None] - 0.13 * body.crease[:, None])
    bed = skin * torch.tensor([1.12, 0.98, 0.98])[:, None, None] + torch.tensor([0.05, 0.022, 0.022])[:, None, None]
    white = skin * 0.35 + torch.tensor([0.42, 0.39, 0.35])[:, None, None]
    nail = bed + (white - bed) * body.free[:, None]
    base = base + (nail - base) * body.nail[:, None]
    base = base * (1 - 0.30 * body.rim[:, None])
    cloth = params.sleeve_rgb[:, :, None, None] * (1 + 0.15 * texture[:, None])
    return base + (cloth - base) * body.sleeve[:, None]


def _skin_texture(params: SceneParams, uv: Tensor) -> Tensor:
    """Return mottling of about unit variance, fixed to the hand."""
    fields = torch.stack([
        torch.randn(1, 64, 64, generator=named_generator(int(s), "skin")) for s in params.seed.tolist()
    ])  # fmt: skip
    total = torch.zeros_like(uv[..., 0])
    for octave, weight in ((12.0, 0.6), (4.5, 0.5), (1.9, 0.4)):
        wrapped = torch.remainder(uv / (octave * 32), 2) - 1
        total = total + weight * F.grid_sample(fields, wrapped, mode="bilinear", align_corners=False)[:, 0]
    return total


def _shadow(body: _Surface, params: SceneParams, table: Tensor, uv: Tensor, outside: Tensor) -> Tensor:
    """Return (B, h, w) opacity of the shade that the near parts cast on the instrument: contact and key light."""
    direction = params.key_direction
    slant = (-direction[:, 2]).clamp(min=0.25)
    offset = direction[:, :2] / slant[:, None] * -7.0  # mm: a bone's axis lies about that high
    share = params.key_rgb.mean(1) * (-direction[:, 2]).clamp(min=0)
    share = (share / (share + params.ambient_rgb.mean(1)))[:, None, None]
    contact, cast = torch.zeros_like(uv[..., 0]), torch.zeros_like(uv[..., 0])
    shifted = uv - offset[:, None, None]
    penumbra = (7.0 * 2 * torch.deg2rad(params.key_radius_deg) + 1.0)[:, None, None]
    for index in range(len(table)):
        bone = table[index : index + 1]
        if float(bone[0, 6]) > 0:
            continue
        contact = torch.maximum(contact, torch.exp(_inside(bone, uv).clamp(max=0) / 5.0))
        cast = torch.maximum(cast, (_inside(bone, shifted) / penumbra + 0.5).clamp(0, 1))
    lit = 1 - (1 - 0.55 * contact * (1 - share)) * (1 - 0.85 * share * cast)
    return lit * (outside < 0)
