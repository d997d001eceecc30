"""The bent sheet against closed forms: cylinder foreshortening, arc length, normals, and the flat plane."""

import math

import pytest
import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.instruments.paper_bend import (
    MAX_ANGLE,
    SHAPES,
    Bend,
    cast_sheet,
    profile,
    project_sheet,
    sample_bend,
    surface,
)
from spooflab.generators.pose import Pose, cast_points, project

FAR = 1.0e5


def bend_of(curvature: float | tuple[float, float], *, axis_deg: float = 0.0, start: float = 0.0) -> Bend:
    pair = (curvature, curvature) if isinstance(curvature, float) else curvature
    return Bend(
        shape=torch.zeros(1, dtype=torch.int64),
        axis_deg=torch.tensor([axis_deg]),
        start_mm=torch.tensor([[start, start]]),
        curvature_per_mm=torch.tensor([pair]),
    )


def pose_of(z: float = 400.0, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Pose:
    one = torch.ones(1)
    return Pose(torch.tensor([[3.0, -5.0, z]]), one * yaw, one * pitch, one * roll)


def lattice(half_u: float, half_v: float, count: int = 9) -> Tensor:
    u, v = torch.meshgrid(torch.linspace(-half_u, half_u, count), torch.linspace(-half_v, half_v, count), indexing="xy")
    return torch.stack([u, v], -1).reshape(1, -1, 2)


def test_cylinder_is_foreshortened_as_its_sine() -> None:
    """A cylinder of radius R seen from far away shows arc length s at R sin(s / R), and R (1 - cos) deeper."""
    radius = 160.0
    view = View.ideal(512, 512, focal_mm=FAR / 100, pitch_um=1000.0)
    pose = Pose(torch.tensor([[0.0, 0.0, FAR]]), torch.zeros(1), torch.zeros(1), torch.zeros(1))
    s = torch.linspace(-100, 100, 21)
    points = torch.stack([s, torch.zeros_like(s)], -1)[None]
    seen, depth = project_sheet(view, pose, bend_of(1 / radius), points)
    scale = FAR / 100 / FAR  # millimetres on the sensor for one on the sheet
    x = (seen[0, :, 0] - 256) / scale
    assert x.tolist() == pytest.approx((radius * torch.sin(s / radius)).tolist(), abs=0.15)
    behind = radius * (1 - torch.cos(s / radius))
    assert (depth[0] - FAR).tolist() == pytest.approx(behind.tolist(), abs=0.02)


@pytest.mark.parametrize("curvature", [0.004, -0.006, 0.0])
def test_bending_keeps_lengths(curvature: float) -> None:
    bend = bend_of((curvature, 0.5 * curvature), axis_deg=31.0, start=12.0)
    steps = torch.linspace(0, 1, 2001)[:, None]
    line = (torch.tensor([[-90.0, -120.0]]) + steps * torch.tensor([[180.0, 240.0]]))[None]
    place = surface(bend, line.double())
    length = (place[0, 1:] - place[0, :-1]).norm(dim=-1).sum()
    assert float(length) == pytest.approx(300.0, rel=1e-4)


def test_profile_is_smooth_and_goes_on_straight() -> None:
    bend = bend_of(0.02, start=20.0)
    s = torch.linspace(-200, 200, 4001, dtype=torch.float64)[None]
    along, behind, angle = profile(bend, s)
    slope = torch.atan2(torch.diff(behind), torch.diff(along))
    middle = (angle[:, 1:] + angle[:, :-1]) / 2
    assert torch.allclose(slope, middle, atol=2e-3)
    assert float(angle.abs().max()) == pytest.approx(MAX_ANGLE)
    assert float(angle[:, (s[0].abs() < 20)].abs().max()) == 0


@pytest.mark.parametrize("seed", range(6))
def test_rays_meet_what_is_projected(seed: int) -> None:
    gen = torch.Generator().manual_seed(seed)
    bend = sample_bend(torch.tensor([[210.0, 297.0]]), gen)
    tilt = (torch.rand(3, generator=gen) * 50 - 25).tolist()
    view = View.ideal(512, 512, binning=3, k1=0.03, k2=-0.01)
    pose = pose_of(480.0, *tilt)
    points = lattice(105, 148)
    seen, depth = project_sheet(view, pose, bend, points)
    hit = cast_sheet(view, pose, bend, seen[:, None])
    assert float((hit.uv_mm[:, 0] - points).abs().max()) < 2e-3
    assert float((hit.depth_mm[:, 0] - depth).abs().max()) < 2e-3
    assert float((hit.normal * hit.ray).sum(-1).max()) < 0


def test_flat_sheet_is_the_plane() -> None:
    view = View.ideal(64, 64, binning=20, k1=-0.02)
    pose = pose_of(350.0, 14.0, -9.0, 5.0)
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    sensor = torch.stack([x, y], -1)[None]
    hit = cast_sheet(view, pose, bend_of(0.0), sensor)
    plane = cast_points(view, pose, view.undistort(sensor))
    assert torch.allclose(hit.uv_mm, plane.uv_mm.float(), atol=1e-3)
    assert torch.allclose(hit.depth_mm, plane.depth_mm[:, 0].float(), atol=1e-3)
    points = lattice(60, 60)
    seen, _ = project_sheet(view, pose, bend_of(0.0), points)
    assert torch.allclose(seen, project(view, pose, points).float(), atol=1e-3)


def test_normals_are_those_of_the_surface() -> None:
    bend, pose = bend_of((0.007, 0.003), axis_deg=25.0), pose_of(400.0, 10.0, -12.0, 6.0)
    view = View.ideal(512, 512, binning=3)
    points = lattice(80, 110, 5).double()
    axes = torch.stack(pose.axes(), -2).double()
    step = 1e-3
    du = (surface(bend, points + torch.tensor([step, 0.0])) - surface(bend, points)) @ axes
    dv = (surface(bend, points + torch.tensor([0.0, step])) - surface(bend, points)) @ axes
    wanted = torch.linalg.cross(dv, du)
    wanted = wanted / wanted.norm(dim=-1, keepdim=True)
    seen, _ = project_sheet(view, pose, bend, points.float())
    hit = cast_sheet(view, pose, bend, seen[:, None])
    assert torch.allclose(hit.normal[0, 0], wanted[0].float(), atol=2e-3)


def test_bent_in_has_its_middle_behind() -> None:
    """Bent in: the sides come towards the camera; bent out: they go away."""
    points = torch.tensor([[[100.0, 0.0]]])
    assert float(surface(bend_of(-0.003), points)[0, 0, 2]) < 0
    assert float(surface(bend_of(0.003), points)[0, 0, 2]) > 0


def test_draws_cover_every_shape_within_the_largest_angle() -> None:
    size = torch.tensor([[210.0, 297.0]]).expand(600, 2)
    bend = sample_bend(size, torch.Generator().manual_seed(0))
    share = torch.bincount(bend.shape, minlength=len(SHAPES)) / 600
    assert float(share[0]) == pytest.approx(0.34, abs=0.06)
    assert bool((share[1:] > 0.1).all())
    flat = bend.shape == 0
    assert float(bend.curvature_per_mm[flat].abs().max()) == 0
    corner = bend.shape == SHAPES.index("corner")
    corners = torch.stack([size, size * torch.tensor([1.0, -1.0])], 1)[corner] / 2
    angle = torch.deg2rad(bend.axis_deg[corner])
    along = torch.stack([angle.cos(), angle.sin()], -1)
    reach = (corners * along[:, None]).sum(-1).abs().amax(-1)
    assert float((reach - bend.start_mm[corner, 0]).min()) > 0  # the curl begins inside the sheet
    _, _, slope = profile(bend, torch.full((600, 1), 180.0))
    assert float(slope.abs().max()) <= MAX_ANGLE + 1e-6
    assert math.isfinite(float(bend.start_mm.sum()))
