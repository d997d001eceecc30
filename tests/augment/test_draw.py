"""Drawn shots: correlated by the light, inside the profile, the same row in any batch."""

import math

import pytest
import torch
from torch import Tensor

from spooflab.augment import CaptureDevice, DeviceParams, list_profiles, load_profile
from spooflab.errors import DataError


def _shots(name: str, count: int = 400, unit: int = 1) -> DeviceParams:
    return CaptureDevice(name, unit=unit).sample(count, torch.Generator().manual_seed(5))


def _rank_correlation(x: Tensor, y: Tensor) -> float:
    ranks = torch.stack([x.double().argsort().argsort(), y.double().argsort().argsort()]).double()
    return float(torch.corrcoef(ranks)[0, 1])


@pytest.mark.parametrize("name", list_profiles())
def test_draws_stay_in_the_profiles_ranges(name: str) -> None:
    profile, shots = load_profile(name), _shots(name)
    for limits, drawn in [
        (profile.noise.a, shots.noise_a),
        (profile.noise.b, shots.noise_b),
        (profile.noise.lux, shots.lux),
        (profile.timing.exposure_ms, shots.view.exposure_ms),
        (profile.processing.smear, shots.smear),
        (profile.processing.halo, shots.halo),
        (profile.processing.beautify, shots.beautify),
        (profile.exposure.target, shots.target),
        (profile.codec.quality, shots.quality),
        (profile.lens.f_number, shots.view.f_number),
    ]:
        low, high = limits
        assert float(drawn.min()) >= low * (1 - 1e-6)
        assert float(drawn.max()) <= high * (1 + 1e-6)
    assert float(shots.view.motion_px.norm(dim=1).max()) <= 4.0 + 1e-4
    assert bool((shots.view.binning == 1).all())


@pytest.mark.parametrize("name", list_profiles())
def test_dim_light_brings_noise_smear_long_exposure_and_low_quality_together(name: str) -> None:
    shots = _shots(name)
    assert _rank_correlation(shots.lux, shots.noise_a) < -0.9
    assert _rank_correlation(shots.noise_a, shots.noise_b) > 0.9
    assert _rank_correlation(shots.lux, shots.view.exposure_ms) < -0.8
    assert _rank_correlation(shots.noise_a, shots.smear) > 0.7
    assert _rank_correlation(shots.noise_a, shots.quality) < -0.5
    assert abs(_rank_correlation(shots.lux, shots.halo)) < 0.2


def test_row_i_does_not_depend_on_the_batch_size() -> None:
    device = CaptureDevice("webcam_720p")
    many = device.sample(40, torch.Generator().manual_seed(3))
    few = device.sample(3, torch.Generator().manual_seed(3))
    for i in range(3):
        assert many.row(i).to_json() == few.row(i).to_json()


def test_noise_seeds_do_not_repeat() -> None:
    shots = CaptureDevice("dslr").sample(20_000, torch.Generator().manual_seed(1))
    assert len(set(shots.noise_seed.tolist())) == 20_000
    assert int(shots.noise_seed.min()) >= 0


def test_readout_is_the_windows_share_of_the_frame() -> None:
    device = CaptureDevice("webcam_720p", unit=2)
    whole = device.identity.readout_ms
    for rows in (180, 360, 720, 1000):
        shots = device.sample(1, torch.Generator().manual_seed(0), size=(rows, 512))
        assert float(shots.view.readout_ms) == pytest.approx(whole * min(1, rows / 720), rel=1e-6)


def test_motion_and_skew_come_from_one_turn_of_the_camera() -> None:
    shots = _shots("front_phone")
    view = shots.view
    moving = view.motion_px.norm(dim=1)
    free = (moving > 1e-3) & (moving < 3.9)
    per_ms = view.motion_px[:, 0] / view.exposure_ms
    torch.testing.assert_close(view.skew[free], (per_ms * view.readout_ms / 512)[free], rtol=1e-4, atol=1e-7)
    px_per_degree = view.focal_mm * 1000 / view.pitch_um * math.pi / 180
    speed = moving[free] / view.exposure_ms[free] * 1000 / px_per_degree[free]
    assert float(speed.max()) <= load_profile("front_phone").timing.shake_deg_per_s[1] * 1.0001
    assert int(free.sum()) > 300


def test_sizes_and_counts_are_checked() -> None:
    device = CaptureDevice("dslr")
    with pytest.raises(DataError, match="batch_size 0"):
        device.sample(0, torch.Generator())
    with pytest.raises(DataError, match="sides >= 8"):
        device.sample(1, torch.Generator(), size=(4, 512))
