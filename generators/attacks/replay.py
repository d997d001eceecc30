"""Replays: a photograph of a face shown on a phone or a monitor, photographed again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.errors import DataError
from spooflab.generators.attack import Rendered
from spooflab.generators.attacks.replay_content import FirstCamera, first_photograph
from spooflab.generators.attacks.replay_front import illumination, node_hit, veil
from spooflab.generators.attacks.replay_params import ReplayParams
from spooflab.generators.attacks.replay_placement import Placement, place
from spooflab.generators.attacks.replay_screen import content, flicker, flicker_contrast, lattice_gain
from spooflab.generators.face import Face
from spooflab.generators.instruments.panel import Panel, PanelBank, load_panels
from spooflab.generators.instruments.panel_cell import panel_lattice
from spooflab.generators.instruments.panel_figures import PanelFigures, panel_figures
from spooflab.generators.instruments.panel_light import falloff
from spooflab.generators.lattice import footprint_at
from spooflab.generators.pose import Hit, project
from spooflab.generators.rounded_box import Box, coverage
from spooflab.generators.scene import HAND_STYLES, Scene, SceneParams
from spooflab.generators.smooth_map import spread
from spooflab.params import Params, choice, log_uniform, uniform

_SHORTEST_REACH_MM = 7.0
"""A thumb that reached less would hold nothing."""
_CLOSE = (0.5, 0.66)
"""Share of the frame that the face takes when the presenter fills it, as a live face does."""


@dataclass(frozen=True)
class ReplayStyle:
    """How a kind of display is presented.

    Attributes:
        kinds: of panel, in the bank.
        fit_width: the photograph is fitted to the width (a phone held upright) rather than to the height.
        far_share: range of the face's share of the frame when the device is shown whole.
        far_chance: how often it is.
        nearest_mm, farthest_mm: range that the nearest and the farthest distance are drawn from.
        hand_share: how often a hand holds it.
        tilt_deg: largest yaw and pitch.
    """

    kinds: tuple[str, ...]
    fit_width: bool
    far_share: tuple[float, float]
    far_chance: float
    nearest_mm: tuple[float, float]
    farthest_mm: tuple[float, float]
    hand_share: float
    tilt_deg: float = 20.0


class _Replay:
    """What phones and monitors share; see `ReplayPhone` for the arguments."""

    species: str
    style: ReplayStyle
    needs_donor = False

    def __init__(self, bank: PanelBank | None = None, *, instruments: Sequence[str] | None = None) -> None:
        self.bank = load_panels() if bank is None else bank
        self._places = torch.tensor(self.bank.places(self.style.kinds, instruments))
        self.scene = Scene(hand_share=self.style.hand_share)

    @classmethod
    def bank_ids(cls) -> tuple[str, ...]:
        """Return the ids of the shipped panels that this attack may show a face on."""
        return load_panels().ids(cls.style.kinds)

    def parse(self, record: dict[str, Any]) -> ReplayParams:
        """Rebuild parameters from a record's JSON."""
        return ReplayParams.from_json(record)

    def sample(self, batch_size: int, generator: torch.Generator) -> ReplayParams:
        """Draw panel, photograph, framing, light and surroundings."""
        n, style = batch_size, self.style
        panel = self._places[choice(n, len(self._places), generator)]
        far = torch.rand(n, generator=generator) < style.far_chance
        scene = self.scene.sample(n, generator)
        inside, outside = log_uniform(n, 100, 800, generator), log_uniform(n, 800, 6000, generator)
        tilt = style.tilt_deg * torch.tensor([1.0, 1.0, 0.3])
        turn = (2 * torch.rand(n, 3, generator=generator) - 1) * tilt * torch.rand(n, 1, generator=generator) ** 0.5
        return ReplayParams(
            panel=panel,
            body_colour=torch.randint(0, 2**31, (n,), generator=generator),
            camera=FirstCamera.sample(n, generator),
            zoom=self._zoom(n, generator),
            slide=2 * torch.rand(n, 2, generator=generator) - 1,
            ui_seed=torch.randint(0, 2**62, (n,), generator=generator),
            ui_dark=torch.rand(n, generator=generator) < 0.6,
            brightness=torch.where(scene.outdoor, uniform(n, 0.8, 1.0, generator), uniform(n, 0.3, 1.0, generator)),
            lux=torch.where(scene.outdoor, outside, inside),
            share=torch.where(far, uniform(n, *style.far_share, generator), uniform(n, *_CLOSE, generator)),
            aim=(0.035 * torch.randn(n, 2, generator=generator)).clamp(-0.1, 0.1),
            yaw_deg=turn[:, 0],
            pitch_deg=turn[:, 1],
            roll_deg=turn[:, 2],
            nearest_mm=uniform(n, *style.nearest_mm, generator),
            farthest_mm=uniform(n, *style.farthest_mm, generator),
            smear_seed=torch.randint(0, 2**62, (n,), generator=generator),
            smear=torch.rand(n, generator=generator) ** 1.5,
            scene=scene,
        )

    def _zoom(self, size: int, generator: torch.Generator) -> Tensor:
        raise NotImplementedError

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        """Return what reaches the sensor: the panel's light through its lattice, the room's by glass and bezel."""
        assert isinstance(params, ReplayParams)
        rows = params.panel.tolist()
        if max(rows) >= len(self.bank.panels):
            raise DataError(
                f"{self.species}: panel {max(rows)} of a bank of {len(self.bank.panels)}",
                wanted="the bank that the parameters were drawn from, or one that only appends to it",
            )
        panels = [self.bank.panels[row] for row in rows]
        panel = panel_figures(panels)
        placed = place(face, view, params, panel, fit_width=self.style.fit_width)
        view, height, width = placed.view, view.height, view.width
        hit = node_hit(placed)
        nodes = hit.uv_mm.permute(0, 3, 1, 2)
        at = spread(nodes.float(), height, width)  # millimetres; the lattice's phase keeps double precision

        active = Box(placed.active_centre, panel.active / 2, panel.active_corner)
        active_edge = active.distance_px(at, nodes, placed.mm_per_px, view.blur_px)
        corners = placed.to_plane(_box_corners(face.box), face.size)
        params = replace(params, scene=_clear_of_face(params.scene, corners, panel.body))
        room, cover, alpha = self._around(
            at, hit, active_edge, placed, panel, params, _rims(panels, params.body_colour)
        )
        # The scene's unit in units of the panel's white: E / pi of a diffuser against the panel's own nits.
        unit = params.lux / (torch.pi * panel.nits * params.brightness)

        emitted = self._emitted(face, at, nodes, active_edge, placed, panel, params)
        lattice, strength = lattice_gain([panel_lattice(p) for p in panels], placed, panel, nodes)
        emitted = view.blur(emitted)
        if lattice.shape[-1] > 1:
            emitted.mul_(lattice)
        down = (at[:, 1] - placed.active_centre[:, 1, None, None]) / panel.active[:, 1, None, None] + 0.5
        gain = spread(falloff(hit.cosine, panel.falloff.double()).float(), height, width)
        emitted.mul_(gain.mul_(flicker(view, panel, params.brightness, down)))
        shown = torch.bmm(panel.matrix, emitted.flatten(2)).reshape(emitted.shape)
        irradiance = room.mul_(unit[:, None, None, None]).addcmul_(shown, 1 - alpha).clamp_(min=0)
        depth = spread(hit.depth_mm.float(), height, width)
        beyond = placed.distance_mm + params.scene.room_depth_mm
        seen = project(view, placed.pose, corners)
        low, high = seen.amin(1), seen.amax(1)
        return Rendered(
            irradiance=irradiance,
            mask=(cover * (1 - alpha)).expand_as(depth).contiguous(),
            depth_mm=torch.where(torch.maximum(cover, alpha) > 0.5, depth, beyond[:, None, None, None]),
            landmarks=project(view, placed.pose, placed.to_plane(face.landmarks, face.size)),
            box=torch.cat([low, high - low], -1),
            facts=self._facts(placed, panel, params, strength, unit, high - low),
            instrument_id=tuple(p.id for p in panels),
        )

    def _emitted(
        self,
        face: Face,
        at: Tensor,
        nodes: Tensor,
        active_edge: Tensor | None,
        placed: Placement,
        panel: PanelFigures,
        params: ReplayParams,
    ) -> Tensor:
        """Return the content's light within the active area, before lens and lattice."""
        codes = first_photograph(face, params.camera)
        light = content(codes, at, nodes, placed, panel, params, desk=not self.style.fit_width)
        return light if active_edge is None else light.mul_(coverage(active_edge, torch.zeros_like(panel.pitch)))

    def _around(
        self,
        at: Tensor,
        hit: Hit,
        active_edge: Tensor | None,
        placed: Placement,
        panel: PanelFigures,
        params: ReplayParams,
        rim_rgb: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the room's light by way of everything but the emitters (scene's unit), body cover, hand alpha."""
        view, nodes, per_px = placed.view, hit.uv_mm.permute(0, 3, 1, 2), placed.mm_per_px
        room = veil(self.scene, placed, params, panel, hit)
        cover = torch.ones(len(at), 1, 1, 1)
        if active_edge is not None:
            body = Box(torch.zeros_like(panel.body), panel.body / 2, panel.corner)
            outer = body.distance_px(at, nodes, per_px, view.blur_px)
            cover = coverage(outer, view.blur_px)
            inner = body.shrunk(panel.rim).distance_px(at, nodes, per_px, view.blur_px)
            within, lit_area = coverage(inner, view.blur_px), coverage(active_edge, view.blur_px)
            lit = illumination(placed, params)[..., None, None]
            front = torch.lerp(rim_rgb[..., None, None] * lit, panel.bezel_rgb[..., None, None] * lit, within)
            glass = torch.where(panel.glass_bezel[:, None, None, None], within, lit_area)
            room = room.mul_(glass).addcmul_(front, 1 - lit_area)
            if outer is not None:
                room = torch.lerp(self.scene.background(view, params.scene, placed.distance_mm), room, cover)
        alpha = torch.zeros(len(at), 1, 1, 1)
        if bool((params.scene.hand_style > 0).any()):
            rgb, alpha = self.scene.hand(view, params.scene, placed.pose, panel.body / 2, shadow=False)
            room = torch.lerp(room, rgb, alpha)
        return room, cover, alpha

    def _facts(
        self,
        placed: Placement,
        panel: PanelFigures,
        params: ReplayParams,
        strength: Tensor,
        unit: Tensor,
        box: Tensor,
    ) -> dict[str, Tensor]:
        view = placed.view
        centre = torch.tensor([view.width / 2, view.height / 2], dtype=torch.float64).reshape(1, 1, 1, 2)
        across = footprint_at(view, placed.pose, centre)[:, 0, 0, 0]
        white = self.scene.ambient(params.scene) @ torch.tensor([0.2126, 0.7152, 0.0722])
        return {
            "distance_mm": placed.distance_mm,
            "panel_ppi": 25.4 / panel.pitch,
            "lattice_cycles_per_px": across.norm(dim=-1).float() / panel.pitch,
            "moire_contrast": strength,
            "ambient_ratio": unit * white,
            "bands": panel.pulse_hz * view.readout_ms / 1000,
            "band_contrast": flicker_contrast(view, panel, params.brightness),
            "binning": view.binning.float(),
            "face_px": box[:, 0],
        }


class ReplayPhone(_Replay):
    """A face shown on a phone (species `replay_phone`).

    Args:
        bank: panels; the shipped ones by default.
        instruments: ids that may be drawn, so that others can be held out; None for all phones.

    Raises:
        ConfigError: an id that is no phone of the bank.
    """

    species = "replay_phone"
    style = ReplayStyle(
        kinds=("phone",), fit_width=True, far_share=(0.22, 0.45), far_chance=0.4,
        nearest_mm=(90, 150), farthest_mm=(250, 600), hand_share=0.85,
    )  # fmt: skip

    def _zoom(self, size: int, generator: torch.Generator) -> Tensor:
        kind = torch.rand(size, generator=generator)
        small, large = uniform(size, 0.35, 1.0, generator), uniform(size, 1.0, 1.8, generator)
        return torch.where(kind < 0.3, small, torch.where(kind < 0.65, torch.ones(size), large))


class ReplayMonitor(_Replay):
    """A face shown on a desktop monitor or a laptop (species `replay_monitor`).

    Args:
        bank: panels; the shipped ones by default.
        instruments: ids that may be drawn, so that others can be held out; None for all monitors.

    Raises:
        ConfigError: an id that is no monitor of the bank.
    """

    species = "replay_monitor"
    style = ReplayStyle(
        kinds=("monitor", "laptop"), fit_width=False, far_share=(0.16, 0.4), far_chance=0.35,
        nearest_mm=(180, 260), farthest_mm=(500, 1000), hand_share=0.0,
    )  # fmt: skip

    def _zoom(self, size: int, generator: torch.Generator) -> Tensor:
        full = torch.rand(size, generator=generator) < 0.3
        return torch.where(full, torch.ones(size), log_uniform(size, 0.22, 1.1, generator))


def _rims(panels: Sequence[Panel], drawn: Tensor) -> Tensor:
    """Return (B, 3): the frame's colour, one of those that each model comes in."""
    colours = [p.body.rim_rgb[number % len(p.body.rim_rgb)] for p, number in zip(panels, drawn.tolist(), strict=True)]
    return torch.tensor(colours)


def _clear_of_face(scene: SceneParams, corners: Tensor, body: Tensor) -> SceneParams:
    """Shorten the thumb's reach where it would cover the shown face: a presenter wants it seen.

    Args:
        scene: as drawn.
        corners: (B, 4, 2) of the face's box on the plane, millimetres.
        body: (B, 2) width and height of the device, millimetres.
    """
    low, high, half = corners.amin(1), corners.amax(1), body / 2
    left, right, bottom = low[:, 0] + half[:, 0], half[:, 0] - high[:, 0], half[:, 1] - high[:, 1]
    free = torch.stack([bottom, left, right], 1).gather(1, scene.hand_edge[:, None])[:, 0]
    both = scene.hand_style == HAND_STYLES.index("two_hands")
    free = torch.where(both, torch.minimum(left, right), free)
    longest = (free / scene.hand_scale).clamp(min=_SHORTEST_REACH_MM)
    return replace(scene, hand_reach_mm=torch.minimum(scene.hand_reach_mm, longest))


def _box_corners(box: Tensor) -> Tensor:
    """Return (B, 4, 2) corners of x, y, width, height."""
    x, y, w, h = box.unbind(-1)
    return torch.stack([torch.stack(p, -1) for p in ((x, y), (x + w, y), (x, y + h), (x + w, y + h))], 1)
