"""Draws that follow a point: exact where they are given, untouched where they are not."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from spooflab.errors import ConfigError
from spooflab.primary_sample import MOST_NUMBERS, Axis, PrimarySample
from spooflab.seeds import generator


def drawn(gen: torch.Generator) -> list[torch.Tensor]:
    return [
        torch.rand(2, generator=gen),
        torch.randn(1, 2, generator=gen),
        torch.randint(3, 8, (2,), generator=gen),
        torch.multinomial(torch.tensor([0.5, 0.2, 0.3]), 2, True, generator=gen),
        torch.randint(0, 2**62, (1,), generator=gen),
    ]


def test_values_are_the_inverse_distribution_functions_of_the_point():
    point = [0.125, 0.75, 0.3, 0.9, 0.0, 0.99, 0.6, 0.71]
    gen = generator(1, "x")
    with PrimarySample(gen, point) as mode:
        uniform, normal, whole, kind, _ = drawn(gen)
    assert uniform.tolist() == point[:2]
    np.testing.assert_allclose(normal[0].numpy(), norm.ppf(point[2:4]).astype(np.float32), rtol=1e-6)
    assert whole.tolist() == [3, 7]
    assert kind.tolist() == [1, 2]  # 0.5 ≤ 0.6 < 0.7 ≤ 0.71
    assert mode.values == point
    assert mode.axes[::2] == [Axis("uniform"), Axis("normal"), Axis("integer", 5), Axis("category", 3)]


def test_its_own_coordinates_give_the_same_bits_and_seeds_ignore_the_point():
    plain = drawn(generator(4, "x"))
    gen = generator(4, "x")
    with PrimarySample(gen) as mode:
        watched = drawn(gen)
    gen = generator(4, "x")
    with PrimarySample(gen, mode.values):
        again = drawn(gen)
    gen = generator(4, "x")
    with PrimarySample(gen, [0.5] * 8):
        moved = drawn(gen)
    for a, b, c in zip(plain, watched, again, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
    assert torch.equal(moved[-1], plain[-1])
    assert not torch.equal(moved[0], plain[0])


def test_a_short_point_other_generators_and_large_fields_are_left_alone():
    gen, other = generator(2, "a"), generator(2, "b")
    with PrimarySample(gen, [0.5, float("nan")]) as mode:
        first = torch.rand(3, generator=gen)
        elsewhere = torch.rand(3, generator=other)
        field = torch.rand(MOST_NUMBERS + 1, generator=gen)
    plain = generator(2, "a")
    expected = torch.rand(3, generator=plain)
    assert first.tolist() == [0.5, *expected[1:].tolist()]
    assert torch.equal(elsewhere, torch.rand(3, generator=generator(2, "b")))
    assert torch.equal(field, torch.rand(MOST_NUMBERS + 1, generator=plain))
    assert len(mode.values) == 3


def test_a_uniform_point_is_the_prior():
    us = np.random.default_rng(0).random(4000)
    gen = generator(3, "x")
    with PrimarySample(gen, us.tolist()):
        normals = torch.stack([torch.randn(1, generator=gen) for _ in range(4000)])
    assert kstest(normals[:, 0].numpy(), "norm").pvalue > 1e-3


def test_the_end_of_the_interval_stays_inside():
    gen = generator(3, "x")
    with PrimarySample(gen, [1 - 2.0**-53] * 2):
        assert float(torch.rand(1, generator=gen)) < 1
        assert torch.isfinite(torch.randn(1, generator=gen)).all()
    with pytest.raises(ConfigError, match=r"1\.0"):
        PrimarySample(gen, [1.0])
