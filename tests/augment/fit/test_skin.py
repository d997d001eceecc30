"""Skin smoothing: known strengths come back, from the camera's own photographs of even skin."""

import dataclasses
import math

import fitted_camera
import numpy as np
import pytest
import torch
from fitted_camera import KNOWN

from spooflab.augment import load_profile
from spooflab.augment.beautify import beautify
from spooflab.augment.develop import develop
from spooflab.augment.fit.chain import device_rows, linear_light
from spooflab.augment.fit.estimates import skin_estimate
from spooflab.augment.fit.evidence import plain_and_skin
from spooflab.augment.fit.flat_blocks import Blocks, flat_blocks
from spooflab.augment.fit.simulator import Stops
from spooflab.augment.fit.skin import Skin, apart_from_skin, fit_skin, plain_pixels, pooled
from spooflab.augment.fit.sought import from_values

CANDIDATE = dataclasses.replace(fitted_camera.CANDIDATE, a=8e-4, smear=0.3)
SKINS = np.array([[0.80, 0.60, 0.50], [0.62, 0.45, 0.37], [0.45, 0.32, 0.26], [0.88, 0.70, 0.61]], np.float32)
WALL = np.array([0.4, 0.45, 0.5], np.float32)
QUALITY = np.full(len(SKINS), 92)


def photographs(strengths: list[float], colours: np.ndarray = SKINS) -> Blocks:
    """Flat blocks of one photograph a colour: the left half of the colour, the right half a wall."""
    codes = torch.from_numpy(np.stack([colours, np.broadcast_to(WALL, colours.shape)], -1)).repeat_interleave(80, 2)
    codes = codes[:, :, None].expand(-1, -1, 160, -1).contiguous()
    params = device_rows(CANDIDATE, KNOWN, len(colours), (160, 160), quality=QUALITY, stops=np.zeros(4), draw=9)
    params = dataclasses.replace(params, beautify=torch.tensor(strengths))
    photos = (develop(linear_light(codes, CANDIDATE), params) * 255).round().to(torch.uint8)
    found = [flat_blocks(photo.permute(1, 2, 0).numpy(), photo=i) for i, photo in enumerate(photos)]
    return Blocks.join(found)


def fitted(strengths: list[float]) -> Skin:
    _, skin = apart_from_skin(photographs(strengths))
    return fit_skin(skin, KNOWN, QUALITY, from_values(vars(CANDIDATE)), Stops.none(4))


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.6])
def test_the_strength_comes_back(strength: float) -> None:
    found = fitted([strength] * 4)
    assert found.photos == 4
    assert found.strength == pytest.approx(strength, abs=2 * math.hypot(found.std, 0.03))
    assert found.shots < 0.06


def test_an_open_departure_of_a_photographs_noise_is_no_change_of_strength() -> None:
    """The same photographs, whose noise is believed to be another by half a stop either way."""
    _, skin = apart_from_skin(photographs([0.3] * 4))
    z, off = from_values(vars(CANDIDATE)), 0.5 * np.array([1, -1, 1, -1])
    sure, open_ = (
        fit_skin(skin, KNOWN, QUALITY, z, Stops(off, np.full(4, scatter)), b_power=1.2) for scatter in (0.0, 0.5)
    )
    assert sure.shots > 0.05
    assert open_.shots < 0.5 * sure.shots
    assert open_.strength == pytest.approx(0.3, abs=2 * open_.std)


def test_skin_that_is_noisier_than_the_camera_tells_nothing() -> None:
    _, skin = apart_from_skin(photographs([0.0] * 4))
    quieter = from_values(vars(dataclasses.replace(CANDIDATE, a=2e-4, b=2e-6)))
    found = fit_skin(skin, KNOWN, QUALITY, quieter, Stops.none(4))
    told = skin_estimate(found, load_profile("front_phone"))
    assert not told.fitted
    assert "more than noise" in told.how


def test_strengths_that_change_from_shot_to_shot_are_a_range() -> None:
    found = fitted([0.1, 0.3, 0.5, 0.7])
    assert found.strength == pytest.approx(0.4, abs=0.1)
    assert found.shots == pytest.approx(np.std([0.1, 0.3, 0.5, 0.7], ddof=1), rel=0.3)
    told = skin_estimate(found, load_profile("front_phone"))
    assert told.fitted
    assert told.low < 0.15
    assert told.high > 0.65


def test_walls_are_plain_and_skin_is_skin() -> None:
    plain, skin = apart_from_skin(photographs([0.0] * 4))
    assert len(plain.level) > 100 < len(skin.level)
    assert np.abs(plain.colour - WALL).max() < 0.05
    nearest = np.abs(skin.colour[:, None] - SKINS).max(2).min(1)
    assert nearest.max() < 0.05


def test_plain_pixels_are_those_that_smoothing_leaves_alone() -> None:
    codes = torch.from_numpy(np.stack([SKINS, np.broadcast_to(WALL, SKINS.shape)], -1)).repeat_interleave(41, 2)
    photos = (codes[:, :, None].expand(-1, -1, 33, -1) * 255).round().to(torch.uint8)
    noisy = (photos / 255 + 0.02 * torch.randn(photos.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    left_alone = (beautify(noisy, strength=torch.ones(4)) == noisy).all(1).numpy()
    assert left_alone[:, :, 48:].all()
    assert left_alone[:, :, :34].mean() < 0.01
    for photo in photos.permute(0, 2, 3, 1).numpy():
        plain = plain_pixels(photo)
        assert plain.shape == (33, 82)
        assert plain[:, 43:].all()
        assert not plain[:, :39].any()


def test_where_nearly_all_is_skin_noise_is_matched_on_it_and_smoothing_is_left_open() -> None:
    _, half = apart_from_skin(photographs([0.0] * 4))
    skin = Blocks.join([half, half])
    surfaces, told = plain_and_skin(skin)
    assert len(surfaces.levels) >= 3
    assert told is None
    plain, kept = plain_and_skin(Blocks.join([skin, wall_at(0.2), wall_at(0.4), wall_at(0.6)]))
    assert set(plain.photo) == {7}
    assert kept is not None
    assert len(kept.level) == len(skin.level)


def wall_at(grey: float) -> Blocks:
    noisy = 255 * grey + np.random.default_rng(0).normal(0, 2, (160, 160, 3))
    return flat_blocks(noisy.round().astype(np.uint8), photo=7)


def test_without_skin_the_prior_is_kept_and_says_why() -> None:
    _, skin = apart_from_skin(photographs([0.0] * 4))
    found = fit_skin(skin.take(skin.photo < 2), KNOWN, QUALITY, from_values(vars(CANDIDATE)), Stops.none(4))
    prior = load_profile("front_phone")
    told = skin_estimate(found, prior)
    assert not told.fitted
    assert "flat skin in 2 photographs" in told.how
    assert (told.low, told.high) == prior.processing.beautify
    assert not skin_estimate(None, prior).fitted


def test_pooling_is_the_moment_estimate() -> None:
    """Equal errors: the mean's variance is the sample's, and what is behind it the sample's less the error's."""
    each = np.array([0.1, 0.2, 0.35, 0.4, 0.5])
    mean, std, between = pooled(each, np.full(5, 0.05**2))
    assert mean == pytest.approx(each.mean())
    assert between**2 == pytest.approx(each.var(ddof=1) - 0.05**2)
    assert std == pytest.approx(math.sqrt(each.var(ddof=1) / 5))
    _, std, between = pooled(np.array([0.3, 0.3, 0.3]), np.array([0.01, 0.02, 0.04]))
    assert std == pytest.approx((100 + 50 + 25) ** -0.5)
    assert between == 0


def test_a_texture_that_passed_for_skin_is_left_out() -> None:
    each = np.array([0.3, 0.32, 0.28, 0.31, -0.9])
    assert pooled(each, np.full(5, 0.02**2)) == pytest.approx(pooled(each[:4], np.full(4, 0.02**2)))
