"""The view's decentred lens against OpenCV, and its pixel aperture against the closed form."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from spooflab.augment import View
from spooflab.augment.lens import through_lens


def _leaning(k1: float, p1: float, p2: float) -> View:
    view = View.ideal(120, 160, k1=k1, k2=-0.01)
    return dataclasses.replace(view, p1=torch.tensor([p1]), p2=torch.tensor([p2]))


@pytest.mark.parametrize(("k1", "p1", "p2"), [(0.0, 2e-3, -1e-3), (-0.08, 1e-3, 2e-3), (0.05, -3e-3, 0.0)])
def test_distortion_is_that_of_opencv(k1: float, p1: float, p2: float) -> None:
    cv2 = pytest.importorskip("cv2")
    view = _leaning(k1, p1, p2)
    half = math.hypot(160, 120) / 2
    points = 150 * torch.rand(1, 200, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.75])
    matrix = np.array([[half, 0, 80.0], [0, half, 60.0], [0, 0, 1]])
    lens = np.array([k1, -0.01, p1, p2])
    rays = np.concatenate([(points[0].numpy() - [80, 60]) / half, np.ones((200, 1))], 1)
    wanted, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), matrix, lens)
    np.testing.assert_allclose(view.distort(points)[0].numpy(), wanted[:, 0], atol=1e-3)
    back = cv2.undistortPoints(
        wanted.astype(np.float64), matrix, lens, P=matrix,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-9),
    )  # fmt: skip
    ours = view.undistort(torch.from_numpy(wanted[:, 0]).float()[None])[0].numpy()
    np.testing.assert_allclose(ours, back[:, 0], atol=5e-3)


def test_the_grid_is_the_inverse_of_the_lens() -> None:
    view = dataclasses.replace(_leaning(-0.06, 2e-3, -1e-3), skew=torch.tensor([2e-3]))
    grid = view.ideal_grid()
    y, x = torch.meshgrid(torch.arange(120) + 0.5, torch.arange(160) + 0.5, indexing="ij")
    torch.testing.assert_close(view.distort(grid)[0], torch.stack([x, y], -1), atol=2e-3, rtol=0)


@pytest.mark.parametrize("k1", [0.06, -0.05, -0.17, -0.3])  # the last one folds within the window
def test_the_interpolated_grid_is_the_inverse_at_every_pixel(k1: float) -> None:
    view = View.ideal(270, 480, k1=k1, skew=2e-3, batch_size=2)
    view = dataclasses.replace(
        view, k2=torch.tensor([0.01, 0.0]), p1=torch.full((2,), 2e-3), p2=torch.tensor([0.0, -3e-3])
    )
    y, x = torch.meshgrid(torch.arange(270) + 0.5, torch.arange(480) + 0.5, indexing="ij")
    exact = view.undistort(torch.stack([x, y], -1).expand(2, -1, -1, -1))
    torch.testing.assert_close(view.ideal_grid(), exact, atol=1e-3, rtol=0)
    alone = [view.row(k).ideal_grid()[0] for k in range(2)]
    assert torch.equal(torch.stack(alone), view.ideal_grid())


def test_a_lens_that_does_not_lean_is_the_same_with_zeros() -> None:
    view = View.ideal(40, 48, k1=-0.05, skew=1e-3)
    zero = torch.zeros(1)
    same = dataclasses.replace(view, p1=zero, p2=zero, aperture=torch.ones(1, 2))
    assert torch.equal(same.ideal_grid(), view.ideal_grid())
    fx, fy = torch.tensor([[0.3, 0.8, 1.7]]), torch.tensor([[0.2, 1.1, 0.4]])
    assert torch.equal(same.mtf(fx, fy), view.mtf(fx, fy))
    photo = torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(through_lens(photo, same), through_lens(photo, view))


def test_skipped_lines_let_more_contrast_alias() -> None:
    view = View.ideal(8, 8, pitch_um=3.0, f_number=1.4)
    skipping = dataclasses.replace(view, aperture=torch.tensor([[1.0, 0.5]]))
    zero, line = torch.zeros(1, 1), torch.tensor([[1.0]])
    assert abs(float(view.mtf(zero, line))) < 1e-6  # a line pair per pixel averages out over the whole pitch
    wanted = 2 / math.pi * float(view.lens_mtf(zero, line))
    assert float(skipping.mtf(zero, line)) == pytest.approx(wanted, rel=1e-5)
    assert abs(float(skipping.mtf(line, zero))) < 1e-6
    # By a plain average: light of one cycle per pixel, gathered over half of each pixel.
    fine = 1 + torch.cos(2 * math.pi * torch.arange(4096) / 512)
    gathered = fine.reshape(8, 512)[:, 128:384].mean(1)
    assert float((gathered - 1).abs().mean()) == pytest.approx(2 / math.pi, rel=1e-3)
