"""The sensor's noise has the variance that its parameters state, and the converter loses only what it must."""

import dataclasses

import pytest
import torch
from torch import Tensor

from spooflab.augment import CaptureDevice, DeviceParams
from spooflab.augment.develop import expose
from spooflab.augment.noise import convert, sensor_noise

LEVELS = torch.tensor([0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7])


def _flat(name: str, levels: Tensor) -> DeviceParams:
    """Return shots of one unit for flat fields: no shading, no exposure control, no pattern, one noise level."""
    shots = CaptureDevice(name, unit=1).sample(len(levels), torch.Generator().manual_seed(9))
    ones = torch.ones(len(levels))
    return dataclasses.replace(
        shots, corner_gain=ones, prnu_std=0 * ones, metering=0 * ones, error_ev=0 * ones, row_std=0 * ones,
        defect_share=0 * ones,
        noise_a=shots.noise_a.median() * ones, noise_b=shots.noise_b.median() * ones,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["front_phone", "dslr", "old_phone"])
def test_raw_variance_is_a_x_plus_b(name: str) -> None:
    params = _flat(name, LEVELS)
    light = LEVELS[:, None, None, None].expand(-1, 3, 512, 512)
    raw = expose(light, params)
    sites = torch.cat([raw[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1)], 1).double()
    means, variances = sites.mean((2, 3)).flatten(), sites.var((2, 3)).flatten()
    # Rounding adds the variance of a uniform step, which the camera cannot know to be noise.
    step = 1 / (2.0 ** int(params.bits[0]) * (1 - float(params.black_level[0])))
    a, b = float(params.noise_a[0]), float(params.noise_b[0]) + step**2 / 12
    weight = 1 / (a * means + b)  # the estimate's deviation is proportional to the variance
    design = torch.stack([means, torch.ones_like(means)], 1) * weight[:, None]
    slope, intercept = torch.linalg.lstsq(design, (variances * weight)[:, None]).solution[:, 0].tolist()
    assert slope == pytest.approx(a, rel=0.03)
    assert intercept == pytest.approx(b, rel=0.05)


def test_means_stay_and_black_is_not_lifted() -> None:
    params = _flat("webcam_720p", LEVELS)
    raw = expose(LEVELS[:, None, None, None].expand(-1, 3, 256, 256), params)
    green = raw[:, 0, 0::2, 1::2].mean((1, 2))
    response = (params.sensor_matrix / params.balance[:, :, None]).sum(2)[:, 1]
    torch.testing.assert_close(green, LEVELS * response, atol=1e-3, rtol=5e-3)


def test_noise_is_gaussian_and_white() -> None:
    flat = torch.full((1, 1, 512, 512), 0.4)
    one, zero = torch.ones(1), torch.zeros(1)
    noisy = sensor_noise(flat, a=0.01 * one, b=zero, row_std=zero, seeds=torch.tensor([4]))
    z = (noisy - flat).double()[0, 0] / (0.4 * 0.01) ** 0.5
    assert abs(float(z.mean())) < 5 / 512
    assert float((z**4).mean()) == pytest.approx(3.0, abs=0.06)
    assert abs(float((z[:, 1:] * z[:, :-1]).mean())) < 5 / 512
    assert abs(float((z[1:] * z[:-1]).mean())) < 5 / 512


def test_row_noise_moves_whole_rows() -> None:
    flat = torch.full((1, 1, 4096, 64), 0.4)
    one, zero = torch.ones(1), torch.zeros(1)
    noisy = sensor_noise(flat, a=zero, b=zero, row_std=0.01 * one, seeds=torch.tensor([4]))
    assert float(noisy.std(-1).max()) < 1e-6
    assert float(noisy[0, 0, :, 0].std()) == pytest.approx(0.01, rel=0.05)


def test_a_rows_noise_is_its_seeds_alone() -> None:
    flat = torch.full((3, 1, 32, 32), 0.4)
    seeds, one = torch.tensor([11, 7, 11]), torch.ones(3)
    noisy = sensor_noise(flat, a=0.01 * one, b=0.001 * one, row_std=0.01 * one, seeds=seeds)
    assert torch.equal(noisy[0], noisy[2])
    assert not torch.equal(noisy[0], noisy[1])
    alone = sensor_noise(flat[1:2], a=0.01 * one[:1], b=0.001 * one[:1], row_std=0.01 * one[:1], seeds=seeds[1:2])
    assert torch.equal(noisy[1:2], alone)


@pytest.mark.parametrize(("bits", "black"), [(8, 0.0), (10, 0.0625), (14, 0.03125)])
def test_the_converter_has_its_codes_and_clips(bits: int, black: float) -> None:
    x = torch.linspace(-0.5, 1.5, 200_001)[None, None, None]
    y = convert(x, bits=torch.tensor([bits]), black_level=torch.tensor([black]))
    assert len(set(y.flatten().tolist())) == 2**bits
    assert float(y.max()) == 1.0
    pedestal = round((2**bits - 1) * black)
    assert float(y.min()) == pytest.approx(-pedestal / (2**bits - 1 - pedestal), abs=1e-6)
    inside = (x > y.min()) & (x < 1)
    half_step = 0.5 / (2**bits - 1 - pedestal)
    assert float((y - x)[inside].abs().max()) <= half_step * 1.02 + 1e-6


def test_a_converter_of_no_bits_passes_everything() -> None:
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(convert(x, bits=torch.tensor([0]), black_level=torch.tensor([0.1])), x)
