"""Measures of patterns against closed forms."""

import numpy as np
import pytest

from spooflab.experiments.pattern_spectra import (
    channel_correlation,
    contrast_by_brightness,
    peaks,
    power_spectrum,
    wander,
    without_shading,
)

SIDE = 192
Y, X = np.mgrid[:SIDE, :SIDE].astype(np.float64)


def test_a_sinusoid_has_its_power_at_its_frequency() -> None:
    wave = 0.3 * np.sin(2 * np.pi * (0.125 * X + 0.0625 * Y))
    power = power_spectrum(wave)
    assert power.sum() == pytest.approx(0.3**2 / 2, rel=1e-3)
    i, j = np.unravel_index(power.argmax(), power.shape)
    assert {(i - SIDE // 2, j - SIDE // 2)} <= {(12, 24), (-12, -24)}


@pytest.mark.parametrize(("fx", "fy"), [(0.1, 0.03), (0.2371, -0.081), (0.02, 0.31)])
def test_a_plane_wave_does_not_wander(fx: float, fy: float) -> None:
    found = peaks(np.sin(2 * np.pi * (fx * X + fy * Y) + 0.4), 5)
    np.testing.assert_allclose(found.frequency, np.tile([fx, fy], (25, 1)), atol=1e-3)
    assert found.share.min() > 0.9
    assert wander(found) < 0.01


def test_a_chirp_wanders_as_its_derivative_says() -> None:
    # Phase f0 x + k x² / 2 has the frequency f0 + k x.
    f0, k = 0.08, 0.12 / SIDE
    found = peaks(np.sin(2 * np.pi * (f0 * X + 0.5 * k * X * X)), 7)
    np.testing.assert_allclose(found.frequency[:, 0], f0 + k * found.place[:, 0] * SIDE, atol=4e-3)
    expected = k * SIDE * np.std(found.place[:, 0]) / (f0 + k * SIDE / 2)
    assert wander(found) == pytest.approx(expected, rel=0.05)


def test_noise_has_no_dominant_frequency() -> None:
    noise = np.random.default_rng(1).standard_normal((SIDE, SIDE))
    found = peaks(noise, 5)
    assert found.share.max() < 0.2
    assert np.isnan(wander(found))


def test_contrast_follows_brightness_where_the_pattern_does() -> None:
    level = 0.25 + X / SIDE
    wave = np.where((X + Y) % 2 == 0, 1.0, -1.0)
    at, additive = contrast_by_brightness(0.05 * wave, level, 6)
    np.testing.assert_allclose(additive, 0.05, rtol=1e-12)
    at, times = contrast_by_brightness(0.05 * wave * level, level, 6)
    np.testing.assert_allclose(times, 0.05 * at, rtol=0.02)


def test_correlation_of_equal_opposed_and_independent_channels() -> None:
    a, b = np.random.default_rng(2).standard_normal((2, SIDE, SIDE))
    red_green, green_blue, red_blue = channel_correlation(np.stack([a, -2 * a, b], -1))
    assert red_green == pytest.approx(-1)
    assert abs(green_blue) < 0.02
    assert abs(red_blue) < 0.02


def test_shading_goes_and_the_pattern_stays() -> None:
    wave = np.sin(2 * np.pi * 24 / SIDE * X)[..., None]
    shade = np.cos(2 * np.pi * 2 / SIDE * Y)[..., None]
    np.testing.assert_allclose(without_shading(0.2 + wave + shade), wave, atol=1e-9)
