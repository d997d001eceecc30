"""Condition maps against what another library draws, closed forms, and the conventions of ControlNets."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.conditions import (
    CURVES,
    PALETTE,
    Kind,
    condition,
    depth_map,
    landmark_map,
    normal_map,
    segmentation_map,
)
from spooflab.generators.face import PARSING, Face
from spooflab.generators.face_net.geometry import with_geometry
from spooflab.generators.face_net.predict import FaceNet
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


def test_classes_have_colours_that_are_far_apart(face: Face) -> None:
    assert tuple(PALETTE) == PARSING
    colours = torch.tensor(list(PALETTE.values()))
    assert float(torch.pdist(colours).min()) == pytest.approx(0.5**0.5)
    assert face.parsing is not None
    drawn = segmentation_map(face.parsing)
    nearest = torch.cdist(drawn.permute(0, 2, 3, 1).reshape(-1, 3), colours).argmin(1)
    assert torch.equal(nearest.reshape(face.parsing.shape).to(torch.uint8), face.parsing)
    assert len(nearest.unique()) > 5


def test_one_entry_for_all_kinds(face: Face) -> None:
    assert face.depth_mm is not None
    assert face.normals is not None
    assert face.parsing is not None
    assert torch.equal(condition("landmarks", face), landmark_map(face.landmarks, face.size))
    assert torch.equal(condition("depth", face), depth_map(face.depth_mm))
    assert torch.equal(condition("normals", face), normal_map(face.normals))
    assert torch.equal(condition("segmentation", face), segmentation_map(face.parsing))
    with pytest.raises(ConfigError, match="one of landmarks, depth, normals, segmentation"):
        condition("canny", face)  # type: ignore[arg-type]  # that is the mistake


@pytest.mark.parametrize("kind", ["depth", "normals", "segmentation"])
def test_a_photograph_has_what_our_network_reads_and_else_an_error_tells_how(face: Face, kind: Kind) -> None:
    photograph = face.replace(depth_mm=None, normals=None, parsing=None)
    with pytest.raises(DataError, match=rf"no {kind}(.|\n)*geometry: network"):
        condition(kind, photograph)
    read = with_geometry(photograph, FaceNet.load())
    drawn = condition(kind, read)
    assert (drawn.shape, drawn.dtype) == (face.radiance.shape, torch.float32)
    assert 0 <= float(drawn.min()) < float(drawn.max()) <= 1
    known = condition(kind, face)
    inside = (face.parsing == 1).expand_as(known)  # type: ignore[union-attr]  # a rendered face has classes
    # The network was trained on rendered faces: what it reads off one is near the truth.
    assert float((drawn - known)[inside].abs().mean()) < 0.15


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
    with pytest.raises(DataError, match="class 13"):
        segmentation_map(torch.full((1, 1, 4, 4), 13, dtype=torch.uint8))
    with pytest.raises(DataError, match="uint8"):
        segmentation_map(torch.zeros(1, 1, 4, 4, dtype=torch.int64))
