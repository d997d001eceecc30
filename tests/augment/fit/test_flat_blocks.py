"""Noise energies of flat blocks against closed forms."""

import numpy as np
import pytest
from scipy.fft import dctn

from spooflab.augment.fit.flat_blocks import BANDS, LEVELS, band_energy, block_dct, flat_blocks, to_ycc


def test_block_transform_is_scipys() -> None:
    planes = np.random.default_rng(0).standard_normal((3, 24, 16)).astype(np.float32)
    found = block_dct(planes)
    for channel in range(3):
        for row in range(3):
            for column in range(2):
                block = planes[channel, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                np.testing.assert_allclose(found[channel, row, column], dctn(block, norm="ortho"), atol=1e-5)


def test_white_noise_has_its_variance_in_every_band() -> None:
    noise = np.random.default_rng(1).normal(0, 3, (512, 512, 3)).astype(np.float32)
    coefficients = block_dct(to_ycc(128 + noise)).reshape(3, -1, 8, 8)
    energy = dict(zip(BANDS, band_energy(coefficients).mean(0), strict=True))
    luma = 9 * (0.299**2 + 0.587**2 + 0.114**2)
    for name in BANDS[:10]:
        assert energy[name] == pytest.approx(luma, rel=0.05), name
    cb = 9 * 0.564**2 * (0.299**2 + 0.587**2 + 0.886**2)
    cr = 9 * 0.713**2 * (0.701**2 + 0.587**2 + 0.114**2)
    for name in BANDS[10:]:
        assert energy[name] == pytest.approx({"cb": cb, "cr": cr}[name[:2]], rel=0.05), name


def test_choosing_flat_blocks_leaves_the_bands_as_they_are() -> None:
    """White noise, of which the flattest half is kept: what chooses it must not be what is measured."""
    rng = np.random.default_rng(4)
    pictures = [(128 + rng.normal(0, 6, (512, 512, 3))).round().astype(np.uint8) for _ in range(6)]
    energy = np.concatenate([flat_blocks(picture, apart=False).energy for picture in pictures]).mean(0)
    luma = (36 + 1 / 12) * (0.299**2 + 0.587**2 + 0.114**2)
    np.testing.assert_allclose(energy[:10], luma, rtol=0.04)


def test_row_noise_shows_in_rows_alone() -> None:
    rows = np.random.default_rng(2).normal(0, 3, (256, 1, 1)).astype(np.float32)
    coefficients = block_dct(to_ycc(np.broadcast_to(128 + rows, (256, 256, 3)).copy())).reshape(3, -1, 8, 8)
    energy = dict(zip(BANDS, band_energy(coefficients).mean(0), strict=True))
    assert energy["rows"] == pytest.approx(8 * 9, rel=0.2)
    assert energy["columns"] < 1e-3


def test_flat_blocks_are_found_and_textured_or_clipped_ones_are_not() -> None:
    rng = np.random.default_rng(3)
    picture = np.full((128, 192, 3), 120.0)
    picture[:, 64:128] += rng.normal(0, 30, (128, 64, 3))  # texture
    picture[:, 128:] = 255  # burnt
    picture[:, :64] += rng.normal(0, 2, (128, 64, 3))
    blocks = flat_blocks(picture.clip(0, 255).round().astype(np.uint8), photo=4)
    assert len(blocks.level) >= 20
    assert set(blocks.photo) == {4}
    assert set(blocks.level) == {int(np.digitize(120 / 255, LEVELS)) - 1}
    variance = 4 * (0.299**2 + 0.587**2 + 0.114**2)
    quantisation = (0.299**2 + 0.587**2 + 0.114**2) / 12
    assert blocks.energy[:, 1:5].mean() == pytest.approx(variance + quantisation, rel=0.15)
