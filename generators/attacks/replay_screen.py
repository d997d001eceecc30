"""The light of a shown photograph: content, lattice, angle and flicker, as the sensor's pixels integrate it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.view import View
from spooflab.generators.attacks.replay_content import show, soften, surroundings
from spooflab.generators.attacks.replay_params import ReplayParams
from spooflab.generators.attacks.replay_placement import Placement
from spooflab.generators.instruments.panel_figures import PanelFigures
from spooflab.generators.instruments.panel_light import pulse_mean
from spooflab.generators.lattice import Lattice, modulation
from spooflab.generators.rounded_box import Box, coverage

_TEXEL_BLUR = 1 / 6
"""Variance that linear interpolation between texels adds, squared texels."""


def content(
    codes: Tensor,
    at: Tensor,
    nodes: Tensor,
    placed: Placement,
    panel: PanelFigures,
    params: ReplayParams,
    *,
    desk: bool,
) -> Tensor:
    """Return (B, 3, H, W) linear panel red, green, blue of photograph and graphics, before the lens.

    Args:
        codes: (B, 3, h, w) uint8 of the photograph.
        at: (B, 2, H, W) millimetres on the plane.
        nodes: (B, 2, NODES, NODES) the same at the nodes.
        placed: the geometry.
        panel: the figures of each row's panel.
        params: what was drawn.
        desk: graphics of a desktop rather than of a phone.
    """
    texel_mm = placed.photo_mm[:, 0] / codes.shape[-1]
    # The sensor's pixel and the panel's each average over their own width.
    variance = (placed.mm_per_px**2 + panel.pitch**2) / texel_mm**2 / 12 - _TEXEL_BLUR
    light = soften(show(codes, panel.table), variance.clamp(min=0))
    picture = _displaced(light, at, placed.photo_centre, placed.photo_mm, panel.offset)
    sharp = torch.zeros_like(panel.pitch)  # the lens comes later
    edge = Box(placed.photo_centre, placed.photo_mm / 2, sharp).distance_px(at, nodes, placed.mm_per_px, sharp)
    if edge is None:
        return picture
    around = show(surroundings(params.ui_seed, params.ui_dark, desk=desk), panel.table)
    place = torch.empty(*at.shape[:1], *at.shape[2:], 2)
    for axis in (0, 1):
        _to_share(at, placed.active_centre, panel.active, axis, place[..., axis])
    graphics = F.grid_sample(around, place, padding_mode="border", align_corners=False)
    return graphics.lerp_(picture, coverage(edge, sharp).expand_as(picture))


def _displaced(light: Tensor, at: Tensor, centre_mm: Tensor, size_mm: Tensor, offset_mm: Tensor) -> Tensor:
    """Sample each colour where its own stripe shows it: one stripe beside the next."""
    grid = torch.empty(at.shape[0], *at.shape[2:], 2)
    _to_share(at, centre_mm, size_mm, 1, grid[..., 1])
    if not bool(offset_mm.any()):
        _to_share(at, centre_mm, size_mm, 0, grid[..., 0])
        return F.grid_sample(light, grid, padding_mode="border", align_corners=False)
    colours = []
    for colour in range(light.shape[1]):
        moved = centre_mm + F.pad(offset_mm[:, colour, None], (0, 1))
        _to_share(at, moved, size_mm, 0, grid[..., 0])
        plane = light[:, colour : colour + 1]
        colours.append(F.grid_sample(plane, grid, padding_mode="border", align_corners=False))
    return torch.cat(colours, 1)


def _to_share(at: Tensor, centre_mm: Tensor, size_mm: Tensor, axis: int, out: Tensor) -> None:
    """Write one axis of millimetres (B, 2, H, W) to `out` (B, H, W), -1...1 across a rectangle."""
    scale = 2 / size_mm[:, axis, None, None]
    torch.addcmul(-centre_mm[:, axis, None, None] * scale, at[:, axis], scale, out=out)


def lattice_gain(
    lattices: list[Lattice], placed: Placement, panel: PanelFigures, nodes_mm: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the lattice as the pixels integrate it (B, 3, H, W), mean 1, and its strongest amplitude (B,).

    Where the lens leaves nothing of it in any row, the ones have shape (B, 3, 1, 1).

    Rows are taken one by one: each panel has its own set of harmonics.

    Args:
        lattices: one for each row.
        placed: the geometry.
        panel: the figures of each row's panel.
        nodes_mm: (B, 2, NODES, NODES) float64 millimetres on the plane.
    """
    corner = placed.active_centre - panel.active / 2  # the first pixel starts at the active area's corner
    results = []
    for row, lattice in enumerate(lattices):
        period = torch.tensor(lattice.period_mm, dtype=torch.float64)[:, None, None]
        phase = (nodes_mm[row] - corner[row].double()[:, None, None]) / period
        results.append(modulation(lattice, placed.view.row(row), placed.pose.row(row), phase))
    gains, strengths = zip(*results, strict=True)
    if any(gain.shape != gains[0].shape for gain in gains):
        gains = tuple(gain.expand(-1, placed.view.height, placed.view.width) for gain in gains)
    return torch.stack(gains), torch.stack(strengths)


def flicker(view: View, panel: PanelFigures, brightness: Tensor, down: Tensor) -> Tensor:
    """Return (B, 1, H, W or 1) the light that each row's exposure gathers, relative to steady light.

    Args:
        view: exposure and readout.
        panel: the figures of each row's panel.
        brightness: (B,) share of full luminance; shortens the pulses of a panel dimmed that way.
        down: (B, H, W) position down the active area, 0 at its top to 1; a scanned panel pulses later there.
    """
    duty = (panel.pulse_duty * torch.where(panel.pwm, brightness, torch.ones_like(brightness))).clamp(0.02, 1)
    rows = torch.arange(view.height) / max(1, view.height - 1)
    opened_ms = view.phase_ms[:, None] + view.readout_ms[:, None] * rows
    per_ms = panel.pulse_hz / 1000
    start = (opened_ms * per_ms[:, None])[:, :, None]
    if bool(panel.rolling.any()):
        scanned = panel.rolling * panel.pulse_hz / panel.refresh_hz
        start = start - scanned[:, None, None] * down
    wide = (slice(None), None, None)
    return pulse_mean(start, (view.exposure_ms * per_ms)[wide], duty[wide], panel.pulse_depth[wide])[:, None]


def flicker_contrast(view: View, panel: PanelFigures, brightness: Tensor) -> Tensor:
    """Return (B,) amplitude of the bands' fundamental relative to the mean: the pulse's, times the exposure's sinc."""
    duty = (panel.pulse_duty * torch.where(panel.pwm, brightness, torch.ones_like(brightness))).clamp(0.02, 1)
    return 2 * panel.pulse_depth * torch.sinc(duty) * torch.sinc(view.exposure_ms * panel.pulse_hz / 1000).abs()
