"""The plane before the camera, against homographies and closed forms."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spooflab.augment.view import View
from spooflab.generators.pose import Pose, cast, framing, project


def pose(x: float, y: float, z: float, yaw: float, pitch: float, roll: float) -> Pose:
    return Pose(torch.tensor([[x, y, z]]), torch.tensor([yaw]), torch.tensor([pitch]), torch.tensor([roll]))


@settings(max_examples=30, deadline=None)
@given(
    yaw=st.floats(-40, 40),
    pitch=st.floats(-40, 40),
    roll=st.floats(-180, 180),
    x=st.floats(-20, 20),
    z=st.floats(150, 900),
    k1=st.floats(-0.08, 0.08),
)
def test_projecting_what_a_ray_hits_returns_to_its_pixel(
    yaw: float, pitch: float, roll: float, x: float, z: float, k1: float
) -> None:
    view = View.ideal(48, 64, k1=k1, skew=0.02)
    placed = pose(x, -5.0, z, yaw, pitch, roll)
    hit = cast(view, placed)
    back = project(view, placed, hit.uv_mm.reshape(1, -1, 2)).reshape(48, 64, 2)
    xs, ys = np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5)
    assert np.abs(back.numpy() - np.stack([xs, ys], -1)).max() < 0.02


def test_cast_agrees_with_a_homography_from_four_corners() -> None:
    view = View.ideal(60, 80, focal_mm=4.0, pitch_um=2.0)
    placed = pose(3, -4, 320, 18, -11, 7)
    corners = torch.tensor([[[-30.0, -40], [30, -40], [30, 40], [-30, 40]]])
    pixels = project(view, placed, corners)[0].double().numpy()
    rows = []
    for (u, v), (x, y) in zip(corners[0].numpy(), pixels, strict=True):
        rows.append([u, v, 1, 0, 0, 0, -x * u, -x * v, -x])
        rows.append([0, 0, 0, u, v, 1, -y * u, -y * v, -y])
    homography = np.linalg.svd(np.array(rows))[2][-1].reshape(3, 3)
    hit = cast(view, placed).uv_mm[0].double().numpy()
    mapped = np.concatenate([hit, np.ones((60, 80, 1))], -1) @ homography.T
    mapped = mapped[..., :2] / mapped[..., 2:]
    xs, ys = np.meshgrid(np.arange(80) + 0.5, np.arange(60) + 0.5)
    assert np.abs(mapped - np.stack([xs, ys], -1)).max() < 0.02


def test_yaw_moves_the_right_edge_away_and_the_ray_cosine_is_the_tilts() -> None:
    view = View.ideal(33, 33)
    hit = cast(view, pose(0, 0, 300, 25, 0, 0))
    assert hit.depth_mm[0, 0, 16, 32] > hit.depth_mm[0, 0, 16, 0]
    assert math.isclose(float(hit.cosine[0, 0, 16, 16]), math.cos(math.radians(25)), rel_tol=1e-4)


def test_framing_fills_the_share_and_bins_only_as_far_as_the_distance_asks() -> None:
    view = View.ideal(512, 512, batch_size=2, focal_mm=4.25, pitch_um=1.4)
    distance, binning = framing(
        view, torch.tensor([65.0, 300.0]), torch.tensor([0.8, 0.6]), torch.tensor([600.0, 900.0])
    )
    bound = view.with_binning(binning)
    width_px = torch.tensor([65.0, 300.0]) / distance * bound.focal_mm / (bound.pixel_um / 1000)
    torch.testing.assert_close(width_px, torch.tensor([0.8, 0.6]) * 512)
    assert (distance <= torch.tensor([600.0, 900.0])).all()
    assert binning.tolist() == [1, 4]
