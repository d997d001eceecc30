"""Noise and halos beside edges: closed forms of their measures, and what noise reduction and sharpening do to them."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from fitted_camera import CANDIDATE, KNOWN

from spooflab.augment import View
from spooflab.augment.develop import develop
from spooflab.augment.fit.beside import (
    Beside,
    Sides,
    StepSimulator,
    measured_sides,
    seen_beside,
    sides_of,
    striped_covers,
)
from spooflab.augment.fit.chain import device_rows, linear_light
from spooflab.augment.fit.edges import Edges, edges_of
from spooflab.augment.fit.simulator import Stops
from spooflab.augment.fit.sought import NAMES, from_values
from spooflab.augment.fit.steps import step_covers
from spooflab.augment.lens import through_lens

LENS = View.ideal(256, 256, f_number=2.0, pitch_um=1.4)
Z = from_values(vars(CANDIDATE))


def upright(count: int, side: int = 64) -> Edges:
    """Edges in the middle of as many pictures, dark on the left."""
    return Edges(
        np.arange(count),
        np.full((count, 2), side // 2),
        np.tile([1.0, 0.0], (count, 1)),
        np.full(count, 0.5),
        np.tile(np.array([[[0.2] * 3, [0.7] * 3]]), (count, 1, 1)),
    )


def test_noise_is_the_variance_along_lines_near_and_far() -> None:
    """White noise: a line between two columns is the mean of both, so of half the variance."""
    rng = np.random.default_rng(0)
    luma = np.where(np.arange(64) < 32, 0.2, 0.7) * np.ones((3000, 64, 64))
    codes = np.where(np.abs(np.arange(64) - 32) <= 4, 6.0, 3.0)
    codes[32:] *= 2
    luma += codes / 255 * rng.standard_normal(luma.shape)
    found = measured_sides(luma.astype(np.float32), upright(3000))
    assert found.even.mean() > 0.99
    near, far = (1 + 0.5 + 1) / 3, (0.5 + 1 + 0.5 + 1) / 4
    expected = np.array([[36 * near, 9 * far], [144 * near, 36 * far]])
    np.testing.assert_allclose(found.energy.mean(0), expected, rtol=0.05)


def test_shade_and_bends_are_no_noise_and_a_second_edge_is_seen() -> None:
    y, x = np.mgrid[0:64, 0:64] - 32.0
    bent = 1 / (1 + np.exp(-2 * (x - 0.01 * y**2))) * 0.5 + 0.2 + 0.002 * y
    crossed = np.where(x < 0, 0.2, np.where(y < 2, 0.7, 0.3))
    luma = np.stack([bent, crossed]).astype(np.float32)
    found = measured_sides(luma, upright(2))
    assert found.even.tolist() == [[True, True], [True, False]]
    assert found.energy[0].max() < 0.02


def test_halo_is_what_lies_beyond_the_level_further_out() -> None:
    x = np.arange(64) - 32.0
    step = np.where(x < 0, 0.2, 0.7) + np.sign(x) * 0.01 * (np.abs(x) <= 3)
    found = measured_sides(np.tile(step, (1, 64, 1)).astype(np.float32), upright(1))
    np.testing.assert_allclose(found.halo, [[0.02, 0.02]], atol=1e-5)  # of a contrast of .5
    np.testing.assert_allclose(found.energy, 0, atol=1e-6)


def test_edges_of_several_pictures_are_those_of_each() -> None:
    rng = np.random.default_rng(3)
    luma = np.stack([np.where(np.arange(64) < column, 0.2, 0.7) * np.ones((64, 64)) for column in (30, 25, 40)])
    luma = (luma + 0.01 * rng.standard_normal(luma.shape)).astype(np.float32)
    together = edges_of(luma, luma[..., None], most=12)
    assert np.bincount(together.picture).tolist() == [12, 12, 12]
    for one in range(3):
        alone = edges_of(luma[one : one + 1], luma[one : one + 1, ..., None], most=12)
        own = together.take(np.flatnonzero(together.picture == one))
        np.testing.assert_array_equal(own.place, alone.place)
        np.testing.assert_array_equal(own.steepness, alone.steepness)
        np.testing.assert_array_equal(own.colours, alone.colours)
    inner = edges_of(luma, luma[..., None], border_px=28)
    assert len(inner) > 0
    assert inner.place.min() >= 28
    assert inner.place.max() < 64 - 28


def test_places_that_are_passed_over_as_noise_hold_no_clean_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    cover = step_covers(6, 96, View.ideal(96, 96), stripe_px=24)[:, 0].numpy()
    noise = np.random.default_rng(3).normal(0, 0.02, cover.shape)
    luma = (0.2 + np.linspace(0.14, 0.5, 6)[:, None, None] * cover + noise).astype(np.float32)
    quick = edges_of(luma, luma[..., None], most=10_000)
    monkeypatch.setattr("spooflab.augment.fit.edges._LIKELY", -100.0)
    whole = edges_of(luma, luma[..., None], most=10_000)
    assert len(whole) > 500
    np.testing.assert_array_equal(quick.place, whole.place)


def test_stripes_are_as_wide_as_asked_and_a_step_is_one() -> None:
    lens = View.ideal(512, 512)
    striped, single = step_covers(3, 128, lens, stripe_px=20), step_covers(3, 128, lens)
    ends = np.flatnonzero(np.diff((striped[0, 0, 64] > 0.5).numpy()))  # the first picture's steps stand upright
    np.testing.assert_array_equal(np.diff(ends), 20)
    assert np.abs(np.diff((single[0, 0, 64] > 0.5).numpy().astype(int))).sum() == 1
    assert single.mean((1, 2, 3)).numpy() == pytest.approx(np.full(3, 0.5), abs=0.01)
    for cover in (striped, single):
        assert cover.min() >= 0
        assert cover.max() <= 1


def drawn_sides(photos: int, each: int, *, colours: np.ndarray, seed: int = 0) -> tuple[Edges, Sides]:
    """Sides whose log ratio is 1 and whose halo is .02; they scatter by .2 and .01 from photograph to photograph."""
    rng = np.random.default_rng(seed)
    picture = np.arange(photos).repeat(each)
    shift = rng.standard_normal(photos)[picture, None]
    energy = rng.chisquare(8, (len(picture), 2, 2)) * 10
    energy[..., 0] *= np.exp(1 + 0.2 * shift)
    place, normal = np.zeros((len(picture), 2), np.int64), np.tile([1.0, 0.0], (len(picture), 1))
    edges = Edges(picture, place, normal, np.full(len(picture), 0.5), colours[np.arange(len(picture)) % len(colours)])
    halo = 0.02 + 0.01 * shift + 0.005 * rng.standard_normal((len(picture), 2))
    return edges, Sides(energy, halo, np.ones((len(picture), 2), np.bool_))


GREYS = np.linspace(0, 0.3, 30)[:, None, None] + np.array([[[0.05] * 3, [0.55] * 3]])


def test_terms_are_the_ratio_and_the_halo_and_their_covariance_how_they_scatter() -> None:
    found = seen_beside(*drawn_sides(64, 60, colours=GREYS))
    assert found.terms[:6] == pytest.approx(np.ones(6), abs=0.12)
    assert found.terms[6:] == pytest.approx(np.full(6, 0.02), abs=0.005)
    assert found.edges == 64 * 60
    many = np.stack([seen_beside(*drawn_sides(64, 60, colours=GREYS, seed=s)).terms for s in range(1, 60)])
    scenes = np.repeat([0.02**2 + 0.015**2, 0.0015**2 + 0.002**2], 6)
    assert np.sqrt(np.diag(found.covariance) - scenes) == pytest.approx(many.std(0), rel=0.5)
    scatter = np.cov(many.T)  # photographs move all groups alike, and the halo with the noise
    assert found.covariance[0, 1] - 0.02**2 == pytest.approx(scatter[0, 1], rel=0.8)
    assert found.covariance[0, 6] == pytest.approx(scatter[0, 6], rel=0.8)


def test_skin_is_left_out_and_what_few_photographs_show() -> None:
    skin = GREYS.copy()
    skin[:, 1] = [0.85, 0.62, 0.5]
    found = seen_beside(*drawn_sides(64, 60, colours=skin))
    assert np.isfinite(found.terms).tolist() == ([True] * 3 + [False] * 3) * 2
    assert np.isnan(seen_beside(*drawn_sides(6, 600, colours=GREYS)).terms).all()
    bare = seen_beside(*drawn_sides(19, 6, colours=GREYS))  # 38 sides of a group
    assert np.isnan(bare.terms).all()


def simulator(count: int, *, blur_px: float = 0.5) -> StepSimulator:
    rng = np.random.default_rng(5)
    dark, bright = rng.uniform(0.1, 0.3, (count, 1)), rng.uniform(0.5, 0.8, (count, 1))
    tint = np.array([0.95, 1.0, 1.05])
    colours = np.stack([dark * tint, bright * tint], 1)
    edges = dataclasses.replace(upright(count), colours=colours)
    cuts = np.array([[1 / 6, 7 / 30], [0.6, 0.7]])
    quality = np.full(count, 95)
    return StepSimulator(
        Beside(np.zeros(12), np.eye(12), cuts, count), edges, KNOWN, quality, striped_covers(count, LENS, blur_px)
    )


def moved(**by: float) -> np.ndarray:
    z = Z.copy()
    for name, step in by.items():
        z[NAMES.index(name)] += step
    return z


def test_noise_reduction_raises_the_ratio_and_sharpening_the_halo() -> None:
    simulate, stops = simulator(48), Stops.none(48)
    here = simulate(Z, stops)
    assert np.isfinite(here).all()
    np.testing.assert_array_equal(simulate(Z, stops), here)
    assert (here[:6] > 0.4).all()
    assert (simulate(moved(smear=-0.3), stops)[:6] < here[:6] - 0.2).all()
    more, wider = (simulate(moved(**by), stops) for by in ({"halo": 0.3}, {"halo_radius_px": 0.3}))
    assert np.abs((more - here)[:6]).mean() < 0.1
    assert (more[6:] > here[6:] + 0.001).all()
    assert (wider[6:] > here[6:] + 0.004).all()
    few = simulate.first(8)
    assert few.covers.shape[0] == 8
    np.testing.assert_array_equal(few.covers, simulate.covers[:8])


def test_too_noisy_a_candidate_gives_no_number() -> None:
    assert np.isnan(simulator(8)(moved(a=5.0, b=5.0), Stops.none(8))).all()


@pytest.mark.slow
@pytest.mark.parametrize("smear", [0.25, 0.55])
def test_photographs_of_bars_show_what_is_simulated(smear: float) -> None:
    """Bars of many colours and widths, drawn here and taken through a lens, against stripes of their edges' colours."""
    rng = np.random.default_rng(1)
    camera = dataclasses.replace(CANDIDATE, smear=smear)
    view = View.ideal(256, 256, blur_px=0.6, f_number=2.0, pitch_um=1.4, k1=-0.02)
    photos = []
    for draw in range(32):
        codes = torch.from_numpy(rng.uniform(0.1, 0.8, (40, 3)).astype(np.float32)) * 0.2
        codes += torch.from_numpy(rng.uniform(0.1, 0.75, (40, 1)).astype(np.float32))
        light = linear_light(codes[:, :, None, None], camera)[:, :, 0, 0]
        angle, x = rng.uniform(0, math.pi), (np.arange(1024) + 0.5) / 4
        across = x[None] * math.cos(angle) + x[:, None] * math.sin(angle)
        ends = np.cumsum(rng.uniform(18, 40, 40)) - 400
        bar = np.searchsorted(ends, across).clip(0, 39)
        scene = torch.nn.functional.avg_pool2d(light[torch.from_numpy(bar)].permute(2, 0, 1)[None], 4)
        params = device_rows(camera, KNOWN, 1, (256, 256), quality=np.array([92]), stops=np.zeros(1), draw=draw)
        photo = develop(through_lens(scene, view), params)
        photos.append((photo[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
    edges, sides = sides_of(photos)
    beside = seen_beside(edges, sides)
    chosen = edges.take(np.random.default_rng(0).choice(len(edges), 384, replace=False))
    simulate = StepSimulator(beside, chosen, KNOWN, np.full(32, 92), striped_covers(384, view, 0.6))
    off = simulate(from_values(vars(camera)), Stops.none(32)) - beside.terms
    assert np.abs(off / np.sqrt(np.diag(beside.covariance))).max() < 3
    assert abs(off[:6].mean()) < 0.04
    assert abs(off[6:].mean()) < 0.002
    other = simulate(from_values(vars(dataclasses.replace(camera, smear=1.25 * smear))), Stops.none(32))
    assert (other - beside.terms - off)[:6].mean() > 0.045, "a quarter more noise reduction shows"
