"""Distortion against OpenCV's model, and the lens's blur against its closed-form transfer."""

import math

import numpy as np
import pytest
import torch

from spooflab.augment import CaptureDevice, View
from spooflab.augment.identity import radial_terms
from spooflab.augment.lens import through_lens


@pytest.mark.parametrize("edge", [-0.2, -0.05, 0.03])
def test_the_view_bends_points_as_opencv_does(edge: float) -> None:
    cv2 = pytest.importorskip("cv2")
    height, width = 240, 320
    k1, k2 = radial_terms(edge, 0.2)
    view = View.ideal(height, width, k1=k1, k2=k2)
    half_diagonal = math.hypot(height, width) / 2
    # OpenCV counts from pixel centres, this project from the first pixel's corner.
    camera = np.array([[half_diagonal, 0, width / 2 - 0.5], [0, half_diagonal, height / 2 - 0.5], [0, 0, 1]])
    points = torch.rand(200, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([width, height])
    normalised = ((points.numpy() - [width / 2, height / 2]) / half_diagonal).astype(np.float64)
    rays = np.concatenate([normalised, np.ones((200, 1))], 1)
    bent, _ = cv2.projectPoints(rays[:, None], np.zeros(3), np.zeros(3), camera, np.array([k1, k2, 0.0, 0.0]))
    ours = view.distort(points[None])[0]
    np.testing.assert_allclose(ours.numpy(), bent[:, 0] + 0.5, atol=1e-3)
    np.testing.assert_allclose(view.undistort(ours[None])[0].numpy(), points.numpy(), atol=0.05)


@pytest.mark.parametrize(("angle_deg", "frequency"), [(0, 0.05), (0, 0.2), (90, 0.2), (30, 0.15), (45, 0.3)])
@pytest.mark.parametrize("blur_px", [0.4, 0.9, 1.3])
def test_a_sinusoid_loses_the_contrast_that_the_transfer_predicts(
    angle_deg: float, frequency: float, blur_px: float
) -> None:
    view = View.ideal(96, 96, blur_px=blur_px, pitch_um=1.2, f_number=2.2)
    fx, fy = (frequency * f(math.radians(angle_deg)) for f in (math.cos, math.sin))
    ys, xs = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    wave = 0.5 + 0.4 * torch.cos(2 * math.pi * (fx * xs + fy * ys))
    inside = (slice(16, -16), slice(16, -16))
    blurred = view.blur(wave[None, None])[0, 0][inside] - 0.5
    phase = 2 * math.pi * (fx * xs + fy * ys)[inside].flatten()
    design = torch.stack([phase.cos(), phase.sin()], 1)
    amplitude = torch.linalg.lstsq(design, blurred.flatten()[:, None]).solution.norm()
    # Closed form: Gaussian, times diffraction by a circular aperture with cut-off pitch / (wavelength · f-number).
    s = frequency / (1.2 / (0.55 * 2.2))
    diffraction = 2 / math.pi * (math.acos(s) - s * math.sqrt(1 - s * s))
    wanted = math.exp(-2 * (math.pi * blur_px * frequency) ** 2) * diffraction
    # The 9 x 9 kernel holds 96 % of this lens's light; what lies in the Airy pattern's far rings is not spread out.
    assert wanted - 0.01 <= float(amplitude) / 0.4 <= wanted * 1.05 + 0.005


def test_a_slanted_edges_spread_has_the_blurs_variance() -> None:
    view = View.ideal(64, 64, blur_px=1.1, f_number=1e-4)
    edge = torch.zeros(1, 1, 64, 64)
    edge[..., 32:] = 1
    line = view.blur(edge)[0, 0, 32].diff()
    position = torch.arange(63.0)
    mean = (line * position).sum()
    assert float((line * (position - mean) ** 2).sum()) == pytest.approx(1.1**2, rel=0.02)


def test_an_ideal_view_passes_a_photograph_unchanged() -> None:
    photo = torch.rand(2, 3, 225, 230, generator=torch.Generator().manual_seed(0))
    view = View.ideal(225, 230, batch_size=2, f_number=1e-4)
    torch.testing.assert_close(through_lens(photo, view), photo, atol=2e-4, rtol=0)


@pytest.mark.parametrize("edge", [-0.2, -0.08])
def test_barrel_distortion_fills_the_frame_without_repeated_borders(edge: float) -> None:
    k1, k2 = radial_terms(edge, 0.1)
    xs = torch.linspace(0, 1, 256).expand(1, 1, 256, 256)
    view = View.ideal(256, 256, k1=k1, k2=k2, f_number=1e-4)
    seen = through_lens(xs, view)[0, 0]
    # Across the picture the ramp never stands still away from its two ends, and the corner still sees the corner.
    assert float(seen[:, 6:-6].diff(dim=1).min()) > 0
    assert float(seen[0, 0]) == pytest.approx(0, abs=0.01)
    # The corner's ray meets the picture's edge; the middle row's last ray falls short of it by the lens's bend.
    middle, corner = (view.undistort(torch.tensor([[p]]))[0, 0, 0] - 128 for p in ([255.5, 128.0], [255.5, 255.5]))
    assert float(seen[128].max()) == pytest.approx(0.5 + 0.5 * float(middle / corner), abs=0.003)


def test_straight_lines_bow_outwards_with_a_barrel() -> None:
    k1, k2 = radial_terms(-0.15, 0.1)
    xs = torch.linspace(0, 1, 256).expand(1, 1, 256, 256)
    seen = through_lens(xs, View.ideal(256, 256, k1=k1, k2=k2, f_number=1e-4))[0, 0]
    column = 200
    # Content x at a fixed column is nearer the border at the top than in the middle: its line bows outwards.
    assert float(seen[4, column]) > float(seen[128, column]) + 0.01


def test_the_warp_is_right_beyond_the_size_that_breaks_half_precision() -> None:
    device = CaptureDevice("kiosk", unit=0)
    shots = device.sample(1, torch.Generator().manual_seed(0), size=(448, 448))
    smooth = torch.linspace(0.2, 0.8, 448).expand(1, 3, 448, 448)
    seen = through_lens(smooth, shots.view)
    assert float(seen.min()) > 0.19
    assert float(seen.max()) < 0.81
    assert float(seen.diff(dim=-1).abs().max()) < 0.01
