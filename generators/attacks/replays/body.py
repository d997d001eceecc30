"""What surrounds the lit area: bezel and frame, foot and table, and how much of each pixel they cover."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.attacks.replays.params import ReplayParams
from spooflab.generators.instruments.panel_figures import PanelFigures
from spooflab.generators.rounded_box import Box, coverage
from spooflab.generators.some import some

_FOOT_MM = 45.0
"""From the body's lower edge to the table."""
_NOWHERE_MM = 1e6
"""Where parts are that a device does not have."""


@dataclass(frozen=True)
class Grid:
    """Where each pixel's ray meets the instrument's plane.

    Attributes:
        at: (B, 2, H, W) float32 millimetres.
        nodes: (B, 2, NODES, NODES) float64, the same at the nodes.
        mm_per_px: (B,).
        blur_px: (B,) of the lens.
    """

    at: Tensor
    nodes: Tensor
    mm_per_px: Tensor
    blur_px: Tensor

    def distance(self, box: Box) -> Tensor | None:
        """Return the signed distance to the outline in pixels; None where the box holds every row's frame."""
        return box.distance_px(self.at, self.nodes, self.mm_per_px, self.blur_px)

    def cover(self, box: Box) -> Tensor | None:
        """Return (B, 1, H, W): the share of each pixel that the box covers; None where no row sees it."""
        if box.missed(self.nodes, self.mm_per_px, self.blur_px):
            return None
        return coverage(self.distance(box), self.blur_px)


@dataclass(frozen=True)
class Cover:
    """How the device covers each pixel; each (B, 1, H, W), or (B, 1, 1, 1) ones where every frame lies within.

    Attributes:
        lit: the active area.
        within: all within the frame's rim.
        device: all of the device.
    """

    lit: Tensor
    within: Tensor
    device: Tensor


def device_cover(grid: Grid, panel: PanelFigures, active_edge: Tensor | None) -> Cover:
    """Return the cover of a device whose lit area's outline is `active_edge` (None: it fills every frame)."""
    ones = coverage(None, grid.blur_px)
    if active_edge is None:
        return Cover(ones, ones, ones)
    body = Box(panel.body_centre, panel.body / 2, panel.corner)
    outer = grid.distance(body)
    if outer is None:
        inner = grid.distance(body.shrunk(panel.rim))
    else:  # a rounded box inset by its rim: the same distance, less the rim (but for corners sharper than the rim)
        inner = outer + (panel.rim / grid.mm_per_px)[:, None, None]
    return Cover(*(coverage(edge, grid.blur_px) for edge in (active_edge, inner, outer)))


def front(room: Tensor, cover: Cover, panel: PanelFigures, params: ReplayParams, lit: Tensor) -> Tensor:
    """Return (B, 3, H, W): what glass, bezel and frame under the light `lit` (B, 3) send to the camera.

    `room` is the glass's own light: mirror image, haze, grease.
    """
    if cover.lit.shape[-1] == 1:
        return room
    rim = frame_colour(panel, params)
    solid = torch.lerp((rim * lit)[..., None, None], (panel.bezel_rgb * lit)[..., None, None], cover.within)
    glass = torch.where(panel.glass_bezel[:, None, None, None], cover.within, cover.lit)
    return room.mul_(glass).addcmul_(solid, 1 - cover.lit)


def frame_colour(panel: PanelFigures, params: ReplayParams) -> Tensor:
    """Return (B, 3): the linear albedo of the frame, one of those that each model comes in."""
    place = params.body_colour % panel.rim_count
    return panel.rim_rgb.gather(1, place[:, None, None].expand(-1, 1, 3))[:, 0]


def behind(background: Tensor, grid: Grid, panel: PanelFigures, params: ReplayParams, lit: Tensor) -> Tensor:
    """Return the background (B, 3, H, W) with what a standing device stands on: table and foot, or keyboard."""
    if not some(params.stand):
        return background
    wide, tall = panel.body.unbind(1)
    bottom = panel.body_centre[:, 1] + tall / 2
    below_mm = grid.at[:, 1] - (bottom + 0.6 * _FOOT_MM)[:, None, None]
    if not some(params.stand & (below_mm.flatten(1).amax(1) > -_FOOT_MM)):
        return background
    stands = params.stand[:, None, None, None]
    top = coverage(-below_mm / grid.mm_per_px[:, None, None], grid.blur_px)
    near = (below_mm / (0.4 * wide)[:, None, None]).clamp(0, 1)[:, None]
    # Under the device lies its own shade; the table brightens forwards.
    shade = top * stands
    table = (params.table_rgb * lit)[..., None, None]
    out = (background * (1 - shade)).addcmul_(shade * (0.45 + 0.55 * near), table)
    rim = frame_colour(panel, params)
    foot = (~panel.keyboard).to(wide)
    one, deck = torch.ones_like(wide), 0.34 * tall  # a deck seen at a slant
    parts = (
        (0.055 * wide * foot, 0.5 * _FOOT_MM * one, 0.5 * _FOOT_MM * foot + 1, rim * 0.7),
        (0.17 * wide * foot, 0.93 * _FOOT_MM * one, 0.07 * _FOOT_MM * foot + 1, rim * 0.7),
        (0.5 * wide * (1 - foot), 0.5 * deck + 2, 0.5 * deck, rim * 0.85),
        (0.43 * wide * (1 - foot), 0.32 * deck + 2, 0.24 * deck, torch.full_like(rim, 0.02)),
        (0.15 * wide * (1 - foot), 0.79 * deck + 2, 0.15 * deck, rim * 0.75),
    )
    for half_w, down, half_h, albedo in parts:
        drawn = params.stand & (half_w > 0)
        middle = torch.stack([torch.zeros_like(wide), torch.where(drawn, bottom + down, _NOWHERE_MM)], 1)
        share = grid.cover(Box(middle, torch.stack([half_w, half_h], 1), torch.zeros_like(wide)))
        if share is not None:
            out = out.lerp_((albedo * lit)[..., None, None].expand_as(out), share * drawn[:, None, None, None])
    return out
