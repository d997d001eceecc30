"""Outlines of lids, brows and lips: geometry against loops, and masks that go along with the landmarks."""

import numpy as np
import pytest
import torch

from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.instruments.makeup_regions import EyeFrame, Lips, Window, signed_distance
from spooflab.generators.instruments.skin_chart import Array, Pen, chart, smooth_line


@pytest.fixture(scope="module")
def marks() -> Array:
    source = ProceduralFaces(n_subjects=1, sessions=1, size=192, seed=7)
    return np.asarray(source.load(source.refs()[0]).landmarks[0].double().numpy())


def test_signed_distance_is_that_of_a_loop_over_edges() -> None:
    outline = np.array([[3.0, 2.0], [15.0, 4.0], [12.0, 9.0], [16.0, 14.0], [4.0, 12.0], [8.0, 7.0]])
    window = Window(0, 0, 18, 20)
    got = signed_distance(outline, window, 1)
    for row in range(0, 18, 3):
        for column in range(0, 20, 3):
            p = np.array([column + 0.5, row + 0.5])
            distance, inside = np.inf, False
            for a, b in zip(outline, np.roll(outline, -1, 0), strict=True):
                t = np.clip((p - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
                distance = min(distance, float(np.hypot(*(p - a - t * (b - a)))))
                if (a[1] > p[1]) != (b[1] > p[1]) and p[0] < a[0] + (p[1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0]):
                    inside = not inside
            assert float(got[row, column]) == pytest.approx(distance if inside else -distance, abs=1e-4)


def test_a_window_is_cut_to_the_picture_and_may_be_empty() -> None:
    inside = Window.around(np.array([[-30.0, 4.0], [12.0, 8.0]]), 3, (40, 50))
    assert (inside.top, inside.left, inside.bottom, inside.right) == (1, 0, 12, 16)
    assert Window.around(np.array([[-30.0, 4.0], [-12.0, 8.0]]), 3, (40, 50)).empty
    assert Window.around(np.array([[60.0, 4.0], [70.0, 8.0]]), 3, (40, 50)).empty


def test_masks_of_the_lips_move_and_grow_with_the_landmarks(marks: Array) -> None:
    size = (600, 600)
    lips = Lips.of(marks)
    window = Window.around(lips.outer, 6, size)
    base = lips.cover(lips.outer, window, 0.6)
    moved = Lips.of(marks + np.array([17.0, 9.0]))
    there = Window(window.top + 9, window.left + 17, window.bottom + 9, window.right + 17)
    torch.testing.assert_close(moved.cover(moved.outer, there, 0.6), base, atol=2e-4, rtol=0)
    double = Lips.of(2 * marks)
    wide = Window(2 * window.top, 2 * window.left, 2 * window.bottom, 2 * window.right)
    assert float(double.cover(double.outer, wide, 1.2).sum() / base.sum()) == pytest.approx(4, rel=0.06)


def test_the_mask_of_the_lips_fills_their_outline_and_spares_the_opening(marks: Array) -> None:
    lips = Lips.of(marks)
    window = Window.around(lips.outer, 6, (192, 192))
    cover = lips.cover(lips.outer, window, 0.6)
    x, y = lips.outer.T
    area = 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
    gx, gy = lips.inner.T
    gap = 0.5 * abs(float(gx @ np.roll(gy, -1) - gy @ np.roll(gx, -1))) if lips.open_px > 1.5 else 0.0
    assert float(cover.sum()) == pytest.approx(area - gap, rel=0.12)
    over = lips.outlined(2.0, 2.0, 0.5)
    assert float(lips.cover(over, window, 0.6).sum()) > 1.1 * float(cover.sum())


@pytest.mark.parametrize("image_left", [True, False])
def test_an_eye_has_the_same_place_in_its_frame_wherever_it_is(marks: Array, image_left: bool) -> None:
    eye = EyeFrame.of(marks, image_left)
    ids = (39, 38, 37, 36) if image_left else (42, 43, 44, 45)
    corners = eye.pixels(np.array([0.0, 1.0]), np.array([0.0, 0.0]))
    np.testing.assert_allclose(corners, marks[[ids[0], ids[3]]], atol=1e-9)
    assert 0 < eye.opening < 0.8
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    other = EyeFrame.of(1.7 * marks @ turn.T + np.array([40.0, 12.0]), image_left)
    np.testing.assert_allclose(other.table, eye.table, atol=1e-6)
    # The upper lid's landmarks lie on its curve, the brow's above it.
    window = Window.around(marks[list(ids)], 4, (192, 192))
    fields = eye.fields(window, 1)
    for k in ids[1:3]:
        column, row = int(marks[k, 0]) - window.left, int(marks[k, 1]) - window.top
        assert abs(float(fields.above[row, column])) < 1.2 / eye.width_px + 0.02
    assert float(eye.brow(np.array([0.5]))[0]) > float(eye.upper(np.array([0.5]))[0]) > 0


def test_a_curve_goes_through_its_points() -> None:
    points = np.array([[0.0, 0.0], [3.0, 1.0], [5.0, -2.0], [9.0, 4.0]])
    curve = smooth_line(points, 5)
    np.testing.assert_allclose(curve[::5], points, atol=1e-12)
    ring = smooth_line(points, 5, closed=True)
    assert len(ring) == 20
    np.testing.assert_allclose(ring[::5], points, atol=1e-12)


def test_a_pen_inks_the_area_that_it_draws() -> None:
    pen = Pen(-20, 20, -10, 30, px_per_mm=3.0)
    pen.stroke(np.array([[-12.0, 0.0], [0.0, 0.0], [12.0, 0.0]]), 4.0)
    assert pen.area_mm2() == pytest.approx(24 * 4 + np.pi * 4, rel=0.06)
    picture = pen.picture()
    uv = torch.tensor([[[0.0, 0.0, 25.0]], [[0.0, 5.0, 0.0]]])
    torch.testing.assert_close(picture.at(uv)[0, 0], torch.tensor([1.0, 0.0, 0.0]))
    soft = picture.soften(1.0)
    assert float(soft.planes.sum()) == pytest.approx(float(picture.planes.sum()), rel=1e-3)
    # A straight edge under a Gaussian: half at the edge, and Φ(1) = 0.84 one deviation inside.
    edge = soft.at(torch.tensor([[[0.0, 0.0]], [[2.0, 1.0]]]))[0, 0]
    torch.testing.assert_close(edge, torch.tensor([0.5, 0.84]), atol=0.04, rtol=0)


def test_many_strokes_are_strokes_one_by_one() -> None:
    lines = np.array([[[0.0, 0.0], [5.0, 2.0], [9.0, 9.0]], [[2.0, 8.0], [6.0, 7.0], [9.0, 1.0]]])
    widths = np.array([[1.0, 2.0, 0.5], [0.4, 1.0, 1.5]])
    together, alone = Pen(-2, 12, -2, 12), Pen(-2, 12, -2, 12)
    together.strokes(lines, widths, np.array([1.0, 1.0]))
    for line, width in zip(lines, widths, strict=True):
        alone.strokes(line[None], width[None], np.array([1.0]))
    assert torch.equal(together.plane(), alone.plane())


def test_the_chart_unrolls_the_head() -> None:
    """Arc length around the axis, which lies 95 mm behind the eyes, on a cylinder of 100 mm."""
    around = torch.tensor([-0.9, -0.2, 0.0, 0.5])
    rest = torch.stack([100 * around.sin(), torch.tensor([1.0, 2.0, 3.0, 4.0]), 100 * around.cos() - 95])
    torch.testing.assert_close(chart(rest), torch.stack([100 * around, rest[1]]), atol=1e-3, rtol=1e-5)
