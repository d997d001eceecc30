"""Curve and colours from the chart, against a camera of known curve."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from spooflab.augment import CaptureDevice, DeviceProfile, develop
from spooflab.augment.color import saturation_matrix
from spooflab.augment.fit.chart import chart_light, fit_chart, patch_colours, to_lab
from spooflab.augment.fit.with_chart import checked_chart
from spooflab.augment.tone import srgb_encode
from spooflab.errors import DataError


def chart_scene(cell: int = 24) -> torch.Tensor:
    cells = torch.from_numpy(chart_light()).float().T.reshape(3, 4, 6)
    return cells.repeat_interleave(cell, 1).repeat_interleave(cell, 2)


def test_lab_is_skimages() -> None:
    codes = np.random.default_rng(0).random((50, 3))
    np.testing.assert_allclose(to_lab(codes), rgb2lab(codes), atol=0.05)


def test_cells_are_read_in_order() -> None:
    pixels = np.repeat(np.repeat(np.arange(24).reshape(4, 6), 10, 0), 10, 1).astype(np.uint8)
    found = patch_colours(np.stack([pixels] * 3, -1)) * 255
    np.testing.assert_allclose(found[:, 0], np.arange(24), atol=1e-4)  # decoded and encoded again


@pytest.mark.parametrize(("tone", "gamma", "saturation", "warm"), [(0.2, 1.0, 1.0, 0.0), (0.7, 0.88, 1.2, 0.06)])
def test_curve_saturation_and_cast_come_back(tone: float, gamma: float, saturation: float, warm: float) -> None:
    light = chart_scene()[None] * 0.8
    params = CaptureDevice.ideal().sample(1, torch.Generator().manual_seed(0), size=(96, 144))
    params = dataclasses.replace(
        params,
        tone=torch.tensor([tone]),
        gamma=torch.tensor([gamma]),
        ccm=saturation_matrix(torch.tensor([saturation])),
        balance_error=torch.exp2(torch.tensor([[warm, 0.0, -warm]])),
        corner_gain=torch.tensor([0.8]),
    )
    photo = (develop(light, params)[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    found = fit_chart([photo], np.eye(3))
    assert found.tone == pytest.approx(tone, abs=0.05)
    assert found.gamma == pytest.approx(gamma, abs=0.02)
    assert found.saturation == pytest.approx(saturation, abs=0.03)
    assert found.cast_ev[0] == pytest.approx(warm, abs=0.01)
    assert found.cast_ev[2] == pytest.approx(-warm, abs=0.01)
    assert found.delta_e < 0.5


@pytest.mark.slow
def test_light_that_diffraction_carries_onto_dark_patches_is_no_tone_curve(
    held_out: Callable[..., DeviceProfile], camera: type
) -> None:
    """Without the lens's tails in the model the curve came out .05 too flat."""
    real = camera(held_out("front_phone", processing={"beautify": [0.0, 0.0]}, timing={"shake_deg_per_s": [0.0, 0.1]}))
    cells = torch.from_numpy(chart_light()).float().T.reshape(3, 4, 6)
    scene = cells.repeat_interleave(60, 1).repeat_interleave(60, 2)
    shots = [real.shoot(scene, seed)[0] for seed in range(4)]
    charts = [(shot * 255).round().to(torch.uint8).permute(1, 2, 0).numpy() for shot in shots]
    found = fit_chart(charts, np.array(real.device.profile.colour.ccm))
    identity = real.device.identity
    assert found.tone == pytest.approx(identity.tone, abs=0.03)
    assert found.gamma == pytest.approx(identity.gamma, abs=0.01)
    departure = torch.linalg.inv(identity.sensor_matrix) - torch.tensor(real.device.profile.colour.ccm)
    np.testing.assert_allclose(np.array(found.departure), departure.numpy(), atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("turned", [False, True])
def test_a_turned_or_a_wrong_chart_is_named(turned: bool) -> None:
    chart = (srgb_encode(chart_scene() * 0.8) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    other = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8).repeat(24, 0).repeat(24, 1)
    wrong = np.ascontiguousarray(chart[::-1, ::-1]) if turned else other
    with pytest.raises(DataError, match=r"chart b\.png: patches differ"):
        checked_chart({"a.png": chart, "b.png": wrong}, np.eye(3), (2.0, 1.4))
    assert checked_chart({"a.png": chart}, np.eye(3), (2.0, 1.4)).residual < 2
