"""Simulated patches: the chain's own output, the measured colours, the same on any number of threads."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from fitted_camera import CANDIDATE, KNOWN, noisy_photographs

from spooflab.augment.develop import develop
from spooflab.augment.fit.chain import MARGIN_PX, PATCH_PX, device_rows, flat_patches, linear_light
from spooflab.augment.fit.flat_blocks import BANDS
from spooflab.augment.fit.photo_stops import photo_stops
from spooflab.augment.fit.runs import Runs
from spooflab.augment.fit.simulator import Simulator, Stops
from spooflab.augment.fit.sought import NAMES, from_values, to_candidate
from spooflab.augment.fit.surfaces import Surfaces

Z = from_values(vars(CANDIDATE))
NONE = Stops.none(4)
COLOURS = np.array([[0.2, 0.25, 0.3], [0.5, 0.4, 0.45], [0.1, 0.12, 0.08], [0.7, 0.75, 0.6]], np.float32)


def simulator(quality: tuple[int, ...] = (90, 60, 90, 0)) -> Simulator:
    count = len(COLOURS)
    empty = np.zeros((count, len(BANDS)))
    surfaces = Surfaces(COLOURS, np.array([3, 8, 2, 9]), np.arange(count), empty, empty)
    return Simulator(surfaces, KNOWN, np.array(quality))


def test_patches_are_the_cameras_output_inside_their_margin() -> None:
    """Patches are coded together, by tables; against `develop` of each alone, whose codec codes it alone."""
    size = (PATCH_PX, PATCH_PX)
    params = device_rows(CANDIDATE, KNOWN, 4, size, quality=np.array([90, 60, 90, 0]), stops=np.zeros(4))
    together = flat_patches(COLOURS, params, CANDIDATE)
    light = linear_light(torch.from_numpy(COLOURS)[:, :, None, None], CANDIDATE).expand(-1, -1, *size).contiguous()
    alone = torch.cat([develop(light[i : i + 1], params.row(i)) for i in range(4)])
    inside = slice(MARGIN_PX, -MARGIN_PX)
    assert torch.equal(together[..., inside, inside], alone[..., inside, inside])


def test_patches_land_at_the_measured_colours() -> None:
    simulate = simulator()
    simulate.centre(Z, NONE)
    photos = simulate._photos(to_candidate(Z), NONE, 5)[:, MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    np.testing.assert_allclose(photos.mean((1, 2)), COLOURS, atol=0.004)


def test_energy_rises_with_the_noise_and_falls_with_its_reduction() -> None:
    simulate = simulator((95, 95, 95, 95))
    middle = simulate(Z, NONE)
    for name, step in (("a", 0.7), ("smear", -0.3), ("halo", 0.6)):
        moved = Z.copy()
        moved[NAMES.index(name)] += step
        assert (simulate(moved, NONE)[:, :4].mean(1) > middle[:, :4].mean(1) + 0.1).all(), name
    assert (simulate(Z, Stops(np.ones(4), np.zeros(4)))[:, :4].mean(1) > middle[:, :4].mean(1) + 0.1).all()


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_runs_on_two_threads_are_those_made_one_by_one(two_threads: None) -> None:
    simulate, stops = simulator(), NONE
    tried = [Z + 0.01 * step for step in range(6)]
    runs = Runs()
    runs.add(tried, simulate, stops)
    runs.add(tried[:1], simulate, stops)
    assert runs.draw == [0, 0, 0, 0, 1, 1, 1]
    for z, draw, seen in zip(tried, runs.draw, runs.seen, strict=False):
        np.testing.assert_array_equal(seen, simulate(z, stops, draw))


def test_what_is_open_of_a_photographs_noise_is_drawn_anew_each_time() -> None:
    stops = Stops(np.array([0.5, 0.0, -1.0, 0.0]), np.array([0.2, 0.0, 0.2, 0.4]))
    drawn = np.stack([stops.drawn(draw) for draw in range(4000)])
    np.testing.assert_allclose(drawn.mean(0), stops.log2, atol=0.02)
    np.testing.assert_allclose(drawn.std(0), stops.scatter, rtol=0.05)
    np.testing.assert_array_equal(stops.drawn(3), drawn[3])
    simulate = simulator()
    still, moving = (
        np.std([simulate(Z, one, draw)[:, :4].mean(1) for draw in range(12)], axis=0)
        for one in (NONE, Stops(np.zeros(4), np.full(4, 0.6)))
    )
    assert (moving > 1.5 * still).all()


@pytest.mark.parametrize("spread", [0.0, 0.8])
def test_photographs_that_differ_in_noise_are_told_and_equal_ones_are_not(spread: float) -> None:
    true = spread * np.linspace(-1, 1, 16)
    found = photo_stops(noisy_photographs(true, 8), Z)
    if spread:
        assert np.corrcoef(found.log2, true)[0, 1] > 0.9
        assert found.log2.std() == pytest.approx(true.std(), rel=0.3)
        assert found.scatter.max() < 0.3
    else:
        assert np.abs(found.log2).max() < 0.1
        assert found.scatter.max() < 0.1


def test_one_surface_a_photograph_is_not_taken_for_its_noise() -> None:
    """Nothing shows there how surfaces scatter, so a typical scatter is assumed."""
    found = photo_stops(noisy_photographs(0.1 * np.linspace(-1, 1, 24), 1), Z)
    assert np.abs(found.log2).max() < 0.1


def test_a_surface_whose_noise_did_not_get_through_leaves_the_others_alone() -> None:
    simulate = noisy_photographs(np.zeros(16), 8)
    simulate.surfaces.colour[:8] = 0.998  # burnt: nothing moves
    found = photo_stops(simulate, Z)
    assert np.abs(found.log2).max() < 0.15
