"""Counts, coverage and resumption of balanced batches."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spooflab.adapters import BalancedSampler
from spooflab.errors import DataError


def unbalanced() -> tuple[torch.Tensor, torch.Tensor]:
    # attack: 30 in domain 0, 5 in domain 1, 3 in domain 2; bona fide: 4 in domain 0, 8 in domain 2, none in 1.
    labels = torch.tensor([0] * 38 + [1] * 12)
    domains = torch.tensor([0] * 30 + [1] * 5 + [2] * 3 + [0] * 4 + [2] * 8)
    return labels, domains


def test_classes_and_domains_come_equally_often():
    labels, domains = unbalanced()
    sampler = BalancedSampler(labels, domains, batch_size=12, seed=0)
    counts: Counter[tuple[int, int]] = Counter()
    for step in range(30):
        rows, _ = sampler.batch(step)
        assert int(labels[rows].sum()) == 6
        counts.update((int(labels[r]), int(domains[r])) for r in rows)
    assert counts == {(0, 0): 60, (0, 1): 60, (0, 2): 60, (1, 0): 90, (1, 2): 90}
    assert sampler.empty_cells() == [(1, 1)]


def test_a_cell_is_used_up_before_it_repeats():
    labels, domains = unbalanced()
    sampler = BalancedSampler(labels, domains, batch_size=12, seed=0)
    seen: dict[tuple[int, int, int], list[int]] = {}
    for step in range(45):
        for row, epoch in zip(*sampler.batch(step), strict=True):
            seen.setdefault((int(labels[row]), int(domains[row]), epoch), []).append(row)
    small = [rows for (label, domain, _), rows in seen.items() if (label, domain) == (0, 1)]
    assert len(small) == 18
    assert all(sorted(rows) == [30, 31, 32, 33, 34] for rows in small)
    assert len({tuple(rows) for rows in small}) > 10  # reshuffled each time


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 400), st.integers(2, 17), st.integers(0, 5))
def test_a_step_number_alone_decides_the_batch(step: int, batch_size: int, seed: int):
    labels, domains = unbalanced()
    walked = BalancedSampler(labels, domains, batch_size=batch_size, seed=seed)
    for earlier in range(max(0, step - 3), step):
        walked.batch(earlier)
    assert walked.batch(step) == BalancedSampler(labels, domains, batch_size=batch_size, seed=seed).batch(step)


def test_seeds_differ():
    labels, domains = unbalanced()
    batches = [BalancedSampler(labels, domains, batch_size=12, seed=s).batch(0) for s in range(4)]
    assert len({tuple(rows) for rows, _ in batches}) == 4


def test_one_class_is_an_error():
    with pytest.raises(DataError, match="no bona fide"):
        BalancedSampler(torch.zeros(5, dtype=torch.int64), torch.zeros(5, dtype=torch.int64), batch_size=2, seed=0)
