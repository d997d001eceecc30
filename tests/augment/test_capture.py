"""The contract of a capture device: reference, determinism, replay, batches, types, errors."""

import copy
import json
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spooflab.augment import (
    CaptureDevice,
    DeviceParams,
    DeviceShift,
    DoubleJpeg,
    Jpeg,
    VideoCodec,
    develop,
    gentle_shots,
    list_profiles,
    rephotograph,
)
from spooflab.augment.develop import correct_colour, expose, finish, interpolate
from spooflab.augment.tone import srgb_encode
from spooflab.errors import ConfigError, DataError

PROFILES = list_profiles()


def _scene(count: int = 1, height: int = 96, width: int = 80, seed: int = 0) -> Tensor:
    """Return smooth linear light with edges and texture."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 5, generator=generator)
    smooth = nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    smooth[..., height // 3 : height // 2, width // 4 : width // 2] *= 0.3
    return (0.9 * smooth + 0.05 * torch.rand(count, 3, height, width, generator=generator)).clamp(0, 1)


def _shots(device: CaptureDevice, count: int = 1, size: tuple[int, int] = (96, 80), seed: int = 1) -> DeviceParams:
    return device.sample(count, torch.Generator().manual_seed(seed), size=size)


def test_names() -> None:
    device = CaptureDevice("front_phone", unit=3)
    assert (device.device_id, device.profile_name, device.unit) == ("front_phone/u03", "front_phone", 3)
    assert repr(device) == "CaptureDevice(front_phone/u03)"
    assert CaptureDevice.ideal().device_id == "ideal/u00"


@pytest.mark.parametrize("unit", [0, 5])
def test_the_ideal_device_changes_nothing_but_rounding(unit: int) -> None:
    device, light = CaptureDevice("ideal", unit=unit), _scene(2, 224, 230)
    photo = device.apply(light, _shots(device, 2, (224, 230)))
    assert float((photo - srgb_encode(light)).abs().max()) <= 0.5 / 255 + 1e-5
    taken = (srgb_encode(light) * 255).round() / 255
    again = device(taken, generator=torch.Generator().manual_seed(4))
    assert float((again - taken).abs().max()) <= 1 / 255 + 1e-6


@pytest.mark.parametrize("name", PROFILES)
def test_a_photo_is_on_the_8_bit_grid_and_looks_like_the_scene(name: str) -> None:
    device, light = CaptureDevice(name, unit=2), _scene(2, 128, 128)
    photo = device.apply(light, _shots(device, 2, (128, 128)))
    assert photo.shape == light.shape
    assert photo.dtype == torch.float32
    assert 0 <= float(photo.min()) <= float(photo.max()) <= 1
    torch.testing.assert_close(photo * 255, (photo * 255).round(), atol=1e-4, rtol=0)
    for row in range(2):
        seen, shown = (x[row].mean(0)[::4, ::4].flatten() for x in (photo, srgb_encode(light)))
        assert float(torch.corrcoef(torch.stack([seen, shown]))[0, 1]) > 0.8


@pytest.mark.parametrize("name", [*PROFILES, "ideal"])
def test_the_same_parameters_give_the_same_bytes_from_json_or_another_object(name: str) -> None:
    light = _scene(1)
    device = CaptureDevice(name, unit=1)
    params = _shots(device)
    photo = device.apply(light, params)
    assert torch.equal(device.apply(light, params), photo)
    replayed = DeviceParams.from_json(json.loads(json.dumps(params.row(0).to_json())))
    assert torch.equal(CaptureDevice(name, unit=1).apply(light, replayed), photo)
    assert torch.equal(develop(light, replayed), photo)


@pytest.mark.parametrize("name", PROFILES)
def test_a_row_is_the_same_alone_and_in_a_batch(name: str) -> None:
    device, light = CaptureDevice(name), _scene(3)
    params = _shots(device, 3)

    def encoded(x: Tensor, p: DeviceParams) -> Tensor:
        return finish(correct_colour(interpolate(expose(x, p)), p), p)

    together, photos = encoded(light, params), device.apply(light, params)
    for i in range(3):
        alone = light[i : i + 1]
        torch.testing.assert_close(encoded(alone, params.row(i)), together[i : i + 1], atol=1e-5, rtol=0)
        # A last-bit difference may fall on a rounding step, and the codec spreads it over a block.
        difference = (device.apply(alone, params.row(i)) - photos[i : i + 1]).abs()
        assert float((difference > 0).float().mean()) < 0.01


def test_units_differ_and_shots_differ() -> None:
    light = _scene(1)
    first, second = CaptureDevice("kiosk", unit=0), CaptureDevice("kiosk", unit=1)
    photo = first.apply(light, _shots(first))
    assert not torch.equal(photo, second.apply(light, _shots(second)))
    assert not torch.equal(photo, first.apply(light, _shots(first, seed=2)))


def test_a_bad_light_is_refused() -> None:
    device = CaptureDevice("dslr")
    params, light = _shots(device), _scene(1)
    with pytest.raises(DataError, match=r"\(1, 3, 80, 96\)(.|\n)*\(1, 3, 96, 80\)"):
        device.apply(light.transpose(2, 3).contiguous(), params)
    with pytest.raises(DataError, match="irradiance"):
        device.apply(light.expand(2, -1, -1, -1), params)
    with pytest.raises(DataError, match="float64"):
        device.apply(light.double(), params)
    for value in (float("nan"), float("inf")):
        broken = light.clone()
        broken[0, 1, 3, 4] = value
        with pytest.raises(DataError, match="NaN or infinity"):
            device.apply(broken, params)
    with pytest.raises(DataError, match="parameters"):
        device.apply(light)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="unit -1"):
        CaptureDevice("dslr", unit=-1)


def test_negative_light_counts_as_none_and_much_light_clips() -> None:
    device = CaptureDevice("webcam_720p")
    params, light = _shots(device), _scene(1)
    ringing = light.clone()
    ringing[..., :4, :4] = -0.3
    black = light.clone()
    black[..., :4, :4] = 0
    assert torch.equal(device.apply(ringing, params), device.apply(black, params))
    assert bool(torch.isfinite(device.apply(light * 1e4, params)).all())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_forward_returns_what_it_was_given(dtype: torch.dtype) -> None:
    device = CaptureDevice("front_phone", unit=1)
    taken = (_scene(2, 64, 72) * 255).to(torch.uint8)
    given = taken if dtype == torch.uint8 else (taken.double() / 255).to(dtype)
    out = device(given, generator=torch.Generator().manual_seed(3))
    assert out.dtype == dtype
    assert out.shape == taken.shape
    if dtype in (torch.float32, torch.float64):
        exact = device(taken, generator=torch.Generator().manual_seed(3))
        assert torch.equal((out * 255).round().to(torch.uint8), exact)


@pytest.mark.parametrize("size", [(8, 8), (224, 224), (225, 231), (256, 384)])
def test_forward_takes_any_size_from_8(size: tuple[int, int]) -> None:
    for name in ("kiosk", "old_phone"):
        photo = srgb_encode(_scene(1, *size))
        out = CaptureDevice(name)(photo, generator=torch.Generator().manual_seed(0))
        assert out.shape == photo.shape
        assert bool(torch.isfinite(out).all())
        if min(size) > 8:
            seen, shown = (x.mean(1)[..., 4:-4:4, 4:-4:4].flatten() for x in (out, photo))
            assert float(torch.corrcoef(torch.stack([seen, shown]))[0, 1]) > 0.6


def test_forward_is_decided_by_its_generator() -> None:
    device, photo = CaptureDevice("old_phone"), srgb_encode(_scene(2))
    torch.manual_seed(0)
    first = device(photo, generator=torch.Generator().manual_seed(8))
    torch.manual_seed(1)
    assert torch.equal(device(photo, generator=torch.Generator().manual_seed(8)), first)
    assert not torch.equal(device(photo, generator=torch.Generator().manual_seed(9)), first)


@pytest.mark.parametrize(
    ("photo", "told"),
    [
        (torch.rand(3, 32, 32), r"\(3, 32, 32\)"),
        (torch.rand(1, 1, 32, 32), r"\(1, 1, 32, 32\)"),
        (torch.rand(1, 3, 4, 32), r"\(1, 3, 4, 32\)"),
        (torch.rand(0, 3, 32, 32), r"\(0, 3, 32, 32\)"),
        (torch.rand(1, 3, 32, 32) * 255, r"divide by 255"),
        (torch.rand(1, 3, 32, 32) - 1, r"values from -"),
        (torch.full((1, 3, 32, 32), float("nan")), "nan"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.int64), "int64"),
    ],
)
def test_forward_refuses_what_is_no_photograph(photo: Tensor, told: str) -> None:
    with pytest.raises(DataError, match=told):
        CaptureDevice("dslr")(photo, generator=torch.Generator())


@pytest.mark.parametrize("name", PROFILES)
def test_a_gentle_pass_stays_close_to_the_photograph(name: str) -> None:
    device, photo = CaptureDevice(name, unit=2), srgb_encode(nn.functional.avg_pool2d(_scene(6, 288, 288), 3))
    error = {
        gentle: (device(photo, generator=torch.Generator().manual_seed(2), gentle=gentle) - photo).square().mean()
        for gentle in (True, False)
    }
    assert float(error[True]) < 0.5 * float(error[False])
    assert float(-10 * torch.log10(error[True])) > 20


def test_gentle_can_be_chosen_per_row() -> None:
    device, photo = CaptureDevice("kiosk"), srgb_encode(_scene(3))
    mask = torch.tensor([True, False, True])
    mixed = device(photo, generator=torch.Generator().manual_seed(2), gentle=mask)
    soft = device(photo, generator=torch.Generator().manual_seed(2), gentle=True)
    hard = device(photo, generator=torch.Generator().manual_seed(2))
    for row, wanted in enumerate((soft, hard, soft)):
        assert float((mixed[row] - wanted[row]).abs().mean()) < 1e-4
    with pytest.raises(DataError, match="gentle"):
        device(photo, generator=torch.Generator(), gentle=torch.tensor([1, 0, 1]))
    shots = _shots(device, 3)
    assert gentle_shots(shots, False).row(1).to_json() == shots.row(1).to_json()


def test_rephotograph_of_a_clean_pass_undoes_its_own_curve() -> None:
    device = CaptureDevice("front_phone", unit=1)
    params = gentle_shots(_shots(device, 1, (96, 80)))
    photo = srgb_encode(nn.functional.interpolate(_scene(1, 24, 20), (96, 80), mode="bilinear") * 0.6 + 0.1)
    again = rephotograph(photo, params)
    assert float((again.mean((2, 3)) - photo.mean((2, 3))).abs().max()) < 0.05


def test_a_model_that_holds_a_device_can_be_initialised_copied_and_pickled() -> None:
    device = CaptureDevice("dslr", unit=1)
    visited: list[str] = []
    nn.Sequential(nn.Linear(2, 2), device).apply(lambda module: visited.append(type(module).__name__))
    assert visited == ["Linear", "CaptureDevice", "Sequential"]
    assert device.state_dict() == {}
    light = _scene(1)
    photo = device.apply(light, _shots(device))
    for twin in (copy.deepcopy(device), pickle.loads(pickle.dumps(device))):
        assert torch.equal(twin.apply(light, _shots(twin)), photo)


def test_cpu_and_other_devices_agree(device: torch.device) -> None:
    camera, light = CaptureDevice("front_phone"), _scene(2)
    params = _shots(camera, 2)
    there = camera.apply(light.to(device), params.to(device)).cpu()
    assert float((there - camera.apply(light, params)).abs().mean()) < 2e-3


def test_none_for_a_generator_is_refused_and_the_global_state_stays() -> None:
    photos, before = torch.full((2, 3, 16, 16), 0.5), torch.get_rng_state()
    device = CaptureDevice("front_phone")
    nothing: Any = None
    for draw in (
        lambda: device.sample(1, nothing),
        lambda: device(photos, generator=nothing),
        lambda: DeviceShift([device])(photos, generator=nothing),
        lambda: DeviceShift([device]).sample(2, nothing, picked=torch.zeros(2, dtype=torch.int64)),
        lambda: Jpeg().sample(1, nothing),
        lambda: Jpeg()(photos, generator=nothing),
        lambda: DoubleJpeg()(photos, generator=nothing),
        lambda: VideoCodec("mjpeg").sample(1, nothing),
    ):
        with pytest.raises(ConfigError, match="generator"):
            draw()
    assert torch.equal(before, torch.get_rng_state())


def test_rephotograph_wants_the_pictures_that_its_parameters_were_drawn_for() -> None:
    params = CaptureDevice("front_phone").sample(2, torch.Generator().manual_seed(1), size=(24, 32))
    photo = torch.full((2, 3, 24, 32), 0.5)
    rephotograph(photo, params)
    for wrong, seen in (
        ((photo * 255).to(torch.uint8), "uint8"),
        (photo.double(), "float64"),
        (photo[:1], "1, 3, 24, 32"),
        (photo[..., :16], "2, 3, 24, 16"),
        (photo[0], "3, 24, 32"),
        (photo * 3, "from 1.5 to 1.5"),
        (photo * float("nan"), "nan"),
    ):
        with pytest.raises(DataError, match=seen):
            rephotograph(wrong, params)
