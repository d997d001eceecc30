"""Squares round faces and masks: where they lie, and that what is cut out is laid back where it was."""

import math

import numpy as np
import pytest
import torch

from spooflab.errors import DataError
from spooflab.generators.diffusion.face_frame import Frame, crop, face_frame, frame_round, on_crop, outline, paste
from spooflab.generators.faces.landmarks import pose_mean_head


def smooth(height: int, width: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    return torch.stack([0.5 + 0.4 * (3 * x).sin() * (2 * y).cos(), x, y])[None]


def test_a_frame_holds_its_points_with_the_margin() -> None:
    points = torch.tensor([[10.0, 20.0], [50.0, 20.0], [30.0, 40.0]])
    frame = frame_round(points, 0.0, 1.5)
    assert (frame.x, frame.y) == (30.0, 30.0)
    assert frame.side == pytest.approx(60.0)


def test_a_turned_frame_has_turned_points_upright() -> None:
    angle = 0.4
    upright = torch.tensor([[-20.0, -10.0], [20.0, -10.0], [20.0, 10.0], [-20.0, 10.0]])
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    frame = frame_round(upright @ turn + torch.tensor([70.0, 60.0]), angle, 1.0)
    assert frame.side == pytest.approx(40.0, abs=1e-4)
    within = on_crop(upright @ turn + torch.tensor([70.0, 60.0]), frame, 40)
    assert torch.allclose(within, upright + 20, atol=1e-3)


def test_no_points_are_told() -> None:
    with pytest.raises(DataError, match="no points"):
        frame_round(torch.zeros(0, 2), 0.0, 1.0)


@pytest.mark.parametrize("size", [24, 96, 200])
def test_what_is_cut_out_is_laid_back_where_it_was(size: int) -> None:
    picture = smooth(120, 160)
    frame = Frame(80.0, 60.0, 70.0, 0.3)
    back = paste(crop(picture, frame, size), frame, 120, 160)
    inside = paste(torch.ones(1, 1, size, size), Frame(80.0, 60.0, 62.0, 0.3), 120, 160) > 0
    assert bool(inside.any())
    assert float((back - picture).abs().where(inside, torch.zeros(())).max()) < 0.01


def test_beside_the_frame_nothing_is_laid() -> None:
    laid = paste(torch.ones(1, 1, 8, 8), Frame(20.0, 20.0, 10.0), 40, 40)
    assert float(laid.sum()) == pytest.approx(100.0)
    assert float(laid[..., :15, :].sum()) == 0


def test_the_frame_of_a_face_holds_its_outline() -> None:
    five = np.array([[60.0, 60.0], [100.0, 62.0], [80.0, 85.0], [65.0, 105.0], [96.0, 106.0]])
    points = torch.from_numpy(pose_mean_head(five)).float()
    frame = face_frame(points, 1.1)
    within = on_crop(outline(points), frame, 100)
    assert float(within.min()) > 0
    assert float(within.max()) < 100
