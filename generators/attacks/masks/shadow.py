"""The shadow that a mask casts on its wearer."""

import torch
from torch import Tensor

from spooflab.generators.attacks.masks.filter import box, moved
from spooflab.generators.attacks.masks.light import edge_occlusion
from spooflab.generators.attacks.masks.sitting import Sitting
from spooflab.generators.attacks.masks.surface import neck_cover

_FAINT = 0.012
_REACH_MM = 22.0
_EYE_DEPTH_MM = 5.0


def shadow_on(sitting: Sitting, distance: Tensor, holes: Tensor, alpha: Tensor) -> Tensor:
    """Return (h, w): share of its light that the wearer's face loses beside the mask and behind its openings.

    The lamp's part is the mask's own outline, displaced by its height over the skin along the light and blurred by the
    lamp's width; the room's part is what a wall of that height hides.
    """
    surface, light = sitting.surface, sitting.light
    if "contact_shadow" in sitting.off:
        return torch.zeros_like(alpha)
    within = (holes > 0).float()
    height = sitting.worn.height_mm + _EYE_DEPTH_MM * within
    beside = (-distance).clamp(min=0)
    ground = surface.cover > 0
    neck = neck_cover(sitting.fit, surface) * ~ground
    # Under the chin there is no surface of the mask to measure on: a blurred outline tells the distance.
    wide = max(2, round(_REACH_MM / 2 / surface.mm_per_px))
    under = (1 - 2 * box(alpha, wide)).clamp(0, 1) * (wide * surface.mm_per_px)
    beside = torch.where(ground, beside, under)
    room = edge_occlusion(beside, 1.0 * sitting.worn.height_mm) * (1 + 0.6 * within)
    toward = sitting.sources[0].direction
    slope = (toward[:2] / -toward[2]).clamp(-2.5, 2.5)
    dx, dy = height * float(slope[0]) / surface.mm_per_px, height * float(slope[1]) / surface.mm_per_px
    soft = max(1, round(float(height.mean()) * sitting.sources[0].radius_rad / surface.mm_per_px))
    blocked = moved(alpha, dx, dy)
    blocked = box(blocked, soft)
    share = min(light.key_share, 0.7)
    fade = ((_REACH_MM - beside) / 8).clamp(0, 1) * torch.maximum(ground.float(), neck)
    lost = (share * blocked + (1 - share) * room) * fade
    lost = box(lost, 1)
    return (lost - _FAINT).clamp(min=0, max=0.9)
