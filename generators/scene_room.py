"""The room (or street) around a shown instrument: an analytic box of walls, sky and soft-edged shapes.

Everything is a function of a direction as seen from the instrument, so that the blurred background behind it and the
reflection in its glass come from one scene. It is evaluated coarsely, since both are far out of focus.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.view import View
from spooflab.generators.constant import constant
from spooflab.generators.enlarge import enlarge
from spooflab.generators.scene_furniture import Furniture, Room
from spooflab.generators.some import some
from spooflab.seeds import generator as named_generator

if TYPE_CHECKING:
    from spooflab.generators.scene import SceneParams

_CELLS = 80
"""Samples across the window at which the background is evaluated before it is blurred and enlarged."""
_MARGIN = 17  # 86 + 34 = 2^3 3 5 at a window of 512: a fast length for the transform
_LENS_NODES = 17
_REFLECTION_STEP = 8

Rooms = tuple[Room, ...] | Furniture
"""A batch's rooms: singly for the CPU, which draws only where shapes reach; as tensors for an accelerator."""


def room_background(view: View, params: SceneParams, rooms: Rooms, focus_mm: Tensor) -> Tensor:
    """Return (B, 3, H, W) of what the camera sees past the instrument, blurred by the disc of confusion.

    It is drawn on an axis-aligned grid of pinhole rays, where rectangles are products of two profiles, then bent by
    the lens.
    """
    device = focus_mm.device
    step = max(1, max(view.height, view.width) // _CELLS)
    rows, columns = -(-view.height // step), -(-view.width // step)
    y = (torch.arange(rows + 2 * _MARGIN, device=device) - _MARGIN + 0.5) * step
    x = (torch.arange(columns + 2 * _MARGIN, device=device) - _MARGIN + 0.5) * step
    per_px = (view.pixel_um / 1000 / view.focal_mm)[:, None]
    across, down = (x - view.width / 2) * per_px, (y - view.height / 2) * per_px
    if isinstance(rooms, tuple):
        sharp = _behind(params, rooms, across, down)
    else:
        sharp = _behind_together(params, rooms, across, down)
    far = focus_mm + params.room_depth_mm
    soft = _disc_blur(sharp, confusion_px(view, focus_mm, far) / (2 * step))
    at = _ideal(view, columns, rows, step) / step + _MARGIN
    size = constant((len(x), len(y)), device)
    window = F.grid_sample(soft, at / size * 2 - 1, padding_mode="border", align_corners=False)
    return enlarge(window, step)[..., : view.height, : view.width]


def _ideal(view: View, columns: int, rows: int, step: int) -> Tensor:
    """Return (B, rows, columns, 2) pinhole points of cells `step` pixels wide: the lens, linear between few nodes."""
    across, down = (
        torch.linspace(0.5 * step, (count - 0.5) * step, _LENS_NODES, device=view.k1.device)
        for count in (columns, rows)
    )
    nodes = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1).expand(view.batch_size, -1, -1, -1)
    ideal = view.undistort(nodes).permute(0, 3, 1, 2).contiguous()
    return F.interpolate(ideal, size=(rows, columns), mode="bilinear", align_corners=True).permute(0, 2, 3, 1)


def room_reflection(params: SceneParams, rooms: Rooms, directions: Tensor, *, every: bool = False) -> Tensor:
    """Return (B, 3, H, W) radiance in `directions` (B, H, W, 3); at an eighth of the resolution unless `every`.

    The half space z > 0, behind the instrument, is taken to continue the one before it.
    """
    height, width = directions.shape[1:3]
    step = 1 if every or min(height, width) < 4 * _REFLECTION_STEP else _REFLECTION_STEP
    y = (torch.arange(-(-height // step), device=directions.device) * step + step // 2).clamp(max=height - 1)
    x = (torch.arange(-(-width // step), device=directions.device) * step + step // 2).clamp(max=width - 1)
    coarse = directions[:, y][:, :, x]
    furniture = Furniture.of(rooms, directions.device, back=False) if isinstance(rooms, tuple) else rooms
    image = _before(params, furniture, coarse) + _key_light(params, coarse)
    return enlarge(image, step)[..., :height, :width]


def confusion_px(view: View, focus_mm: Tensor, far_mm: Tensor) -> Tensor:
    """Return (B,) the diameter in window pixels of the disc of confusion at `far_mm` of a lens focused at `focus_mm`.

    Thin lens: c = f² |far − focus| / (N far (focus − f)).
    """
    f = view.focal_mm
    disc_mm = f * f * (far_mm - focus_mm).abs() / (view.f_number * far_mm * (focus_mm - f).clamp(min=1.0))
    return disc_mm * 1000 / view.pixel_um


def _disc_blur(image: Tensor, radius: Tensor) -> Tensor:
    """Convolve with discs of the given radii (B,), by the transform of the disc; radii are held below the margin."""
    height, width = image.shape[-2:]
    fy = torch.fft.fftfreq(height, device=image.device)[:, None]
    fx = torch.fft.rfftfreq(width, device=image.device)[None]
    argument = 2 * torch.pi * radius.clamp(0.5, _MARGIN - 2)[:, None, None] * torch.hypot(fx, fy)
    disc = torch.where(argument > 1e-3, 2 * torch.special.bessel_j1(argument) / argument.clamp(min=1e-3), 1.0)
    taper = torch.exp(-2 * (torch.pi * 0.6 * torch.hypot(fx, fy)) ** 2)  # keeps the disc's edge from ringing
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(image) * (disc * taper)[:, None], s=(height, width))
    return blurred.clamp(min=0)


def furnished(params: SceneParams, device: torch.device) -> Rooms:
    """Return the rooms that the seeds of `params` name, for pictures on `device`; read and made on the host."""
    columns = (params.seed.tolist(), params.outdoor.tolist(), params.room_depth_mm.tolist())
    rooms = tuple(_room(int(seed), bool(outdoor), depth) for seed, outdoor, depth in zip(*columns, strict=True))
    return rooms if device.type == "cpu" else Furniture.of(rooms, device)


@lru_cache(maxsize=16)
def _room(seed: int, outdoor: bool, depth_mm: float) -> Room:
    """Return a room; one shot looks at its room twice, behind the instrument and in its glass."""
    return Room(named_generator(seed, "room"), outdoor, depth_mm / 1000)


def _behind(params: SceneParams, rooms: tuple[Room, ...], x: Tensor, y: Tensor) -> Tensor:
    """Return (B, 3, h, w) towards the tangents x (B, w), y (B, h): wall or sky with everything before it."""
    rows = []
    for index, room in enumerate(rooms):
        tx, ty = x[index], y[index]
        at = torch.stack(torch.meshgrid(tx, ty, indexing="xy"), -1)
        texture = _value_noise(room.noise[None], at[None])[0]
        d = torch.cat([at, torch.ones_like(at[..., :1])], -1)
        d = d / torch.sqrt((d * d).sum(-1, keepdim=True))
        canvas = _shell(params.outdoor[index : index + 1], room.extent[None], room.base[None], d[None], texture[None])[
            0
        ]
        for shape in room.back:
            _paint_axis_aligned(canvas, shape, tx, ty, texture)
        rows.append(canvas)
    light = params.ambient_rgb * params.background_gain[:, None]
    return torch.stack(rows) * light[:, :, None, None]


def _paint_axis_aligned(canvas: Tensor, shape: list[float], x: Tensor, y: Tensor, texture: Tensor) -> None:
    """Draw one shape of `_paint`'s description into canvas (3, h, w), touching only where it reaches."""
    cx, cy, hx, hy, soft, opacity, kind, *rgb = shape
    cell = float(x[1] - x[0])
    soft = max(soft, 0.7 * cell)  # no sharper than the grid
    grow = 1.5 if kind < 0 else 1.0
    left, right = _span(cx, grow * hx + soft, float(x[0]), cell, len(x))
    top, bottom = _span(cy, grow * hy + soft, float(y[0]), cell, len(y))
    if left >= right or top >= bottom:
        return
    dx, dy = (x[left:right] - cx).abs_(), (y[top:bottom, None] - cy).abs_()
    window = canvas[:, top:bottom, left:right]
    colour = torch.tensor(rgb)[:, None, None]
    if kind == 0:
        across = dx.mul_(-1 / soft).add_(hx / soft + 0.5).clamp_(0, opacity)
        cover = across * dy.mul_(-1 / soft).add_(hy / soft + 0.5).clamp_(0, 1)
    else:
        ragged = texture[top:bottom, left:right]
        edge = torch.hypot(dx / hx, dy / hy)
        edge = edge - 0.35 * ragged if kind < 0 else edge
        scale = min(hx, hy) / soft
        cover = edge.mul_(-scale).add_(scale + 0.5).clamp_(0, opacity)
        if kind < 0:
            colour = colour * (1 + 0.5 * ragged).clamp_(min=0.1)
    window.lerp_(colour.expand_as(window), cover.expand_as(window))


def _behind_together(params: SceneParams, rooms: Furniture, x: Tensor, y: Tensor) -> Tensor:
    """Return what `_behind` does, shape after shape in every row at once."""
    at = torch.stack([x[:, None].expand(-1, y.shape[1], -1), y[:, :, None].expand(-1, -1, x.shape[1])], -1)
    texture = _value_noise(rooms.noise, at)
    d = torch.cat([at, torch.ones_like(at[..., :1])], -1)
    d = d / torch.sqrt((d * d).sum(-1, keepdim=True))
    canvas = _shell(params.outdoor, rooms.extent, rooms.base, d, texture)
    cx, cy, hx, hy, soft, opacity, kind = (c[..., None] for c in rooms.back[..., :7].unbind(-1))
    soft = torch.maximum(soft, 0.7 * (x[:, 1:2] - x[:, :1])[:, None])
    dx, dy = (x[:, None] - cx).abs(), (y[:, None] - cy).abs()
    reach = torch.where(kind < 0, 1.5, 1.0)
    within_x, within_y = dx <= reach * hx + soft, dy <= reach * hy + soft
    across = torch.minimum((dx * (-1 / soft) + (hx / soft + 0.5)).clamp(min=0), opacity) * within_x
    down = (dy * (-1 / soft) + (hy / soft + 0.5)).clamp(0, 1) * within_y
    wide, tall, scale = dx / hx, dy / hy, torch.minimum(hx, hy) / soft
    for n in range(rooms.back.shape[1]):
        ragged = torch.where(kind[:, n, None] < 0, texture, 0.0)
        edge = torch.hypot(wide[:, n, None], tall[:, n, :, None]) - 0.35 * ragged
        disc = (edge * -scale[:, n, None] + (scale[:, n, None] + 0.5)).clamp(min=0)
        disc = torch.minimum(disc, opacity[:, n, None]) * (within_x[:, n, None] & within_y[:, n, :, None])
        cover = torch.where(kind[:, n, None] == 0, across[:, n, None] * down[:, n, :, None], disc)
        colour = rooms.back[:, n, 7:, None, None] * (1 + 0.5 * ragged).clamp(min=0.1)[:, None]
        canvas = torch.lerp(canvas, colour, cover[:, None])
    return canvas * (params.ambient_rgb * params.background_gain[:, None])[:, :, None, None]


def _span(centre: float, half: float, first: float, cell: float, count: int) -> tuple[int, int]:
    """Return the indices [start, stop) of a regular axis that lie within `half` of `centre`."""
    start, stop = math.ceil((centre - half - first) / cell), math.floor((centre + half - first) / cell) + 1
    return max(start, 0), min(stop, count)


def _before(params: SceneParams, rooms: Furniture, d: Tensor) -> Tensor:
    """Return (B, 3, h, w) towards unit vectors `d` before the instrument, without the key light."""
    x, y, z = d.unbind(-1)
    depth = z.abs().clamp(min=0.05)
    texture = _value_noise(rooms.noise, torch.stack([x / depth, y / depth], -1))
    canvas = _shell(params.outdoor, rooms.extent, rooms.base, d, texture)
    up = (-y).clamp(min=0.05)
    canvas = _paint(canvas, rooms.ceiling, x / up, z / up, texture, where=y < -0.1)
    front = rooms.front.clone()
    front[:, -3:, 5] *= params.person[:, None].float()
    return _paint(canvas, front, x / depth, y / depth, texture) * params.ambient_rgb[:, :, None, None]


def _key_light(params: SceneParams, d: Tensor) -> Tensor:
    """Return the key light's own radiance: key_rgb = L Ω / π on a surface that faces it."""
    radius = torch.deg2rad(params.key_radius_deg)
    cosine = torch.einsum("bhwc,bc->bhw", d, params.key_direction)
    angle = torch.acos(cosine.clamp(-1, 1))
    edge = (radius * 0.25)[:, None, None]
    inside = ((radius[:, None, None] - angle) / edge + 0.5).clamp(0, 1)
    radiance = params.key_rgb / (2 * (1 - radius.cos()))[:, None]
    glow = 0.02 * torch.exp(-angle / 0.12)
    return radiance[:, :, None, None] * inside[:, None] + (params.key_rgb[:, :, None, None] * glow[:, None])


def _shell(outdoor: Tensor, extent: Tensor, base: Tensor, d: Tensor, texture: Tensor) -> Tensor:
    """Return (B, 3, h, w): walls, ceiling and floor of a box around the origin, or sky above ground."""
    colours = [c[:, :, None, None] for c in base.unbind(1)]
    if outdoor.is_cpu and bool(outdoor.all()):
        return _street(colours, d[..., 1], texture)
    if not some(outdoor):
        return _box(colours, extent, d, texture)
    return torch.where(
        outdoor[:, None, None, None], _street(colours, d[..., 1], texture), _box(colours, extent, d, texture)
    )


def _box(colours: list[Tensor], extent: Tensor, d: Tensor, texture: Tensor) -> Tensor:
    wall, ceiling, floor, side = colours
    half_width, up, depth, down = (e[:, None, None] for e in extent.unbind(-1))
    x, y, z = d.unbind(-1)
    below = y > 0
    across = half_width / x.abs().clamp(min=1e-3)
    upright = torch.where(below, down, up) / y.abs().clamp(min=1e-3)
    ahead = depth / z.abs().clamp(min=1e-3)
    nearest = torch.minimum(torch.minimum(across, upright), ahead)
    level = torch.where(below[:, None], floor, ceiling)
    surface = torch.where((upright == nearest)[:, None], level, torch.where((across == nearest)[:, None], side, wall))
    return surface * ((1.05 - 0.22 * y * nearest) * (1 + 0.04 * texture))[:, None]


def _street(colours: list[Tensor], down: Tensor, texture: Tensor) -> Tensor:
    _, sky, ground, _ = colours
    horizon = torch.sigmoid(down / -0.015)[:, None]
    haze = 0.5 * torch.exp(down.abs() / -0.15)
    above = sky * (1.15 - 0.5 * (-down).clamp(0, 1))[:, None] + haze[:, None]
    return torch.lerp(ground * (1 + 0.25 * texture)[:, None], above, horizon)


def _paint(
    canvas: Tensor, shapes: Tensor, x: Tensor, y: Tensor, texture: Tensor, *, where: Tensor | None = None
) -> Tensor:
    """Draw shapes (B, N, 10) at tangents x, y (B, h, w), the later over the earlier.

    A shape is centre x, y, half width, half height, softness, opacity, roundness (0 rectangle, 1 ellipse), r, g, b; a
    negative roundness is an ellipse with a ragged edge (foliage).
    """
    cx, cy, hx, hy, soft, opacity, round_, *_ = (c[..., None, None] for c in shapes.unbind(-1))
    ragged = torch.where(round_ < 0, 0.35, 0.0)
    dx, dy = (x[:, None] - cx).abs() / hx, (y[:, None] - cy).abs() / hy
    small = torch.minimum(hx, hy)
    disc = (1 - torch.hypot(dx, dy) + ragged * texture[:, None]) * small
    rectangle = torch.minimum((1 - dx) * hx, (1 - dy) * hy)
    cover = (torch.where(round_ != 0, disc, rectangle) / soft + 0.5).clamp(0, 1) * opacity
    if where is not None:
        cover = cover * where[:, None]
    through = torch.flip(torch.cumprod(1 - torch.flip(cover, [1]), 1), [1])
    after = torch.cat([through[:, 1:], torch.ones_like(through[:, :1])], 1)
    weight = cover * after * torch.where(round_ < 0, (1 + 0.5 * texture[:, None]).clamp(min=0.1), 1.0)
    return canvas * through[:, :1] + torch.einsum("bnhw,bnc->bchw", weight, shapes[..., 7:10])


def _value_noise(noise: Tensor, at: Tensor) -> Tensor:
    """Return (B, h, w): three octaves of smooth noise of about unit variance at tangent coordinates `at`."""
    total = torch.zeros_like(at[..., 0])
    for octave, (scale, weight) in enumerate(((4.0, 0.7), (11.0, 0.6), (29.0, 0.4))):
        wrapped = torch.remainder(at * scale / 8 + 0.37 * octave, 2) - 1
        total = total + weight * F.grid_sample(noise, wrapped, mode="bilinear", align_corners=True)[:, 0]
    return total
