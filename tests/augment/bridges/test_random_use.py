"""What random sources are seen in use, and that watching leaves nothing behind."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.random import default_rng

from spooflab.augment.bridges.random_use import random_sources

OWN = torch.Generator()


@pytest.mark.parametrize(
    ("action", "seen"),
    [
        (lambda: torch.rand(2), ["torch"]),
        (lambda: torch.rand(2, generator=OWN), ["torch"]),
        (lambda: torch.empty(2).normal_(), ["torch"]),
        (lambda: torch.Generator().manual_seed(1), ["torch"]),
        (lambda: random.Random(1).random(), ["random"]),
        (lambda: random.choice([1, 2]), ["random"]),
        (lambda: np.random.rand(), ["numpy.random's global state"]),  # noqa: NPY002
        (lambda: default_rng(1).random(), ["numpy.random.default_rng"]),  # imported by name before the watch began
        (lambda: np.random.RandomState(1).rand(), ["numpy.random.RandomState"]),
        (lambda: torch.ones(2).sum() + np.ones(2).sum(), []),
    ],
)
def test_sources_are_seen(action: Callable[[], object], seen: list[str]) -> None:
    assert random_sources(action) == seen


def test_watching_leaves_nothing_behind_even_after_an_error() -> None:
    before = (np.random.default_rng, np.random.Generator, default_rng)
    with pytest.raises(ZeroDivisionError):
        random_sources(lambda: 1 / 0)
    assert (np.random.default_rng, np.random.Generator, default_rng) == before


def test_generators_stay_what_they_are_while_watched() -> None:
    made: list[object] = []
    random_sources(lambda: made.append(isinstance(np.random.default_rng(0), np.random.Generator)))
    assert made == [True]
