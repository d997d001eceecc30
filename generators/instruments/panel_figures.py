"""The figures of panels as tensors: a table of the whole bank, from which a batch takes its rows."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.instruments.panel import Panel
from spooflab.generators.instruments.panel_cell import emitter_offset, panel_lattice
from spooflab.generators.instruments.panel_light import colour_matrix, transfer_table, white_in_panel_rgb
from spooflab.generators.lattice import Lattices

EMITTERS = 4
"""Red, green, blue, white: fields that differ by emitter have room for all four."""
_COLOURS = 4
"""A frame comes in at most as many colours."""


@dataclass(frozen=True)
class PanelFigures:
    """What rendering needs of each row's panel; see `Panel` for the meanings and units.

    Attributes:
        active: (B, 2) millimetres.
        body: (B, 2) outer width and height, millimetres.
        body_centre: (B, 2) millimetres; the plane's origin is the whole device's centre.
        active_centre: (B, 2) millimetres.
        corner, active_corner, rim: (B,) millimetres.
        pitch: (B,) millimetres.
        offset: (B, 4, 2) of the emitters' pictures, millimetres to the right and down, in the device's own axes.
        lattice: the emitters' series, in the device's own axes.
        lattice_gain: (B,) 1, or 0 for light without a lattice.
        table: (B, 256) transfer.
        matrix: (B, 3, 4) emitters to linear sRGB.
        white_rgb: (B, 3) the white emitter's light in the panel's colours.
        white_share, extraction: (B,); 0 without a white emitter.
        falloff: (B, 4).
        washout, glow: (B,).
        nits, pulse_hz, pulse_duty, pulse_depth, refresh_hz: (B,).
        pwm, rolling, glass_bezel: (B,) bool.
        keyboard, emissive: (B,) bool: a laptop's; light made by the emitters themselves.
        reflectance, haze, matte, sparkle: (B,).
        mirror: (B,) 1, or 0 for glass that mirrors nothing.
        bezel_rgb: (B, 3).
        rim_rgb: (B, 4, 3), repeated from the start where a model comes in fewer colours.
        rim_count: (B,) int64 of different ones.
    """

    active: Tensor
    body: Tensor
    body_centre: Tensor
    active_centre: Tensor
    corner: Tensor
    active_corner: Tensor
    rim: Tensor
    pitch: Tensor
    offset: Tensor
    lattice: Lattices
    lattice_gain: Tensor
    table: Tensor
    matrix: Tensor
    white_rgb: Tensor
    white_share: Tensor
    extraction: Tensor
    falloff: Tensor
    washout: Tensor
    glow: Tensor
    nits: Tensor
    pulse_hz: Tensor
    pulse_duty: Tensor
    pulse_depth: Tensor
    refresh_hz: Tensor
    pwm: Tensor
    rolling: Tensor
    glass_bezel: Tensor
    keyboard: Tensor
    emissive: Tensor
    reflectance: Tensor
    haze: Tensor
    matte: Tensor
    sparkle: Tensor
    mirror: Tensor
    bezel_rgb: Tensor
    rim_rgb: Tensor
    rim_count: Tensor

    def take(self, rows: Tensor) -> "PanelFigures":
        """Return the rows that `rows` (B,) int64 names."""
        return self._map(lambda field: field[rows], lambda lattices: lattices.take(rows))

    def to(self, device: torch.device) -> "PanelFigures":
        """Return a copy on `device`."""
        return self._map(lambda field: field.to(device), lambda lattices: lattices.to(device))

    def turned(self, turn: Tensor) -> "PanelFigures":
        """Return the figures of devices that lie on their side where `turn` (B,) is set: the top is at the left.

        Lattice and offsets stay in the device's own axes (`own_axes`).
        """
        swap = turn[:, None]
        active, body = (torch.where(swap, size.flip(1), size) for size in (self.active, self.body))
        centres = [torch.where(swap, c.flip(1), c) for c in (self.active_centre, self.body_centre)]
        return dataclasses.replace(self, active=active, body=body, active_centre=centres[0], body_centre=centres[1])

    def _map(self, change: Callable[[Tensor], Tensor], lattice: Callable[[Lattices], Lattices]) -> "PanelFigures":
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        changed: dict[str, Any] = {k: lattice(v) if isinstance(v, Lattices) else change(v) for k, v in values.items()}
        return PanelFigures(**changed)


def own_axes(plane: Tensor, turn: Tensor) -> Tensor:
    """Return vectors (B, 2, ...) on the plane in the device's own axes: (-v, u) where it lies on its side."""
    u, v = plane.unbind(1)
    aside = turn.reshape(-1, *([1] * (u.ndim - 1)))
    return torch.stack([torch.where(aside, -v, u), torch.where(aside, u, v)], 1)


def from_own_axes(own: Tensor, turn: Tensor) -> Tensor:
    """Return vectors (B, ..., 2) in the device's own axes on the plane: (v, -u) where it lies on its side."""
    u, v = own.unbind(-1)
    aside = turn.reshape(-1, *([1] * (u.ndim - 1)))
    return torch.stack([torch.where(aside, v, u), torch.where(aside, -u, v)], -1)


def panel_figures(panels: Sequence[Panel]) -> PanelFigures:
    """Collect the figures of `panels`, one row each."""

    def column(read: Callable[[Panel], object]) -> Tensor:
        return torch.tensor([read(panel) for panel in panels])

    def raised(panel: Panel) -> tuple[float, float]:
        return 0.0, (panel.body.bezel_mm[1] - panel.body.bezel_mm[2]) / 2

    def ones(panel: Panel) -> float:
        return 1.0

    offsets = [torch.tensor(emitter_offset(p)) for p in panels]
    return PanelFigures(
        active=column(lambda p: p.active_mm),
        body=column(_body_mm),
        body_centre=torch.zeros(len(panels), 2),
        active_centre=column(raised),
        corner=column(lambda p: p.body.corner_mm),
        active_corner=column(lambda p: p.body.active_corner_mm),
        rim=column(lambda p: p.body.rim_mm),
        pitch=column(lambda p: p.pitch_mm),
        offset=torch.stack([F.pad(o, (0, 0, 0, EMITTERS - len(o))) for o in offsets]),
        lattice=Lattices.stack([panel_lattice(p) for p in panels], EMITTERS),  # pyright: ignore[reportArgumentType]  # a frozen model hashes
        lattice_gain=column(ones),
        table=torch.stack([transfer_table(p.light) for p in panels]),
        matrix=torch.stack([_matrix(p) for p in panels]),
        white_rgb=torch.stack([_white_rgb(p) for p in panels]),
        white_share=column(lambda p: p.white.share if p.white else 0.0),
        extraction=column(lambda p: p.white.extraction if p.white else 0.0),
        falloff=column(lambda p: (*p.light.falloff, p.light.falloff[1])),
        washout=column(lambda p: p.light.washout),
        glow=column(lambda p: p.light.glow),
        nits=column(lambda p: p.light.white_nits),
        pulse_hz=column(lambda p: p.light.pulse_hz),
        pulse_duty=column(lambda p: p.light.pulse_duty),
        pulse_depth=column(lambda p: p.light.pulse_depth),
        refresh_hz=column(lambda p: p.light.refresh_hz),
        pwm=column(lambda p: p.light.dimming == "pwm"),
        rolling=column(lambda p: p.light.rolling),
        glass_bezel=column(lambda p: p.body.glass_bezel),
        keyboard=column(lambda p: p.kind == "laptop"),
        emissive=column(lambda p: p.technology == "oled"),
        reflectance=column(lambda p: p.glass.reflectance),
        haze=column(lambda p: p.glass.haze),
        matte=column(lambda p: p.glass.matte),
        sparkle=column(lambda p: p.glass.sparkle),
        mirror=column(ones),
        bezel_rgb=column(lambda p: p.body.bezel_rgb),
        rim_rgb=column(lambda p: [p.body.rim_rgb[k % len(p.body.rim_rgb)] for k in range(_COLOURS)]),
        rim_count=column(lambda p: min(len(p.body.rim_rgb), _COLOURS)),
    )


def _body_mm(panel: Panel) -> tuple[float, float]:
    side, above, below = panel.body.bezel_mm
    return panel.active_mm[0] + 2 * side, panel.active_mm[1] + above + below


def _white_rgb(panel: Panel) -> Tensor:
    return torch.ones(3) if panel.white is None else white_in_panel_rgb(panel.primaries, panel.white.xy)


def _matrix(panel: Panel) -> Tensor:
    colours = colour_matrix(panel.primaries)
    return torch.cat([colours, (colours @ _white_rgb(panel))[:, None]], 1)
