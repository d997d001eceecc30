"""Ink on paper against closed forms and other libraries."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import lab2xyz, xyz2lab

from spooflab.generators.instruments.ink_colour import (
    lab_to_linear,
    linear_to_lab,
    luminance,
    srgb_decode,
    srgb_encode,
)
from spooflab.generators.instruments.ink_model import (
    InkModel,
    contone,
    demichel,
    grow_dots,
    murray_davies,
    neugebauer,
    neugebauer_planes,
    overprints,
)

unit = st.floats(0, 1, allow_nan=False)


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def primaries() -> torch.Tensor:
    return 0.02 + 0.9 * torch.rand(16, 3, generator=gen(5))


@settings(max_examples=40, deadline=None)
@given(st.tuples(unit, unit, unit, unit))
def test_demichel_sums_to_one_and_is_the_product(coverage: tuple[float, float, float, float]) -> None:
    weights = demichel(torch.tensor(coverage, dtype=torch.float64))
    assert float(weights.sum()) == pytest.approx(1, abs=1e-12)
    for index in range(16):
        wanted = math.prod(a if index >> ink & 1 else 1 - a for ink, a in enumerate(coverage))
        assert float(weights[index]) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("n", [1.0, 1.7, 2.5])
def test_planes_equal_the_weights(n: float) -> None:
    coverage = torch.rand(4, 5, 7, generator=gen(1))
    got = neugebauer_planes(coverage, primaries(), n)
    assert torch.allclose(got, neugebauer(coverage.permute(1, 2, 0), primaries(), n).permute(2, 0, 1), atol=2e-6)


@pytest.mark.parametrize("n", [1.0, 1.5, 2.0, 3.0])
def test_solids_are_the_primaries(n: float) -> None:
    corners = torch.tensor([[i >> ink & 1 for ink in range(4)] for i in range(16)], dtype=torch.float32)
    assert torch.allclose(neugebauer(corners, primaries(), n), primaries(), atol=1e-5)


@pytest.mark.parametrize(("n", "solid"), [(1.0, 0.05), (1.5, 0.03), (2.0, 0.05), (2.0, 0.2)])
@pytest.mark.parametrize("a", [0.1, 0.25, 0.5, 0.8])
def test_tone_value_increase_follows_yule_nielsen(n: float, solid: float, a: float) -> None:
    """Murray-Davies reads R = (1 + a (Rs^(1/n) - 1))^n as the area (1 - R) / (1 - Rs): the optical gain."""
    table = torch.ones(16, 3)
    table[8:] = solid
    model = InkModel(primaries=table, n=n)
    reflectance = model.reflectance(torch.tensor([0.0, 0.0, 0.0, a]))
    apparent = murray_davies(reflectance, model.white, table[8])
    closed = (1 - (1 + a * (solid ** (1 / n) - 1)) ** n) / (1 - solid)
    assert apparent.tolist() == pytest.approx([closed] * 3, abs=1e-5)
    gain = closed - a
    assert gain == pytest.approx(0, abs=1e-6) if n == 1 else gain > 0.01


def test_printed_tone_value_increase_is_in_the_range_of_real_prints() -> None:
    """ISO 12647-2 curves lie near 14-22 % at 50 % on coated to uncoated stock; mechanical and optical together."""
    table = torch.ones(16, 3)
    table[8:] = 0.04
    model = InkModel(primaries=table, n=1.7, dot_gain=0.05)
    apparent = murray_davies(model.reflectance(torch.tensor([0.0, 0.0, 0.0, 0.5])), model.white, table[8])
    assert 0.10 < float(apparent[0]) - 0.5 < 0.30


def test_dot_gain_is_the_stated_value_at_half_and_nothing_at_the_ends() -> None:
    assert grow_dots(torch.tensor([0.0, 0.5, 1.0]), 0.14).tolist() == pytest.approx([0, 0.64, 1])
    assert float(grow_dots(torch.tensor(0.95), 0.3)) <= 1


def test_dyes_add_their_densities() -> None:
    density = torch.tensor([[1.5, 0.3, 0.1], [0.2, 1.4, 0.4], [0.0, 0.1, 1.3], [0.0, 0.0, 0.0]])
    white = torch.tensor([0.9, 0.9, 0.85])
    amount = torch.tensor([0.5, 0.25, 1.0, 0.0])
    got = -torch.log10(contone(amount, density, white) / white)
    assert got.tolist() == pytest.approx([0.75 + 0.05, 0.15 + 0.35 + 0.1, 0.05 + 0.1 + 1.3], abs=1e-5)


def test_yule_nielsen_tends_to_dyes() -> None:
    """For n to infinity the mean becomes geometric: coverages act as dye amounts."""
    absorbed = torch.tensor([[0.9, 0.4, 0.1], [0.3, 0.9, 0.3], [0.1, 0.2, 0.9], [0.8, 0.8, 0.8]])
    table = torch.stack(
        [torch.stack([1 - absorbed[k] if i >> k & 1 else torch.ones(3) for k in range(4)]).prod(0) for i in range(16)]
    ).double()
    coverage = torch.tensor([0.3, 0.6, 0.2, 0.1], dtype=torch.float64)
    dyes = contone(coverage, -torch.log10(1 - absorbed).double(), torch.ones(3, dtype=torch.float64))
    assert torch.allclose(neugebauer(coverage, table, 4000.0), dyes, atol=1e-3)


def test_black_hides_what_is_under_it() -> None:
    singles = torch.tensor([[0.9] * 3, [0.1, 0.5, 0.8], [0.7, 0.1, 0.3], [0.8, 0.8, 0.1], [0.03] * 3])
    pairs = torch.tensor([[0.08, 0.06, 0.3], [0.09, 0.4, 0.1], [0.6, 0.08, 0.05], [0.05] * 3])
    table = overprints(singles, pairs)
    assert torch.equal(table[0], singles[0])
    assert torch.equal(table[3], pairs[0])
    assert torch.equal(table[7], pairs[3])
    assert torch.allclose(table[8], singles[4])
    assert bool((table[9:] <= singles[4] + 1e-6).all())


def test_lab_agrees_with_scikit_image() -> None:
    lab = np.stack(np.meshgrid([20.0, 50.0, 90.0], [-30.0, 0.0, 40.0], [-40.0, 5.0, 50.0]), -1).reshape(-1, 3)
    rgb = lab_to_linear(torch.from_numpy(lab))
    to_xyz = np.array(
        [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
    )
    assert np.abs(rgb.numpy() @ to_xyz.T - lab2xyz(lab, illuminant="D50")).max() < 2e-4
    inside = torch.rand(20, 3, generator=gen(2), dtype=torch.float64)
    assert np.abs(linear_to_lab(inside).numpy() - xyz2lab(inside.numpy() @ to_xyz.T, illuminant="D50")).max() < 0.05


def test_white_is_neutral_and_srgb_round_trips() -> None:
    assert linear_to_lab(torch.ones(3)).tolist() == pytest.approx([100, 0, 0], abs=0.05)
    assert float(luminance(torch.ones(3))) == pytest.approx(1, abs=1e-6)
    x = torch.linspace(0, 1, 101)
    assert torch.allclose(srgb_decode(srgb_encode(x)), x, atol=1e-5)
    assert float(srgb_encode(torch.tensor(0.2140411))) == pytest.approx(0.5, abs=1e-4)
