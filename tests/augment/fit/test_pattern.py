"""The sensor's pattern against one that was put there."""

import numpy as np
import pytest

from spooflab.augment.fit.pattern import fit_pattern


def pictures(std: float, *, count: int = 8, seed: int = 0, sensors: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    patterns = rng.standard_normal((sensors, 192, 192))
    out = []
    for place in range(count):
        light = 0.2 + 0.6 * rng.random() * np.linspace(0.8, 1.2, 192)[None, :]
        seen = light * (1 + std * patterns[place % sensors]) + rng.normal(0, 0.01, (192, 192))
        out.append(seen.astype(np.float32))
    return out


def test_a_shared_pattern_is_found_with_its_strength() -> None:
    photos = pictures(0.008)
    found = fit_pattern(photos, photos)  # linear code: d code / d ln light is the light itself
    assert found.shared
    kept = 1 - 1 / 9  # what the 3 x 3 mean takes of white noise
    assert found.std == pytest.approx(0.008 * kept**0.5, rel=0.15)


def test_what_is_smoothed_counts_nothing() -> None:
    """The pattern is gone from a part of each photograph, always the same one in the first rows."""
    photos = pictures(0.008, count=12)
    slopes = []
    for place, photo in enumerate(photos):
        hidden = np.zeros(photo.shape, bool)
        hidden[:48] = True
        hidden[48 + 12 * place : 60 + 12 * place] = True
        photo[hidden] = np.random.default_rng(place).normal(0.5, 0.01, int(hidden.sum()))
        slopes.append(np.where(hidden, 0, photo).astype(np.float32))
    whole, left = fit_pattern(photos, photos), fit_pattern(photos, slopes)
    assert left.std == pytest.approx(0.008 * (1 - 1 / 9) ** 0.5, rel=0.1)
    assert whole.std < 0.9 * left.std
    nothing = fit_pattern(photos, [0 * photo for photo in photos])
    assert not nothing.shared
    assert nothing.std == 0


@pytest.mark.parametrize(("std", "sensors"), [(0.0, 1), (0.008, 2)])
def test_no_pattern_or_two_sensors_are_told(std: float, sensors: int) -> None:
    # With two sensors in turn, the halves hold one each.
    photos = pictures(std, sensors=sensors)
    found = fit_pattern(photos, photos)
    assert not found.shared
    assert abs(found.score) < 6


def test_a_grid_that_every_camera_leaves_is_no_pattern() -> None:
    photos = pictures(0.0)
    for photo in photos:
        photo[::8] += 0.01
        photo[:, ::8] += 0.01
    assert not fit_pattern(photos, photos).shared


def test_frames_without_any_noise_hold_no_pattern() -> None:
    found = fit_pattern([np.full((64, 64), 0.3, np.float32)] * 4, [np.full((64, 64), 0.3, np.float32)] * 4)
    assert np.isfinite([found.std, found.correlation, found.score]).all()
    assert not found.shared
