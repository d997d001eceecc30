"""Spectra, sensor grid, noise, colour and blur against closed forms and independent references."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from spooflab.augment.bayer import demosaic, mosaic
from spooflab.augment.fit.chart import to_lab
from spooflab.experiments.realism import control, gamut, measures, spectra

RNG = np.random.default_rng


def test_white_noise_has_a_flat_spectrum_at_the_log_of_its_variance() -> None:
    # Powers are averaged, for the mean of logarithms lies below the logarithm of the mean.
    mean = np.log10(np.mean([10 ** spectra.radial(RNG(i).normal(0, 5, (96, 96))) for i in range(40)], axis=0))
    assert np.abs(mean[2:] - np.log10(25)).max() < 0.06
    assert spectra.slope(mean) == pytest.approx(0, abs=0.06)


@pytest.mark.parametrize("power", [-1.0, -2.0, -3.0])
def test_slope_of_a_power_law(power: float) -> None:
    side = 128
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    radius[0, 0] = np.inf
    planes = []
    for seed in range(12):
        noise = np.fft.fft2(RNG(seed).normal(size=(side, side)))
        planes.append(np.fft.ifft2(noise * radius ** (power / 2)).real)
    assert spectra.slope(np.mean([spectra.radial(p) for p in planes], axis=0)) == pytest.approx(power, abs=0.15)


def test_a_mosaic_leaves_its_lattice_and_full_planes_do_not() -> None:
    planes = torch.from_numpy(RNG(0).uniform(0, 255, (1, 3, 96, 96))).float()
    through = demosaic(mosaic(planes))[0].numpy().astype(np.float64)
    green, red = spectra.cfa_phase(through[1]), spectra.cfa_phase(through[0])
    plain = spectra.cfa_phase(planes[0, 1].numpy().astype(np.float64))
    assert plain.max() < 0.03
    assert green[0] > 0.1 > 10 * max(plain)  # green is measured on a quincunx: the diagonal frequency
    assert red[1:].min() > 0.05  # red at one site of four: rows and columns
    assert max(green[1:]) < green[0] / 3


def test_seams_of_jpeg_stand_out_wherever_the_grid_lies() -> None:
    smooth = control.blurred(RNG(1).normal(128, 300, (96, 96, 1)), 3.0)[..., 0]
    picture = np.clip(smooth + RNG(2).normal(0, 2, (96, 96)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=10)
    coded = np.asarray(Image.open(buffer)).astype(np.float64)
    plain, seamed = spectra.block_phases(picture.astype(np.float64)), spectra.block_phases(coded)
    moved = spectra.block_phases(coded[3:, 3:])
    assert seamed.max() - np.median(seamed) > 4 * (plain.max() - np.median(plain))
    assert (int(np.argmax(seamed)) - int(np.argmax(moved))) % 8 == 3


def test_noise_level_function_reads_the_variance_of_white_noise_by_level() -> None:
    left = RNG(2).normal(60, 3, (128, 64, 1)).repeat(3, 2)
    right = RNG(3).normal(180, 6, (128, 64, 1)).repeat(3, 2)
    crop = np.clip(np.rint(np.concatenate([left, right], 1)), 0, 255).astype(np.uint8)
    levels = measures.noise_levels(measures.flat_blocks_of(crop))
    assert levels[np.isfinite(levels)].min() == pytest.approx(9, rel=0.15)
    assert levels[np.isfinite(levels)].max() == pytest.approx(36, rel=0.15)


def test_every_measure_has_a_cause_and_rows_do_not_depend_on_each_other() -> None:
    crops = [RNG(i).integers(0, 255, (64, 64, 3), dtype=np.uint8) for i in range(3)]
    together, alone = measures.measure(crops), measures.measure(crops[1:2])
    assert set(together.cause) == set(measures.CAUSES)
    assert len(set(together.names)) == len(together.names) == together.table.shape[1]
    np.testing.assert_array_equal(together.table[1], alone.table[0])


def test_wasserstein_of_shifted_gaussians_is_the_shift() -> None:
    here = RNG(4).normal([50, 10, 15], [8, 3, 3], (1500, 3))
    found = gamut.compare_gamuts(here, here + np.array([4.0, 0.0, -2.0]))
    assert found.wasserstein["L*"] == pytest.approx(4, abs=1e-9)
    assert found.wasserstein["b*"] == pytest.approx(2, abs=1e-9)
    assert found.delta_e == pytest.approx(np.hypot(4, 2))


def test_hull_of_a_cube_and_colours_outside_of_it() -> None:
    corners = np.array([[x, y, z] for x in (0, 2) for y in (0, 3) for z in (0, 4)], dtype=np.float64)
    assert gamut.hull_volume(corners) == pytest.approx(24)
    assert gamut.hull_volume(np.zeros((5, 3))) == 0
    wide, narrow = RNG(5).uniform(-10, 10, (1500, 3)), RNG(6).uniform(-5, 5, (1500, 3))
    found = gamut.compare_gamuts(wide, narrow).outside
    assert found["real outside synthetic"] == 0
    assert found["synthetic outside real"] == pytest.approx(7 / 8, abs=0.05)


def test_lab_and_back() -> None:
    codes = RNG(7).uniform(0.02, 0.98, (500, 3))
    np.testing.assert_allclose(control.from_lab(to_lab(codes)), codes, atol=2e-5)


@pytest.mark.parametrize("blur", [0.0, 0.7, 1.3])
def test_needed_blur_is_the_blur_that_was_given(blur: float) -> None:
    sharp = RNG(8).normal(128, 20, (160, 160, 3))
    assert control.needed_blur(sharp, control.blurred(sharp, blur)) == pytest.approx(blur, abs=0.08)
    assert control.needed_blur(control.blurred(sharp, 1.0), sharp) == 0  # never sharpened


def test_control_takes_colour_blur_and_noise_of_the_attack() -> None:
    def picture(seed: int, shift: float, blur: float, noise: float) -> np.ndarray:
        scene = np.kron(RNG(seed).uniform(60, 190, (6, 6, 3)), np.ones((24, 24, 1))) + shift
        soft = control.blurred(scene, blur) + RNG(seed + 50).normal(0, noise, (144, 144, 3))
        return np.clip(np.rint(soft), 0, 255).astype(np.uint8)

    plain, attack = picture(1, 0, 0.5, 1), picture(2, 15, 1.5, 5)
    made, done = control.matched_control(plain, attack, seed=3)
    again, _ = control.matched_control(plain, attack, seed=3)
    np.testing.assert_array_equal(made, again)
    lab = [to_lab(p / 255).reshape(-1, 3) for p in (made, attack)]
    np.testing.assert_allclose(lab[0].mean(0), lab[1].mean(0), atol=1.5)
    assert done.blur_px > 0.7
    assert done.noise_codes == pytest.approx(5, abs=1)
