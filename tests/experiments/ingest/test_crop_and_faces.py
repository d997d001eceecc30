"""Where the face is said to be, and what is cut around it."""

from pathlib import Path

import numpy as np
import pytest
from real_trees import picture, write

from spooflab.errors import SkipSample
from spooflab.experiments.ingest.crop import face_square, whole_frame
from spooflab.experiments.readers.face_files import box_of_eyes, read_track
from spooflab.experiments.readers.item import FaceFile, FaceForm
from spooflab.generators.faces.landmarks import MEAN_HEAD, five_of


@pytest.mark.parametrize(
    ("form", "text", "frame", "box"),
    [
        ("box_frame_xywh", "0 0 0 0 0\n3 10 20 30 40\n9 1 1 5 5\n", 4, (10, 20, 30, 40)),
        ("box_frame_ltrb", "0,10,20,40,60,1,2,3,4\n", 0, (10, 20, 30, 40)),
        ("box_ltrb", "0 0 0 0\n10 20 40 60\n", 1, (10, 20, 30, 40)),
        ("box_xywh", "10 20 30 40", 99, (10, 20, 30, 40)),
        ("box_celeba_spoof", "22.4 44.8 112 56 0.99", 0, (20, 20, 100, 25)),
    ],
)
def test_forms_of_annotation(form: FaceForm, text: str, frame: int, box: tuple[float, ...], tmp_path: Path) -> None:
    write(tmp_path, "a.face", text)
    found = read_track(tmp_path, FaceFile("a.face", form)).at(frame, 200, 100)
    assert found is not None
    assert found[0] == pytest.approx(box)


def test_an_annotation_far_away_is_not_taken(tmp_path: Path) -> None:
    write(tmp_path, "a.face", "0 1 2 3 4\n")
    track = read_track(tmp_path, FaceFile("a.face", "box_frame_xywh"))
    assert track.at(10, 9, 9) == ((1, 2, 3, 4), 0)
    assert track.at(11, 9, 9) is None


@pytest.mark.parametrize(
    ("form", "text"),
    [("box_frame_xywh", "0 1 2 3"), ("box_ltrb", "9 9 1 1"), ("box_xywh", "a b c d"), ("eyes_frame", "0,1,nan,2,3")],
)
def test_a_line_that_is_not_of_the_form_is_a_reason(form: FaceForm, text: str, tmp_path: Path) -> None:
    write(tmp_path, "a.face", text)
    with pytest.raises(SkipSample) as caught:
        read_track(tmp_path, FaceFile("a.face", form))
    assert caught.value.reason == "bad_face_file"


def test_the_box_from_the_eyes_holds_the_mean_head() -> None:
    head = MEAN_HEAD[:, :2] * 50 + (200, 150)
    (right, left) = five_of(MEAN_HEAD)[:2, :2] * 50 + (200, 150)
    for eyes in ((*right, *left), (*left, *right)):
        x, y, w, h = box_of_eyes(*eyes)
        assert (head.min(0) >= (x - 0.5, y)).all()
        assert (head.max(0) <= (x + w + 0.5, y + h + 0.5)).all()
        assert w < 1.05 * np.ptp(head[:, 0])


def test_a_square_within_the_picture_is_a_plain_cut() -> None:
    pixels = picture(1, 64)
    cut = face_square(pixels, (20, 22, 20, 10), size=30, margin=0.25, min_face_px=8)
    np.testing.assert_array_equal(cut.pixels, pixels[12:42, 15:45])
    assert cut.box((20, 22, 20, 10)) == (5, 10, 20, 10)


def test_over_the_edge_the_picture_is_mirrored() -> None:
    pixels = picture(2, 40)
    cut = face_square(pixels, (-4, 0, 20, 20), size=40, margin=0.5, min_face_px=8)
    padded = np.pad(pixels, ((40, 40), (40, 40), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(cut.pixels, padded[30:70, 26:66])


def test_boxes_that_show_little_or_no_face_are_reasons() -> None:
    pixels = picture(3, 40)
    for box, reason in (((30, 0, 40, 20), "face_out_of_frame"), ((5, 5, 6, 6), "face_too_small")):
        with pytest.raises(SkipSample) as caught:
            face_square(pixels, box, size=32, margin=0.3, min_face_px=8)
        assert caught.value.reason == reason


def test_the_whole_frame_keeps_its_shape() -> None:
    cut = whole_frame(np.zeros((50, 100, 3), np.uint8), size=32)
    assert cut.pixels.shape == (16, 32, 3)
    assert cut.box((10, 10, 50, 25)) == pytest.approx((3.2, 3.2, 16, 8))


def test_what_is_too_thin_to_be_scaled_is_refused() -> None:
    assert whole_frame(np.zeros((64, 512, 3), np.uint8), size=64).pixels.shape == (8, 64, 3)
    with pytest.raises(SkipSample, match="too_thin"):
        whole_frame(np.zeros((16, 512, 3), np.uint8), size=64)
    with pytest.raises(SkipSample, match="too_thin"):
        face_square(np.zeros((64, 512, 3), np.uint8), (10, 10, 200, 40), size=64, margin=0.3, min_face_px=24)
