"""Selection against brute force and its bound, distances against whole numbers, shares against their definition."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spooflab.errors import DataError
from spooflab.experiments.data_sets.curation import space as space_module
from spooflab.experiments.data_sets.curation.parameters import MISSING, Cube, parameter_space
from spooflab.experiments.data_sets.curation.select import farthest_first, quotas, rows_by
from spooflab.experiments.data_sets.curation.space import Block, Space, joined
from spooflab.experiments.data_sets.priors import cdf

POINT = st.tuples(st.integers(-127, 127), st.integers(-127, 127))


@settings(max_examples=60, deadline=None)
@given(st.lists(POINT, min_size=2, max_size=9), st.data())
def test_no_sample_is_more_than_twice_as_far_as_under_the_best_choice(
    points: list[tuple[int, int]], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(points)))
    first = data.draw(st.integers(0, len(points) - 1))
    table = np.array(points, dtype=np.float64)
    squared = np.square(table[:, None] - table[None]).sum(2)
    chosen, nearest = farthest_first(count, lambda row: squared[row].copy(), first=first, size=len(points))
    assert len(set(chosen)) == count
    assert nearest.tolist() == squared[chosen].min(0).tolist()
    best = min(squared[list(some)].min(0).max() for some in combinations(range(len(points)), count))
    assert nearest.max() <= 4 * best  # squared distances: twice the distance


@settings(max_examples=40, deadline=None)
@given(st.lists(POINT, min_size=3, max_size=12))
def test_each_next_sample_is_the_first_of_the_farthest(points: list[tuple[int, int]]) -> None:
    table = np.array(points, dtype=np.float64)
    squared = np.square(table[:, None] - table[None]).sum(2)
    chosen, _ = farthest_first(len(points), lambda row: squared[row].copy(), first=0, size=len(points))
    for k in range(1, len(points)):
        left = [place for place in range(len(points)) if place not in chosen[:k]]
        assert chosen[k] == min(left, key=lambda place: (-min(squared[place, c] for c in chosen[:k]), place))


@pytest.mark.parametrize("width", [3, 1040, 1100])
def test_squared_distances_are_those_of_whole_numbers(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(width)
    values = rng.integers(-127, 128, (50, width)).astype(np.int8)
    values[:3] = np.array([[127], [-127], [127]])  # the largest sums that there are
    block = Block(values, np.zeros(50, np.int32), np.array([1.0]))
    whole = values.astype(np.int64)
    wanted = np.square(whole[:, None] - whole[None]).sum(2)
    assert np.array_equal(block.squared(np.arange(50), 0, 50), wanted)
    monkeypatch.setattr(space_module, "_AT_ONCE", 7)
    monkeypatch.setattr(space_module, "_CENTRES_AT_ONCE", 3)
    assert np.array_equal(block.squared(np.arange(50), 0, 50), wanted)
    space = Space((block,), (0.5,))
    assert np.array_equal(space.nearest(np.array([3, 9, 20, 44])), 0.5 * wanted[[3, 9, 20, 44]].min(0))


def test_parameters_make_a_metric_whatever_species_have_which() -> None:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 40).astype(np.int32)
    codes = rng.integers(-127, 128, (40, 4)).astype(np.int8)
    codes[kind == 1, 2:] = MISSING
    codes[kind == 2] = MISSING
    cube = Cube(("a", "b", "c"), (("w", "x", "y", "z"), ("w", "x"), ()), kind, codes)
    device = Cube(("d",), (("u",),), np.zeros(40, np.int32), codes[:, :1])
    distance = np.sqrt(parameter_space(cube, device).squared(np.arange(40)))
    assert (distance[:, :, None] <= distance[:, None, :] + distance[None].transpose(0, 2, 1) + 1e-12).all()
    assert np.array_equal(distance, distance.T)
    alone = np.sqrt(cube.block().squared(np.arange(40), 0, 40))
    assert alone.max() <= 1
    assert (alone[kind[:, None] != kind[None]] == 1).all()
    one, other = np.flatnonzero(kind == 1)[:2]
    steps = (codes[one, :2].astype(int) - codes[other, :2]) / 254
    assert alone[one, other] == pytest.approx(np.sqrt(np.square(steps).mean()))


def test_spaces_weigh_alike_when_joined() -> None:
    rng = np.random.default_rng(1)
    near, far = (
        Space(
            (Block(rng.integers(-r, r + 1, (30, 5)).astype(np.int8), np.zeros(30, np.int32), np.array([1.0])),), (1.0,)
        )
        for r in (3, 120)
    )
    rows = np.arange(30)
    both = joined([near, far], rows)
    for place in (0, 1):
        one = Space(both.blocks[place : place + 1], both.weights[place : place + 1])
        assert one.squared(rows).mean() == pytest.approx(1)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.data())
def test_shares_are_as_even_as_sizes_allow(sizes: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(len(sizes), sum(sizes)))
    given_ = quotas(dict(enumerate(sizes)), count)
    assert sum(given_.values()) == count
    most = max(given_.values())
    for name, size in enumerate(sizes):
        assert 1 <= given_[name] <= size
        assert given_[name] == size or given_[name] >= most - 1


def test_shares_that_cannot_be_are_refused() -> None:
    with pytest.raises(DataError, match="5 of 3"):
        quotas({"a": 3}, 5)
    with pytest.raises(DataError, match="1 pictures for 2 strata"):
        quotas({"a": 3, "b": 3}, 1)
    assert list(rows_by([["b", "a", "b"], ["x", "x", "x"]], 3)) == [("a", "x"), ("b", "x")]


def test_a_priors_distribution_function_makes_its_draws_uniform() -> None:
    from scipy.stats import kstest

    rng = np.random.default_rng(2)
    draws = np.sort(rng.lognormal(0, 1, 4000).astype(np.float32))
    at = cdf(draws, rng.lognormal(0, 1, 2000))
    assert kstest(at, "uniform").pvalue > 0.01
    assert cdf(np.array([1, 2, 2, 3], np.float32), np.array([0.0, 2.0, 9.0])).tolist() == [0.0, 0.5, 1.0]
