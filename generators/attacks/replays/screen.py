"""The light of a shown photograph: content, graphics, lattice and flicker, as the sensor's pixels integrate it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.view import View
from spooflab.generators.attacks.replays.ablation import switched_off
from spooflab.generators.attacks.replays.content import show, soften
from spooflab.generators.attacks.replays.interface import DRAW, Sheet, paint
from spooflab.generators.attacks.replays.params import ReplayParams
from spooflab.generators.attacks.replays.placement import Placement
from spooflab.generators.constant import constant
from spooflab.generators.instruments.panel_figures import EMITTERS, PanelFigures, from_own_axes, own_axes
from spooflab.generators.instruments.panel_light import pulse_mean
from spooflab.generators.instruments.panel_white import extract_white
from spooflab.generators.lattice import modulation
from spooflab.generators.rounded_box import Box, coverage
from spooflab.generators.some import some

_TEXEL_BLUR = 1 / 6
"""Variance that linear interpolation between texels adds, squared texels."""
_CANVAS = {"handheld": (352, 240), "desktop": (264, 416), "television": (240, 384)}
"""Rows and columns at which graphics are drawn."""
_UNIT_MM = {"handheld": 0.165, "desktop": 0.26, "television": 0.0}
"""Size of a device-independent pixel; 0 for the panel's height / 540."""
_LUMA = (0.2126, 0.7152, 0.0722)


def emitters(panel: PanelFigures) -> int:
    """Return how many emitters the batch needs: four where any panel has a white one."""
    return EMITTERS if some(panel.white_share > 0) else EMITTERS - 1


def panel_light(light: Tensor, panel: PanelFigures, params: ReplayParams) -> Tensor:
    """Return the emitters' light (B, 3 or 4, H, W) for decoded content (B, 3, H, W), by colour mode and driver."""
    if some((params.tint != 1).any(1) | (params.vivid != 1)):
        gain = params.vivid[:, None, None]
        grey = constant(_LUMA, light.device).expand(3, 3)
        mode = (torch.eye(3, device=light.device) * gain + grey * (1 - gain)) * params.tint[:, :, None]
        light = torch.bmm(mode, light.flatten(2)).clamp_(0, 1).reshape(light.shape)
    if emitters(panel) < EMITTERS:
        return light
    return extract_white(
        light,
        white_rgb=panel.white_rgb,
        share=panel.white_share,
        extraction=panel.extraction,
        brightness=torch.where(panel.emissive, params.brightness, torch.ones_like(params.brightness)),
    )


def content(
    codes: Tensor,
    at: Tensor,
    nodes: Tensor,
    placed: Placement,
    panel: PanelFigures,
    params: ReplayParams,
    *,
    family: str,
) -> Tensor:
    """Return (B, 3 or 4, H, W) linear light of the emitters for photograph and graphics, before the lens.

    Args:
        codes: (B, 3, h, w) uint8 of the photograph, which fills `params.camera.scale` of either side.
        at: (B, 2, H, W) millimetres on the plane.
        nodes: (B, 2, NODES, NODES) the same at the nodes.
        placed: the geometry.
        panel: the figures of each row's panel, as it stands.
        params: what was drawn.
        family: of the graphics, a key of `replay_interface.DRAW`.
    """
    scale = params.camera.scale
    texel_mm = placed.photo_mm[:, 0] / (codes.shape[-1] * scale)
    # The sensor's pixel and the panel's each average over their own width.
    variance = (placed.mm_per_px**2 + panel.pitch**2) / texel_mm**2 / 12 - _TEXEL_BLUR
    light = soften(panel_light(show(codes, panel.table), panel, params), variance.clamp(min=0))
    offset = from_own_axes(panel.offset, params.turned)
    picture = _displaced(light, at, placed.photo_centre, placed.photo_mm, offset, scale)
    sharp = torch.zeros_like(panel.pitch)  # the lens comes later
    edge = Box(placed.photo_centre, placed.photo_mm / 2, sharp).distance_px(at, nodes, placed.mm_per_px, sharp)
    drawn = _graphics(panel, params, family)
    if edge is None and not some(drawn[:, -1] > 0):
        return picture
    place = _share(at, placed.active_centre, panel.active)
    graphics = F.grid_sample(drawn, place, padding_mode="border", align_corners=False)
    shown, over = graphics[:, :-1], graphics[:, -1:]
    return shown.lerp_(picture, ((1 - over) * coverage(edge, sharp)).expand_as(picture))


def _graphics(panel: PanelFigures, params: ReplayParams, family: str) -> Tensor:
    """Return (B, C + 1, rows, columns): the application's graphics over the active area, last their opacity."""
    rows, columns = _CANVAS[family]
    size_mm = panel.active
    unit_mm = _UNIT_MM[family] or (size_mm[:, 1:] / 540)
    size = size_mm / unit_mm
    sheet = Sheet(size, params.ui_dark, params.ui_seed)
    DRAW[family](sheet, params.ui_kind)
    on = ~switched_off(params.ablated, "interface")
    table = sheet.table()
    table = torch.cat([table[..., :9], table[..., 9:] * on[:, None, None]], -1)
    black = torch.zeros_like(table[:, :1, 4:7])
    codes = torch.cat([table[..., 4:7].round().clamp(0, 255), black], 1).transpose(1, 2)
    light = panel_light(show(codes[:, :, None], panel.table), panel, params)[:, :, 0]
    return paint(table, light, constant((columns, rows), size.device) / size, rows, columns)


def _displaced(
    light: Tensor, at: Tensor, centre_mm: Tensor, size_mm: Tensor, offset_mm: Tensor, scale: Tensor
) -> Tensor:
    """Sample each colour where its own emitter shows it: one beside the next."""
    base = _share(at, centre_mm, size_mm)
    if some(scale < 1):  # the photograph fills only a corner of its texture
        base = base.add_(1).mul_(scale[:, None, None, None]).sub_(1)
    if not some((offset_mm != 0).flatten(1).any(1)):
        return F.grid_sample(light, base, padding_mode="border", align_corners=False)
    step = offset_mm[:, : light.shape[1]] * (2 * scale[:, None, None] / size_mm[:, None])
    out = torch.empty(len(light), light.shape[1], *at.shape[2:], device=light.device)
    axes = [axis for axis in (0, 1) if some((step[..., axis] != 0).any(1))]
    for colour in range(light.shape[1]):
        move = step[:, colour] if colour == 0 else step[:, colour] - step[:, colour - 1]
        for axis in axes:
            base[..., axis].sub_(move[:, axis, None, None])
        plane = light[:, colour : colour + 1]
        out[:, colour : colour + 1] = F.grid_sample(plane, base, padding_mode="border", align_corners=False)
    return out


def _share(at: Tensor, centre_mm: Tensor, size_mm: Tensor) -> Tensor:
    """Return (B, H, W, 2): millimetres (B, 2, H, W) as -1...1 across a rectangle."""
    scale = 2 / size_mm
    out = torch.empty(at.shape[0], *at.shape[2:], 2, device=at.device)
    for axis in (0, 1):
        wide = scale[:, axis, None, None]
        torch.addcmul(-centre_mm[:, axis, None, None] * wide, at[:, axis], wide, out=out[..., axis])
    return out


def lattice_gain(
    panel: PanelFigures, placed: Placement, nodes_mm: Tensor, turned: Tensor, colours: int
) -> tuple[Tensor, Tensor]:
    """Return the lattice as the pixels integrate it, mean 1, and its strongest amplitude (B,).

    Args:
        panel: the figures of each row's panel, as it stands.
        placed: the geometry.
        nodes_mm: (B, 2, NODES, NODES) float64 millimetres on the plane.
        turned: (B,) bool where the device lies on its side.
        colours: how many emitters are wanted.

    Returns:
        (B, colours, H, W), or (B, colours, 1, 1) ones where the lens leaves nothing of it in any row; and (B,).
    """
    size = torch.where(turned[:, None], panel.active.flip(1), panel.active)
    centre = own_axes(placed.active_centre, turned)
    corner = centre - size / 2  # the first pixel starts at the active area's corner
    phase = own_axes(nodes_mm, turned) - corner.double()[..., None, None]
    series = panel.lattice.first(colours)
    gain = panel.lattice_gain[:, None, None]
    return modulation(
        type(series)(series.period_mm, series.order, series.real * gain, series.imaginary * gain), placed.view, phase
    )


def flicker(view: View, panel: PanelFigures, brightness: Tensor, down: Tensor) -> Tensor:
    """Return (B, 1, H, W or 1) the light that each row's exposure gathers, relative to steady light.

    Args:
        view: exposure and readout.
        panel: the figures of each row's panel.
        brightness: (B,) share of full luminance; shortens the pulses of a panel dimmed that way.
        down: (B, H, W) position down the active area in the device's own position, 0 at its top to 1; a scanned panel
            pulses later there.
    """
    duty = (panel.pulse_duty * torch.where(panel.pwm, brightness, torch.ones_like(brightness))).clamp(0.02, 1)
    rows = torch.arange(view.height, device=brightness.device) / max(1, view.height - 1)
    opened_ms = view.phase_ms[:, None] + view.readout_ms[:, None] * rows
    per_ms = panel.pulse_hz / 1000
    start = (opened_ms * per_ms[:, None])[:, :, None]
    if some(panel.rolling & (panel.pulse_depth > 0)):
        scanned = panel.rolling * panel.pulse_hz / panel.refresh_hz
        start = start - scanned[:, None, None] * down
    wide = (slice(None), None, None)
    return pulse_mean(start, (view.exposure_ms * per_ms)[wide], duty[wide], panel.pulse_depth[wide])[:, None]


def flicker_contrast(view: View, panel: PanelFigures, brightness: Tensor) -> Tensor:
    """Return (B,) amplitude of the bands' fundamental relative to the mean: the pulse's, times the exposure's sinc."""
    duty = (panel.pulse_duty * torch.where(panel.pwm, brightness, torch.ones_like(brightness))).clamp(0.02, 1)
    return 2 * panel.pulse_depth * torch.sinc(duty) * torch.sinc(view.exposure_ms * panel.pulse_hz / 1000).abs()
