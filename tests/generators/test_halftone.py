"""Threshold cells: coverage, spectra, and the blue-noise mask."""

import math

import pytest
import torch

from spooflab.generators.instruments.halftone import (
    CELL,
    LEVELS,
    LOW_ORDERS,
    blue_noise_mask,
    cell_spectra,
    low_harmonics,
    point_sample,
    spot_function,
    threshold_cell,
)

SPOTS = ("euclidean", "round", "ellipse", "line")


@pytest.mark.parametrize("spot", SPOTS)
def test_cell_covers_what_is_asked(spot: str) -> None:
    cell = threshold_cell(spot)
    for coverage in (0.0, 0.03125, 0.25, 0.5, 0.78125, 1.0):
        assert float((cell < coverage).double().mean()) == pytest.approx(coverage, abs=1e-9)


def test_mask_covers_what_is_asked_and_repeats_no_value() -> None:
    mask = blue_noise_mask()
    assert mask.unique().numel() == CELL * CELL
    assert float((mask < 0.125).double().mean()) == pytest.approx(0.125)


@pytest.mark.parametrize("coverage", [0.0625, 0.25, 0.5])
def test_mask_has_no_low_frequencies(coverage: float) -> None:
    dots = (blue_noise_mask() < coverage).double()
    power = torch.fft.fft2(dots - coverage).abs() ** 2 / CELL**2 / (coverage * (1 - coverage))  # 1 for white noise
    f = torch.fft.fftfreq(CELL, dtype=torch.float64)
    radius = torch.hypot(f[:, None], f[None])
    principal = math.sqrt(coverage)  # of a dispersed dot pattern: Ulichney 1988
    low = power[(radius > 0) & (radius < 0.4 * principal)].mean()
    assert float(low) < 0.12
    assert float(power[radius > 0.8 * principal].mean()) > 0.8


@pytest.mark.parametrize("coverage", [4 / 32, 8 / 32, 12 / 32])
def test_round_dot_has_the_series_of_a_disc(coverage: float) -> None:
    """c(k) = r J1(2 pi r |k|) / |k| for a disc of radius r in a unit cell."""
    level = round(coverage * (LEVELS - 1))
    radius = math.sqrt(coverage / math.pi)
    for index, (k, m) in enumerate(LOW_ORDERS):
        order = math.hypot(k, m)
        bessel = float(torch.special.bessel_j1(torch.tensor(2 * math.pi * radius * order, dtype=torch.float64)))
        got = float(low_harmonics("round")[level, index])
        assert got == pytest.approx(radius * bessel / order, abs=0.004)


def test_mean_coefficient_is_the_coverage() -> None:
    for screen in (*SPOTS, "fm"):
        mean = cell_spectra(screen)[:, 0, 0].real
        assert torch.allclose(mean, torch.arange(LEVELS) / (LEVELS - 1), atol=1e-6)


def test_chequerboard_at_half() -> None:
    cell = threshold_cell("euclidean") < 0.5
    assert bool((cell ^ cell.roll((CELL // 2, CELL // 2), (0, 1))).double().mean() > 0.98)


def test_point_sample_repeats_and_counts() -> None:
    cell = threshold_cell("round")
    phase = torch.rand(2000, 2, generator=torch.Generator().manual_seed(3))
    ink = point_sample(cell, phase, torch.tensor(0.3))
    assert torch.equal(ink, point_sample(cell, phase - 5, torch.tensor(0.3)))
    assert float(ink.mean()) == pytest.approx(0.3, abs=0.04)


def test_unknown_spot_is_an_error() -> None:
    with pytest.raises(ValueError, match="wanted euclidean"):
        spot_function(torch.zeros(1), torch.zeros(1), "star")
