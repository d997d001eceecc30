"""Device shift: every image its own camera, every row its own."""

import pytest
import torch

from spooflab.augment import CaptureDevice, DeviceParams, DeviceShift, develop
from spooflab.errors import ConfigError, DataError

NAMES = ("dslr", "front_phone", "kiosk", "old_phone", "webcam_720p")


def _shift() -> DeviceShift:
    return DeviceShift([CaptureDevice(name, unit=unit) for name in NAMES for unit in (0, 1)])


def _photos(count: int) -> torch.Tensor:
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (64, 64), mode="bilinear")


@pytest.mark.slow
def test_every_device_is_picked_equally_often() -> None:
    shift = _shift()
    picked = shift.pick(5000, torch.Generator().manual_seed(1))
    counts = torch.bincount(picked, minlength=10)
    assert shift.device_ids[3] == "front_phone/u01"
    assert float((counts - 500).abs().max()) < 5 * (5000 * 0.1 * 0.9) ** 0.5


def test_rows_are_developed_as_if_alone_whatever_stands_beside_them() -> None:
    shift = DeviceShift([CaptureDevice("old_phone"), CaptureDevice.ideal(), CaptureDevice("dslr", unit=2)])
    light, picked = _photos(5), torch.tensor([0, 1, 2, 1, 0])
    params = shift.sample(5, torch.Generator().manual_seed(2), size=(64, 64), picked=picked)
    assert params.unit.tolist() == [0, 0, 2, 0, 0]
    assert params.cfa.tolist() == [True, False, True, False, True]
    photos = develop(light, params)
    for i in range(5):
        assert torch.equal(develop(light[i : i + 1], params.row(i)), photos[i : i + 1])
    order = [3, 0, 4, 2, 1]
    shuffled = develop(light[order], DeviceParams.stack([params.row(i) for i in order]))
    assert torch.equal(shuffled, photos[order])


def test_shots_are_those_that_each_device_would_draw_in_turn() -> None:
    shift, picked = _shift(), torch.tensor([3, 0, 9, 3, 5])
    together = shift.sample(5, torch.Generator().manual_seed(2), size=(64, 64), picked=picked)
    generator = torch.Generator().manual_seed(2)
    for i, place in enumerate(picked.tolist()):
        camera = shift.devices[place]
        assert isinstance(camera, CaptureDevice)
        assert together.row(i).to_json() == camera.sample(1, generator, size=(64, 64)).to_json()


def test_picked_devices_are_used() -> None:
    shift = _shift()
    params = shift.sample(2, torch.Generator().manual_seed(2), size=(64, 64), picked=torch.tensor([9, 0]))
    assert params.prnu_seed.tolist() == [
        CaptureDevice("webcam_720p", unit=1).identity.prnu_seed,
        CaptureDevice("dslr", unit=0).identity.prnu_seed,
    ]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_forward_is_decided_by_its_generator(dtype: torch.dtype) -> None:
    shift = _shift()
    photos = (_photos(4) * 255).to(torch.uint8) if dtype == torch.uint8 else _photos(4)
    first = shift(photos, generator=torch.Generator().manual_seed(5))
    assert first.dtype == dtype
    assert torch.equal(shift(photos, generator=torch.Generator().manual_seed(5)), first)
    assert not torch.equal(shift(photos, generator=torch.Generator().manual_seed(6)), first)
    soft = shift(photos, generator=torch.Generator().manual_seed(5), gentle=True)
    assert float((soft.float() - photos.float()).abs().mean()) < float((first.float() - photos.float()).abs().mean())


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="without devices"):
        DeviceShift([])
    with pytest.raises(DataError, match="picked"):
        _shift().sample(3, torch.Generator(), picked=torch.tensor([0]))
    with pytest.raises(DataError, match=r"picked \[0, 10\](.|\n)*0 to 9"):
        _shift().sample(2, torch.Generator(), picked=torch.tensor([0, 10]))
