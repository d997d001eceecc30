"""Clips: what stays stays, what changes follows its law, and a row, a seed or a record gives the same clip again."""

import dataclasses
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment import CaptureDevice, ClipParams, develop, develop_clip, film, load_profile, sample_clip
from spooflab.augment.ablate import ablated
from spooflab.augment.camera_codec import still_codec, without_codec
from spooflab.augment.clip import metered_ev, moving_light, settle
from spooflab.augment.device_params import DeviceParams
from spooflab.augment.flicker import lamp_flicker
from spooflab.augment.gentle import gentle_shots
from spooflab.augment.profile import DeviceProfile
from spooflab.augment.view import View
from spooflab.errors import ConfigError, DataError
from spooflab.generators.attacks.replays.screen import pulse_mean

SIZE = (64, 72)


def _draw(device: CaptureDevice, count: int = 1, frames: int = 4, seed: int = 1, fps: float = 30.0) -> ClipParams:
    generator = torch.Generator().manual_seed(seed)
    return sample_clip(device, count, frames=frames, fps=fps, generator=generator, size=SIZE)


def _photo(count: int = 1, size: tuple[int, int] = SIZE) -> Tensor:
    coarse = torch.rand(count, 3, 7, 6, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, size, mode="bilinear").mul(0.8).add(0.1)


def _still(params: ClipParams, **shot: Tensor) -> ClipParams:
    """Return the clip without shake, pulsing light and exposure error, with fields of its shot replaced."""
    none = torch.zeros_like(params.start_ev)
    path = params.shake
    rest = dataclasses.replace(path, cosine_px=path.cosine_px * 0, sine_px=path.sine_px * 0)
    return dataclasses.replace(
        params, start_ev=none, lamp_depth=none, shake=rest, shot=dataclasses.replace(params.shot, **shot)
    )


def _video_profile(kind: str) -> DeviceProfile:
    kiosk = load_profile("kiosk")
    codec = kiosk.codec.model_copy(update={"kind": kind, "crf": (28, 32), "gop": 3})
    return kiosk.model_copy(update={"codec": codec})


def test_what_belongs_to_unit_and_shot_is_the_same_in_every_frame() -> None:
    params = _draw(CaptureDevice("front_phone", unit=2), 2)
    shots = [params.frame(t) for t in range(params.frames)]
    may_change = {"noise_seed", "view"}
    for field in dataclasses.fields(DeviceParams):
        if field.name not in may_change:
            assert all(getattr(shot, field.name) is getattr(params.shot, field.name) for shot in shots)
    for field in dataclasses.fields(View):
        if field.name not in {"phase_ms", "motion_px", "skew"}:
            assert all(getattr(s.view, field.name) is getattr(params.shot.view, field.name) for s in shots)
    seeds = torch.cat([shot.noise_seed for shot in shots])
    assert len(seeds.unique()) == len(seeds)


@pytest.mark.parametrize("prnu_std", [0.0, 0.009])
def test_noise_is_each_frames_own_while_the_sensors_pattern_stays(prnu_std: float) -> None:
    size, level, noise = (160, 160), 0.18, 0.003
    generator = torch.Generator().manual_seed(3)
    drawn = sample_clip(CaptureDevice.ideal(), 1, frames=4, generator=generator, size=size)
    params = _still(drawn, noise_b=torch.tensor([noise**2]), prnu_std=torch.tensor([prnu_std]))
    clip = develop_clip(torch.full((1, 4, 3, *size), level), params)[0]
    residual = (clip - clip.mean((-2, -1), keepdim=True)).flatten(1)
    measured = torch.corrcoef(residual)[~torch.eye(4, dtype=torch.bool)]
    slope = 1.055 / 2.4 * level ** (1 / 2.4 - 1)  # of the sRGB curve
    pattern, own = (prnu_std * level * slope) ** 2, (noise * slope) ** 2 + 1 / 255**2 / 12
    assert float((measured - pattern / (pattern + own)).abs().max()) < 0.02


def test_exposure_settles_exponentially_and_follows_the_scene() -> None:
    params = _draw(CaptureDevice("webcam_720p"), 2, frames=6, fps=25.0)
    params = dataclasses.replace(params, start_ev=torch.tensor([1.0, -0.5]), settle_ms=torch.tensor([80.0, 300.0]))
    wished = torch.tensor([[0.3], [1.1]]).expand(2, 6)
    times = torch.arange(6) * 40.0
    wanted = wished + params.start_ev[:, None] * torch.exp(-times / params.settle_ms[:, None])
    torch.testing.assert_close(settle(wished, params), wanted)
    step = torch.cat([torch.zeros(2, 2), torch.ones(2, 4)], 1)  # the light changes at the third frame
    calm = dataclasses.replace(params, start_ev=torch.zeros(2))
    risen = 1 - torch.exp(-40.0 * torch.tensor([0, 0, 1, 2, 3, 4]) / params.settle_ms[:, None])
    torch.testing.assert_close(settle(step, calm), risen)


def test_a_clip_at_rest_is_made_of_shots() -> None:
    device = CaptureDevice("front_phone", unit=1)
    params = _still(_draw(device, 2))
    light = _photo(2)
    clip = develop_clip(
        light[:, None].expand(-1, 4, -1, -1, -1), _still(params, quality=torch.zeros(2, dtype=torch.int64))
    )
    for t in range(4):
        shot = without_codec(params.frame(t))
        assert float((clip[:, t] - develop(light, shot)).abs().max()) <= 1.01 / 255  # a rounding of log2 at most
    wished = metered_ev(light[:, None], params.shot)
    assert wished.shape == (2, 1)


def test_lamp_bands_are_the_exposures_mean_and_travel_with_time() -> None:
    params = _draw(CaptureDevice("front_phone"), 1, frames=3)
    view = dataclasses.replace(
        params.shot.view, exposure_ms=torch.tensor([6.0]), readout_ms=torch.tensor([20.0]), phase_ms=torch.tensor([3.3])
    )
    params = _still(dataclasses.replace(params, shot=dataclasses.replace(params.shot, view=view)))
    params = dataclasses.replace(params, lamp_hz=torch.tensor([100.0]), lamp_depth=torch.tensor([0.4]))
    seen = moving_light(torch.full((1, 3, *SIZE), 0.5), params)[0, :, 0].mean(-1) / 0.5
    fine = torch.linspace(0, 6.0, 20_001, dtype=torch.float64)
    for t in range(3):
        for row in (0, 17, SIZE[0] - 1):
            opened = 3.3 + t * 1000 / 30 + 20.0 * row / (SIZE[0] - 1)
            pulse = 1 + 0.4 * torch.cos(2 * math.pi * 0.1 * (opened + fine))
            assert abs(float(seen[t, row]) - float(torch.trapezoid(pulse, fine) / 6.0)) < 1e-4
    whole = dataclasses.replace(view, exposure_ms=torch.tensor([20.0]))
    assert float((lamp_flicker(whole, hz=params.lamp_hz, depth=params.lamp_depth) - 1).abs().max()) < 1e-6


def test_a_screens_pulses_go_on_from_frame_to_frame() -> None:
    params = _draw(CaptureDevice("front_phone"), 1, frames=5, fps=29.97)
    pulse_hz, duty = 240.0, 0.4
    gains = []
    for t in range(5):
        view = params.frame(t).view
        start = view.phase_ms * pulse_hz / 1000
        width = view.exposure_ms * pulse_hz / 1000
        gains.append(float(pulse_mean(start[:, None], width[:, None], torch.tensor([[duty]]), torch.tensor([[1.0]]))))
    for t, gain in enumerate(gains):
        opened = float(params.shot.view.phase_ms) + t * 1000 / 29.97
        length = float(params.shot.view.exposure_ms)
        fine = opened + (torch.arange(200_000, dtype=torch.float64) + 0.5) * length / 200_000
        lit = float(((fine * pulse_hz / 1000) % 1 < duty).double().mean()) / duty
        assert abs(gain - lit) < 2e-3


def test_each_row_sees_the_picture_where_the_hand_has_carried_it() -> None:
    size, frames = (96, 128), 3
    generator = torch.Generator().manual_seed(8)
    drawn = sample_clip(CaptureDevice.ideal(), 1, frames=frames, fps=20.0, generator=generator, size=size)
    path = dataclasses.replace(
        drawn.shake, hz=torch.tensor([[9.0]]), cosine_px=torch.zeros(1, 1, 2), sine_px=torch.tensor([[[5.0, 0.0]]])
    )
    view = dataclasses.replace(drawn.shot.view, readout_ms=torch.tensor([30.0]))
    params = dataclasses.replace(
        drawn, shake=path, lamp_depth=torch.zeros(1), shot=dataclasses.replace(drawn.shot, view=view)
    )
    ramp = torch.arange(128.0) + 0.5
    clip = moving_light((ramp / 128).expand(1, 3, *size), params)[0, :, 0]
    for t in range(frames):
        times = t * 50.0 + 30.0 * (torch.arange(96) / 95 - 0.5)
        moved = 5.0 * torch.sin(2 * math.pi * 9.0 * times / 1000)
        reach = max(float((64 - 0.5 + m.abs()) / 64) for m in _all_moves(frames))
        source = 64 + (63.5 - 64 + 0.5 - moved) / max(1.0, reach)
        seen = clip[t, :, 63:65].mean(-1) * 128  # between columns 63 and 64: x = 64
        assert float((seen - source).abs().max()) < 0.05
        torch.testing.assert_close(params.row_offsets(t)[0, :, 0], moved, atol=1e-4, rtol=1e-4)


def _all_moves(frames: int) -> list[Tensor]:
    times = torch.cat([t * 50.0 + 30.0 * (torch.arange(96) / 95 - 0.5) for t in range(frames)])
    return list(5.0 * torch.sin(2 * math.pi * 9.0 * times / 1000))


def test_a_frames_view_carries_the_hands_velocity() -> None:
    params = _draw(CaptureDevice("old_phone"), 3, frames=4)
    for t in range(4):
        start, view = params.start_ms(t), params.frame(t).view
        ends = torch.stack([start - view.exposure_ms / 200, start + view.exposure_ms / 200], 1)
        path = params.shake.position(ends)
        moved = (path[:, 1] - path[:, 0]) * 100
        limit = (4 / moved.norm(dim=1, keepdim=True)).clamp(max=1)
        torch.testing.assert_close(view.motion_px, moved * limit, rtol=0.05, atol=0.02)
        rows = params.row_offsets(t)
        middle = rows.shape[1] // 2
        slope = rows[:, middle, 0] - rows[:, middle - 1, 0]
        torch.testing.assert_close(view.skew, slope, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("name", ["front_phone", "webcam_720p", "kiosk"])
def test_rows_seeds_records_and_longer_clips(name: str) -> None:
    device, photos = CaptureDevice(name, unit=1), _photo(3)
    params = _draw(device, 3)
    clip = film(photos, params)
    assert clip.shape == (3, 4, 3, *SIZE)
    torch.testing.assert_close(clip * 255, (clip * 255).round(), atol=1e-4, rtol=0)
    assert torch.equal(film(photos, _draw(device, 3)), clip)
    for row in range(3):
        assert torch.equal(film(photos[row : row + 1], params.row(row))[0], clip[row])
        replayed = ClipParams.from_json(json.loads(json.dumps(params.row(row).to_json())))
        assert torch.equal(film(photos[row : row + 1], replayed)[0], clip[row])
    alone = _draw(device, 1, frames=7)
    assert torch.equal(alone.noise_seed[:, :4], params.noise_seed[:1])
    assert alone.frame(2).view.row(0).to_json() == params.frame(2).view.row(0).to_json()
    assert not torch.equal(film(photos, _draw(device, 3, seed=2)), clip)


def test_a_device_films_photographs_of_either_type() -> None:
    device, photos = CaptureDevice("front_phone"), (_photo(2) * 255).round().to(torch.uint8)
    clips = [
        device.clip(x, frames=3, fps=15.0, generator=torch.Generator().manual_seed(2))
        for x in (photos, photos.float() / 255)
    ]
    assert (clips[0].dtype, clips[1].dtype) == (torch.uint8, torch.float32)
    assert torch.equal((clips[1] * 255).round().to(torch.uint8), clips[0])
    shown = clips[0].float().mean(2)[:, 0, ::4, ::4].flatten()
    assert float(torch.corrcoef(torch.stack([shown, photos.float().mean(1)[:, ::4, ::4].flatten()]))[0, 1]) > 0.8


def test_the_first_frame_of_a_clip_shows_the_shots_window() -> None:
    params = _draw(CaptureDevice("front_phone", unit=4), 1, frames=1)
    assert float(params.row_offsets(0)[:, SIZE[0] // 2].abs().max()) < 0.2  # half a row after time 0


@pytest.mark.parametrize("kind", ["h264", "h265"])
def test_a_cameras_stream(kind: str) -> None:
    pytest.importorskip("av")
    device, light = CaptureDevice(_video_profile(kind), unit=1), _photo(3)
    shots = device.sample(3, torch.Generator().manual_seed(5), size=SIZE)
    assert shots.crf is not None
    assert 28 <= int(shots.crf.min()) <= int(shots.crf.max()) <= 32
    photos = develop(light, shots)
    assert torch.equal(develop(light, shots), photos)
    for row in range(3):
        assert torch.equal(develop(light[row : row + 1], shots.row(row))[0], photos[row])
    assert not torch.equal(photos, develop(light, ablated(shots, ["jpeg"])))
    gentle = gentle_shots(shots)
    assert gentle.crf is not None
    assert bool((gentle.crf < shots.crf).all())
    clips = film(light, _draw(device, 3, frames=5))
    assert clips.shape == (3, 5, 3, *SIZE)
    assert torch.equal(film(light, _draw(device, 3, frames=5)), clips)


def test_without_pyav_a_profile_that_wants_a_stream_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=r"spooflab\[video\]"):
        CaptureDevice(_video_profile("h264")).sample(1, torch.Generator())
    assert CaptureDevice(_video_profile("mjpeg")).sample(1, torch.Generator()).batch_size == 1


def test_records_and_profiles_from_before_streams_are_read(tmp_path: Path) -> None:
    device, light = CaptureDevice("kiosk"), _photo(1)
    shot = device.sample(1, torch.Generator().manual_seed(1), size=SIZE)
    record = {k: v for k, v in shot.to_json().items() if k not in {"stream", "crf", "gop"}}
    old = DeviceParams.from_json(record)
    assert old.stream is None
    assert torch.equal(develop(light, old), develop(light, shot))
    gentle_shots(old)
    ablated(old, ["jpeg"])
    assert torch.equal(film(light, dataclasses.replace(_draw(device), shot=old)), film(light, _draw_with(device, shot)))
    with pytest.raises(ValueError, match="quality"):
        DeviceParams.from_json({k: v for k, v in record.items() if k != "quality"})


def _draw_with(device: CaptureDevice, shot: DeviceParams) -> ClipParams:
    return dataclasses.replace(_draw(device), shot=shot)


def test_mjpeg_and_jpeg_are_the_same_for_a_still() -> None:
    photo = (_photo(2) * 255).to(torch.uint8)
    shots = [
        CaptureDevice(_video_profile(kind)).sample(2, torch.Generator().manual_seed(1), size=SIZE)
        for kind in ("jpeg", "mjpeg")
    ]
    assert torch.equal(*(still_codec(photo, shot) for shot in shots))


def test_bad_input() -> None:
    device = CaptureDevice("front_phone")
    params = _draw(device)
    for frames, fps in ((0, 30.0), (3, 0.0), (3, math.inf), (3, math.nan)):
        with pytest.raises(DataError, match="frames"):
            sample_clip(device, 1, frames=frames, fps=fps, generator=torch.Generator())
    with pytest.raises(DataError, match="batch_size"):
        sample_clip(device, 0, frames=1, generator=torch.Generator())
    light = _photo()[:, None].expand(-1, 4, -1, -1, -1)
    for wrong in (light[:, :3], light[:, :0], light[:, 0], light.double(), light[..., :-1]):
        with pytest.raises(DataError, match="irradiance"):
            develop_clip(wrong, params)
    with pytest.raises(DataError, match="NaN"):
        develop_clip(light * float("nan"), params)
    with pytest.raises(DataError, match="photograph"):
        device.clip(torch.rand(3, 16, 16), frames=2, generator=torch.Generator())
    photos = _photo(2)
    for photo, seen in (
        ((photos * 255).to(torch.uint8), "uint8"),
        (photos.double(), "float64"),
        (photos[:1], "1, 3, 64, 72"),
        (photos[..., :40], "2, 3, 64, 40"),
        (photos * 3, "values"),
        (photos * float("nan"), "nan"),
    ):
        with pytest.raises(DataError, match=seen):
            film(photo, _draw(device, 2))
