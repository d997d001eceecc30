"""Turbid layers against closed limits, the composition of layers and a numerical solution of the two fluxes."""

import itertools

import numpy as np
import pytest
import torch

from spooflab.generators.instruments.kubelka_munk import hiding_pigment, mixture, over, pigment

MASSTONES = [(0.35, 0.02, 0.03), (0.85, 0.84, 0.80), (0.02, 0.015, 0.012), (0.55, 0.33, 0.22)]


def on(reflect: float | tuple[float, ...]) -> torch.Tensor:
    values = torch.tensor(reflect if isinstance(reflect, tuple) else (reflect,) * 3)
    return values[:, None, None]


def layer(paint: object, thickness: float, below: torch.Tensor) -> torch.Tensor:
    return over(paint, torch.full((1, 1), thickness), below)[:, 0, 0]  # type: ignore[arg-type]  # a Pigment


@pytest.mark.parametrize("masstone", MASSTONES)
def test_a_thick_layer_has_its_masstone_whatever_lies_below(masstone: tuple[float, ...]) -> None:
    paint = pigment(torch.tensor(masstone), 400.0)
    for below in (0.0, 0.5, 1.0):
        torch.testing.assert_close(layer(paint, 1.0, on(below)), torch.tensor(masstone), atol=3e-3, rtol=0)
    ratio = paint.absorb / paint.scatter
    closed = 1 + ratio - (ratio.square() + 2 * ratio).sqrt()
    torch.testing.assert_close(closed, torch.tensor(masstone), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("masstone", MASSTONES)
def test_no_layer_leaves_the_substrate(masstone: tuple[float, ...]) -> None:
    below = on((0.5, 0.31, 0.2))
    assert torch.equal(layer(pigment(torch.tensor(masstone), 2.0), 0.0, below), below[:, 0, 0])


@pytest.mark.parametrize("masstone", MASSTONES)
def test_two_layers_are_one_of_double_thickness(masstone: tuple[float, ...]) -> None:
    paint = pigment(torch.tensor(masstone), 0.7)
    once = layer(paint, 0.6, on(0.4))
    twice = layer(paint, 0.6, once[:, None, None])
    torch.testing.assert_close(twice, layer(paint, 1.2, on(0.4)), atol=2e-6, rtol=1e-4)


def test_over_its_own_masstone_a_layer_is_invisible() -> None:
    skin = (0.55, 0.33, 0.22)
    paint = pigment(torch.tensor(skin), 1.3)
    torch.testing.assert_close(layer(paint, 0.8, on(skin)), torch.tensor(skin), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("masstone", MASSTONES)
def test_the_closed_form_solves_the_two_fluxes(masstone: tuple[float, ...]) -> None:
    """dR/dx = S - 2 (S + K) R + S R² from R(0) = R_g (Kubelka 1948), by Runge and Kutta's fourth-order steps."""
    paint, below = pigment(torch.tensor(masstone), 0.9), 0.37
    for channel in range(3):
        s, k = float(paint.scatter[channel]), float(paint.absorb[channel])

        def slope(r: float, s: float = s, k: float = k) -> float:
            return s - 2 * (s + k) * r + s * r * r

        r, steps = below, 20_000
        h = 1 / steps
        for _ in range(steps):
            a = slope(r)
            b = slope(r + h / 2 * a)
            c = slope(r + h / 2 * b)
            d = slope(r + h * c)
            r += h / 6 * (a + 2 * b + 2 * c + d)
        assert float(layer(paint, 1.0, on(below))[channel]) == pytest.approx(r, abs=2e-5)


@pytest.mark.parametrize("masstone", MASSTONES)
@pytest.mark.parametrize("hiding", [0.1, 0.7, 2.0])
def test_hiding_is_the_contrast_that_is_left(masstone: tuple[float, ...], hiding: float) -> None:
    paint = hiding_pigment(torch.tensor(masstone), hiding)
    contrast = (layer(paint, 1.0, on(1.0)) - layer(paint, 1.0, on(0.0))).mean()
    assert float(contrast) == pytest.approx(np.exp(-2 * hiding), rel=2e-3, abs=1e-5)


def test_mixing_adds_absorption_and_scattering() -> None:
    red, white = (pigment(torch.tensor(m), s) for m, s in ((MASSTONES[0], 0.5), (MASSTONES[1], 2.0)))
    both = mixture([(red, 0.3), (white, 0.7)])
    torch.testing.assert_close(both.absorb, 0.3 * red.absorb + 0.7 * white.absorb, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(both.scatter, 0.3 * red.scatter + 0.7 * white.scatter)
    assert bool((both.masstone > red.masstone - 1e-4).all())
    assert bool((both.masstone < white.masstone + 1e-4).all())


def test_maps_of_pigment_equal_the_pigments_one_by_one() -> None:
    masstones = torch.tensor(MASSTONES[:2]).T[:, :, None]
    both = over(pigment(masstones, 0.8), torch.full((2, 1), 0.9), on(0.3).expand(3, 2, 1))
    for k in range(2):
        alone = layer(pigment(torch.tensor(MASSTONES[k]), 0.8), 0.9, on(0.3))
        torch.testing.assert_close(both[:, k, 0], alone)


def test_more_product_hides_more_and_never_leaves_the_range() -> None:
    paint = hiding_pigment(torch.tensor(MASSTONES[3]), 0.5)
    below = torch.rand(3, 9, 7, generator=torch.Generator().manual_seed(3))
    spread = [over(paint, torch.full((9, 7), x), below).flatten(1).std(1) for x in (0.0, 0.5, 1.0, 3.0)]
    for thin, thick in itertools.pairwise(spread):
        assert bool((thick < thin).all())
    covered = over(paint, torch.full((9, 7), 1.0), below)
    assert 0 <= float(covered.min()) <= float(covered.max()) <= 1
