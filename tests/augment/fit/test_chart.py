"""Curve and colours from the chart, against a camera of known curve."""

import dataclasses

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from spooflab.augment import CaptureDevice, develop
from spooflab.augment.color import saturation_matrix
from spooflab.augment.fit.chart import chart_light, fit_chart, patch_colours, to_lab


def chart_scene(cell: int = 24) -> torch.Tensor:
    cells = torch.from_numpy(chart_light()).float().T.reshape(3, 4, 6)
    return cells.repeat_interleave(cell, 1).repeat_interleave(cell, 2)


def test_lab_is_skimages() -> None:
    codes = np.random.default_rng(0).random((50, 3))
    np.testing.assert_allclose(to_lab(codes), rgb2lab(codes), atol=0.05)


def test_cells_are_read_in_order() -> None:
    pixels = np.repeat(np.repeat(np.arange(24).reshape(4, 6), 10, 0), 10, 1).astype(np.uint8)
    found = patch_colours(np.stack([pixels] * 3, -1)) * 255
    np.testing.assert_allclose(found[:, 0], np.arange(24))


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
