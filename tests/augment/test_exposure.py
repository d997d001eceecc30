"""Auto-exposure: the metered mean reaches its target unless highlights forbid it."""

import pytest
import torch
from torch import Tensor

from spooflab.augment.exposure import meter


def _meter(light: Tensor, **changed: float) -> Tensor:
    settings = {"metering": 1.0, "target": 0.18, "highlight": 1.0, "error_ev": 0.0, **changed}
    return meter(light, **{name: torch.full((light.shape[0],), value) for name, value in settings.items()})


@pytest.mark.parametrize("level", [0.02, 0.18, 0.9, 2.5])
@pytest.mark.parametrize("size", [(512, 512), (225, 230), (16, 9)])
def test_a_flat_frame_reaches_the_target(level: float, size: tuple[int, int]) -> None:
    gain = _meter(torch.full((1, 3, *size), level))
    assert float(gain) == pytest.approx(0.18 / level, rel=1e-4)


def test_luminance_is_metered_not_the_mean_of_channels() -> None:
    green = torch.zeros(1, 3, 64, 64)
    green[:, 1] = 0.2
    assert float(_meter(green)) == pytest.approx(0.18 / (0.7152 * 0.2), rel=1e-4)


def test_the_centre_counts_more() -> None:
    centre = torch.full((1, 3, 64, 64), 0.1)
    border = centre.clone()
    centre[..., 24:40, 24:40] = 0.4
    border[..., :16, :16] = 0.4
    assert float(_meter(centre, highlight=9.0)) < float(_meter(border, highlight=9.0)) < 1.8


def test_highlights_hold_the_gain_back() -> None:
    frame = torch.full((1, 3, 64, 64), 0.02)
    frame[..., :8] = 0.5  # an eighth of the frame
    assert float(_meter(frame)) == pytest.approx(1.0 / 0.5, rel=1e-3)
    small = torch.full((1, 3, 64, 64), 0.02)
    small[..., :2] = 0.5  # a thirty-second of it may burn out
    assert float(_meter(small)) > 2.0


def test_metering_is_the_power_of_the_gain_and_errors_are_stops() -> None:
    frame = torch.full((1, 3, 32, 32), 0.045)
    assert float(_meter(frame, metering=0.0)) == pytest.approx(1.0)
    assert float(_meter(frame, metering=0.5)) == pytest.approx(2.0, rel=1e-4)
    assert float(_meter(frame, error_ev=-1.0)) == pytest.approx(2.0, rel=1e-4)


def test_black_frames_do_not_explode_and_rows_are_their_own() -> None:
    frames = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    frames[1] = 0
    gains = _meter(frames)
    assert float(gains[1]) == pytest.approx(16.0)
    for i in range(3):
        torch.testing.assert_close(_meter(frames[i : i + 1]), gains[i : i + 1])
