"""Replays as a whole: geometry, light, flicker, records, hold-out."""

import json
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.view import View
from spooflab.errors import ConfigError, DataError
from spooflab.generators.attack import Attack, Rendered
from spooflab.generators.attacks.replays.content import FirstCamera, first_photograph, show
from spooflab.generators.attacks.replays.params import ReplayParams
from spooflab.generators.attacks.replays.placement import place
from spooflab.generators.attacks.replays.replay import Replay
from spooflab.generators.attacks.replays.replay_monitor import ReplayMonitor
from spooflab.generators.attacks.replays.replay_phone import ReplayPhone
from spooflab.generators.attacks.replays.replay_tablet import ReplayTablet
from spooflab.generators.attacks.replays.replay_tv import ReplayTV
from spooflab.generators.attacks.replays.screen import flicker, flicker_contrast
from spooflab.generators.face import Face
from spooflab.generators.instruments.panel import PanelBank, load_panels
from spooflab.generators.instruments.panel_angle import crossed_leak, lift, off_axis
from spooflab.generators.instruments.panel_cell import SAMPLES, panel_cell
from spooflab.generators.instruments.panel_figures import panel_figures
from spooflab.generators.instruments.panel_light import falloff
from spooflab.generators.pose import cast_points
from spooflab.generators.scene import SceneParams
from spooflab.params import Params
from spooflab.seeds import generator

BANK = load_panels()
KINDS = (ReplayPhone, ReplayTablet, ReplayMonitor, ReplayTV)


def face(size: int = 96, batch: int = 1, level: float | None = None) -> Face:
    """Return a smooth synthetic picture with landmarks and a box in the middle."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    blob = torch.exp(-3 * (x**2 + 1.4 * y**2))
    picture = torch.stack([0.1 + 0.5 * blob, 0.08 + 0.35 * blob, 0.1 + 0.25 * blob])
    if level is not None:
        picture = torch.full((3, size, size), level)
    angle = torch.linspace(0, 6.28, 68)
    marks = torch.stack([0.5 + 0.22 * angle.cos(), 0.5 + 0.3 * angle.sin()], -1) * size
    box = torch.tensor([0.26, 0.18, 0.48, 0.64]) * size
    return Face(
        radiance=picture.expand(batch, -1, -1, -1).clone(),
        landmarks=marks.expand(batch, -1, -1).clone(),
        box=box.expand(batch, -1).clone(),
        subject_id=("s",) * batch,
        source_id=("f",) * batch,
    )


def view(size: int = 96, batch: int = 1, **fields: float) -> View:
    """Return a small sensor whose frame is as wide as that of a 512 pixel one."""
    return View.ideal(size, size, batch_size=batch, pitch_um=1.4 * 512 / size, blur_px=0.4, **fields)


def changed(params: ReplayParams, **fields: object) -> ReplayParams:
    return ReplayParams(**{**params.__dict__, **fields})


def drawn(attack: Replay, seed: int = 1, batch: int = 1) -> ReplayParams:
    return attack.sample(batch, generator(seed, "replay"))


def calm(attack: Replay, panel: str, seed: int = 3) -> ReplayParams:
    """Return a replay in the dark by a square-on panel in full view: nothing but the panel's own light."""
    params = drawn(attack, seed)
    dark = SceneParams(
        **{
            **params.scene.__dict__,
            "key_rgb": torch.zeros(1, 3),
            "ambient_rgb": torch.zeros(1, 3),
            "hand_style": torch.zeros(1, dtype=torch.int64),
        }
    )
    place = [p.id for p in attack.bank.panels].index(panel)
    zero, one, no = torch.zeros(1), torch.ones(1), torch.tensor([False])
    camera = {"halo": zero, "scale": one, "quality": torch.tensor([95]), "video_qp": torch.zeros(1, dtype=torch.int64)}
    return changed(
        params, panel=torch.tensor([place]), scene=dark, yaw_deg=zero, pitch_deg=zero, roll_deg=zero,
        aim=torch.zeros(1, 2), zoom=one, share=torch.tensor([0.6]), brightness=one, turned=no, stand=no, dust=zero,
        tint=torch.ones(1, 3), vivid=one, ui_kind=torch.zeros(1, dtype=torch.int64),
        camera=FirstCamera(**{**params.camera.__dict__, **camera}),
    )  # fmt: skip


def equal(one: Rendered, other: Rendered, row: int = 0, tolerance: float = 1e-5) -> None:
    for name in ("irradiance", "mask", "depth_mm", "landmarks", "box"):
        torch.testing.assert_close(
            getattr(one, name)[row : row + 1],
            getattr(other, name),
            atol=tolerance,
            rtol=1e-5,
            msg=lambda m, n=name: f"{n}: {m}",
        )
    for key, value in one.facts.items():
        torch.testing.assert_close(value[row : row + 1], other.facts[key], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_is_an_attack_with_everything_a_record_needs(kind: type[Replay]) -> None:
    attack = kind()
    assert isinstance(attack, Attack)
    out = attack.render(face(), view(), drawn(attack))
    assert out.irradiance.shape == (1, 3, 96, 96)
    assert out.irradiance.dtype == torch.float32
    assert bool(torch.isfinite(out.irradiance).all())
    assert float(out.irradiance.min()) >= 0
    assert out.mask.shape == out.depth_mm.shape == (1, 1, 96, 96)
    assert 0 <= float(out.mask.min()) <= float(out.mask.max()) <= 1
    assert out.landmarks.shape == (1, 68, 2)
    assert out.instrument_id[0] in kind.bank_ids()
    wanted = {
        "distance_mm",
        "panel_ppi",
        "lattice_cycles_per_px",
        "moire_contrast",
        "ambient_ratio",
        "bands",
        "band_contrast",
        "contrast_ratio",
        "view_angle_deg",
    }
    assert wanted <= set(out.facts)
    assert all(value.shape == (1,) for value in out.facts.values())


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_batch_equal_single_renders(kind: type[Replay]) -> None:
    attack = kind()
    params = drawn(attack, 5, batch=3)
    shots, faces = view(batch=3, readout_ms=20.0, k1=-0.05), face(batch=3)
    together = attack.render(faces, shots, params)
    for row in range(3):
        alone = attack.render(face(), shots.row(row), params.row(row))
        equal(together, alone, row)
        assert together.instrument_id[row] == alone.instrument_id[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_replays_to_the_same_bytes(kind: type[Replay]) -> None:
    attack = kind()
    params = drawn(attack, 7)
    first = attack.render(face(), view(), params)
    record = json.loads(json.dumps(params.to_json()))
    again = kind().render(face(), view(), kind().parse(record))
    assert torch.equal(first.irradiance, again.irradiance)
    assert torch.equal(first.mask, again.mask)


def test_sampling_is_decided_by_the_generator_alone() -> None:
    attack = ReplayPhone()
    torch.manual_seed(0)
    one = drawn(attack, 9)
    torch.manual_seed(1)
    assert one.to_json() == drawn(attack, 9).to_json()
    assert one.to_json() != drawn(attack, 10).to_json()


def test_held_out_panels_are_never_drawn_but_can_be_replayed() -> None:
    ids = ReplayPhone.bank_ids()
    some = ReplayPhone(instruments=ids[:2])
    params = drawn(some, 11, batch=64)
    assert {BANK.panels[place].id for place in params.panel.tolist()} == set(ids[:2])
    other = drawn(ReplayPhone(instruments=ids[-1:]), 1)
    assert some.render(face(), view(), other).instrument_id == ids[-1:]
    with pytest.raises(ConfigError, match="phone_of_nobody"):
        ReplayPhone(instruments=["phone_of_nobody"])
    with pytest.raises(ConfigError, match="monitor_lcd_92"):
        ReplayPhone(instruments=["monitor_lcd_92"])


def test_parameters_of_a_longer_bank_are_refused() -> None:
    short = ReplayPhone(PanelBank(panels=BANK.panels[:1]))
    with pytest.raises(DataError, match="panel 3 of a bank of 1"):
        short.render(face(), view(), changed(drawn(short), panel=torch.tensor([3])))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_covers_kinds_orientations_and_content(kind: type[Replay]) -> None:
    params = drawn(kind(), 3, batch=400)
    assert {BANK.panels[p].id for p in set(params.panel.tolist())} == set(kind.bank_ids())
    assert float(params.turned.float().mean()) == pytest.approx(kind.style.turned_share, abs=0.1)
    held = float((params.scene.hand_style > 0).float().mean())
    assert held == pytest.approx(kind.style.hand_share, abs=0.08)
    assert not bool((params.stand & (params.scene.hand_style > 0)).any())
    camera = params.camera
    assert 0.15 < float((camera.video_qp > 0).float().mean()) < 0.35
    assert 0.3 < float((camera.scale < 1).float().mean()) < 0.6
    assert set(params.ui_kind.tolist()) == set(range(5))
    assert 0.03 < float((params.tint[:, 2] < 0.99).float().mean()) < 0.15


def test_a_tablet_on_its_side_is_the_same_device_turned() -> None:
    attack = ReplayTablet()
    upright = calm(attack, "tablet_rgbw_299")
    upright = changed(upright, share=torch.tensor([0.12]), farthest_mm=torch.tensor([700.0]))
    aside = changed(upright, turned=torch.tensor([True]))
    one, other = (attack.render(face(), view(), p) for p in (upright, aside))
    width, height = one.mask[0, 0, 48].sum(), one.mask[0, 0].sum(0).amax()
    assert float(other.mask[0, 0, 48].sum()) == pytest.approx(float(height), rel=0.08)
    assert float(height) > 1.3 * float(width)
    assert float(other.facts["lattice_cycles_per_px"]) == pytest.approx(
        float(one.facts["lattice_cycles_per_px"]), rel=0.05
    )


@pytest.mark.parametrize("name", ["tv_woled_81", "tv_rgbw_81"])
def test_a_panel_with_white_emitters_shows_white_and_grey_as_any_other(name: str) -> None:
    attack = ReplayTV()
    params, steady = calm(attack, name), view(exposure_ms=1000.0)
    white = grey_response(attack, params, 1.0, steady)
    torch.testing.assert_close(white, torch.ones(3), atol=0.02, rtol=0)
    grey = grey_response(attack, params, 0.2140, steady)  # code value 0.5
    torch.testing.assert_close(grey, torch.full((3,), 0.5**2.2), atol=0.02, rtol=0)


def test_contrast_in_a_lit_room_is_what_black_level_and_haze_leave() -> None:
    attack = ReplayMonitor()
    params = calm(attack, "monitor_lcd_109")
    lit = SceneParams(
        **{**params.scene.__dict__, "ambient_rgb": torch.full((1, 3), 1.0), "person": torch.tensor([False])}
    )
    params = changed(params, scene=lit, smear=torch.zeros(1), lux=torch.tensor([500.0]), camera=unmetered(params),
                     ablated=torch.tensor([1 << Replay.EFFECTS.index("reflection")]))  # fmt: skip
    out = [attack.render(face(level=level), view(exposure_ms=200.0), params) for level in (0.0, 1.0)]
    black, white = (float(o.irradiance[0, 1, 44:52, 44:52].mean()) for o in out)
    model = BANK.panels[int(params.panel)]
    room = 500 / math.pi / model.light.white_nits * model.glass.haze  # of a diffuser of that albedo, in whites
    wanted = (1 + room) / (1 / model.light.contrast + room)
    assert float(out[0].facts["contrast_ratio"]) == pytest.approx(wanted, rel=1e-3)
    assert white / black == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_the_face_lies_where_the_frame_wants_it(kind: type[Replay]) -> None:
    attack, size = kind(), 96
    params = drawn(attack, 13, batch=12)
    out = attack.render(face(batch=12), view(batch=12), params)
    centre = out.box[:, :2] + out.box[:, 2:] / 2
    torch.testing.assert_close(centre, size / 2 + params.aim * size, atol=3.0, rtol=0)
    close = out.facts["distance_mm"] > params.nearest_mm
    share = out.box[close, 2] / size
    wanted = params.share[close]
    assert bool((share / wanted > 0.85).all())  # a turned or rolled box is a little narrower or wider
    assert bool((share / wanted < 1.35).all())
    assert bool((out.facts["distance_mm"] <= params.farthest_mm + 1e-3).all())


def test_landmarks_follow_the_picture() -> None:
    """A bright dot in the photograph is found where the landmark says."""
    picture = face(192, level=0.02)
    spot = (61, 118)
    picture.radiance[:, :, spot[1] - 2 : spot[1] + 3, spot[0] - 2 : spot[0] + 3] = 4.0
    marks = picture.landmarks.clone()
    marks[:, 30] = torch.tensor([spot[0] + 0.5, spot[1] + 0.5])
    attack = ReplayPhone(instruments=["phone_lcd_326"])
    for seed in range(3):
        params = changed(
            calm(attack, "phone_lcd_326", seed), yaw_deg=torch.tensor([14.0]), pitch_deg=torch.tensor([-11.0])
        )
        out = attack.render(picture.replace(landmarks=marks), view(192, k1=-0.06), params)
        light = (out.irradiance[0].mean(0) - 0.2).clamp(min=0)
        y, x = torch.meshgrid(torch.arange(192) + 0.5, torch.arange(192) + 0.5, indexing="ij")
        found = torch.stack([(light * x).sum(), (light * y).sum()]) / light.sum()
        torch.testing.assert_close(out.landmarks[0, 30], found, atol=0.6, rtol=0)


def unmetered(params: ReplayParams) -> FirstCamera:
    """Return a first camera that encodes light as it is."""
    plain = {"metering": torch.zeros(1), "contrast": torch.zeros(1), "balance": torch.ones(1, 3)}
    return FirstCamera(**{**params.camera.__dict__, **plain})


def grey_response(attack: Replay, params: ReplayParams, level: float, shot: View) -> Tensor:
    """Return the panel-primary light of a flat picture: irradiance taken back through the colour matrix."""
    out = attack.render(face(level=level), shot, changed(params, camera=unmetered(params)))
    panel = panel_figures([attack.bank.panels[int(params.panel)]])
    middle = out.irradiance[0, :, 32:64, 32:64].flatten(1)
    return torch.linalg.solve(panel.matrix[0, :, :3], middle).mean(1)


def test_white_shows_as_one_and_grey_by_the_transfer() -> None:
    attack = ReplayMonitor()
    params = calm(attack, "monitor_lcd_109")
    steady = view(exposure_ms=200.0)
    white = grey_response(attack, params, 1.0, steady)
    torch.testing.assert_close(white, torch.ones(3), atol=0.01, rtol=0)
    grey = grey_response(attack, params, 0.2140, steady)  # code value 0.5
    torch.testing.assert_close(grey, torch.full((3,), 1e-3 + 0.5**2.2), atol=0.01, rtol=0)
    black = grey_response(attack, params, 0.0, steady)
    torch.testing.assert_close(black, torch.full((3,), 1e-3), atol=2e-4, rtol=0)


def test_a_turned_panel_is_dimmer_by_its_falloff() -> None:
    attack = ReplayMonitor()
    params = calm(attack, "monitor_lcd_94_bgr")
    steady = view(exposure_ms=1000.0)
    straight = grey_response(attack, params, 1.0, steady)
    turned = grey_response(attack, changed(params, yaw_deg=torch.tensor([35.0])), 1.0, steady)
    exponent = torch.tensor(BANK.panels[int(params.panel)].light.falloff)
    wanted = torch.cos(torch.deg2rad(torch.tensor(35.0))) ** exponent
    torch.testing.assert_close(turned / straight, wanted, atol=0.015, rtol=0)


@pytest.mark.parametrize(("hz", "readout", "exposure"), [(240, 25.0, 1.5), (180, 33.0, 2.0), (480, 18.0, 0.7)])
def test_a_backlight_leaves_as_many_bands_as_pulses_in_the_readout(hz: int, readout: float, exposure: float) -> None:
    light = BANK.panels[6].light.model_copy(
        update={"pulse_hz": float(hz), "pulse_depth": 1.0, "pulse_duty": 0.5, "rolling": False}
    )
    panel = panel_figures([BANK.panels[6].model_copy(update={"light": light})])
    shot = View.ideal(1024, 8, readout_ms=readout, exposure_ms=exposure, phase_ms=0.4)
    bands = flicker(shot, panel, torch.ones(1), torch.zeros(1, 1024, 8))[0, 0, :, 0]
    count = hz * readout / 1000
    rows = torch.arange(1024) / 1023
    window = torch.hann_window(1024)
    tried = torch.linspace(0.5, 2 * count, 3000)
    spectrum = (torch.exp(-2j * torch.pi * tried[:, None] * rows) @ ((bands - 1) * window).to(torch.complex64)).abs()
    assert float(tried[spectrum.argmax()]) == pytest.approx(count, rel=0.03)
    amplitude = float(spectrum.max() * 2 / window.sum())
    assert amplitude == pytest.approx(float(flicker_contrast(shot, panel, torch.ones(1))), rel=0.05)
    whole = View.ideal(1024, 8, readout_ms=readout, exposure_ms=1000 / hz)
    torch.testing.assert_close(
        flicker(whole, panel, torch.ones(1), torch.zeros(1, 1024, 8)), torch.ones(1, 1, 1024, 1), atol=1e-4, rtol=0
    )


def test_a_scanned_panel_shows_its_own_bands_to_an_instant_shutter() -> None:
    panel = panel_figures([BANK.panels[3]])  # 240 pulses at 60 pictures per second: four dark bands down the panel
    shot = View.ideal(800, 4, readout_ms=0.0, exposure_ms=0.05)
    down = (torch.arange(800) / 800)[None, :, None].expand(1, 800, 4)
    dark = flicker(shot, panel, torch.tensor([0.5]), down)[0, 0, :, 0] < 0.5
    assert int((dark[1:] & ~dark[:-1]).sum()) == 4


def test_dimming_by_pulses_deepens_the_bands() -> None:
    panel = panel_figures([BANK.panels[3]])
    shot = View.ideal(64, 4, readout_ms=20.0, exposure_ms=2.0)
    low, high = (float(flicker_contrast(shot, panel, torch.tensor([b]))) for b in (0.3, 1.0))
    assert low > 3 * high


def test_room_light_lifts_black_by_haze_and_mirror() -> None:
    attack = ReplayPhone()
    params = calm(attack, "phone_oled_411")
    lit = SceneParams(
        **{**params.scene.__dict__, "ambient_rgb": torch.full((1, 3), 1.0), "person": torch.tensor([False])}
    )
    dark = attack.render(face(level=0.0), view(), params).irradiance
    bright = attack.render(face(level=0.0), view(), changed(params, scene=lit, smear=torch.zeros(1))).irradiance
    assert float(dark[..., 30:60, 30:60].max()) < 1e-3
    panel = BANK.panels[int(params.panel)]
    unit = float(params.lux) / (torch.pi * panel.light.white_nits)
    assert float(bright[..., 30:60, 30:60].min()) > 0.99 * unit * panel.glass.haze


def test_the_first_camera_quantises_and_compresses() -> None:
    camera = FirstCamera.sample(1, generator(1, "camera"))
    coarse = FirstCamera(**{**camera.__dict__, "quality": torch.tensor([30])})
    fine = FirstCamera(**{**camera.__dict__, "quality": torch.tensor([97])})
    picture = face(128)
    noise = 0.05 * torch.rand(1, 3, 128, 128, generator=generator(2, "noise"))
    picture = picture.replace(radiance=picture.radiance + noise)
    out = [first_photograph(picture, c) for c in (coarse, fine)]
    assert all(o.dtype == torch.uint8 and o.shape == (1, 3, 128, 128) for o in out)
    grain = [o.float().diff(dim=-1).std() for o in out]
    assert float(grain[0]) < 0.9 * float(grain[1])


def test_the_mask_is_the_device_and_depth_tells_it_from_the_room() -> None:
    attack = ReplayPhone()
    params = calm(attack, "phone_oled_460")
    far = changed(params, share=torch.tensor([0.18]), farthest_mm=torch.tensor([600.0]))
    out = attack.render(face(), view(), far)
    covered = out.mask[0, 0] > 0.5
    assert 0.1 < float(covered.float().mean()) < 0.9
    near = out.depth_mm[0, 0][covered]
    assert float((near - out.facts["distance_mm"]).abs().max()) < 30
    assert float(out.depth_mm[0, 0][~covered].min()) > float(near.max()) + 500
    panel = BANK.panels[int(params.panel)]
    wide_px = (panel.active_mm[0] + 2 * panel.body.bezel_mm[0]) / (
        float(out.facts["distance_mm"]) * 1.4e-3 * 512 / 96 * float(out.facts["binning"]) / 4.25
    )
    assert float(out.mask[0, 0, 48].sum()) == pytest.approx(wide_px, abs=1.0)


def test_parameters_are_drawn_for_each_row() -> None:
    params: Params = drawn(ReplayPhone(), 17, batch=3)
    assert params.batch_size == 3
    assert ReplayParams.stack([params.row(i) for i in range(3)]).row(2).to_json() == params.row(2).to_json()


def test_the_hand_keeps_off_the_face() -> None:
    attack = ReplayPhone()
    params = drawn(attack, 23, batch=20)
    out = attack.render(face(batch=20), view(batch=20), params)
    y, x = torch.meshgrid(torch.arange(96) + 0.5, torch.arange(96) + 0.5, indexing="ij")
    low, high = out.box[:, :2, None, None] + 0.2 * out.box[:, 2:, None, None], out.box[:, 2:, None, None] * 0.6
    inside = (x > low[:, 0]) & (x < low[:, 0] + high[:, 0]) & (y > low[:, 1]) & (y < low[:, 1] + high[:, 1])
    held = params.scene.hand_style > 0
    assert int(held.sum()) > 10
    uncovered = (out.mask[:, 0] * inside).sum((1, 2)) / inside.sum((1, 2))
    assert float(uncovered.min()) > 0.95


@pytest.mark.parametrize(
    ("name", "yaw", "zoom"), [("monitor_lcd_109", 0.0, 0.018), ("monitor_lcd_94_bgr", 18.0, 0.026)]
)
def test_the_whole_panel_equals_a_brute_force_sensor(name: str, yaw: float, zoom: float) -> None:
    """Panel pixels that hold their value, three stripes each, 32 x 32 points a pixel and a Gaussian lens."""
    size, samples, margin, blur = 32, 32, 3, 0.3
    attack = ReplayMonitor()
    params = changed(
        calm(attack, name), zoom=torch.tensor([zoom]), yaw_deg=torch.tensor([yaw]), roll_deg=torch.tensor([2.0]),
        nearest_mm=torch.ones(1), farthest_mm=torch.tensor([900.0]), slide=torch.zeros(1, 2),
        ablated=torch.tensor([1 << Replay.EFFECTS.index("sparkle")]),
    )  # fmt: skip
    shot = View.ideal(size, size, blur_px=blur, f_number=0.01, exposure_ms=1e5)
    out = attack.render(face(), shot, params)
    assert 0.4 < float(out.facts["lattice_cycles_per_px"]) < 1.2
    assert float(out.facts["moire_contrast"]) > 0.05

    model = BANK.panels[int(params.panel)]
    panel = panel_figures([model])
    placed = place(face(), shot, params, panel)
    fine = (torch.arange(-margin * samples, (size + margin) * samples).double() + 0.5) / samples
    y, x = torch.meshgrid(fine, fine, indexing="ij")
    hit = cast_points(placed.view, placed.pose, torch.stack([x, y], -1)[None])
    corner = (placed.active_centre - panel.active / 2)[0].double()
    place_px = (hit.uv_mm[0] - corner) / model.pitch_mm
    pixel = place_px.floor()
    # What the panel's memory holds for that pixel: the photograph at the pixel's centre.
    centre = (pixel + 0.5) * model.pitch_mm + corner
    at = ((centre - placed.photo_centre[0]) / placed.photo_mm[0] * 2)[None].float()
    held = F.grid_sample(
        show(first_photograph(face(), params.camera), panel.table), at, padding_mode="border", align_corners=False
    )[0]
    cell = panel_cell(model)
    down, across = cell.shape[1] // SAMPLES, cell.shape[2] // SAMPLES
    row = ((place_px[..., 1] % down) * SAMPLES).long()
    column = ((place_px[..., 0] % across) * SAMPLES).long()
    u_axis, v_axis, _ = (axis[0].double() for axis in placed.pose.axes())
    ray = F.normalize(
        placed.pose.centre_mm[0] + hit.uv_mm[0, ..., :1] * u_axis + hit.uv_mm[0, ..., 1:] * v_axis, dim=-1
    )
    leak = panel.glow * crossed_leak((ray * u_axis).sum(-1), (ray * v_axis).sum(-1))
    seen = off_axis(held[None], lift(panel.washout, hit.cosine).float(), torch.ones(1, 3))[0] + leak.float()
    light = seen * cell[:, row, column] / cell.mean((1, 2))[:, None, None]
    light = light * falloff(hit.cosine, panel.falloff[:, :3].double())[0].float()

    offset = (torch.arange(2 * margin * samples) + 0.5) / samples - margin
    kernel = torch.special.ndtr((offset + 0.5) / blur) - torch.special.ndtr((offset - 0.5) / blur)
    kernel, half = kernel / kernel.sum(), samples // 2
    windows = light[:, half:, half:].unfold(1, len(kernel), samples).unfold(2, len(kernel), samples)
    slow = torch.einsum("cijkl,k,l->cij", windows[:, :size, :size], kernel, kernel)
    fast = torch.linalg.solve(panel.matrix[0, :, :3], out.irradiance[0].flatten(1)).reshape(3, size, size)
    inner = (slice(None), slice(4, -4), slice(4, -4))
    error = (fast - slow)[inner]
    assert float(slow[inner].std()) > 0.03
    assert float(error.abs().max()) < 0.04 * float(slow.max())
    assert float(error.std()) < 0.01 * float(slow.max())
