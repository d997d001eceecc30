"""A unit's lasting traits: the same every time, different between units, inside the profile."""

import pytest
import torch

from spooflab.augment import list_profiles, load_profile
from spooflab.augment.color import luminance, saturation_matrix
from spooflab.augment.identity import balance_shift, draw_identity, radial_terms


@pytest.mark.parametrize("name", list_profiles())
def test_units_persist_differ_and_stay_in_range(name: str) -> None:
    profile = load_profile(name)
    units = [draw_identity(profile, unit) for unit in range(12)]
    again = draw_identity(profile, 5)
    assert again.prnu_seed == units[5].prnu_seed
    assert torch.equal(again.ccm, units[5].ccm)
    assert again.focal_mm == units[5].focal_mm
    assert len({unit.prnu_seed for unit in units}) == 12
    assert len({unit.focal_mm for unit in units}) == 12
    for unit in units:
        assert profile.lens.focal_mm[0] <= unit.focal_mm <= profile.lens.focal_mm[1]
        assert profile.sensor.pitch_um[0] <= unit.pitch_um <= profile.sensor.pitch_um[1]
        assert profile.sensor.prnu_std[0] <= unit.prnu_std <= profile.sensor.prnu_std[1] < 0.01
        assert profile.lens.corner_gain[0] <= unit.corner_gain <= profile.lens.corner_gain[1]


def test_profiles_with_the_same_numbers_have_different_units() -> None:
    assert draw_identity(load_profile("kiosk"), 0).prnu_seed != draw_identity(load_profile("dslr"), 0).prnu_seed


@pytest.mark.parametrize("edge", [-0.3, -0.2, -0.05, 0.0, 0.03, 0.3])
@pytest.mark.parametrize("waviness", [0.0, 0.3])
def test_radial_terms_put_the_corner_where_told_and_never_fold(edge: float, waviness: float) -> None:
    k1, k2 = radial_terms(edge, waviness)
    ideal = torch.linspace(0, 1 / (1 + edge), 500, dtype=torch.float64)
    landed = ideal * (1 + k1 * ideal**2 + k2 * ideal**4)
    assert float(landed[-1]) == pytest.approx(1.0, abs=1e-9)
    assert bool((landed.diff() > 0).all())


def test_the_matrix_keeps_grey_and_corrects_all_but_the_drift() -> None:
    profile = load_profile("old_phone")
    for unit in range(8):
        traits = draw_identity(profile, unit)
        through = traits.ccm @ traits.sensor_matrix
        torch.testing.assert_close(through.sum(1), torch.ones(3), atol=2e-5, rtol=0)
    steady = profile.model_copy(update={"colour": profile.colour.model_copy(update={"ccm_spread": 0.0})})
    steady = steady.model_copy(update={"colour": steady.colour.model_copy(update={"saturation": (1.0, 1.0)})})
    traits = draw_identity(steady, 3)
    torch.testing.assert_close(traits.ccm @ traits.sensor_matrix, torch.eye(3), atol=1e-5, rtol=0)


def test_saturation_moves_colours_about_their_luminance() -> None:
    colours = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    for amount in (0.0, 0.7, 1.3):
        matrix = saturation_matrix(torch.full((4,), amount))
        moved = torch.einsum("bij,bjhw->bihw", matrix, colours)
        torch.testing.assert_close(luminance(moved), luminance(colours))
        torch.testing.assert_close(moved, luminance(colours) + amount * (colours - luminance(colours)))


def test_balance_errors_lie_along_warm_and_cool() -> None:
    shift = balance_shift(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    torch.testing.assert_close(shift, torch.tensor([[1.0, 0.0, -1.0], [1.0, 0.0, 1.0]]))


def test_a_measured_unit_has_what_was_measured_whatever_its_number() -> None:
    departure = ((0.01, -0.02, 0.01), (0.0, 0.01, -0.01), (-0.03, 0.0, 0.03))
    cast = (-0.05, 0.0, 0.02)
    profile = load_profile("front_phone")
    known = {"ccm_spread": 0.0, "unit_balance_ev": 0.0, "unit_departure": departure, "unit_cast_ev": cast}
    measured = profile.model_copy(update={"colour": profile.colour.model_copy(update=known)})
    for unit in (0, 5):
        traits = draw_identity(measured, unit)
        torch.testing.assert_close(traits.balance_error_ev, torch.tensor(cast))
        drift = torch.linalg.inv(traits.sensor_matrix) - torch.tensor(profile.colour.ccm)
        torch.testing.assert_close(drift, torch.tensor(departure), atol=1e-5, rtol=0)
    assert draw_identity(measured, 5).focal_mm == draw_identity(profile, 5).focal_mm  # other traits stay as drawn
