"""Regression on noisy runs and the posterior that follows, against generalised least squares and a closed form."""

import numpy as np
import pytest
from numpy.polynomial.legendre import legvander

from spooflab.augment.fit.beside import Beside
from spooflab.augment.fit.emulator import Posterior, Reference, posterior
from spooflab.augment.fit.flat_blocks import BANDS
from spooflab.augment.fit.noise import Match, refit
from spooflab.augment.fit.runs import Region, Regression, Runs, terms_of
from spooflab.augment.fit.simulator import Stops
from spooflab.augment.fit.sought import LOWER, NAMES, UPPER, Prior
from spooflab.augment.fit.surfaces import Surfaces

SIZE = len(NAMES)
CENTRE = np.array([-7.5, -12.0, 0.1, 0.4, 0.8, 0.1, 0.5, 0.9, 1.0, 0.7, 0.4, -5.3])
SPREAD = np.array([0.3, 0.4, 0.05, 0.1, 0.2, 0.2, 0.1, 0.04, 0.1, 0.1, 0.1, 0.2])


def region() -> Region:
    return Region.around(CENTRE, np.diag(SPREAD**2))


def drawn(count: int, seed: int = 0) -> Runs:
    runs = Runs()
    runs.z = region().draw(count, seed)
    runs.draw = [place // 4 for place in range(count)]
    return runs


def test_candidates_keep_within_two_spreads_and_the_limits() -> None:
    z = np.stack(region().draw(500, 1))
    u = region().u(z)
    assert (np.abs(u) <= 2 + 1e-9).all()
    assert ((z >= LOWER) & (z <= UPPER)).all()
    np.testing.assert_allclose(region().z(u), z)
    assert u.std(0) == pytest.approx(np.full(SIZE, 0.96), abs=0.08)  # of a normal clipped at two


def test_terms_are_a_full_quadratic() -> None:
    u = np.array([[2.0, 3.0, 5.0]])
    assert sorted(terms_of(u)[0]) == sorted([1, 2, 3, 5, 4, 9, 25, 6, 10, 15])


def test_regression_is_generalised_least_squares_with_the_runs_covariance() -> None:
    """Ridge with one dummy for each noise, against the textbook's formula with a full covariance of the runs."""
    runs = drawn(160)
    u = region().u(np.stack(runs.z))
    target = np.random.default_rng(2).standard_normal((160, 2))
    found, _ = Regression(region(), runs).fit(target)
    terms = terms_of(u)
    weight = 1 / (1 + 0.25 * (u**2).mean(1) ** 3)
    same = np.array(runs.draw)[:, None] == np.array(runs.draw)
    inverse = np.linalg.inv(np.diag(1 / weight) + same / 0.14)
    ridge = np.diag([1e-9] + [1e-3] * SIZE + [0.5] * (terms.shape[1] - 1 - SIZE))
    expected = np.linalg.solve(terms.T @ inverse @ terms + ridge, terms.T @ inverse @ target)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_stated_error_of_a_prediction_is_how_far_predictions_scatter() -> None:
    runs = drawn(240)
    regression = Regression(region(), runs)
    rng = np.random.default_rng(4)
    shared = 7**0.5 * rng.standard_normal((60, 3000))[np.array(runs.draw)]
    further_out = np.sqrt(1 + 0.25 * (region().u(np.stack(runs.z)) ** 2).mean(1) ** 3)[:, None]
    flat = regression.fit(shared + further_out * rng.standard_normal((240, 3000)))
    u = np.full(SIZE, 0.5)
    scatter = (terms_of(u[None]) @ flat[0]).var()
    assert flat[1].mean() == pytest.approx(1, rel=0.2)
    assert regression.error2(u) == pytest.approx(scatter, rel=0.3)


def linear_world(noise: float) -> tuple[Runs, Surfaces, np.ndarray, np.ndarray]:
    """Energies linear in the parameters, slopes even in the level; runs, photographs off the centre, camera, slopes."""
    rng = np.random.default_rng(5)
    count, bands = 48, len(BANDS)
    level = np.repeat(np.arange(8), 6)
    curve = legvander(np.linspace(-1, 1, 8), 3) @ rng.standard_normal((4, bands * SIZE))
    slope = curve.reshape(8, bands, SIZE)[level] / SPREAD * 0.1
    true = CENTRE + 0.5 * SPREAD * rng.standard_normal(SIZE).clip(-1, 1)
    base = 2 + rng.standard_normal((count, bands))
    runs = drawn(320)
    runs.seen = [base + slope @ (z - CENTRE) + noise * rng.standard_normal((count, bands)) for z in runs.z]
    seen = base + slope @ (true - CENTRE) + 0.05 * rng.standard_normal((count, bands))
    surfaces = Surfaces(
        np.full((count, 3), 0.5, np.float32), level, np.arange(count), seen, np.full((count, bands), 0.05**2)
    )
    return runs, surfaces, true, slope


def test_posterior_of_a_linear_world_is_the_normal_one() -> None:
    runs, surfaces, true, slope = linear_world(noise=0.05)
    prior = Prior(CENTRE, np.diag((3 * SPREAD) ** 2))
    found = posterior(region(), runs, surfaces, prior)
    white = found.whiten @ surfaces.mean(slope, found.apart.weight)[found.used]
    covariance = np.linalg.inv(white.T @ white + prior.precision)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(np.sqrt(np.diag(covariance)), rel=0.25)
    away = (found.z - true) / np.sqrt(np.diag(found.covariance))
    assert np.sqrt((away**2).mean()) < 1.6
    assert np.sqrt((found.scaled**2).mean()) == pytest.approx(1, abs=0.3)


def test_runs_of_a_panel_serve_all_surfaces() -> None:
    """Slopes are a level's own: with all surfaces known at the centre, half of them in the runs tell as much."""
    runs, surfaces, _, slope = linear_world(noise=0.02)
    prior = Prior(CENTRE, np.diag((3 * SPREAD) ** 2))
    whole = posterior(region(), runs, surfaces, prior)
    centre = whole.simulated - slope @ (whole.z - CENTRE)
    panel = surfaces.first(3)
    runs.seen = [one[panel] for one in runs.seen]
    found = posterior(region(), runs, surfaces, prior, Reference(panel, centre, np.full_like(centre, 1e-6)))
    std = np.sqrt(np.diag(whole.covariance))
    assert np.abs((found.z - whole.z) / std).max() < 0.5
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(std, rel=0.2)
    blurred = Reference(panel, centre, np.full_like(centre, 0.2**2))
    wider = posterior(region(), runs, surfaces, prior, blurred)
    assert (np.diag(wider.covariance) > 1.5 * np.diag(found.covariance)).all()


WIDE = Prior(CENTRE, np.diag((3 * SPREAD) ** 2))


def world_with_edges() -> tuple[Runs, Surfaces, Posterior, Beside, Reference, np.ndarray]:
    """Six terms beside edges, linear too: runs, photographs, what flat places tell, the terms, the centre, slopes."""
    runs, surfaces, true, flat_slope = linear_world(noise=0.02)
    flat = posterior(region(), runs, surfaces, WIDE)
    centre = flat.simulated - flat_slope @ (flat.z - CENTRE)
    slope = np.random.default_rng(6).standard_normal((6, SIZE)) / SPREAD * 0.3
    runs.beside = [slope @ (z - CENTRE) for z in runs.z]
    beside = Beside(slope @ (true - CENTRE), np.diag(np.full(6, 0.02**2)), np.zeros((2, 2)), 100)
    panel = np.ones(len(centre), bool)
    return runs, surfaces, flat, beside, Reference(panel, centre, np.full_like(centre, 1e-9), np.zeros(6)), slope


def test_noise_beside_edges_counts_as_its_covariance_says() -> None:
    runs, surfaces, flat, beside, reference, ratio_slope = world_with_edges()
    found = posterior(region(), runs, surfaces, WIDE, reference, beside)
    informed = np.linalg.inv(np.linalg.inv(flat.covariance) + ratio_slope.T @ ratio_slope / 0.02**2)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(np.sqrt(np.diag(informed)), rel=0.25)
    assert len(found.beside) == 6
    assert len(found.scaled) == found.used.sum() + 6
    np.testing.assert_allclose(found.jacobian[-6:], ratio_slope, atol=0.05 * np.abs(ratio_slope).max())
    np.testing.assert_allclose(found.beside, beside.terms - ratio_slope @ (found.z - CENTRE), atol=0.01)


def test_groups_of_edges_that_one_run_does_not_show_are_left_out() -> None:
    runs, surfaces, flat, beside, reference, _ = world_with_edges()
    runs.beside[7][2] = np.nan
    beside.terms[4] = np.nan
    found = posterior(region(), runs, surfaces, WIDE, reference, beside)
    assert np.isfinite(found.beside).tolist() == [True, True, False, True, False, True]
    assert np.isfinite(found.z).all()
    energies = reference.energies
    matched = Match(found.z, found.covariance, Stops.none(48), surfaces, energies, energies, beside, 1.0, found)
    assert np.isfinite(refit(matched, np.ones(48), WIDE)).all()
    for one in runs.beside:
        one[:] = np.nan
    none = posterior(region(), runs, surfaces, WIDE, reference, beside)
    assert np.isnan(none.beside).all()
    assert np.abs((none.z - flat.z) / np.sqrt(np.diag(flat.covariance))).max() < 0.5


def test_slopes_drawn_through_the_levels_are_less_noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight levels of a band share a cubic: of the noise in their slopes half is left."""
    runs, surfaces, _, slope = linear_world(noise=0.5)
    prior = Prior(CENTRE, np.diag(SPREAD**2))
    errors = []
    for degree in (3, 7):  # the latter leaves each level its own
        monkeypatch.setattr("spooflab.augment.fit.emulator._SMOOTH", degree)
        found = posterior(region(), runs, surfaces, prior)
        true = surfaces.mean(slope, found.apart.weight)[found.used]
        errors.append(float((((found.jacobian - true) * SPREAD) ** 2).mean()))
    assert errors[0] == pytest.approx(errors[1] / 2, rel=0.15)


def test_noisier_runs_make_a_wider_posterior() -> None:
    prior = Prior(CENTRE, np.diag((3 * SPREAD) ** 2))
    calm, noisy = (posterior(region(), *linear_world(noise)[:2], prior).covariance for noise in (0.02, 0.4))
    assert np.sqrt(np.diag(noisy) / np.diag(calm)).mean() > 1.2


def test_a_prior_that_knows_decides_where_the_photographs_cannot() -> None:
    runs, surfaces, _, _ = linear_world(noise=0.05)
    found = posterior(region(), runs, surfaces, Prior(CENTRE, np.diag((1e-3 * SPREAD) ** 2)))
    np.testing.assert_allclose((found.z - CENTRE) / SPREAD, 0, atol=5e-3)
