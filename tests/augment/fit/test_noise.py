"""What is learnt between the regions of a match: one parameter by other means, and the photographs' stops anew."""

import numpy as np
import pytest
from fitted_camera import CANDIDATE, noisy_photographs

from spooflab.augment import load_profile
from spooflab.augment.fit.estimates import pattern_estimate
from spooflab.augment.fit.flat_blocks import BANDS
from spooflab.augment.fit.noise import Match, Start, given, stops_anew, told
from spooflab.augment.fit.pattern import Pattern
from spooflab.augment.fit.runs import Runs
from spooflab.augment.fit.simulator import Stops
from spooflab.augment.fit.sought import LOWER, NAMES, UPPER, Prior, from_values
from spooflab.augment.fit.surfaces import Surfaces

Z = from_values(vars(CANDIDATE))
PATTERN = NAMES.index("prnu_std")


def matched(covariance: np.ndarray) -> Match:
    """A match of nothing but its parameters."""
    empty = np.zeros((0, len(BANDS)))
    surfaces = Surfaces(np.zeros((0, 3), np.float32), np.zeros(0, int), np.zeros(0, int), empty, empty)
    return Match(Z, covariance, Stops.none(1), surfaces, empty, empty, None, 1.0, None)  # type: ignore[arg-type]


def test_the_patterns_stated_error_holds_what_cameras_are_off_by_beside_the_matchs_own() -> None:
    pattern, prior = Pattern(0.004, 0.2, 50.0, True), load_profile("front_phone")
    own = matched(np.diag(np.full(len(NAMES), 0.03**2)))
    alone, sought = (pattern_estimate(found, pattern, 0.5, prior) for found in (None, own))
    assert alone.value == pytest.approx(0.008)
    assert alone.std == pytest.approx(0.008 * np.hypot(1 / 50, 0.1))
    assert sought.value == pytest.approx(CANDIDATE.prnu_std)
    assert sought.std == pytest.approx(CANDIDATE.prnu_std * np.hypot(0.03, 0.1))


def test_a_start_that_is_told_a_parameter_is_the_product_of_two_normals() -> None:
    """Against the precision form of Bayes' rule; belief takes the measurement in place of what it held."""
    rng = np.random.default_rng(0)
    root = 0.05 * rng.standard_normal((len(NAMES), len(NAMES)))
    start = Start(Z, root @ root.T + 1e-3 * np.eye(len(NAMES)), Stops.none(3))
    belief, moved = told(Prior(Z, np.diag(np.full(len(NAMES), 0.5))), start, "prnu_std", Z[PATTERN] + 0.2, 0.1)
    row = np.eye(len(NAMES))[PATTERN]
    precision = np.linalg.inv(start.covariance) + np.outer(row, row) / 0.1**2
    np.testing.assert_allclose(moved.covariance, np.linalg.inv(precision), rtol=1e-6, atol=1e-12)
    expected = np.linalg.solve(precision, np.linalg.solve(start.covariance, Z) + row * (Z[PATTERN] + 0.2) / 0.1**2)
    np.testing.assert_allclose(moved.z, np.maximum(expected, LOWER), atol=1e-6)
    assert belief.mean[PATTERN] == Z[PATTERN] + 0.2
    np.testing.assert_allclose(belief.covariance[PATTERN], 0.1**2 * row)
    assert start.z is Z, "what was given stays as it is"


def test_a_match_given_what_a_chart_shows_is_the_conditional_normal() -> None:
    """Against the precision form; what is given is met, and what nothing ties to it stays."""
    rng = np.random.default_rng(1)
    root = 0.05 * rng.standard_normal((len(NAMES), len(NAMES)))
    root[NAMES.index("row_share"), 1:], root[1:, NAMES.index("row_share")] = 0, 0
    root[0, NAMES.index("row_share")] = root[NAMES.index("row_share"), 0] = 0
    covariance = root @ root.T + 1e-4 * np.eye(len(NAMES))
    found = matched(covariance)
    wanted = {"tone": 0.52, "gamma": 0.93, "saturation": 1.05}
    moved = given(found, wanted)
    places = [NAMES.index(name) for name in wanted]
    rest = np.setdiff1d(np.arange(len(NAMES)), places)
    precision = np.linalg.inv(covariance)
    away = np.array(list(wanted.values())) - Z[places]
    expected = Z[rest] - np.linalg.solve(precision[np.ix_(rest, rest)], precision[np.ix_(rest, places)] @ away)
    np.testing.assert_allclose(moved.z[rest], np.clip(expected, LOWER[rest], UPPER[rest]), atol=1e-9)
    np.testing.assert_allclose(moved.z[places], list(wanted.values()))
    assert moved.z[NAMES.index("row_share")] == pytest.approx(Z[NAMES.index("row_share")])


def test_runs_are_moved_to_where_new_stops_put_them() -> None:
    """Runs with no stops, moved, are near runs with the photographs' own; without the move they are not."""
    true = np.linspace(-1, 1, 16)
    simulate = noisy_photographs(true, 8)
    few = simulate.of(np.arange(128) % 2 == 0)
    none = Stops.none(16)
    tried = [Z + 0.02 * np.eye(len(NAMES))[place] for place in range(4)]
    runs, anew = Runs(), Runs()
    runs.add(tried, few, none)
    before = np.stack(runs.seen)
    found = stops_anew(simulate, few, Z, none, runs, None)
    assert np.corrcoef(found.log2, true)[0, 1] > 0.95
    anew.add(tried, few, found)
    left, was = (np.abs(np.stack(anew.seen) - one)[..., :4].mean() for one in (np.stack(runs.seen), before))
    assert left < 0.4 * was  # noise is noise still
    assert was == pytest.approx(0.35, rel=0.5)
