"""The view against closed forms: transfer of the blur, binning, and the lens's inverse."""

import math

import pytest
import torch

from spooflab.augment.view import View


@pytest.mark.parametrize("cycles_per_px", [0.0625, 0.125, 0.25])
@pytest.mark.parametrize("blur_px", [0.0, 0.6, 1.1])
def test_blur_passes_a_grating_with_exactly_the_lens_mtf(cycles_per_px: float, blur_px: float) -> None:
    view = View.ideal(128, 256, blur_px=blur_px, f_number=2.2, pitch_um=1.2)
    wave = torch.cos(2 * math.pi * cycles_per_px * torch.arange(256))
    image = (1 + wave).expand(1, 1, 128, 256).contiguous()
    seen = view.blur(image)[0, 0, 64, 64:192] - 1
    amplitude = 2 * (seen * wave[64:192]).mean()
    expected = view.lens_mtf(torch.tensor([cycles_per_px]), torch.zeros(1))
    assert math.isclose(float(amplitude), float(expected), abs_tol=2e-3)


def test_blur_keeps_flat_light_and_total_light() -> None:
    view = View.ideal(64, 64, blur_px=0.8)
    flat = torch.full((1, 3, 64, 64), 0.4)
    torch.testing.assert_close(view.blur(flat), flat, atol=1e-5, rtol=0)
    point = torch.zeros(1, 1, 64, 64)
    point[0, 0, 32, 32] = 1.0
    assert math.isclose(float(view.blur(point).sum()), 1.0, abs_tol=2e-3)


@pytest.mark.parametrize("k1", [-0.18, -0.02, 0.03])
def test_undistort_inverts_distort_to_the_corner(k1: float) -> None:
    view = View.ideal(96, 128, k1=k1, k2=0.01, skew=0.01)
    xs, ys = torch.meshgrid(torch.arange(128) + 0.5, torch.arange(96) + 0.5, indexing="xy")
    wanted = torch.stack([xs, ys], -1)[None]
    torch.testing.assert_close(view.undistort(view.distort(wanted)), wanted, atol=1e-3, rtol=0)


def test_a_barrel_past_its_fold_stays_finite() -> None:
    assert torch.isfinite(View.ideal(64, 64, k1=-0.3).ideal_grid()).all()


def test_binning_widens_pixels_and_shortens_lengths_measured_in_them() -> None:
    view = View.ideal(32, 32, blur_px=0.8, pitch_um=1.4, readout_ms=12.0)
    bound = view.with_binning(torch.tensor([2]))
    assert math.isclose(float(bound.pixel_um), 2.8, rel_tol=1e-6)
    assert math.isclose(float(bound.blur_px), 0.4, rel_tol=1e-6)
    assert math.isclose(float(bound.readout_ms), 24.0)
    # The same frequency on the sensor, in cycles per millimetre, keeps its lens contrast.
    torch.testing.assert_close(
        bound.lens_mtf(torch.tensor([0.4]), torch.zeros(1)), view.lens_mtf(torch.tensor([0.2]), torch.zeros(1))
    )


def test_mtf_is_one_at_zero_and_the_pixel_nulls_at_one_cycle() -> None:
    view = View.ideal(8, 8, f_number=1.8, pitch_um=2.0)
    zero = torch.zeros(1)
    assert math.isclose(float(view.mtf(zero, zero)), 1.0, abs_tol=1e-6)
    assert abs(float(view.mtf(torch.ones(1), zero))) < 1e-6
    cutoff = 2.0 / (0.55 * 1.8)  # cycles per pixel
    assert float(view.lens_mtf(torch.tensor([cutoff * 1.01]), zero)) == 0.0


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(ValueError, match="colour"):
        View.ideal(8, 8, colour=1.0)
