"""Light that reaches somebody behind a sheet of paper, past its edges or through its openings."""

from collections.abc import Callable

import torch
from torch import Tensor

from spooflab.generators.pose import Pose
from spooflab.generators.scene import SceneParams

_LEAST_FACING = 0.35


def light_past(
    opening: Callable[[Tensor, Tensor], Tensor], u: Tensor, v: Tensor, inside: Tensor, room: SceneParams, pose: Pose,
    gap_mm: float, mm_per_px: float, occlusion: float,
) -> Tensor:  # fmt: skip
    """Return (3, H, W) the illumination of a surface `gap_mm` behind a sheet.

    The key light is cut off by the sheet's edges, displaced by its slant and blurred by its size; the ambient light is
    dimmed close to the paper and under it.

    Args:
        opening: maps sheet points (H, W), mm, to how far inside an opening they lie, mm, negative under paper.
        u: (H, W) sheet points behind which the surface is seen, mm.
        v: (H, W) the same, downwards.
        inside: `opening(u, v)`.
        room: the light, one row.
        pose: the sheet's.
        gap_mm: distance from the sheet to the surface.
        mm_per_px: size of a pixel.
        occlusion: share of the ambient light that arrives in the middle of an opening.
    """
    u_axis, v_axis, normal = (axis[0] for axis in pose.axes())
    light = room.key_direction[0]
    facing = max(0.0, -float((light * normal).sum()))  # 0 where the light is behind the sheet
    illumination = inside.div(2 * gap_mm).add_(0.5).clamp_(0.25, 1).mul_(occlusion) * room.ambient_rgb[0, :, None, None]
    if facing > 0:
        slant = gap_mm / max(facing, _LEAST_FACING)
        at_u = u + slant * float((light * u_axis).sum())
        at_v = v + slant * float((light * v_axis).sum())
        soft = mm_per_px + 2 * gap_mm * float(torch.deg2rad(room.key_radius_deg[0]))
        lit = opening(at_u, at_v).div_(soft).add_(0.5).clamp_(0, 1)
        for channel in range(3):
            illumination[channel].add_(lit, alpha=float(room.key_rgb[0, channel]) * facing)
    return illumination


def light_of(room: SceneParams, pose: Pose) -> Tensor:
    """Return (3,) the illumination of a surface that faces as a sheet does and is in nobody's shadow."""
    facing = (-(room.key_direction * pose.axes()[2]).sum()).clamp(min=0)
    return room.ambient_rgb[0] + room.key_rgb[0] * facing


def rim_share(depth: Tensor, rim_mm: float, mm_per_px: float) -> Tensor:
    """Return what share of each pixel's paper lies within `rim_mm` of its edge, from depths (H, W) in the paper, mm."""
    edge = depth / mm_per_px
    paper = (edge + 0.5).clamp_(0, 1)
    deeper = edge.sub_(rim_mm / mm_per_px).add_(0.5).clamp_(0, 1)
    return deeper.neg_().add_(paper).div_(paper.clamp_(min=0.05))
