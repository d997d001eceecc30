"""Colours through the sensor and back: greys stay grey, colours return, highlights stay neutral."""

import dataclasses

import pytest
import torch

from spooflab.augment import CaptureDevice, DeviceParams, list_profiles
from spooflab.augment.color import luma, luminance, mix, white_balance
from spooflab.augment.develop import correct_colour, expose, interpolate


def _clean(name: str, count: int, size: tuple[int, int] = (64, 64)) -> DeviceParams:
    """Return shots without noise, shading, smear, balance error or exposure control."""
    shots = CaptureDevice(name, unit=3).sample(count, torch.Generator().manual_seed(2), size=size)
    zero, one = torch.zeros(count), torch.ones(count)
    return dataclasses.replace(
        shots, noise_a=zero, noise_b=zero, row_std=zero, prnu_std=zero, corner_gain=one, metering=zero, error_ev=zero,
        balance_error=torch.ones(count, 3), smear=zero, awb_strength=zero,
    )  # fmt: skip


@pytest.mark.parametrize("name", list_profiles())
def test_noise_free_greys_stay_grey_at_their_level(name: str) -> None:
    levels = torch.tensor([0.0, 0.02, 0.1, 0.4, 0.9])
    params = _clean(name, 5)
    light = levels[:, None, None, None].expand(-1, 3, 64, 64)
    linear = correct_colour(interpolate(expose(light, params)), params)
    # One step of the converter, enlarged by balance and matrix.
    torch.testing.assert_close(linear, light.contiguous(), atol=3.0 / 2 ** int(params.bits[0]), rtol=0)


@pytest.mark.parametrize("name", list_profiles())
def test_colours_return_through_the_inverse_matrix(name: str) -> None:
    colours = 0.1 + 0.5 * torch.rand(24, 3, generator=torch.Generator().manual_seed(1))
    params = _clean(name, 24)
    params = dataclasses.replace(params, ccm=torch.linalg.inv(params.sensor_matrix))
    light = colours[:, :, None, None].expand(-1, -1, 64, 64)
    linear = correct_colour(interpolate(expose(light, params)), params)
    torch.testing.assert_close(linear, light.contiguous(), atol=4.0 / 2 ** int(params.bits[0]), rtol=0)


def test_the_matrix_makes_noise_worse() -> None:
    params = dataclasses.replace(_clean("old_phone", 1, (256, 256)), noise_a=torch.tensor([1e-3]))
    raw = interpolate(expose(torch.full((1, 3, 256, 256), 0.4), params))
    balanced = white_balance(raw, params.balance)
    corrected = mix(balanced, params.ccm)
    gain = corrected.std((2, 3)) / balanced.std((2, 3))
    assert float(gain.mean()) > 1.2


def test_balance_error_tints_as_told() -> None:
    params = _clean("dslr", 1)
    identity = torch.eye(3)[None]
    tinted = dataclasses.replace(
        params, balance_error=torch.tensor([[1.2, 1.0, 0.9]]), ccm=identity, sensor_matrix=identity
    )
    linear = correct_colour(interpolate(expose(torch.full((1, 3, 64, 64), 0.5), tinted)), tinted)
    assert linear.mean((2, 3))[0].tolist() == pytest.approx([0.6, 0.5, 0.45], abs=1e-3)


def test_clipped_highlights_are_white_not_magenta() -> None:
    params = _clean("front_phone", 1)
    linear = correct_colour(interpolate(expose(torch.full((1, 3, 64, 64), 4.0), params)), params)
    torch.testing.assert_close(linear, torch.ones_like(linear), atol=1e-4, rtol=0)


def test_mix_is_a_matrix_on_colours_and_weights_are_the_standards() -> None:
    image = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    matrix = torch.rand(2, 3, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(mix(image, matrix), torch.einsum("bij,bjhw->bihw", matrix, image))
    weights = torch.tensor([0.2126, 0.7152, 0.0722])[None, :, None, None]
    torch.testing.assert_close(luminance(image), (image * weights).sum(1, keepdim=True))
    weights = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    torch.testing.assert_close(luma(image), (image * weights).sum(1, keepdim=True))
