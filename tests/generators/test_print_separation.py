"""Separation: round trips through the printer's own forward model, gamut mapping, black generation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares

from spooflab.generators.instruments.ink_colour import (
    lab_planes,
    linear_to_lab,
    luminance,
    srgb_decode,
    srgb_encode,
)
from spooflab.generators.instruments.ink_model import InkModel
from spooflab.generators.instruments.ink_separation import (
    apply_table,
    print_target,
    separate,
    separation_table,
)
from spooflab.generators.instruments.paper import Paper, load_papers

PAPERS = ("laser_office_141", "newsprint_85", "inkjet_plain_600", "silver_halide_glossy")


def paper(name: str) -> Paper:
    return load_papers()[name]


def printable(item: Paper, count: int) -> torch.Tensor:
    """Encoded colours that the printer can print: its own patches, brought back through the target mapping."""
    model, black = item.ink_model(), item.black_generation()
    coverage = torch.rand(count, 4, generator=torch.Generator().manual_seed(1)) * 0.75
    if not black.has_black:
        coverage[:, 3] = 0
    floor = print_target(model, black, torch.zeros(1, 3))[0] / model.white
    linear = (model.reflectance(coverage) / model.white - floor) / (1 - floor)
    inside = ((linear > 0.002) & (linear < 0.998)).all(-1)
    return srgb_encode(linear[inside])


def difference(item: Paper, encoded: torch.Tensor, coverage: torch.Tensor) -> torch.Tensor:
    model, black = item.ink_model(), item.black_generation()
    want = linear_to_lab(print_target(model, black, srgb_decode(encoded)))
    return (linear_to_lab(model.reflectance(coverage)) - want).norm(dim=-1)


@pytest.mark.parametrize("name", PAPERS)
def test_printable_colours_round_trip(name: str) -> None:
    item = paper(name)
    encoded = printable(item, 120)
    assert len(encoded) > 40
    off = difference(item, encoded, separate(item.ink_model(), item.black_generation(), encoded))
    assert float(off.mean()) < 0.5
    assert float(off.quantile(0.95)) < 2
    assert float(off.max()) < 5


def test_table_interpolates_to_within_three() -> None:
    item = paper("laser_business_175")
    model, black = item.ink_model(), item.black_generation()
    table = separation_table(model, black)
    encoded = printable(item, 200)
    coverage = apply_table(table, encoded.T[None, :, :, None])[0, :, :, 0].T
    off = difference(item, encoded, coverage)
    assert float(off.mean()) < 1.5
    assert float(off.quantile(0.95)) < 4


@pytest.mark.parametrize("name", PAPERS)
def test_white_is_bare_paper_and_black_the_darkest_ink(name: str) -> None:
    item = paper(name)
    model, black = item.ink_model(), item.black_generation()
    ends = separate(model, black, torch.tensor([[1.0] * 3, [0.0] * 3]))
    assert float(ends[0].max()) < 1e-3
    assert torch.allclose(model.reflectance(ends[0]), model.white, atol=2e-3)
    wanted = print_target(model, black, torch.zeros(1, 3))[0]
    assert float(luminance(model.reflectance(ends[1]))) == pytest.approx(float(luminance(wanted)), rel=0.25)
    assert float(luminance(wanted)) > 0.002  # prints have lifted blacks


@pytest.mark.parametrize("name", PAPERS)
def test_vivid_colours_go_to_the_boundary_and_keep_their_hue(name: str) -> None:
    item = paper(name)
    model, black = item.ink_model(), item.black_generation()
    encoded = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 0.4, 0], [0, 0.9, 0.4]])
    coverage = separate(model, black, encoded)
    got = linear_to_lab(model.reflectance(coverage))
    want = linear_to_lab(print_target(model, black, srgb_decode(encoded)))
    assert bool(((coverage < 1e-3) | (coverage > 0.999)).any(-1).all())
    turn = torch.atan2(got[:, 2], got[:, 1]) - torch.atan2(want[:, 2], want[:, 1])
    off = torch.rad2deg(torch.atan2(turn.sin(), turn.cos())).abs()
    assert float(off.max()) < 15
    assert bool((got[:, 1:].norm(dim=-1) < want[:, 1:].norm(dim=-1) + 1).all())


def test_gcr_exchanges_inks_but_keeps_the_colour() -> None:
    item = paper("laser_business_175")
    model, black = item.ink_model(), item.black_generation()
    grey = torch.linspace(0.15, 0.6, 8)[:, None].expand(-1, 3)
    skin = torch.tensor([[0.45, 0.30, 0.24], [0.3, 0.2, 0.16]])
    encoded = torch.cat([grey, skin])
    little = separate(model, replace(black, gcr=0.05), encoded)
    much = separate(model, replace(black, gcr=0.95), encoded)
    assert float((much[:, 3] - little[:, 3]).mean()) > 0.15
    assert float((little[:, :3] - much[:, :3]).mean()) > 0.1
    off = (linear_to_lab(model.reflectance(little)) - linear_to_lab(model.reflectance(much))).norm(dim=-1)
    assert float(off.mean()) < 1
    assert float(off.max()) < 3


def test_ink_limit_holds() -> None:
    item = paper("laser_business_175")
    black = replace(item.black_generation(), ink_limit=2.4)
    coverage = separate(item.ink_model(), black, torch.rand(60, 3, generator=torch.Generator().manual_seed(4)) ** 2)
    assert float(coverage.sum(-1).max()) < 2.5


def test_dyes_use_no_black() -> None:
    item = paper("silver_halide_glossy")
    coverage = separate(
        item.ink_model(), item.black_generation(), torch.rand(30, 3, generator=torch.Generator().manual_seed(2))
    )
    assert float(coverage[:, 3].abs().max()) == 0


def test_table_reads_its_own_nodes() -> None:
    table = torch.rand(4, 5, 5, 5, generator=torch.Generator().manual_seed(0))
    node = torch.tensor([0.25, 0.5, 1.0])
    got = apply_table(table, node[None, :, None, None])[0, :, 0, 0]
    assert torch.allclose(got, table[:, 1, 2, 4], atol=1e-6)
    assert not math.isnan(float(got.sum()))


def in_float64(model: InkModel) -> InkModel:
    density = None if model.density is None else model.density.double()
    return replace(model, primaries=model.primaries.double(), density=density)


@pytest.mark.parametrize("gain", [None, 0.3])  # 0.3: dots close before they are nominally full
@pytest.mark.parametrize("name", PAPERS)
def test_slopes_are_those_of_the_forward_model(name: str, gain: float | None) -> None:
    model = in_float64(paper(name).ink_model())
    model = model if gain is None else replace(model, dot_gain=gain)
    x = torch.rand(7, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x[0] = 0.95
    colour, slopes = model.linearised(x.T)
    lab, lab_slopes = lab_planes(colour, slopes)
    for value, by_ink, forward in (
        (colour, slopes, model.reflectance),
        (lab, lab_slopes, lambda row: linear_to_lab(model.reflectance(row))),
    ):
        assert torch.allclose(value.T, forward(x), rtol=1e-6, atol=1e-9)
        wanted = torch.stack([torch.autograd.functional.jacobian(forward, row) for row in x], -1)
        assert torch.allclose(by_ink, wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["laser_business_175", "silver_halide_glossy"])
def test_no_other_solver_finds_a_nearer_colour(name: str) -> None:
    item = paper(name)
    model, black = in_float64(item.ink_model()), replace(item.black_generation(), has_black=False)
    encoded = torch.rand(24, 3, generator=torch.Generator().manual_seed(6))
    ours = separate(item.ink_model(), black, encoded)[:, :3].double()
    target = linear_to_lab(print_target(item.ink_model(), black, srgb_decode(encoded)).double())
    for cmy, lab in zip(ours, target, strict=True):

        def off(x: NDArray[np.float64], lab: torch.Tensor = lab) -> NDArray[np.float64]:
            a, b = lab[1:] / lab[1:].norm()
            d = linear_to_lab(model.reflectance(torch.tensor([*x, 0.0], dtype=torch.float64))) - lab
            return torch.stack([d[0], 0.7 * (a * d[1] + b * d[2]), 1.8 * (a * d[2] - b * d[1])]).numpy()

        best = min(np.linalg.norm(least_squares(off, [s] * 3, bounds=(0, 1)).fun) for s in (0.2, 0.5, 0.8))
        assert np.linalg.norm(off(cmy.numpy())) < best + 0.1
