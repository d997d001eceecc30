"""Energies of surfaces, textures, and how photographs and a candidate are compared, against closed forms."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from spooflab.augment.fit.flat_blocks import BANDS, LEVELS, Blocks, flat_blocks
from spooflab.augment.fit.summary import apart, whitener
from spooflab.augment.fit.surfaces import FLOOR, Surfaces, log_energy, surfaces_of
from spooflab.augment.fit.texture import without_texture

LUMA_VARIANCE = 0.299**2 + 0.587**2 + 0.114**2


def test_energy_is_the_trimmed_mean_of_the_distribution_for_few_and_many_blocks() -> None:
    """Mean squares of three normal coefficients, the fewest that a band has; the closed form is an incomplete gamma."""
    cut = stats.chi2.ppf(0.8, 3)
    expected = 5 * stats.chi2.cdf(cut, 5) / 0.8  # E[x / 3; x < cut] of chi2(3) is the cdf of chi2(5)
    rng = np.random.default_rng(0)
    for blocks in (32, 33, 37, 400):
        energy = 5 * (rng.standard_normal((200_000 // blocks, blocks, 1, 3)) ** 2).mean(-1)
        assert log_energy(energy.astype(np.float32))[0].mean() == pytest.approx(np.log(expected + FLOOR), abs=0.012)


def test_sampling_variance_is_how_far_repeated_measurements_scatter() -> None:
    energy = 5 * np.random.default_rng(1).standard_normal((4000, 100, 1)).astype(np.float32) ** 2
    log, variance = log_energy(energy)
    assert variance.mean() == pytest.approx(log.var(), rel=0.1)


def blocks_of(levels: list[int], photos: list[int], each: int) -> Blocks:
    count = len(levels) * each
    level = np.repeat(np.array(levels, np.int64), each)
    return Blocks(
        np.repeat(LEVELS[level][:, None], 3, 1).astype(np.float32),
        level,
        np.repeat(np.array(photos, np.int64), each),
        np.arange(count) // 16,
        np.ones((count, len(BANDS)), np.float32),
    )


def test_surfaces_are_a_photographs_blocks_at_one_level() -> None:
    surfaces = surfaces_of(blocks_of([2, 2, 2, 5, 7], [0, 1, 2, 0, 1], 40))
    assert list(zip(surfaces.level, surfaces.photo, strict=True)) == [(2, 0), (2, 1), (2, 2)]  # 40 at a level are few
    np.testing.assert_allclose(surfaces.log_energy, np.log(1 + FLOOR))
    assert len(surfaces_of(blocks_of([2] * 20, list(range(20)), 40))) == 20
    assert len(surfaces_of(blocks_of([2] * 20, list(range(20)), 40), most_at_level=12)) == 12
    empty = surfaces_of(blocks_of([], [], 1))
    assert len(empty) == 0
    assert empty.log_energy.shape == (0, len(BANDS))


def test_the_first_of_each_level_are_its_largest() -> None:
    sizes = [40, 90, 60, 30, 50]
    parts = [blocks_of([2], [photo], each) for photo, each in enumerate(sizes)]
    surfaces = surfaces_of(Blocks.join([*parts, blocks_of([5], [9], 99)]))
    first = surfaces.take(surfaces.first(2))
    assert list(zip(first.level, first.photo, strict=True)) == [(2, 1), (2, 2), (5, 9)]


def test_variance_of_a_level_mean_is_what_means_scatter_by() -> None:
    surfaces = surfaces_of(blocks_of([2] * 5 + [6] * 3, list(range(5)) + list(range(3)), 90))
    rng = np.random.default_rng(0)
    variance, weight = rng.uniform(0.5, 2, (8, 2)), rng.uniform(0.2, 1, 8)
    drawn = np.stack([surfaces.mean(v, weight) for v in variance**0.5 * rng.standard_normal((20000, 8, 2))])
    found = surfaces.mean_variance(variance, weight)
    np.testing.assert_allclose(found[[2, 6]], drawn.var(0)[[2, 6]], rtol=0.05)
    assert np.isnan(found[[0, 3]]).all()


def picture(texture: float) -> np.ndarray:
    """Two halves of a colour each, noise of 2 code values; a quarter of the right half has a texture."""
    rng = np.random.default_rng(3)
    pixels = np.full((256, 256, 3), (120.0, 100.0, 90.0))
    pixels[:, 128:] = 100.0, 110.0, 105.0
    pixels += rng.normal(0, 2, pixels.shape)
    pixels[:128, 192:] += texture * np.sin(np.pi / 2 * np.arange(64))[None, :, None]
    return pixels.clip(0, 255).round().astype(np.uint8)


def test_fine_texture_is_left_out_and_noise_is_not() -> None:
    def luma(blocks: Blocks) -> float:
        return float(blocks.energy[:, :4].mean())

    plain, textured = (flat_blocks(picture(strength)) for strength in (0.0, 2.0))
    kept = without_texture(plain)
    assert len(kept.level) >= 0.97 * len(plain.level)
    assert luma(kept) == pytest.approx(4 * LUMA_VARIANCE + LUMA_VARIANCE / 12, rel=0.05)
    assert luma(textured) > 1.05 * luma(plain)
    assert luma(without_texture(textured)) == pytest.approx(luma(plain), rel=0.02)


def surfaces(count: int, scatter: float, seed: int = 0) -> Surfaces:
    rng = np.random.default_rng(seed)
    level = np.arange(count) % 6
    common = scatter * rng.standard_normal((count, 1))
    own = 0.03 * rng.standard_normal((count, len(BANDS)))
    return Surfaces(
        np.full((count, 3), 0.5, np.float32), level, np.arange(count), 1 + common + own, np.full_like(own, 0.03**2)
    )


def test_a_surface_that_stands_out_counts_nothing() -> None:
    clean = surfaces(60, 0.05)
    dirty = dataclasses.replace(clean, log_energy=clean.log_energy + np.where(np.arange(60) == 7, 0.9, 0)[:, None])
    zero = np.zeros_like(clean.log_energy)
    found = apart(dirty, zero)
    assert found.weight[7] == 0
    assert (found.weight > 0).sum() >= 57
    np.testing.assert_allclose(found.mean[:6], 1, atol=0.09)
    np.testing.assert_allclose(np.delete(found.mean, 1, 0), np.delete(apart(clean, zero).mean, 1, 0), atol=0.02)
    assert np.isnan(found.mean[6:]).all()


def test_variance_of_a_levels_mean_is_how_far_such_means_scatter() -> None:
    found = [apart(surfaces(60, 0.05, seed), np.zeros((60, len(BANDS)))) for seed in range(200)]
    means = np.stack([each.mean[:6] for each in found])
    told = np.stack([each.variance[:6] for each in found])
    assert told.mean() == pytest.approx(means.var(0).mean(), rel=0.25)


def test_whitened_residuals_have_the_covariance_that_was_assumed() -> None:
    used = np.zeros((len(LEVELS) - 1, len(BANDS)), bool)
    used[2:4, :3] = True
    white = whitener(np.full(used.shape, 4e-4), used)
    level, band = np.repeat([2, 3], 3), np.tile([0, 1, 2], 2)
    covariance = (4e-4 + 0.006**2) * np.eye(6)
    covariance += 0.01**2 * (level[:, None] == level) + 0.012**2 * (band[:, None] == band)
    np.testing.assert_allclose(white @ covariance @ white.T, np.eye(6), atol=1e-10)
