"""Replays: a photograph of a face shown on a display, photographed again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.errors import DataError
from spooflab.generators.ablation import ablation
from spooflab.generators.attack import Rendered
from spooflab.generators.attacks.replays.ablation import EFFECTS, neutralised
from spooflab.generators.attacks.replays.body import Cover, Grid, behind, device_cover, front
from spooflab.generators.attacks.replays.content import FirstCamera, first_photograph
from spooflab.generators.attacks.replays.front import dust, illumination, node_hit, ray_at_nodes, sparkle, veil
from spooflab.generators.attacks.replays.interface import HANDHELD
from spooflab.generators.attacks.replays.params import ReplayParams
from spooflab.generators.attacks.replays.placement import Placement, place
from spooflab.generators.attacks.replays.screen import content, flicker, flicker_contrast, lattice_gain
from spooflab.generators.constant import constant
from spooflab.generators.face import Face
from spooflab.generators.instruments.panel import PanelBank, load_panels
from spooflab.generators.instruments.panel_angle import crossed_leak, lift, off_axis
from spooflab.generators.instruments.panel_figures import PanelFigures, panel_figures
from spooflab.generators.instruments.panel_light import falloff, planck_gain
from spooflab.generators.instruments.panel_white import full_drive
from spooflab.generators.pose import Hit, project, sent
from spooflab.generators.rounded_box import Box, coverage
from spooflab.generators.scene import HAND_STYLES, Named, Scene, SceneParams
from spooflab.generators.smooth_map import slopes, spread
from spooflab.generators.some import some
from spooflab.params import Params, choice, log_uniform, uniform

_SHORTEST_REACH_MM = 7.0
"""A thumb that reached less would hold nothing."""
_CLOSE = (0.5, 0.66)
"""Share of the frame that the face takes when the presenter fills it, as a live face does."""
_LUMINANCE = (0.2126, 0.7152, 0.0722)
_FAINT_TILT = (4e-3, 2e-5)
"""Lift and leak that stay below these change no picture: a quarter of an 8-bit level."""


@dataclass(frozen=True)
class ReplayStyle:
    """How a kind of display is presented.

    Attributes:
        kinds: of panel, in the bank.
        family: of the graphics, a key of `replay_interface.DRAW`.
        far_share: range of the face's share of the frame when the device is shown whole.
        far_chance: how often it is.
        nearest_mm, farthest_mm: range that the nearest and the farthest distance are drawn from.
        hand_share: how often a hand holds it.
        turned_share: how often it lies on its side.
        stand_share: how often a device that no hand holds stands on a foot on a table, instead of hanging.
        outdoor_share: how often a scene drawn outdoors stays there.
        tilt_deg: largest yaw and pitch.
        back_deg: how far it is tilted back on average, so that it faces up.
        lux_inside: range of the illuminance in a room.
        zoom_whole: how often the photograph fills the lit area's shorter side exactly.
        zoom: range of its size relative to that side otherwise.
    """

    kinds: tuple[str, ...]
    family: str
    far_share: tuple[float, float]
    far_chance: float
    nearest_mm: tuple[float, float]
    farthest_mm: tuple[float, float]
    hand_share: float
    turned_share: float
    stand_share: float
    zoom_whole: float
    zoom: tuple[float, float]
    outdoor_share: float = 1.0
    tilt_deg: float = 20.0
    back_deg: float = 0.0
    lux_inside: tuple[float, float] = (60.0, 800.0)


class Replay:
    """What all replays share; a subclass names its species and its style.

    Args:
        bank: panels; the shipped ones by default.
        instruments: ids that may be drawn, so that others can be held out; None for all of the species' kinds.
        ablate: effects to switch off, of `EFFECTS`.
        scene: draws and evaluates the surroundings; by default the shipped one.

    Raises:
        ConfigError: an id that is no panel of the species' kinds, or an effect that replays do not have.
    """

    species: str
    style: ClassVar[ReplayStyle]
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = EFFECTS

    def __init__(
        self,
        bank: PanelBank | None = None,
        *,
        instruments: Sequence[str] | None = None,
        ablate: Sequence[str] = (),
        scene: Scene | None = None,
    ) -> None:
        self.bank = load_panels() if bank is None else bank
        self._places = torch.tensor(self.bank.places(self.style.kinds, instruments))
        self.scene = Scene(hand_share=self.style.hand_share) if scene is None else scene
        self.ablate = tuple(ablate)
        self._tables: dict[torch.device, PanelFigures] = {}
        ablation(self.species, self.EFFECTS, self.ablate, 1)  # refuses an effect that there is not

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
        scene = _mostly_indoors(self.scene.sample(n, generator), style.outdoor_share, generator)
        inside, outside = log_uniform(n, *style.lux_inside, generator), log_uniform(n, 800, 6000, generator)
        tilt = style.tilt_deg * torch.tensor([1.0, 1.0, 0.3])
        turn = (2 * torch.rand(n, 3, generator=generator) - 1) * tilt * torch.rand(n, 1, generator=generator) ** 0.5
        whole, big = (torch.rand(n, generator=generator) < p for p in (style.zoom_whole, 0.5))
        small_zoom = log_uniform(n, style.zoom[0], 1.0, generator)
        zoom = torch.where(big, uniform(n, 1.0, style.zoom[1], generator), small_zoom)
        night = torch.rand(n, generator=generator) < 0.08
        vivid = torch.rand(n, generator=generator) < 0.2
        standing = torch.rand(n, generator=generator) < style.stand_share
        return ReplayParams(
            panel=panel,
            body_colour=torch.randint(0, 2**31, (n,), generator=generator),
            turned=torch.rand(n, generator=generator) < style.turned_share,
            camera=FirstCamera.sample(n, generator),
            zoom=torch.where(whole, torch.ones(n), zoom),
            slide=2 * torch.rand(n, 2, generator=generator) - 1,
            ui_kind=choice(n, len(HANDHELD), generator),
            ui_seed=torch.randint(0, 2**62, (n,), generator=generator),
            ui_dark=torch.rand(n, generator=generator) < 0.6,
            brightness=torch.where(scene.outdoor, uniform(n, 0.8, 1.0, generator), uniform(n, 0.3, 1.0, generator)),
            tint=torch.where(night[:, None], planck_gain(uniform(n, 3600, 5800, generator)), torch.ones(n, 3)),
            vivid=torch.where(vivid, uniform(n, 1.08, 1.35, generator), torch.ones(n)),
            lux=torch.where(scene.outdoor, outside, inside),
            share=torch.where(far, uniform(n, *style.far_share, generator), uniform(n, *_CLOSE, generator)),
            aim=(0.035 * torch.randn(n, 2, generator=generator)).clamp(-0.1, 0.1),
            yaw_deg=turn[:, 0],
            pitch_deg=(turn[:, 1] - style.back_deg).clamp(min=-style.tilt_deg),
            roll_deg=turn[:, 2],
            nearest_mm=uniform(n, *style.nearest_mm, generator),
            farthest_mm=uniform(n, *style.farthest_mm, generator),
            smear_seed=torch.randint(0, 2**62, (n,), generator=generator),
            smear=torch.rand(n, generator=generator) ** 1.5,
            dust=(1.6 * torch.rand(n, generator=generator) - 0.6).clamp(min=0) ** 2,
            stand=standing & (scene.hand_style == 0),
            table_rgb=0.03 + 0.5 * torch.rand(n, 1, generator=generator) ** 1.5
            * torch.tensor([1.0, 0.85, 0.7]) ** torch.rand(n, 1, generator=generator),
            scene=scene,
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )  # fmt: skip

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        """Return what reaches the sensor: the panel's light through its lattice, the room's by glass and bezel.

        Everything is computed where the face's radiance lies, the whole batch at once; the rows are independent.
        View and parameters are best left on the CPU, where they were drawn: what only the host can do with them (names,
        seeds, sizes) is done before they are sent. On an accelerator their reading waits for it.
        """
        assert isinstance(params, ReplayParams)
        device = face.radiance.device
        host = params.to("cpu")
        ids, named = self._ids(host.panel), self.scene.named(host.scene, device)
        view, params = sent(view, device), params.to(device)
        panel, params = neutralised(self._table(device).take(params.panel).turned(params.turned), params)
        placed = place(face, view, params, panel)
        hit = node_hit(placed)
        grid = _grid(placed, hit)
        active = Box(placed.active_centre, panel.active / 2, panel.active_corner)
        active_edge = grid.distance(active)
        corners = placed.to_plane(_box_corners(face.box), face.size)
        params = replace(params, scene=_clear_of_face(params.scene, corners, panel.body))
        cover = device_cover(grid, panel, active_edge)
        ray = ray_at_nodes(placed, hit)
        room, alpha = self._room(grid, hit, ray, cover, placed, panel, params, named)
        # The scene's unit in units of the panel's white: E / pi of a diffuser against the panel's own nits.
        unit = params.lux / (torch.pi * panel.nits * params.brightness)
        shown, strength = self._shown(face, grid, hit, ray, active_edge, placed, panel, params)
        irradiance = room.mul_(unit[:, None, None, None]).addcmul_(shown, 1 - alpha).clamp_(min=0)
        height, width = placed.view.height, placed.view.width
        depth = spread(hit.depth_mm.float(), height, width)
        beyond = placed.distance_mm + params.scene.room_depth_mm
        points = torch.cat([corners, placed.to_plane(face.landmarks, face.size)], 1)
        seen = project(placed.view, placed.pose, points)
        low, high = seen[:, :4].amin(1), seen[:, :4].amax(1)
        return Rendered(
            irradiance=irradiance,
            mask=(cover.device * (1 - alpha)).expand_as(depth).contiguous(),
            depth_mm=torch.where(torch.maximum(cover.device, alpha) > 0.5, depth, beyond[:, None, None, None]),
            landmarks=seen[:, 4:],
            box=torch.cat([low, high - low], -1),
            facts=self._facts(placed, hit, panel, params, strength, unit, high - low),
            instrument_id=ids,
        )

    def _table(self, device: torch.device) -> PanelFigures:
        """Return the whole bank's figures on `device`, kept from one shot to the next."""
        if device not in self._tables:
            self._tables[device] = panel_figures(self.bank.panels).to(device)
        return self._tables[device]

    def _ids(self, place: Tensor) -> tuple[str, ...]:
        """Return the panels' ids."""
        rows = place.tolist()
        if max(rows) >= len(self.bank.panels):
            raise DataError(
                f"{self.species}: panel {max(rows)} of a bank of {len(self.bank.panels)}",
                wanted="the bank that the parameters were drawn from, or one that only appends to it",
            )
        return tuple(self.bank.panels[row].id for row in rows)

    def _shown(
        self,
        face: Face,
        grid: Grid,
        hit: Hit,
        ray: Tensor,
        active_edge: Tensor | None,
        placed: Placement,
        panel: PanelFigures,
        params: ReplayParams,
    ) -> tuple[Tensor, Tensor]:
        """Return the panel's own light on the sensor (B, 3, H, W), linear sRGB, and its lattice's amplitude (B,)."""
        view, height, width = placed.view, placed.view.height, placed.view.width
        codes = first_photograph(face, params.camera)
        light = content(codes, grid.at, grid.nodes, placed, panel, params, family=self.style.family)
        tilt = _tilt(hit, ray, placed, panel)
        if some(tilt.flatten(1).any(1)):
            share, glow = spread(tilt, height, width)[:, :, None].unbind(1)
            full = full_drive(panel.white_rgb, panel.white_share)[:, : light.shape[1]]
            light = off_axis(light, share, full).addcmul_(glow, full[..., None, None])
        if active_edge is not None:
            light = light.mul_(coverage(active_edge, torch.zeros_like(panel.pitch)))
        colours = light.shape[1]
        lattice, strength = lattice_gain(panel, placed, grid.nodes, params.turned, colours)
        light = view.blur(light)
        if lattice.shape[-1] > 1:
            light.mul_(lattice)
        along = torch.where(params.turned[:, None, None], grid.at[:, 0], grid.at[:, 1])
        start = torch.where(params.turned, placed.active_centre[:, 0], placed.active_centre[:, 1])
        length = torch.where(params.turned, panel.active[:, 0], panel.active[:, 1])
        down = (along - start[:, None, None]) / length[:, None, None] + 0.5
        gain = spread(falloff(hit.cosine, panel.falloff[:, :colours].double()).float(), height, width)
        light.mul_(gain.mul_(flicker(view, panel, params.brightness, down)))
        grain = sparkle(placed, params, panel, grid.at)
        if grain is not None:
            light.mul_(grain)
        return torch.bmm(panel.matrix[:, :, :colours], light.flatten(2)).reshape(-1, 3, height, width), strength

    def _room(
        self,
        grid: Grid,
        hit: Hit,
        ray: Tensor,
        cover: Cover,
        placed: Placement,
        panel: PanelFigures,
        params: ReplayParams,
        named: Named,
    ) -> tuple[Tensor, Tensor]:
        """Return the room's light by way of everything but the emitters (scene's unit), and the hand's alpha."""
        view = placed.view
        lit = illumination(placed, params)
        room = veil(self.scene, placed, params, panel, hit, ray, lit, named)
        room = front(room.add_(dust(placed, params, panel, lit)), cover, panel, params, lit)
        if cover.device.shape[-1] > 1:
            background = self.scene.background(view, params.scene, placed.distance_mm, named=named)
            room = torch.lerp(behind(background, grid, panel, params, lit), room, cover.device)
        alpha = torch.zeros(len(room), 1, 1, 1, device=room.device)
        hands = some(params.scene.hand_style > 0) if room.is_cpu else named.skin_shift is not None
        if hands:
            half = panel.body / 2
            rgb, alpha = self.scene.hand(view, params.scene, placed.pose, half, shadow=False, named=named)
            room = torch.lerp(room, rgb, alpha)
        return room, alpha

    def _facts(
        self,
        placed: Placement,
        hit: Hit,
        panel: PanelFigures,
        params: ReplayParams,
        strength: Tensor,
        unit: Tensor,
        box: Tensor,
    ) -> dict[str, Tensor]:
        view = placed.view
        middle = slopes(hit.uv_mm.permute(0, 3, 1, 2), view.height, view.width, 3)[:, 1, 1]
        across = torch.where(params.turned[:, None], middle[:, 1], middle[:, 0])
        ambient = self.scene.ambient(params.scene) @ constant(_LUMINANCE, unit.device)
        lift_of_black = unit * ambient * panel.haze + panel.table[:, 0]
        cosine = hit.cosine.mean((1, 2, 3)).float()
        return {
            "distance_mm": placed.distance_mm,
            "panel_ppi": 25.4 / panel.pitch,
            "lattice_cycles_per_px": across.norm(dim=-1).float() / panel.pitch,
            "moire_contrast": strength,
            "ambient_ratio": unit * ambient,
            "contrast_ratio": (1 + unit * ambient * panel.haze) / lift_of_black.clamp(min=1e-6),
            "view_angle_deg": torch.rad2deg(torch.acos(cosine.clamp(max=1))),
            "bands": panel.pulse_hz * view.readout_ms / 1000,
            "band_contrast": flicker_contrast(view, panel, params.brightness),
            "binning": view.binning.float(),
            "face_px": box[:, 0],
        }


def _tilt(hit: Hit, ray: Tensor, placed: Placement, panel: PanelFigures) -> Tensor:
    """Return (B, 2, NODES, NODES): lift of mid tones and leak through black at the nodes; 0 where neither shows."""
    u_axis, v_axis, _ = (axis.double()[:, None, None] for axis in placed.pose.axes())
    leak = panel.glow[:, None, None] * crossed_leak((ray * u_axis).sum(-1), (ray * v_axis).sum(-1))
    tilt = torch.stack([lift(panel.washout[:, None, None], hit.cosine[:, 0]), leak], 1).float()
    seen = tilt.flatten(2).amax(2) > constant(_FAINT_TILT, tilt.device)
    return tilt * seen[:, :, None, None]


def _grid(placed: Placement, hit: Hit) -> Grid:
    nodes = hit.uv_mm.permute(0, 3, 1, 2)
    at = spread(nodes.float(), placed.view.height, placed.view.width)  # the lattice's phase keeps double precision
    return Grid(at, nodes, placed.mm_per_px, placed.view.blur_px)


def _mostly_indoors(scene: SceneParams, share: float, generator: torch.Generator) -> SceneParams:
    """Return the scene, moved into a room unless it is drawn, with probability `share`, to stay outdoors."""
    n = scene.batch_size
    stays = torch.rand(n, generator=generator) < share
    radius, depth = uniform(n, 2, 12, generator), uniform(n, 800, 4000, generator)
    moved = scene.outdoor & ~stays
    return replace(
        scene,
        outdoor=scene.outdoor & stays,
        key_radius_deg=torch.where(moved, radius, scene.key_radius_deg),
        room_depth_mm=torch.where(moved, depth, scene.room_depth_mm),
    )


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
