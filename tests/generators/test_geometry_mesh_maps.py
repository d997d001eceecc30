"""Rasterised meshes and polygons against analytic planes, balls and areas."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from spooflab.generators.geometry import mesh_maps, polygon_cover

_FOCAL, _CENTRE = 300.0, (64.0, 48.0)
_SIZE = (96, 128)


def _rays(size: tuple[int, int]) -> Tensor:
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    return torch.stack([(x - _CENTRE[0]) / _FOCAL, (y - _CENTRE[1]) / _FOCAL, torch.ones(size)])


def _quad() -> tuple[Tensor, Tensor]:
    """Return a tilted rectangle in camera axes that faces the camera, and its two triangles."""
    points = torch.tensor([[-60.0, -40.0, 420.0], [50.0, -40.0, 560.0], [50.0, 45.0, 560.0], [-60.0, 45.0, 420.0]])
    return points, torch.tensor([[0, 3, 2], [0, 2, 1]])


def test_a_planes_depth_and_attributes_are_exact_with_perspective() -> None:
    points, triangles = _quad()
    maps = mesh_maps(points, triangles, points.clone(), _FOCAL, _CENTRE, _SIZE, supersample=4)
    normal = torch.linalg.cross(points[1] - points[0], points[3] - points[0])
    rays = _rays(_SIZE)
    depth = (normal @ points[0]) / torch.einsum("c,chw->hw", normal, rays)
    inside = maps.cover == 1
    assert int(inside.sum()) > 2000
    # Depth is that of the nearest of 16 samples, up to half a pixel nearer than the middle.
    slope = (depth[:, 1:] - depth[:, :-1]).abs().amax()
    assert bool(((depth - maps.depth_mm)[inside] > -0.01).all())
    assert float((depth - maps.depth_mm)[inside].amax()) < float(slope)
    # The points as their own attributes: where the ray through the pixel's middle meets the plane.
    torch.testing.assert_close(maps.attributes[:, inside], (rays * depth)[:, inside], atol=0.02, rtol=0)


@pytest.mark.parametrize(("supersample", "tolerance"), [(1, 0.02), (2, 0.01), (4, 0.004)])
def test_covered_area_is_the_quadrilaterals(supersample: int, tolerance: float) -> None:
    points, triangles = _quad()
    maps = mesh_maps(points, triangles, points, _FOCAL, _CENTRE, _SIZE, supersample=supersample)
    pixel = points[:, :2] / points[:, 2:] * _FOCAL + torch.tensor(_CENTRE)
    x, y = pixel.double().numpy().T
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    assert float(maps.cover.double().sum()) == pytest.approx(area, rel=tolerance)
    assert set((maps.cover * supersample**2).round().flatten().tolist()) <= set(range(supersample**2 + 1))
    assert bool((maps.triangle[maps.cover > 0] >= 0).all())
    assert bool((maps.triangle[maps.cover == 0] == -1).all())


def _ball(middle: Tensor, radius: float, rings: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return points, normals and outward triangles of a ball in camera axes."""
    polar = torch.linspace(0, math.pi, rings + 1)
    around = torch.arange(2 * rings) * (math.pi / rings)
    p, a = torch.meshgrid(polar, around, indexing="ij")
    normals = torch.stack([p.sin() * a.cos(), p.sin() * a.sin(), p.cos()], -1).reshape(-1, 3)
    index = torch.arange(normals.shape[0]).reshape(rings + 1, 2 * rings)
    beside = index.roll(-1, 1)
    corners = [index[:-1], index[1:], beside[1:], beside[:-1]]
    first = torch.stack([corners[0], corners[1], corners[2]], -1).reshape(-1, 3)
    second = torch.stack([corners[0], corners[2], corners[3]], -1).reshape(-1, 3)
    return middle + radius * normals, normals, torch.cat([first, second])


@pytest.mark.parametrize("step", [1, 2])
def test_a_balls_outline_depth_and_normals_are_analytic(step: int) -> None:
    middle, radius = torch.tensor([8.0, -5.0, 400.0]), 45.0
    points, normals, triangles = _ball(middle, radius, 90)
    maps = mesh_maps(points, triangles, normals, _FOCAL, _CENTRE, _SIZE, supersample=2, step=step)
    rays = torch.nn.functional.normalize(_rays(_SIZE), dim=0)
    along = torch.einsum("c,chw->hw", middle, rays)
    inside_term = along.square() - (middle @ middle - radius**2)
    distance = along - inside_term.clamp(min=0).sqrt()
    hit = rays * distance
    truth = (hit - middle[:, None, None]) / radius
    assert float((maps.cover.sum() / (inside_term > 0).sum()) - 1) == pytest.approx(0, abs=0.01)
    # Within a pixel of the analytic outline nothing is claimed, beyond it everything.
    sure = torch.nn.functional.max_pool2d(-(inside_term > 0).float()[None, None], 3, 1, 1)[0, 0] < -0.5
    assert bool((maps.cover[sure] == 1).all())
    # Linear enlargement cuts the corners of normals where they turn fastest, at the limb.
    steep = sure & (truth[2] < (-0.4 if step == 1 else -0.65))
    assert float((maps.depth_mm - hit[2])[steep].abs().amax()) < 1.3
    cosine = (torch.nn.functional.normalize(maps.attributes, dim=0) * truth).sum(0)[steep].clamp(-1, 1)
    assert float(torch.rad2deg(cosine.acos()).amax()) < 2.5


def test_nearer_surfaces_hide_farther_ones() -> None:
    points, triangles = _quad()
    behind = points + torch.tensor([0.0, 0.0, 50.0])
    both = torch.cat([behind, points])
    colour = torch.cat([torch.zeros(4, 1), torch.ones(4, 1)])
    maps = mesh_maps(both, torch.cat([triangles, triangles + 4]), colour, _FOCAL, _CENTRE, _SIZE)
    alone = mesh_maps(points, triangles, colour[4:], _FOCAL, _CENTRE, _SIZE)
    seen = alone.cover == 1
    torch.testing.assert_close(maps.attributes[0][seen], torch.ones(int(seen.sum())))
    torch.testing.assert_close(maps.depth_mm[seen], alone.depth_mm[seen])
    assert bool((maps.triangle[seen] >= 2).all())


def test_back_faces_are_seen_only_on_two_sided_meshes() -> None:
    points, triangles = _quad()
    turned = triangles.flip(1)
    assert float(mesh_maps(points, turned, points, _FOCAL, _CENTRE, _SIZE).cover.sum()) == 0
    both = mesh_maps(points, turned, points, _FOCAL, _CENTRE, _SIZE, two_sided=True)
    front = mesh_maps(points, triangles, points, _FOCAL, _CENTRE, _SIZE)
    torch.testing.assert_close(both.cover, front.cover)
    torch.testing.assert_close(both.attributes, front.attributes, atol=1e-3, rtol=1e-4)
    assert set(both.triangle.unique().tolist()) == {-1, 0, 1}


def test_what_lies_behind_or_beside_the_camera_is_left_out() -> None:
    points, triangles = _quad()
    for away in ((0.0, 0.0, -1000.0), (5000.0, 0.0, 0.0), (0.0, -5000.0, 0.0)):
        maps = mesh_maps(points + torch.tensor(away), triangles, points, _FOCAL, _CENTRE, _SIZE)
        assert float(maps.cover.sum()) == 0
        assert bool((maps.depth_mm == torch.inf).all())
    none = mesh_maps(points, triangles[:0], points, _FOCAL, _CENTRE, _SIZE)
    assert float(none.cover.sum()) == 0


def test_pictures_of_odd_size_and_meshes_over_the_edge_work() -> None:
    points, triangles = _quad()
    for size in ((61, 75), (33, 64)):
        fine = mesh_maps(points, triangles, points, _FOCAL, _CENTRE, size, step=1)
        fast = mesh_maps(points, triangles, points, _FOCAL, _CENTRE, size, step=2)
        torch.testing.assert_close(fast.cover, fine.cover)
        assert fast.attributes.shape == (3, *size)
        inner = torch.nn.functional.max_pool2d(-(fine.cover == 1).float()[None, None], 5, 1, 2)[0, 0] < -0.5
        inner[:, -3:] = False
        inner[-3:] = False
        torch.testing.assert_close(fast.attributes[:, inner], fine.attributes[:, inner], atol=0.6, rtol=0)


def test_polygon_cover_is_the_polygons_area() -> None:
    angle = torch.arange(48) * (2 * math.pi / 48)
    circle = torch.stack([30 + 17.3 * angle.cos(), 28 + 17.3 * angle.sin()], 1)
    cover = polygon_cover(circle, (60, 64))
    area = 0.5 * 48 * 17.3**2 * math.sin(2 * math.pi / 48)
    assert float(cover.sum()) == pytest.approx(area, rel=0.005)
    # A box whose sides cut pixels at a third: their cover is that share.
    box = torch.tensor([[10.0, 8.0], [20.0 + 1 / 3, 8.0], [20.0 + 1 / 3, 15.0], [10.0, 15.0]])
    cut = polygon_cover(box, (30, 40))
    assert float(cut[11, 20]) == pytest.approx(1 / 3, abs=1e-4)
    assert float(cut[11, 15]) == 1
    assert float(cut[11, 22]) == 0
    assert float(polygon_cover(box + 500, (30, 40)).sum()) == 0
