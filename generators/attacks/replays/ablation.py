"""The effects of a replay that can be switched off: each puts neutral figures in the place of those drawn."""

from dataclasses import replace

import torch
from torch import Tensor

from spooflab.generators.attacks.replays.params import ReplayParams
from spooflab.generators.instruments.panel_figures import PanelFigures

EFFECTS = (
    "lattice",
    "reflection",
    "haze",
    "black_level",
    "view_angle",
    "flicker",
    "smears",
    "bezel",
    "hand",
    "content_codec",
    "colour",
    "white_extraction",
    "sparkle",
    "interface",
)
"""Append only: records hold their places.

`lattice`: subpixels become their mean light, colours coincide. `reflection`: the room's mirror image. `haze`: diffuse
light of the room that lifts black. `black_level`: the panel's own leak. `view_angle`: dimming, lifted mid tones and
leaking black off axis. `flicker`: pulses and refresh. `smears`: grease and dust. `bezel`: everything of the device
around the lit area, and what it stands on. `hand`. `content_codec`: reduction, sharpening and coding of the shown
photograph. `colour`: primaries, white point and colour modes. `white_extraction`: the white emitter stays dark.
`sparkle`: the anti-glare coat's grain. `interface`: the application's graphics.
"""


def switched_off(ablated: Tensor, name: str) -> Tensor:
    """Return (B,) bool: where effect `name` is off."""
    return (ablated >> EFFECTS.index(name)) & 1 > 0


def neutralised(panel: PanelFigures, params: ReplayParams) -> tuple[PanelFigures, ReplayParams]:
    """Return panels and parameters in which every effect that is off does nothing."""
    if params.ablated.is_cpu and not bool(params.ablated.any()):
        return panel, params
    return _panel(panel, params.ablated), _params(params)


def _panel(panel: PanelFigures, ablated: Tensor) -> PanelFigures:
    def without(name: str, value: Tensor, neutral: Tensor | float = 0.0) -> Tensor:
        off = switched_off(ablated, name).reshape(-1, *([1] * (value.ndim - 1)))
        return torch.where(off, neutral, value)

    leak = panel.table[:, :1]
    bare = without("bezel", torch.ones_like(panel.rim)) == 0
    return replace(
        panel,
        body=torch.where(bare[:, None], panel.active, panel.body),
        body_centre=torch.where(bare[:, None], panel.active_centre, panel.body_centre),
        corner=torch.where(bare, panel.active_corner, panel.corner),
        rim=without("bezel", panel.rim),
        offset=without("lattice", panel.offset),
        lattice_gain=without("lattice", panel.lattice_gain),
        table=without("black_level", panel.table, (panel.table - leak) / (1 - leak)),
        matrix=without("colour", panel.matrix, torch.eye(3, 4, device=leak.device) + _fourth(leak)),
        white_rgb=without("colour", panel.white_rgb, 1.0),
        white_share=without("white_extraction", panel.white_share),
        falloff=without("view_angle", panel.falloff),
        washout=without("view_angle", panel.washout),
        glow=without("view_angle", panel.glow),
        pulse_depth=without("flicker", panel.pulse_depth),
        haze=without("haze", panel.haze),
        mirror=without("reflection", panel.mirror),
        sparkle=without("sparkle", panel.sparkle),
    )


def _fourth(like: Tensor) -> Tensor:
    """Return (3, 4) with ones in the white emitter's column."""
    return torch.nn.functional.pad(torch.ones(3, 1, device=like.device), (3, 0))


def _params(params: ReplayParams) -> ReplayParams:
    def without(name: str, value: Tensor, neutral: float) -> Tensor:
        off = switched_off(params.ablated, name).reshape(-1, *([1] * (value.ndim - 1)))
        return torch.where(off, torch.full_like(value, neutral), value)

    camera = replace(
        params.camera,
        halo=without("content_codec", params.camera.halo, 0),
        scale=without("content_codec", params.camera.scale, 1),
        quality=without("content_codec", params.camera.quality, 0),
        video_qp=without("content_codec", params.camera.video_qp, 0),
    )
    return replace(
        params,
        camera=camera,
        tint=without("colour", params.tint, 1),
        vivid=without("colour", params.vivid, 1),
        smear=without("smears", params.smear, 0),
        dust=without("smears", params.dust, 0),
        stand=without("bezel", params.stand, 0),
        scene=replace(params.scene, hand_style=without("hand", params.scene.hand_style, 0)),
    )
