"""The figures of a batch of panels as tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.instruments.panel import Panel
from spooflab.generators.instruments.panel_cell import stripe_offset
from spooflab.generators.instruments.panel_light import colour_matrix, transfer_table


@dataclass(frozen=True)
class PanelFigures:
    """What rendering needs of each row's panel; see `Panel` for the meanings and units.

    Attributes:
        active: (B, 2) millimetres.
        body: (B, 2) outer width and height, millimetres.
        raise_mm: (B,) how far below the body's centre the active area's centre lies.
        corner, active_corner, rim: (B,) millimetres.
        pitch: (B,) millimetres.
        offset: (B, 3) of the colours' pictures, millimetres to the right.
        table: (B, 256) transfer.
        matrix: (B, 3, 3) to linear sRGB.
        falloff: (B, 3).
        nits, pulse_hz, pulse_duty, pulse_depth, refresh_hz: (B,).
        pwm, rolling, glass_bezel: (B,) bool.
        reflectance, haze, matte: (B,).
        bezel_rgb: (B, 3).
    """

    active: Tensor
    body: Tensor
    raise_mm: Tensor
    corner: Tensor
    active_corner: Tensor
    rim: Tensor
    pitch: Tensor
    offset: Tensor
    table: Tensor
    matrix: Tensor
    falloff: Tensor
    nits: Tensor
    pulse_hz: Tensor
    pulse_duty: Tensor
    pulse_depth: Tensor
    refresh_hz: Tensor
    pwm: Tensor
    rolling: Tensor
    glass_bezel: Tensor
    reflectance: Tensor
    haze: Tensor
    matte: Tensor
    bezel_rgb: Tensor


def panel_figures(panels: Sequence[Panel]) -> PanelFigures:
    """Collect the figures of `panels`, one row each."""

    def column(read: Callable[[Panel], object]) -> Tensor:
        return torch.tensor([read(panel) for panel in panels])

    def bezel(panel: Panel) -> tuple[float, float]:
        side, above, below = panel.body.bezel_mm
        return panel.active_mm[0] + 2 * side, panel.active_mm[1] + above + below

    return PanelFigures(
        active=column(lambda p: p.active_mm),
        body=column(bezel),
        raise_mm=column(lambda p: (p.body.bezel_mm[1] - p.body.bezel_mm[2]) / 2),
        corner=column(lambda p: p.body.corner_mm),
        active_corner=column(lambda p: p.body.active_corner_mm),
        rim=column(lambda p: p.body.rim_mm),
        pitch=column(lambda p: p.pitch_mm),
        offset=column(stripe_offset),
        table=torch.stack([transfer_table(p.light) for p in panels]),
        matrix=torch.stack([colour_matrix(p.primaries) for p in panels]),
        falloff=column(lambda p: p.light.falloff),
        nits=column(lambda p: p.light.white_nits),
        pulse_hz=column(lambda p: p.light.pulse_hz),
        pulse_duty=column(lambda p: p.light.pulse_duty),
        pulse_depth=column(lambda p: p.light.pulse_depth),
        refresh_hz=column(lambda p: p.light.refresh_hz),
        pwm=column(lambda p: p.light.dimming == "pwm"),
        rolling=column(lambda p: p.light.rolling),
        glass_bezel=column(lambda p: p.body.glass_bezel),
        reflectance=column(lambda p: p.glass.reflectance),
        haze=column(lambda p: p.glass.haze),
        matte=column(lambda p: p.glass.matte),
        bezel_rgb=column(lambda p: p.body.bezel_rgb),
    )
