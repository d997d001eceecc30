"""Simulated patches: the chain's own output, the measured colours, the same on any number of threads."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from spooflab.augment.develop import develop
from spooflab.augment.fit.chain import MARGIN_PX, PATCH_PX, Candidate, Known, device_rows, flat_patches, linear_light
from spooflab.augment.fit.flat_blocks import BANDS
from spooflab.augment.fit.runs import Runs
from spooflab.augment.fit.simulator import Simulator
from spooflab.augment.fit.sought import NAMES, from_values, to_candidate
from spooflab.augment.fit.surfaces import Surfaces

CANDIDATE = Candidate(
    a=6e-4, b=8e-6, row_share=0.05, smear=0.4, halo=0.6, halo_radius_px=1.1, tone=0.5, gamma=0.92, saturation=1.1,
    red_gain=2.0, blue_gain=1.6,
)  # fmt: skip
Z = from_values(vars(CANDIDATE))
CCM = np.array([[1.5, -0.4, -0.1], [-0.2, 1.4, -0.2], [0.0, -0.5, 1.5]])
KNOWN = Known(ccm=CCM, cfa=True, bits=10, black_level=0.06, subsampling=2)
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
    simulate.centre(Z, np.zeros(4))
    photos = simulate._photos(to_candidate(Z), np.zeros(4), 5)[:, MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    np.testing.assert_allclose(photos.mean((1, 2)), COLOURS, atol=0.004)


def test_energy_rises_with_the_noise_and_falls_with_its_reduction() -> None:
    simulate = simulator((95, 95, 95, 95))
    middle = simulate(Z, np.zeros(4))
    for name, step in (("a", 0.7), ("smear", -0.3), ("halo", 0.6)):
        moved = Z.copy()
        moved[NAMES.index(name)] += step
        assert (simulate(moved, np.zeros(4))[:, :4].mean(1) > middle[:, :4].mean(1) + 0.1).all(), name
    assert (simulate(Z, np.ones(4))[:, :4].mean(1) > middle[:, :4].mean(1) + 0.1).all()


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_runs_on_two_threads_are_those_made_one_by_one(two_threads: None) -> None:
    simulate, stops = simulator(), np.zeros(4)
    tried = [Z + 0.01 * step for step in range(6)]
    runs = Runs()
    runs.add(tried, simulate, stops)
    runs.add(tried[:1], simulate, stops)
    assert runs.draw == [0, 0, 0, 0, 1, 1, 1]
    for z, draw, seen in zip(tried, runs.draw, runs.seen, strict=False):
        np.testing.assert_array_equal(seen, simulate(z, stops, draw))
