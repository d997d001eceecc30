"""Distortion, fall-off, fringe and blur against lenses that were put there by other code."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
import torch
from fitted_camera import CANDIDATE, KNOWN

from spooflab.augment import View
from spooflab.augment.develop import develop
from spooflab.augment.fit.beside import sides_of
from spooflab.augment.fit.chain import device_rows, linear_light
from spooflab.augment.fit.distortion import fit_distortion, undistorted
from spooflab.augment.fit.edges import edge_steepness, edges_of
from spooflab.augment.fit.falloff import fit_falloff
from spooflab.augment.fit.fringe import fit_fringe
from spooflab.augment.fit.lines import edge_chains
from spooflab.augment.fit.sharpness import fit_sharpness
from spooflab.augment.identity import radial_terms
from spooflab.augment.lateral_colour import lateral_colour
from spooflab.augment.lens import through_lens

SIZE = (300, 400)


def drawing(seed: int, k1: float, *, circles: bool = False) -> np.ndarray:
    """Lines (or circles) drawn by OpenCV through OpenCV's own radial model, antialiased."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    half = math.hypot(height, width) / 2
    canvas = np.full((4 * height, 4 * width), 60, np.uint8)
    camera = np.array([[half, 0, width / 2], [0, half, height / 2], [0, 0, 1]])
    for _ in range(7):
        if circles:
            centre, radius = rng.uniform((0, 0), (width, height)), rng.uniform(90, 220)
            turn = np.linspace(0, 2 * np.pi, 400)
            points = centre + radius * np.stack([np.cos(turn), np.sin(turn)], 1)
        else:
            start, end = rng.uniform((-80, -80), (width + 80, height + 80), (2, 2))
            points = start + (end - start) * np.linspace(0, 1, 400)[:, None]
        rays = np.concatenate([(points - camera[:2, 2]) / half, np.ones((400, 1))], 1)
        bent = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), camera, np.array([k1, 0, 0, 0, 0.0]))[0][:, 0]
        cv2.polylines(canvas, [np.round(bent * 4).astype(np.int32)], False, 200, thickness=24)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)


@pytest.mark.parametrize("k1", [-0.12, -0.04, 0.05])
def test_distortion_of_opencv_is_found(k1: float) -> None:
    pictures = [drawing(seed, k1) for seed in range(4)]
    pictures = [p + np.random.default_rng(9).normal(0, 3, p.shape).astype(np.float32) for p in pictures]
    found = fit_distortion([edge_chains(p) for p in pictures], SIZE)
    assert found.reason == ""
    assert found.k1 == pytest.approx(k1, rel=0.2)
    assert found.std < 0.01


def test_curves_of_the_world_are_not_taken_for_the_lens() -> None:
    found = fit_distortion([edge_chains(drawing(seed, 0.0, circles=True)) for seed in range(4)], SIZE)
    assert found.reason != ""


def test_an_empty_wall_tells_nothing() -> None:
    found = fit_distortion([edge_chains(np.full(SIZE, 80, np.float32))] * 3, SIZE)
    assert "0 long smooth edges" in found.reason


@pytest.mark.parametrize("edge", [-0.2, -0.03, 0.03])
def test_the_inverse_is_that_of_the_view(edge: float) -> None:
    k1, k2 = radial_terms(edge, 0.15)
    view = View.ideal(*SIZE, k1=k1, k2=k2)
    points = torch.rand(1, 50, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([400.0, 300.0])
    expected = view.undistort(points)[0].numpy()
    np.testing.assert_allclose(undistorted(points[0].numpy().astype(np.float64), edge, SIZE), expected, atol=2e-3)


@pytest.mark.parametrize("corner", [0.5, 0.8, 1.0])
def test_falloff_of_shaded_rooms(corner: float) -> None:
    """The lens written out here; surfaces of random size and brightness, a third of them shaded."""
    rng = np.random.default_rng(1)
    y, x = (np.mgrid[0:320, 0:400] + 0.5) - np.array([160, 200])[:, None, None]
    lens = 1 / (1 + (corner**-0.5 - 1) * (x**2 + y**2) / (160**2 + 200**2)) ** 2
    pictures = []
    for _ in range(8):
        light = np.full((320, 400), 0.2)
        for _ in range(25):
            top, left = rng.integers(0, 300, 2)
            tall, wide = rng.integers(40, 200, 2)
            shade = np.linspace(1, rng.uniform(0.7, 1.4) if rng.random() < 0.3 else 1, wide)
            patch = light[top : top + tall, left : left + wide]
            patch[:] = rng.uniform(0.03, 0.5) * shade[None, : patch.shape[1]]
        pictures.append((light * lens * rng.normal(1, 0.03, light.shape)).astype(np.float32))
    found = fit_falloff(pictures)
    assert found.corner_gain == pytest.approx(corner, abs=0.05)
    assert found.std < 0.05


def test_fringe_of_a_known_scale() -> None:
    rng = np.random.default_rng(2)
    pictures = []
    for seed in range(4):
        base = torch.from_numpy(drawing(seed, 0.0))[None, None].expand(1, 3, -1, -1) / 255
        seen = lateral_colour(base.contiguous(), red=torch.tensor([6e-4]), blue=torch.tensor([-3e-4]))
        noisy = seen[0].permute(1, 2, 0).numpy() * 255 + rng.normal(0, 2, (*SIZE, 3))
        pictures.append(noisy.clip(0, 255).round().astype(np.uint8))

    def again(pixels: np.ndarray, scale: float) -> np.ndarray:
        light = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        moved = lateral_colour(light, red=torch.tensor([scale]), blue=torch.tensor([-scale]))
        return moved[0].permute(1, 2, 0).numpy()

    found = fit_fringe(pictures, again)
    assert found.red == pytest.approx(6e-4, abs=1.5e-4)
    assert found.blue == pytest.approx(-3e-4, abs=1.5e-4)
    assert min(found.gain) > 0.3


@pytest.mark.parametrize("std_px", [1.0, 1.4, 2.0])
def test_steepness_of_a_gaussian_edge_is_its_peak(std_px: float) -> None:
    """An error function rises by erf(1 / (2 sqrt(2) std)) over the pixel at its middle."""
    y, x = np.mgrid[0:96, 0:96] + 0.5
    turn = 0.4
    across = (x - 48) * math.cos(turn) + (y - 48) * math.sin(turn)
    erf = np.vectorize(math.erf)
    luma = (0.2 + 0.5 * (1 + erf(across / (std_px * math.sqrt(2)))) / 2).astype(np.float32)
    found = edges_of(luma[None], np.stack([luma, 0.5 * luma, 1 - luma], -1)[None])
    assert len(found.steepness) > 10
    if std_px < 1.5:  # wider ones have not levelled off within the reach
        wanted = [[0.2, 0.1, 0.8], [0.7, 0.35, 0.3]]
        np.testing.assert_allclose(found.colours.mean(0), wanted, atol=0.01)
    expected = math.erf(0.5 / (std_px * math.sqrt(2)))
    assert float(np.median(found.steepness)) == pytest.approx(expected, rel=0.08)
    np.testing.assert_array_equal(edge_steepness(luma), found.steepness)


@pytest.mark.parametrize(
    ("blur", "k1"),
    [(0.4, 0.0), pytest.param(0.9, 0.003, marks=pytest.mark.slow), pytest.param(0.6, -0.05, marks=pytest.mark.slow)],
)
def test_blur_comes_back_from_edges_between_colours(blur: float, k1: float) -> None:
    """Both sides are compared in luma: in a mean of the channels, softer in red and blue, .15 px go missing.

    What a lens bends is resampled, and that blur is not the lens's: little of it where a lens hardly bends.
    """
    rng = np.random.default_rng(1)
    candidate = dataclasses.replace(CANDIDATE, a=8e-4)
    photos = []
    for draw in range(4):
        codes = torch.from_numpy(rng.uniform(0.15, 0.75, (24, 3)).astype(np.float32))
        light = linear_light(codes[:, :, None, None], candidate)[:, :, 0, 0]
        fine, angle = 4, 0.3 + 0.35 * draw
        x = (np.arange(256 * fine) + 0.5) / fine
        stripe = np.floor((x[None] * math.cos(angle) + x[:, None] * math.sin(angle)) / 30).astype(int) % 24
        scene = torch.nn.functional.avg_pool2d(light[torch.from_numpy(stripe)].permute(2, 0, 1)[None], fine)
        view = View.ideal(256, 256, blur_px=blur, f_number=2.0, pitch_um=1.4, k1=k1)
        params = device_rows(candidate, KNOWN, 1, (256, 256), quality=np.array([92]), stops=np.zeros(1), draw=draw)
        photo = develop(through_lens(scene, view), params)
        photos.append((photo[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
    found = fit_sharpness(sides_of(photos)[0], candidate, KNOWN, np.full(4, 92), view)
    assert found.edges > 100
    assert float(np.nanmean(found.blur_px)) == pytest.approx(blur, abs=0.06)
