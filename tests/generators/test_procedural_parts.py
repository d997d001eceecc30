"""The renderer's parts against independent references."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from spooflab.generators.faces.procedural import raster
from spooflab.generators.faces.procedural.attach import from_front, rest_normals, scatter
from spooflab.generators.faces.procedural.hair import _CENTRE, _radial_index, interpolate, scalp_depth
from spooflab.generators.faces.procedural.light import Lamp, blackbody, highlight, matching, shadow_map
from spooflab.generators.faces.procedural.mesh import subdivide, topology, vertex_normals
from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.faces.procedural.modes import EXPRESSIONS, FORMS, MACROS, PAIRS
from spooflab.generators.faces.procedural.noise import hashed, look_up, patterns
from spooflab.generators.faces.procedural.shape import rotation
from spooflab.generators.faces.procedural.skinoptics import albedo, reflectance

_CUBE = torch.tensor(
    [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [2, 3, 7, 6], [1, 2, 6, 5], [0, 4, 7, 3]], dtype=torch.int64
)
_CORNERS = torch.tensor(
    [[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1], [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]],
    dtype=torch.float32,
)


def test_subdivided_cube_is_catmull_and_clarks() -> None:
    topo = topology(_CUBE, 8)
    fine = subdivide(_CORNERS, topo)
    assert fine.shape == (8 + 12 + 6, 3)
    # Corner of a cube: (Q + 2R + (n − 3)P) / n with Q = mean of the three face centres, R of the edge middles.
    q, r = np.full(3, 1 / 3), np.full(3, 2 / 3)
    expected = np.sign(_CORNERS.numpy()) * ((q + 2 * r) / 3)
    np.testing.assert_allclose(fine[:8].numpy(), expected, atol=1e-6)
    # An edge point is the mean of both ends and both faces: (0, ±3/4, ±3/4) in some order.
    np.testing.assert_allclose(np.sort(fine[8:20].abs().numpy(), 1), [[0, 0.75, 0.75]] * 12, atol=1e-6)
    assert topo.triangles.shape == (6 * 8, 3)


def test_normals_of_the_subdivided_cube_point_outwards() -> None:
    topo = topology(_CUBE, 8)
    fine = subdivide(_CORNERS, topo)
    normals = vertex_normals(fine, topo.fine_quads)
    assert bool(((normals * fine).sum(1) > 0.5).all())


def _slow_raster(xy: Tensor, z: Tensor, triangles: Tensor, size: int) -> np.ndarray:
    best = np.full((size, size), np.inf)
    owner = np.full((size, size), -1)
    for number, (i, j, k) in enumerate(triangles.tolist()):
        a, b, c = (xy[v].double().numpy() for v in (i, j, k))
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area >= -1e-9:
            continue
        for row in range(size):
            for column in range(size):
                p = np.array([column + 0.5, row + 0.5])
                w1 = ((p[0] - a[0]) * (c[1] - a[1]) - (p[1] - a[1]) * (c[0] - a[0])) / area
                w2 = ((b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])) / area
                if min(w1, w2, 1 - w1 - w2) < 0:
                    continue
                depth = 1 / ((1 - w1 - w2) / float(z[i]) + w1 / float(z[j]) + w2 / float(z[k]))
                if depth < best[row, column]:
                    best[row, column], owner[row, column] = depth, number
    return owner


def test_raster_equals_a_loop_over_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    xy = torch.rand(60, 2, generator=generator) * 30 - 3
    z = 100 + 200 * torch.rand(60, generator=generator)
    triangles = torch.randint(0, 60, (40, 3), generator=generator)
    keys = raster.fill(raster.prepare(xy, 1 / z, triangles, (24, 24)), (24, 24))
    owner = torch.where(keys == raster.EMPTY, -1, raster.unpack(torch.where(keys == raster.EMPTY, 0, keys))[1])
    slow = _slow_raster(xy, z, triangles, 24)
    assert (slow >= 0).sum() > 200
    # A pixel centre within the tolerance of an edge may go either way.
    assert (owner.reshape(24, 24).numpy() != slow).sum() <= 2


def test_packed_keys_sort_by_depth_and_return_their_parts() -> None:
    depth, number = torch.tensor([512.25, 300.5]), torch.tensor([7, 4_000_000])
    keys = raster.pack(depth, number)
    assert keys[1] < keys[0]
    back_depth, back_number = raster.unpack(keys)
    assert torch.allclose(back_depth, depth, atol=2e-3)
    assert torch.equal(back_number, number)


def test_model_has_every_direction_and_is_symmetric() -> None:
    model = head_model()
    for name in (*MACROS, *FORMS, *(n for low, high, _ in PAIRS.values() for n in (low, high))):
        # The average build is the base mesh itself.
        assert name.endswith("averageweight") or float(model.modes[model.names[name]].abs().amax()) > 0.3
    for name in EXPRESSIONS:
        assert name in model.names or f"{name}/african" in model.names
    x = model.rest[:, 0]
    assert float(x.amax() + x.amin()) == pytest.approx(0, abs=0.01)
    assert 190 < float(model.rest[:, 1].amax() - (-105)) < 230


def test_attached_points_lie_where_they_were_asked_for() -> None:
    model = head_model()
    asked = torch.tensor([[0.0, -35.0], [30.0, 30.0], [-20.0, -68.0]])
    points = from_front(model, asked)
    assert torch.allclose(points.rest[:, :2], asked, atol=0.15)
    assert torch.allclose(points.weights.sum(1), torch.ones(3), atol=1e-5)
    with pytest.raises(ValueError, match="no surface"):
        from_front(model, torch.tensor([[0.0, 0.0], [0.0, 150.0]]))


def test_scattered_roots_are_even_over_the_area() -> None:
    model = head_model()
    inside = scalp_depth(model.rest, 0.2) > 0
    roots = scatter(model, inside, 4000, 1)
    front = (roots.rest[:, 2] > -75).float().mean()
    triangles = model.topo.triangles[inside[model.topo.triangles].all(1)]
    a, b, c = (model.rest[triangles[:, k]] for k in range(3))
    area = torch.linalg.cross(b - a, c - a).norm(dim=1)
    share = area[(a + b + c)[:, 2] / 3 > -75].sum() / area.sum()
    assert float(front) == pytest.approx(float(share), abs=0.02)
    assert bool((scalp_depth(roots.rest, 0.2) > -1).all())


def test_hash_is_uniform_and_fixed() -> None:
    values = hashed(torch.arange(20_000), 5)
    assert float(values.mean()) == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / 20_000))
    assert float(values.var()) == pytest.approx(1 / 12, rel=0.03)
    lag = ((values[1:] - 0.5) * (values[:-1] - 0.5)).mean() * 12
    assert abs(float(lag)) < 0.03
    assert torch.equal(values[:100], hashed(torch.arange(100), 5))
    assert not torch.equal(values[:100], hashed(torch.arange(100), 6))


def test_patterns_tile() -> None:
    tiles = patterns()
    assert torch.allclose(tiles[0, :4].std((1, 2)), torch.ones(4), atol=0.01)
    inside = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) * 40 + 10
    shift = torch.tensor([0.25, 0.5])
    assert torch.allclose(look_up(inside, 100.0, shift), look_up(inside + 300, 100.0, shift), atol=5e-2)


def test_skin_table_equals_the_spectra() -> None:
    generator = torch.Generator().manual_seed(0)
    m, b = 0.008 + 0.5 * torch.rand(200, generator=generator), 0.01 + 0.12 * torch.rand(200, generator=generator)
    error = (albedo(m, b) / reflectance(m, b) - 1).abs()
    assert float(error.amax()) < 0.02


def _ita_degrees(rgb: Tensor) -> Tensor:
    matrix = torch.tensor([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = rgb @ matrix.T / torch.tensor([0.9505, 1.0, 1.089])
    f = torch.where(xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116)
    lightness, b = 116 * f[:, 1] - 16, 200 * (f[:, 1] - f[:, 2])
    return torch.rad2deg(torch.atan2(lightness - 50, b))


def test_skin_tones_cover_the_ita_range_from_very_light_to_dark() -> None:
    from spooflab.generators.faces.procedural.sample import sample_identity

    identity = sample_identity(600, torch.Generator().manual_seed(0))
    ita = _ita_degrees(reflectance(identity.melanin, identity.blood))
    # Chardon et al. 1991: very light > 55, light > 41, intermediate > 28, tan > 10, brown > −30, dark below.
    edges = torch.tensor([-30.0, 10.0, 28.0, 41.0, 55.0])
    share = torch.bincount(torch.bucketize(ita, edges), minlength=6) / 600
    assert float(share.amin()) > 0.015


def test_skin_gets_darker_with_melanin_and_redder_with_blood() -> None:
    m = torch.linspace(0.01, 0.45, 12)
    grey = reflectance(m, torch.full_like(m, 0.03))
    assert bool((grey[1:] < grey[:-1]).all())
    b = torch.linspace(0.01, 0.12, 12)
    red = reflectance(torch.full_like(b, 0.03), b)
    ratio = red[:, 0] / red[:, 1]
    assert bool((ratio[1:] > ratio[:-1]).all())


def test_daylight_is_nearly_neutral_and_candlelight_is_warm() -> None:
    day, warm = blackbody(torch.tensor([6500.0, 2800.0]))
    assert float(day.amax() / day.amin()) < 1.15
    assert float(warm[0]) > 1.4 * float(warm[1]) > 2 * float(warm[2])


def test_matching_functions_peak_where_the_eye_does() -> None:
    nm = torch.arange(400.0, 701.0, dtype=torch.float64)
    peak = nm[matching(nm).argmax(0)]
    assert peak.tolist() == pytest.approx([598, 557, 446], abs=6)


def test_rotation_is_proper_and_has_the_stated_senses() -> None:
    turn = rotation(25, -8, 12)
    assert torch.allclose(turn @ turn.T, torch.eye(3), atol=1e-6)
    assert float(torch.linalg.det(turn)) == pytest.approx(1, abs=1e-5)
    ahead = torch.tensor([0.0, 0.0, 1.0])
    assert float((rotation(20, 0, 0) @ ahead)[0]) > 0.3
    assert float((rotation(0, 10, 0) @ ahead)[1]) > 0.15
    assert float((rotation(0, 0, 10) @ torch.tensor([0.0, 1.0, 0.0]))[0]) > 0.15


def test_highlight_peaks_in_the_mirror_direction() -> None:
    lamp = Lamp(torch.nn.functional.normalize(torch.tensor([0.5, 0.3, 1.0]), dim=0), torch.ones(3), 0.0)
    view = torch.tensor([[0.0, 0.0, 1.0]]).expand(400, 3)
    generator = torch.Generator().manual_seed(0)
    half = torch.nn.functional.normalize(view[0] + lamp.direction, dim=0)
    normal = torch.nn.functional.normalize(half + 0.5 * torch.randn(400, 3, generator=generator), dim=1)
    best = highlight(half[None], view[:1], lamp, torch.tensor([0.4]), 0.03)
    others = highlight(normal, view, lamp, torch.full((400,), 0.4), 0.03)
    assert float(best) > 0.9 * float(others.amax())
    assert bool((others >= 0).all())


def test_shadow_map_darkens_what_lies_behind() -> None:
    corners = torch.tensor([[-40.0, -70, 0], [40, -70, 0], [40, 10, 0], [-40, 10, 0]])
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]])
    lamp = Lamp(torch.tensor([0.0, 0.0, 1.0]), torch.ones(3), 0.0)
    shadows = shadow_map(lamp, corners, triangles, torch.empty(0, 3))
    points = torch.tensor([[0.0, -30, -50], [0.0, -30, 20], [90.0, -30, -50]])
    lit = shadows.lit(points, torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3), 0.0)
    assert lit.tolist() == pytest.approx([0, 1, 1], abs=1e-3)


def test_piecewise_linear_interpolation_equals_numpys() -> None:
    at, values = (-3.0, 0.0, 1.0, 5.0), (2.0, -1.0, 4.0, 4.5)
    x = torch.linspace(-6, 8, 57)
    np.testing.assert_allclose(interpolate(x, at, values).numpy(), np.interp(x.numpy(), at, values), atol=1e-5)


def test_ambient_visibility_is_low_where_the_face_shelters_itself() -> None:
    model = head_model()
    normals = rest_normals(model)
    spots = from_front(model, torch.tensor([[0.0, 40.0], [10.0, -42.5], [17.5, 4.0]]))
    forehead, nostril, socket = spots.carry(model.open_sky[:, None])[:, 0].tolist()
    assert forehead > 0.85
    assert nostril < forehead - 0.15
    assert socket < forehead - 0.02
    assert torch.allclose(normals.norm(dim=1)[:100], torch.ones(100), atol=1e-4)


class LargestTensor(TorchDispatchMode):
    """Notes the bytes of the largest tensor that an operation returned."""

    most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.most = max(self.most, out.nbytes if isinstance(out, Tensor) else 0)
        return out


def test_the_outermost_vertex_of_a_direction_is_found_without_a_table_of_all_pairs() -> None:
    model = head_model()
    with LargestTensor() as noted:
        index = _radial_index.__wrapped__(model)
    assert noted.most < 20e6  # all pairs at once are 186 MB, several times over, which a worker keeps
    rest = model.rest.numpy()
    offset = rest - np.array(_CENTRE, np.float32)
    radius = np.linalg.norm(offset, axis=1)
    ear = (np.abs(rest[:, 0]) > 71) & (rest[:, 1] < 8) & (rest[:, 2] > -95)
    skull = ~ear & (rest[:, 1] >= -112)
    rows, columns = index.shape
    for row, column in ((3, 5), (10, 32), (17, 0), (20, 63)):
        polar, around = (row + 0.5) / rows * math.pi, (column + 0.5) / columns * 2 * math.pi - math.pi
        ray = np.array([math.sin(polar) * math.sin(around), math.cos(polar), math.sin(polar) * math.cos(around)])
        near = (offset / radius[:, None]) @ ray
        best = radius[(near > 0.994) & skull].max()
        assert radius[index[row, column]] == pytest.approx(best, abs=0.05)  # ties within a hair go to the nearer
