"""Points, boxes and masks go where the picture goes."""

import math

import numpy as np
import pytest
import torch

from spooflab.augment import CaptureDevice, View
from spooflab.augment.bridges import move_boxes, move_masks, move_points
from spooflab.augment.identity import radial_terms
from spooflab.augment.lens import through_lens, window_rays
from spooflab.errors import DataError

SIZE = (150, 200)


def _view(edge: float, skew: float = 0.0) -> View:
    k1, k2 = radial_terms(edge, 0.2)
    return View.ideal(*SIZE, k1=k1, k2=k2, skew=skew, f_number=2.0, blur_px=0.7)


VIEWS = [_view(-0.2), _view(-0.08, 0.02), _view(0.03), _view(0.03, -0.02), _view(0.0, 0.03)]


def _dots(points: torch.Tensor) -> torch.Tensor:
    ys = torch.arange(SIZE[0]) + 0.5
    xs = torch.arange(SIZE[1]) + 0.5
    gaps = (xs - points[:, None, None, 0]) ** 2 + (ys[:, None] - points[:, None, None, 1]) ** 2
    return torch.exp(-gaps / (2 * 1.5**2))[:, None]


@pytest.mark.parametrize("view", VIEWS)
def test_a_dots_centroid_follows_its_point(view: View) -> None:
    points = torch.tensor([[100.0, 75.0], [40.0, 30.0], [160.5, 40.25], [70.3, 120.8], [28.0, 122.0], [172.0, 75.0]])
    moved = move_points(points[None], view)[0]
    assert float((moved - points).norm(dim=1).max()) > 1
    for point, wanted in zip(points, moved, strict=True):
        seen = through_lens(_dots(point[None]), view)[0, 0]
        ys, xs = torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5
        centroid = torch.stack([(seen.sum(0) * xs).sum(), (seen.sum(1) * ys).sum()]) / seen.sum()
        assert float((centroid - wanted).norm()) < 0.3


def test_points_follow_the_closed_form() -> None:
    k1 = 0.04  # a pincushion sees less than the picture: no enlargement, and the polynomial is the whole map
    view = View.ideal(*SIZE, k1=k1)
    half = math.hypot(*SIZE) / 2
    point = np.array([150.0, 100.0])
    radius2 = float(((point - [100, 75]) ** 2).sum()) / half**2
    wanted = (point - [100, 75]) * (1 + k1 * radius2) + [100, 75]
    np.testing.assert_allclose(move_points(torch.tensor(point)[None, None], view)[0, 0].numpy(), wanted, atol=1e-4)


@pytest.mark.parametrize("view", VIEWS)
def test_points_are_the_inverse_of_the_rays_that_warp_the_picture(view: View) -> None:
    rays, _ = window_rays(view)
    shown = (rays[0] + 1) / 2 * torch.tensor([SIZE[1], SIZE[0]])  # the picture's point at each pixel's centre
    back = move_points(shown[None], view)[0]
    ys, xs = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    assert float((back - torch.stack([xs, ys], -1)).abs().max()) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("box", [(30, 20, 170, 60), (80, 90, 120, 140), (10, 10, 40, 140)])
def test_a_box_is_what_its_filled_mask_spans(view: View, box: tuple[int, int, int, int]) -> None:
    x1, y1, x2, y2 = box
    mask = torch.zeros(1, 1, *SIZE, dtype=torch.uint8)
    mask[..., y1:y2, x1:x2] = 1
    rows, columns = move_masks(mask, view)[0, 0].nonzero(as_tuple=True)
    spanned = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
    moved = move_boxes(torch.tensor([[box]], dtype=torch.float32), view)[0, 0]
    frame = torch.tensor([SIZE[1], SIZE[0], SIZE[1], SIZE[0]])
    assert float((moved.clamp(min=0).minimum(frame) - torch.tensor(spanned)).abs().max()) <= 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.float32])
def test_masks_keep_their_labels_and_their_place(dtype: torch.dtype) -> None:
    view = VIEWS[0]
    labels = torch.randint(0, 2, (1, 2, *SIZE), generator=torch.Generator().manual_seed(0))
    if dtype == torch.int64:
        labels = labels * (2**53 + 1)  # float32 and float64 could not carry it
    seen = move_masks(labels.to(dtype), view)
    assert seen.dtype == dtype
    assert set(seen.unique().tolist()) == set(labels.to(dtype).unique().tolist())
    smooth = torch.linspace(0, 1, SIZE[1]).expand(1, 1, *SIZE)
    sharp = View.ideal(*SIZE, k1=float(view.k1), k2=float(view.k2), f_number=1e-4)
    assert float((move_masks(smooth, view) - through_lens(smooth, sharp)).abs().max()) < 1 / SIZE[1]


def test_rows_of_a_batch_move_by_their_own_lens() -> None:
    shots = CaptureDevice("kiosk", unit=1).sample(3, torch.Generator().manual_seed(0), size=SIZE)
    points = 100 * torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(1))
    together = move_points(points, shots.view)
    for i in range(3):
        torch.testing.assert_close(move_points(points[i : i + 1], shots.row(i).view), together[i : i + 1])


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="B = 1"):
        move_points(torch.zeros(2, 5, 2), VIEWS[0])
    with pytest.raises(DataError, match="masks"):
        move_masks(torch.zeros(1, 1, 10, 10), VIEWS[0])
