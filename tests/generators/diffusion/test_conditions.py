"""Condition maps against what another library draws, closed forms, and the conventions of ControlNets."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from spooflab.errors import DataError
from spooflab.generators.diffusion.conditions import CURVES, depth_map, landmark_map, normal_map
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import ProceduralFaces


@pytest.fixture(scope="module")
def face() -> Face:
    source = ProceduralFaces(n_subjects=1, sessions=1, size=128, seed=3)
    return source.load(source.refs()[0])


def test_curves_are_those_that_another_library_draws(face: Face) -> None:
    side, zoom = 128, 8
    drawn = Image.new("L", (side * zoom, side * zoom))
    pen = ImageDraw.Draw(drawn)
    points = (face.landmarks[0] * zoom).tolist()
    eyes = face.landmarks[0, 42:48].mean(0) - face.landmarks[0, 36:42].mean(0)
    width = max(float(eyes.norm()) * 0.03, 1.5)
    for first, last, closed in CURVES:
        chain = [tuple(p) for p in points[first:last]]
        pen.line(chain + chain[:1] * closed, fill=255, width=round(width * zoom), joint="curve")
    wanted = np.asarray(drawn.resize((side, side), Image.Resampling.BOX), np.float32) / 255
    ink = landmark_map(face.landmarks, (side, side))[0].amax(0).numpy()
    assert float(np.abs(ink - wanted).mean()) < 0.01
    assert float(np.corrcoef(ink.ravel(), wanted.ravel())[0, 1]) > 0.95


def test_every_curve_has_a_colour_of_its_own(face: Face) -> None:
    drawn = landmark_map(face.landmarks, (128, 128))[0]
    colours = []
    for first, last, _ in CURVES:
        x, y = face.landmarks[0, (first + last) // 2].long().tolist()
        colours.append(tuple(drawn[:, y, x].round(decimals=1).tolist()))
    assert len(set(colours)) == len(CURVES)


def test_rows_do_not_depend_on_each_other(face: Face) -> None:
    other = face.landmarks.flip(1) * 0.7
    both = landmark_map(torch.cat([face.landmarks, other]), (96, 80))
    assert torch.equal(both[1:], landmark_map(other, (96, 80)))
    outside = landmark_map(face.landmarks + 1e4, (96, 80))
    assert float(outside.abs().max()) == 0


def test_depth_is_relative_inverse_depth() -> None:
    depth = torch.tensor([[[[500.0, 1000.0], [2000.0, torch.inf]]]])
    grey = depth_map(depth)[0, 0]
    # 1 / 500, 1 / 1000 and 1 / 2000 lie at shares 1, 1 / 3 and 0 between nearest and furthest.
    torch.testing.assert_close(grey, torch.tensor([[1.0, 0.1 + 0.9 / 3], [0.1, 0.0]]))
    assert torch.equal(depth_map(torch.full((1, 1, 2, 2), torch.inf)), torch.zeros(1, 3, 2, 2))
    flat = depth_map(torch.full((1, 1, 2, 2), 700.0))
    assert float(flat.min()) == float(flat.max()) > 0


def test_the_nose_is_nearest_and_the_background_black(face: Face) -> None:
    assert face.depth_mm is not None
    grey = depth_map(face.depth_mm)[0, 0]
    x, y = face.landmarks[0, 30].long().tolist()
    assert float(grey[y, x]) > 0.9
    assert bool((grey[face.depth_mm[0, 0].isinf()] == 0).all())


def test_normals_turn_to_right_up_and_towards_the_camera() -> None:
    ours = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, -1.0], [0, 0, 0]]).T.reshape(1, 3, 2, 2)  # right, down, near
    wanted = torch.tensor([[1.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 1.0], [0.5, 0.5, 0.5]]).T.reshape(1, 3, 2, 2)
    assert torch.equal(normal_map(ours), wanted)


def test_bad_input() -> None:
    with pytest.raises(DataError, match="landmarks"):
        landmark_map(torch.zeros(1, 5, 2), (8, 8))
    with pytest.raises(DataError, match="finite"):
        landmark_map(torch.full((1, 68, 2), torch.nan), (8, 8))
    with pytest.raises(DataError, match="depth"):
        depth_map(torch.zeros(1, 1, 4, 4))
    with pytest.raises(DataError, match="depth"):
        depth_map(torch.full((1, 1, 4, 4), torch.nan))
    with pytest.raises(DataError, match="normals"):
        normal_map(torch.ones(1, 3, 4, 4))
