"""What holds a sheet that no hand holds, tape, pins, a clip or a ledge, and the wall that it hangs on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.instruments.paper_bend import Bend, project_sheet
from spooflab.generators.instruments.paper_texture import fibre_at
from spooflab.generators.pose import Pose
from spooflab.generators.scene import SceneParams
from spooflab.params import Params, choice, log_uniform, uniform

MOUNTS = ("hand", "stand", "wall")
"""How a sheet is shown, by value: `hand` leaves it to the scene's hands."""
PIECES = ("none", "tape", "pins", "clip", "ledge")
"""What holds it, by value."""
WALLS = ("plaster", "wallpaper", "bricks", "tiles", "boards")
"""Kinds of wall, by value."""
_CELL_MM = torch.tensor([[1e6, 1e6], [90.0, 1e6], [215.0, 70.0], [200.0, 200.0], [130.0, 1e6]])
_JOINT_MM = (0.0, 0.0, 10.0, 3.0, 2.0)


@dataclass(frozen=True)
class Mount(Params):
    """One sheet's support; every field is batched.

    Attributes:
        kind: (B,) int64 index into `MOUNTS`.
        piece: (B,) int64 index into `PIECES`.
        piece_mm: (B,) width of a piece of tape, diameter of a pin's head, width of a clip, height of a ledge.
        piece_turn_deg: (B, 4) turn of each piece.
        piece_rgb: (B, 3) its linear albedo.
        piece_opacity: (B,) 1 but for clear tape.
        wall: (B,) int64 index into `WALLS`.
        wall_rgb: (B, 2, 3) albedo of the wall, and of its joints or stripes.
        wall_scale: (B,) size of its bricks, tiles, stripes relative to the usual.
        wall_shift: (B, 2) where they begin, 0-1.
        grain_mm: (B,) correlation length of its texture.
        grain: (B,) relative contrast of that texture.
        gap_mm: (B,) how far the sheet's edges stand off the wall.
    """

    kind: Tensor
    piece: Tensor
    piece_mm: Tensor
    piece_turn_deg: Tensor
    piece_rgb: Tensor
    piece_opacity: Tensor
    wall: Tensor
    wall_rgb: Tensor
    wall_scale: Tensor
    wall_shift: Tensor
    grain_mm: Tensor
    grain: Tensor
    gap_mm: Tensor


def sample_mount(wall: Tensor, stand: Tensor, generator: torch.Generator) -> Mount:
    """Draw supports; `wall` and `stand` (B,) are the probabilities of either, the rest is held by hand."""
    n = wall.shape[0]
    dice = torch.rand(n, generator=generator)
    kind = torch.where(dice < wall, 2, torch.where(dice < wall + stand, 1, 0))
    pick = torch.rand(n, generator=generator)
    hung = torch.where(pick < 0.45, 1, torch.where(pick < 0.75, 2, 0))
    stood = torch.where(pick < 0.35, 3, torch.where(pick < 0.65, 4, 0))
    piece = torch.where(kind == 2, hung, torch.where(kind == 1, stood, 0))
    low, high = torch.tensor([[1.0, 1.0], [15.0, 30.0], [5.0, 10.0], [19.0, 51.0], [6.0, 25.0]])[piece].unbind(-1)
    clear = torch.rand(n, generator=generator) < 0.5
    dull = 0.04 + 0.5 * torch.rand(n, 1, generator=generator) ** 2
    rgb = (dull * (1 + 0.25 * torch.randn(n, 3, generator=generator))).clamp(0.02, 0.8)
    bright = 0.05 + 0.75 * torch.rand(n, 3, generator=generator) ** 1.5
    film = torch.tensor([0.72, 0.68, 0.55])
    rgb = torch.where((piece == 2)[:, None], bright, torch.where(((piece == 1) & clear)[:, None], film, rgb))
    paint = uniform(n, 0.3, 0.85, generator)[:, None]
    hue = torch.randn(n, 2, 3, generator=generator) * torch.where(torch.rand(n, generator=generator) < 0.7, 0.03, 0.2)[
        :, None, None]  # fmt: skip
    pair = torch.stack([paint, paint * uniform(n, 0.6, 1.25, generator)[:, None]], 1) * (1 + hue)
    brick = torch.tensor([[0.30, 0.13, 0.08], [0.42, 0.39, 0.35]])
    wood = torch.tensor([[0.36, 0.21, 0.11], [0.10, 0.06, 0.03]])
    style = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 3, 4])[choice(n, 10, generator)]
    tone = uniform(n, 0.6, 1.5, generator)[:, None, None]
    pair = torch.where((style == 2)[:, None, None], brick * tone, pair)
    pair = torch.where((style == 4)[:, None, None], wood * tone, pair)
    return Mount(
        kind=kind,
        piece=piece,
        piece_mm=low + (high - low) * torch.rand(n, generator=generator),
        piece_turn_deg=8 * torch.randn(n, 4, generator=generator)
        + torch.where(torch.rand(n, 1, generator=generator) < 0.6, 45.0, 0.0) * torch.tensor([-1.0, 1.0, 1.0, -1.0]),
        piece_rgb=rgb,
        piece_opacity=torch.where((piece == 1) & clear, uniform(n, 0.12, 0.35, generator), 1.0),
        wall=style,
        wall_rgb=pair.clamp(0.02, 0.92),
        wall_scale=uniform(n, 0.8, 1.3, generator),
        wall_shift=torch.rand(n, 2, generator=generator),
        grain_mm=log_uniform(n, 1.5, 12.0, generator),
        grain=uniform(n, 0.01, 0.06, generator),
        gap_mm=log_uniform(n, 0.5, 8.0, generator),
    )


def wall_radiance(
    mount: Mount, room: SceneParams, pose: Pose, u: Tensor, v: Tensor, sheet_mm: Tensor, mm_per_px: float
) -> Tensor:
    """Return (3, H, W) the wall behind a sheet, with the sheet's shadow on it.

    Args:
        mount: one row.
        room: its light.
        pose: the sheet's, hence the wall's.
        u: (H, W) place on the wall, mm from the sheet's centre.
        v: (H, W) the same, downwards.
        sheet_mm: (2,) the sheet.
        mm_per_px: size of a pixel on the wall.
    """
    u_axis, v_axis, away = (axis[0] for axis in pose.axes())
    light, gap = room.key_direction[0], float(mount.gap_mm)
    facing = max(0.0, -float((light * away).sum()))
    near = _outside(u, v, sheet_mm)
    ambient = near.div(gap + 6).clamp_(0, 1).mul_(0.3).add_(0.7)
    shift = gap / max(facing, 0.3)
    cast = _outside(u + shift * float((light * u_axis).sum()), v + shift * float((light * v_axis).sum()), sheet_mm)
    soft = mm_per_px + 2 * gap * float(torch.deg2rad(room.key_radius_deg[0]))
    lit = cast.div_(soft).add_(0.5).clamp_(0, 1)
    albedo = _wall_albedo(mount, u, v, mm_per_px)
    overhead = 1 + 0.15 * float(away[1])
    for channel in range(3):
        shade = ambient * (float(room.ambient_rgb[0, channel]) * overhead)
        albedo[channel].mul_(shade.add_(lit, alpha=facing * float(room.key_rgb[0, channel])))
    return albedo


def _outside(u: Tensor, v: Tensor, sheet_mm: Tensor) -> Tensor:
    """Return the signed distance (H, W) from a rectangle, mm, positive outside."""
    half_width, half_height = (sheet_mm / 2).tolist()
    du, dv = u.abs().sub_(half_width), v.abs().sub_(half_height)
    inside = torch.maximum(du, dv).clamp_(max=0)
    return torch.hypot(du.clamp_(min=0), dv.clamp_(min=0)).add_(inside)


def _wall_albedo(mount: Mount, u: Tensor, v: Tensor, mm_per_px: float) -> Tensor:
    style, scale = int(mount.wall), float(mount.wall_scale)
    shift = mount.wall_shift[0].tolist()
    grain = fibre_at(u, v, float(mount.grain_mm), (shift[0], shift[1]), mm_per_px=mm_per_px)
    first, second = (mount.wall_rgb[0, k, :, None, None] for k in range(2))
    wide, high = (_CELL_MM[style] * scale).tolist()
    if WALLS[style] == "plaster":
        albedo = first.expand(3, *u.shape).clone()
    elif WALLS[style] == "wallpaper":
        stripe = (
            torch.sin(u * (6.2831853 / wide) + 6.28 * shift[0]).mul_(wide / (12 * mm_per_px)).add_(0.5).clamp_(0, 1)
        )
        albedo = torch.lerp(first, second, stripe)
    else:
        row = (v / high + 50 + shift[1]).floor_() if high < 1e5 else torch.zeros_like(v)
        along = u / wide + 50 + shift[0] + (0.5 * row.remainder(2) if WALLS[style] == "bricks" else 0)
        joint = float(_JOINT_MM[style]) * scale / 2
        edge = (0.5 - (along.frac() - 0.5).abs()).mul_(wide)
        if high < 1e5:
            torch.minimum(edge, (0.5 - ((v / high + 50 + shift[1]).frac() - 0.5).abs()).mul_(high), out=edge)
        each = torch.sin(along.floor_().mul_(12.9898).add_(row, alpha=78.233)).mul_(437.5).frac().abs_()
        cover = edge.sub_(joint).div_(max(mm_per_px, 1.0)).add_(0.5).clamp_(0, 1)
        albedo = torch.lerp(second, first * each.mul_(0.3).add_(0.85), cover)
        if WALLS[style] == "boards":
            streak = fibre_at(u, v * 0.06, 6.0, (shift[1], shift[0]), mm_per_px=mm_per_px)
            albedo.mul_(streak.mul_(0.10).add_(1))
    return albedo.mul_(grain.mul_(float(mount.grain)).add_(1)).clamp_(min=0.01)


def paint_pieces(
    mount: Mount, room: SceneParams, view: View, pose: Pose, bend: Bend, sheet_mm: Tensor, picture: Tensor, u: Tensor,
    v: Tensor, shade: Tensor,
) -> list[tuple[tuple[slice, slice], Tensor]]:  # fmt: skip
    """Draw tape, pins, a clip or a ledge into a picture (3, H, W) in place.

    Returns:
        The windows that they lie in, with the share (h, w) of each pixel that they hide, clear tape excepted.
    """
    hidden = []
    name = PIECES[int(mount.piece)]
    for centre, half, turn in _pieces(mount, sheet_mm):
        window = _window(view, pose, bend, centre, half)
        if window is None:
            continue
        part = (slice(None), *window)
        cos, sin = float(torch.deg2rad(turn).cos()), float(torch.deg2rad(turn).sin())
        du, dv = u[window] - float(centre[0]), v[window] - float(centre[1])
        x, y = (du * cos).add_(dv, alpha=sin), (dv * cos).sub_(du, alpha=sin)
        mm_per_px = float((u[window].amax() - u[window].amin()) / max(1, u[window].shape[1] - 1))
        if name == "pins":
            inside = float(half[0]) - torch.hypot(x, y)
        else:
            inside = torch.minimum(float(half[0]) - x.abs(), float(half[1]) - y.abs())
        cover = inside.div(max(mm_per_px, 0.05)).add_(0.5).clamp_(0, 1)
        colour = mount.piece_rgb[0, :, None, None] * shade[part]
        if name == "pins":  # a glossy button: brighter towards the light
            lean = x * float(room.key_direction[0, 0]) + y * float(room.key_direction[0, 1])
            colour = colour * lean.div_(float(half[0])).mul_(0.5).add_(1).clamp_(0.4, 1.6)
        elif name in ("clip", "ledge"):
            colour = colour * y.div(2 * float(half[1])).mul_(-0.5).add_(1)
        opacity = float(mount.piece_opacity)
        if opacity == 1:
            contact = inside.clamp(max=0).div_(1.8).exp_().mul_(-0.45).add_(1)
            picture[part] *= contact
            hidden.append((window, cover))
        picture[part] = torch.lerp(picture[part], colour, cover * opacity)
    return hidden


def _pieces(mount: Mount, sheet_mm: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return centre, half size (2,), mm, and turn of each piece."""
    name, size = PIECES[int(mount.piece)], float(mount.piece_mm)
    half = sheet_mm / 2
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    turns = mount.piece_turn_deg[0]
    zero = torch.zeros(())
    if name == "tape":
        shape = torch.tensor([size * 1.4, size / 2])
        return [(corners[k] * (half - 0.25 * size), shape, turns[k]) for k in range(4)]
    if name == "pins":
        shape = torch.tensor([size / 2, size / 2])
        return [(corners[k] * (half - 1.4 * size), shape, zero) for k in range(4)]
    if name == "clip":
        return [(torch.tensor([0.02 * float(half[0]), -float(half[1])]), torch.tensor([size / 2, size * 0.3]), zero)]
    if name == "ledge":
        return [(torch.tensor([0.0, float(half[1])]), torch.tensor([float(half[0]) * 1.15, size / 2]), zero)]
    return []


def _window(view: View, pose: Pose, bend: Bend, centre: Tensor, half: Tensor) -> tuple[slice, slice] | None:
    """Return the rows and columns of the sensor that may show a piece; None where none does."""
    reach = float(half.amax()) * 1.2 + 6
    if float(half[0]) > 2 * float(half[1]):
        spread = torch.tensor([reach, max(float(half[1]) * 1.2 + 6, 0.8 * reach if float(half[0]) < 60 else 0.0)])
    else:
        spread = torch.tensor([reach, reach])
    around = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, -1.0]])
    seen, _ = project_sheet(view, pose, bend, (centre + around * spread)[None])
    low, high = seen[0].amin(0).tolist(), seen[0].amax(0).tolist()
    left, right = max(0, int(low[0])), min(view.width, int(high[0]) + 1)
    top, bottom = max(0, int(low[1])), min(view.height, int(high[1]) + 1)
    if right - left < 2 or bottom - top < 2:
        return None
    return slice(top, bottom), slice(left, right)
