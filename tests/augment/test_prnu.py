"""The sensor's fingerprint: small, lasting, its own, and found again in finished photos."""

import dataclasses

import pytest
import torch
from torch import Tensor

from spooflab.augment import CaptureDevice
from spooflab.augment.develop import expose
from spooflab.augment.prnu import prnu


def _pattern(seed: int, height: int = 512, width: int = 512) -> Tensor:
    return (prnu(height, width, torch.tensor([seed]), torch.tensor([0.005])) - 1)[0, 0]


def _correlation(x: Tensor, y: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1])


def test_it_is_white_and_has_the_stated_deviation() -> None:
    pattern = _pattern(3)
    assert float(pattern.std()) == pytest.approx(0.005, rel=0.01)
    assert abs(float(pattern.mean())) < 5 * 0.005 / 512
    assert abs(_correlation(pattern[:, 1:], pattern[:, :-1])) < 0.01
    assert abs(_correlation(_pattern(3), _pattern(4))) < 0.01


@pytest.mark.parametrize(("height", "width"), [(224, 224), (256, 512), (600, 700)])
def test_windows_share_the_sensors_centre(height: int, width: int) -> None:
    large, small = _pattern(3, 700, 1100), _pattern(3, height, width)
    top, left = 350 - height // 2, 550 - width // 2
    assert torch.equal(large[top : top + height, left : left + width], small)


def _mean_residual(device: CaptureDevice, seed: int, count: int = 12) -> Tensor:
    """Return the average of raw flat-field frames over their light: what a fingerprint is estimated from."""
    params = device.sample(count, torch.Generator().manual_seed(seed), size=(256, 256))
    params = dataclasses.replace(params, corner_gain=torch.ones(count), row_std=torch.zeros(count))
    raw = expose(torch.full((count, 3, 256, 256), 0.5), params)
    for y in (0, 1):
        for x in (0, 1):
            raw[..., y::2, x::2] /= raw[..., y::2, x::2].mean((2, 3), keepdim=True)
    return raw.mean(0)[0]


def test_a_unit_is_recognised_and_others_are_not() -> None:
    first = _mean_residual(CaptureDevice("dslr", unit=0), seed=1)
    again = _mean_residual(CaptureDevice("dslr", unit=0), seed=2)
    other = _mean_residual(CaptureDevice("dslr", unit=1), seed=2)
    kin = _mean_residual(CaptureDevice("front_phone", unit=0), seed=2)
    noise_floor = 5 / 256  # five standard deviations of the correlation of 256 x 256 independent values
    # Two estimates of one pattern correlate by the share of variance that the pattern has in them.
    std = CaptureDevice("dslr", unit=0).identity.prnu_std
    predicted = std**2 / float(first.std() * again.std())
    assert predicted > 0.05
    assert _correlation(first, again) == pytest.approx(predicted, abs=noise_floor)
    assert abs(_correlation(first, other)) < noise_floor
    assert abs(_correlation(first, kin)) < noise_floor


def test_the_fingerprint_survives_to_the_jpeg() -> None:
    device = CaptureDevice("dslr", unit=4)
    count = 16
    params = device.sample(count, torch.Generator().manual_seed(6), size=(256, 256))
    photos = device.apply(torch.full((count, 3, 256, 256), 0.4), params).mean(1)
    blurred = torch.nn.functional.avg_pool2d(photos, 9, 1, 4, count_include_pad=False)
    residual = (photos - blurred).mean(0)
    pattern = prnu(256, 256, params.prnu_seed[:1], params.prnu_std[:1])[0, 0] - 1
    assert _correlation(residual[8:-8, 8:-8], pattern[8:-8, 8:-8]) > 0.1
    stranger = prnu(256, 256, params.prnu_seed[:1] + 1, params.prnu_std[:1])[0, 0] - 1
    assert abs(_correlation(residual[8:-8, 8:-8], stranger[8:-8, 8:-8])) < 5 / 240
