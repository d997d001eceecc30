"""The hands of a whole batch at once, where an accelerator holds it: what `scene_hand` does row by row on the CPU.

Every bone is looked at on every cell of every row, so nothing is read back to find where it reaches; a bone that a
row's hand lacks changes nothing. Cells are as wide as they are for a single hand, two or three sensor pixels by the
row's distance, so both ways give the same picture but for rounding and for the lens between its nodes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.pose import Pose, cast_points
from spooflab.generators.scene_bones import Bones, batch_bones
from spooflab.generators.scene_hand import (
    CELL_MM,
    FAR,
    MAX_STEP,
    MIN_STEP,
    Surface,
    marks_of,
    relief,
    rod,
    slopes,
    smooth_max,
    unit,
)
from spooflab.generators.scene_skin import Spots, Surroundings, light_up, skin_textures
from spooflab.generators.smooth_map import node_grid, node_weights

if TYPE_CHECKING:
    from spooflab.generators.scene import SceneParams


def hands(view: View, params: SceneParams, pose: Pose, half_size_mm: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Return rgb (B, 3, H, W), not premultiplied, and alpha (B, 1, H, W) of hands that cast no shadow.

    Args:
        view: the cameras.
        params: of the scenes.
        pose: where the instruments are.
        half_size_mm: (B, 2) half their width and height.
        shift: from `skin_shifts`.
    """
    bones = batch_bones(params.hand_style, params.hand_edge, params.hand_along, params.hand_reach_mm,
                        params.hand_tilt_deg, params.hand_scale, half_size_mm)  # fmt: skip
    mm_per_px = pose.centre_mm[:, 2] * view.pixel_um / 1000 / view.focal_mm
    step = (CELL_MM / mm_per_px).round().clamp(MIN_STEP, MAX_STEP)
    uv = _cells(view, pose, step)
    softness = mm_per_px * torch.maximum(step, torch.sqrt(0.5 + view.blur_px**2))
    outside = (uv.abs() - half_size_mm[:, None, None]).amax(-1)
    body = _build(bones, uv, outside, softness[:, None, None])
    lit = _shade(body, params, pose, uv, shift, (mm_per_px * step)[:, None, None])
    patch = torch.cat([lit * body.cover[:, None], body.cover[:, None]], 1)
    full = _enlarged(patch, view.height, view.width, step)
    return full[:, :3] / full[:, 3:].clamp(min=1e-4), full[:, 3:].contiguous()


def _cells(view: View, pose: Pose, step: Tensor) -> Tensor:
    """Return (B, h, w, 2) millimetres on the instrument at the cells' centres; h and w suffice for the smallest."""
    nodes = node_grid(view.height, view.width, step.device).expand(view.batch_size, -1, -1, -1)
    uv = cast_points(view, pose, view.undistort(nodes)).uv_mm.permute(0, 3, 1, 2).float()
    down = _of_step(step, *(_from_nodes(view.height, s, step.device) for s in (MIN_STEP, MAX_STEP)))
    across = _of_step(step, *(_from_nodes(view.width, s, step.device) for s in (MIN_STEP, MAX_STEP)))
    return (down[:, None] @ uv @ across[:, None].transpose(-1, -2)).permute(0, 2, 3, 1)


def _enlarged(patch: Tensor, height: int, width: int, step: Tensor) -> Tensor:
    """Return (B, C, height, width): cells (B, C, h, w), bilinear, edges repeated."""
    down = _of_step(step, *(_to_pixels(height, s, step.device) for s in (MIN_STEP, MAX_STEP)))
    across = _of_step(step, *(_to_pixels(width, s, step.device) for s in (MIN_STEP, MAX_STEP)))
    return down[:, None] @ patch @ across[:, None].transpose(-1, -2)


def _of_step(step: Tensor, small: Tensor, large: Tensor) -> Tensor:
    """Return (B, m, n): the matrix of each row's cell."""
    return torch.where((step > MIN_STEP)[:, None, None], large, small)


@lru_cache(maxsize=16)
def _from_nodes(size: int, step: int, device: torch.device) -> Tensor:
    """Return (n, NODES) float32: from the nodes on [0, size] to the cells' centres, the last one repeated."""
    last = -(-size // step) - 1
    cell = torch.arange(-(-size // MIN_STEP), dtype=torch.float64, device=device).clamp(max=last)
    return node_weights(size, (cell + 0.5) * step).float()


@lru_cache(maxsize=16)
def _to_pixels(size: int, step: int, device: torch.device) -> Tensor:
    """Return (size, n) float32: linear interpolation from the cells' centres to the pixels'."""
    last = -(-size // step) - 1
    at = ((torch.arange(size, dtype=torch.float64, device=device) + 0.5) / step - 0.5).clamp(0, last)
    return (1 - (at[:, None] - torch.arange(-(-size // MIN_STEP), device=device)).abs()).clamp(min=0).float()


def _build(bones: Bones, uv: Tensor, outside: Tensor, softness: Tensor) -> Surface:
    """Join the bones of every row, as `Surface.build` does those of one."""
    near, behind, cloth = (torch.full_like(outside, -FAR) for _ in range(3))
    height = torch.full_like(outside, -40.0)
    marks = torch.zeros(5, *outside.shape, device=outside.device)
    for index, (kind, nail) in enumerate(zip(bones.kinds, bones.nails, strict=True)):
        bone, there = bones.table[:, index], bones.there[:, index, None, None]
        inner, rise, s, q, length = rod(bone, uv)
        inner = torch.where(there, inner, -FAR)
        if kind == 0:
            near = smooth_max(near, inner, 2.0)
        else:
            behind = smooth_max(behind, inner, 8.0)
        if kind == 2:
            cloth = torch.maximum(cloth, inner)
        height = torch.where(inner > -6.0, smooth_max(height, rise - (0.0, 16.0, 8.0)[kind], 3.0), height)
        if nail:
            marks = torch.maximum(marks, torch.where(there, marks_of(bone, s, q, length, inner), 0.0))
    return Surface.joined(near, behind, cloth, height, marks, outside, softness)


def _shade(body: Surface, params: SceneParams, pose: Pose, uv: Tensor, shift: Tensor, step_mm: Tensor) -> Tensor:
    """Return (B, 3, h, w) radiance of skin, nails and sleeves."""
    texture = skin_textures(shift, uv)
    slope_x, slope_y = slopes(relief(body, texture), step_mm)
    maps = (slope_x, slope_y, texture, body.nail, body.rim, body.free, body.tip, body.crease, body.sleeve)
    spots = Spots(*(map_.flatten(1)[:, None] for map_ in maps))
    roll = torch.deg2rad(pose.roll_deg)[:, None, None]  # image axes to the instrument's
    slope_u = spots.slope_x * roll.cos() + spots.slope_y * roll.sin()
    slope_v = spots.slope_y * roll.cos() - spots.slope_x * roll.sin()
    u, v, n = (axis[..., None] for axis in pose.axes())
    normal = unit(-slope_u * u - slope_v * v - n)
    return light_up(spots, normal, Surroundings.each(params)).reshape(-1, 3, *body.cover.shape[1:])
