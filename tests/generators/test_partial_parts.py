"""Outlines, shadows, sheets and local prints against closed forms and brute force."""

import math

import pytest
import torch
from torch import Tensor

from spooflab.generators.attacks.partials.enlarge import enlarged_view
from spooflab.generators.attacks.partials.frame import ball, spring
from spooflab.generators.attacks.partials.glasses_cut import front_outline
from spooflab.generators.attacks.partials.lay import laid_on, lifted
from spooflab.generators.attacks.partials.outline import box, ellipse, inset, join, moved, turned, without
from spooflab.generators.attacks.partials.print import Similarity, inked, sample_local_print
from spooflab.generators.attacks.partials.rim import rim_line, rim_outline
from spooflab.generators.attacks.partials.shadow import hidden_lamp, hidden_sky
from spooflab.generators.attacks.partials.sheet import Sheet, bent_sheet, facing_axes
from spooflab.generators.attacks.partials.view import see_sheet
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.geometry.geometry import Geometry, read_geometry
from spooflab.generators.instruments.ink_separation import apply_table
from spooflab.generators.instruments.paper import load_papers, separation_of
from spooflab.seeds import generator


def grid(half: float, step: float) -> tuple[Tensor, Tensor]:
    axis = torch.arange(-half, half, step) + step / 2
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    return u, v


@pytest.fixture(scope="module")
def geometry() -> Geometry:
    source = ProceduralFaces(n_subjects=2, sessions=1, size=192, seed=5)
    with torch.inference_mode():
        return read_geometry(source.load(source.refs()[1]))


def test_a_lamp_s_hidden_share_is_a_circle_s_segment() -> None:
    x = 2 * torch.rand(400_000, 2, generator=generator(1, "disc")) - 1
    disc = x[x.square().sum(1) < 1, 0]
    for offset in (-1.2, -0.7, -0.2, 0.0, 0.4, 0.9, 1.3):
        counted = (disc > offset).float().mean()
        closed = hidden_lamp(torch.tensor(offset * 3.0), torch.tensor(3.0))
        torch.testing.assert_close(closed, counted, atol=4e-3, rtol=0)


def test_a_half_plane_s_hidden_sky_is_its_cosine_weighted_share() -> None:
    # Directions with a cosine-weighted density: a point of the unit disc, lifted to the hemisphere (Malley).
    x = 2 * torch.rand(400_000, 2, generator=generator(2, "sky")) - 1
    x = x[x.square().sum(1) < 1]
    rise = (1 - x.square().sum(1)).sqrt()
    for offset, height in ((-4.0, 2.0), (0.0, 5.0), (1.0, 1.0), (6.0, 2.0)):
        meets = x[:, 0] / rise * height
        counted = (meets > offset).float().mean()
        closed = hidden_sky(torch.tensor(offset), torch.tensor(height))
        torch.testing.assert_close(closed, counted, atol=4e-3, rtol=0)


def test_a_box_s_distance_is_exact() -> None:
    u, v = grid(20, 0.9)
    seen = box((2.0, -1.0), (9.0, 5.0), 3.0)(u, v)
    turn = torch.linspace(0, 2 * math.pi, 4001)
    rounded = torch.stack([turn.cos(), turn.sin()], 1) * 3
    corner = torch.stack([rounded[:, 0].sign() * 6, rounded[:, 1].sign() * 2], 1)
    edge = torch.cat([rounded + corner, torch.stack([torch.linspace(-6, 6, 2000), torch.full((2000,), 5.0)], 1)])
    edge = torch.cat([edge, edge * torch.tensor([1.0, -1.0])])
    side = torch.stack([torch.full((2000,), 9.0), torch.linspace(-2, 2, 2000)], 1)
    edge = torch.cat([edge, side, -side]) + torch.tensor([2.0, -1.0])
    brute = torch.cdist(torch.stack([u, v], -1).reshape(-1, 2), edge).amin(1).reshape(u.shape)
    torch.testing.assert_close(seen.abs(), brute, atol=0.03, rtol=0)
    assert ((seen < 0).float().sum() * 0.81 - (18 * 10 - (4 - math.pi) * 9)).abs() < 8


@pytest.mark.parametrize("power", [2.0, 3.2])
def test_an_ellipse_s_distance_is_right_near_its_edge(power: float) -> None:
    turn = torch.linspace(0, 2 * math.pi, 60_001)
    c, s = turn.cos(), turn.sin()
    edge = torch.stack([20 * c.sign() * c.abs() ** (2 / power), 9 * s.sign() * s.abs() ** (2 / power)], 1)
    u, v = grid(24, 0.7)
    seen = ellipse((0.0, 0.0), (20.0, 9.0), power)(u, v)
    brute = torch.cdist(torch.stack([u, v], -1).reshape(-1, 2), edge[::12]).amin(1).reshape(u.shape)
    near = brute < 1.0
    assert (seen.abs() - brute)[near].abs().max() < 0.17


def test_outlines_combine_as_sets() -> None:
    u, v = grid(20, 0.5)
    a, b = box((-4.0, 0.0), (6.0, 6.0)), ellipse((4.0, 2.0), (8.0, 5.0))
    inside = [one(u, v) < 0 for one in (a, b)]
    assert torch.equal(join(a, b)(u, v) < 0, inside[0] | inside[1])
    assert torch.equal(without(a, b)(u, v) < 0, inside[0] & ~(inside[1] | (b(u, v) == 0)))
    assert torch.equal(inset(a, 2.0)(u, v) < 0, box((-4.0, 0.0), (4.0, 4.0))(u, v) < 0)
    assert torch.equal(moved(a, torch.tensor([3.0, -1.0]))(u, v) < 0, box((-1.0, -1.0), (6.0, 6.0))(u, v) < 0)
    quarter = turned(box((0.0, 0.0), (8.0, 3.0)), (0.0, 0.0), math.pi / 2)
    assert ((quarter(u, v) < 0) ^ (box((0.0, 0.0), (3.0, 8.0))(u, v) < 0)).float().mean() < 0.01


@pytest.mark.parametrize("rim", ["round", "square", "cat", "heart", "star", "almond"])
def test_a_rim_s_bar_runs_along_its_outline(rim: str) -> None:
    line = rim_line(rim, (28.0, 24.0), 1.0)
    assert rim_outline(rim, (28.0, 24.0), 1.0)(line[:, 0], line[:, 1]).abs().max() < 0.35
    spans = line.amax(0) - line.amin(0)
    assert spans[0] > 40
    assert spans[1] > 35


@pytest.mark.parametrize("cut", ["cinema", "strip", "wayfarer", "goggles", "domino"])
def test_a_front_covers_both_eyes_and_leaves_the_nose(cut: str) -> None:
    eyes = torch.tensor([[-31.0, 0.0], [31.0, 0.0]])
    outline = front_outline(cut, (146.0, 48.0), eyes, 10.0)
    assert (outline(eyes[:, 0], eyes[:, 1]) < -8).all()
    nose = outline(torch.zeros(1), torch.tensor([22.0]))
    assert bool(nose > 0) == (cut != "strip")
    far = outline(torch.tensor([-90.0, 90.0]), torch.zeros(2))
    assert (far > 10).all()


def test_a_bent_sheet_keeps_its_lengths_and_has_its_radius() -> None:
    axes = facing_axes(12.0, -8.0, 20.0)
    torch.testing.assert_close(axes @ axes.T, torch.eye(3), atol=1e-6, rtol=0)
    sheet = bent_sheet(torch.tensor([1.0, 2.0, 30.0]), axes, (60.0, 40.0), curvature_per_mm=1 / 80, turn_rad=0.4)
    gen = generator(3, "places")
    place = (2 * torch.rand(200, 2, generator=gen) - 1) * 30
    for way in (torch.tensor([0.02, 0.0]), torch.tensor([0.0, 0.02]), torch.tensor([0.014, 0.014])):
        length = (sheet.point(place + way) - sheet.point(place)).norm(dim=1)
        torch.testing.assert_close(length, way.norm().expand(200), atol=4e-4, rtol=0.02)
    along, ruling, out = sheet.frame()
    c, s = math.cos(0.4), math.sin(0.4)
    ends = sheet.point(torch.tensor([[c, s], [-c, -s]]) * 40.0) - sheet.origin_mm
    assert (ends @ ruling).abs().max() < 1e-4
    torch.testing.assert_close(ends @ along, torch.tensor([80 * math.sin(0.5), -80 * math.sin(0.5)]), atol=0.1, rtol=0)
    torch.testing.assert_close(ends @ out, torch.full((2,), 80 * (math.cos(0.5) - 1)), atol=0.1, rtol=0)


def worn(geometry: Geometry, *, bend: float = 0.9, turn: float = 0.0) -> Sheet:
    return laid_on(
        geometry.fit, (2.0, -66.0), (45.0, 24.0), gap_mm=1.5, roll_deg=5.0, bend=bend, turn_rad=turn,
        curl_per_mm=(0.01, 0.0),
    )  # fmt: skip


@pytest.mark.parametrize(("bend", "turn"), [(0.0, 0.0), (0.9, 0.0), (1.0, 0.5)])
def test_pixels_see_the_place_that_projects_onto_them(geometry: Geometry, bend: float, turn: float) -> None:
    fit, sheet = geometry.fit, worn(geometry, bend=bend, turn=turn)
    view = see_sheet(fit, sheet, half_mm=(45.0, 24.0))
    assert view is not None
    points = fit.to_camera(sheet.point(torch.stack([view.u, view.v], -1)))
    pixel = fit.project(points)
    middle = torch.stack([view.pixel % 192 + 0.5, view.pixel // 192 + 0.5], -1)
    assert (pixel - middle).abs().max() < 0.02
    torch.testing.assert_close(points[:, 2], view.depth_mm, atol=0.02, rtol=0)
    normal = torch.linalg.cross(view.along_u, view.along_v, dim=0)
    torch.testing.assert_close(normal, -view.normal, atol=1e-4, rtol=0)  # u, v and away from the camera
    torch.testing.assert_close(view.normal.norm(dim=0), torch.ones(len(view.u)), atol=1e-4, rtol=0)


def test_fields_enlarged_from_half_the_size_are_those_of_the_whole(geometry: Geometry) -> None:
    sheet = worn(geometry)
    coarse = see_sheet(geometry.fit, sheet, shrink=2)
    assert coarse is not None
    view = enlarged_view(coarse, (40.0, 20.0), (192, 192))
    full = see_sheet(geometry.fit, sheet, half_mm=(45.0, 24.0))
    assert view is not None
    assert full is not None
    where = torch.full((192 * 192,), -1, dtype=torch.int64)
    where[full.pixel] = torch.arange(len(full.pixel))
    index = where[view.pixel]
    assert (index >= 0).all()
    assert (full.u[index] - view.u).abs().quantile(0.999) < 0.06
    assert (full.v[index] - view.v).abs().quantile(0.999) < 0.06
    assert (full.normal[:, index] - view.enlarge(coarse.normal)).abs().max() < 0.05


@pytest.mark.parametrize("bend", [0.0, 0.5, 1.0])
def test_a_laid_sheet_clears_the_head_and_follows_it_as_it_bends(geometry: Geometry, bend: float) -> None:
    fit = geometry.fit
    sheet = laid_on(fit, (0.0, -66.0), (45.0, 22.0), gap_mm=1.0, roll_deg=0.0, bend=bend)
    view = see_sheet(fit, sheet, half_mm=(43.0, 20.0))
    assert view is not None
    behind = geometry.maps.depth_mm.flatten()[view.pixel] - view.depth_mm
    behind = behind[torch.isfinite(behind)]
    assert behind.min() > -0.7
    flat = laid_on(fit, (0.0, -66.0), (45.0, 22.0), gap_mm=1.0, roll_deg=0.0, bend=0.0)
    seen = see_sheet(fit, flat, half_mm=(43.0, 20.0))
    assert seen is not None
    if bend == 1.0:
        straight = geometry.maps.depth_mm.flatten()[seen.pixel] - seen.depth_mm
        assert behind.median() < straight[torch.isfinite(straight)].median()


def test_lifting_moves_only_what_would_be_pierced(geometry: Geometry) -> None:
    fit = geometry.fit
    axes = facing_axes(0.0, 0.0, 0.0)
    far = bent_sheet(torch.tensor([0.0, -20.0, 90.0]), axes, (60.0, 40.0), curvature_per_mm=0.0)
    outline = box((0.0, 0.0), (30.0, 20.0))
    assert lifted(fit, far, outline, 0.5) is not None
    assert torch.equal(lifted(fit, far, outline, 0.5).origin_mm, far.origin_mm)
    near = bent_sheet(torch.tensor([0.0, -20.0, 5.0]), axes, (60.0, 40.0), curvature_per_mm=0.0)
    moved_out = lifted(fit, near, outline, 0.5)
    local = fit.local[(fit.local[:, 0].abs() < 30) & ((fit.local[:, 1] + 20).abs() < 20) & (fit.local[:, 2] > -20)]
    torch.testing.assert_close(moved_out.origin_mm[2], local[:, 2].max() + 0.5, atol=0.05, rtol=0)


def test_balls_and_springs_are_closed_and_face_outwards() -> None:
    solid = ball(torch.zeros(3), 10.0)
    a, b, c = (solid.points[solid.triangles[:, k]] for k in range(3))
    volume = (a * torch.linalg.cross(b, c)).sum() / 6
    assert abs(float(volume) - 4 / 3 * math.pi * 1000) < 90
    line = torch.stack([torch.zeros(20), -torch.linspace(0, 50, 20), torch.zeros(20)], 1)
    coil = spring(line, 8.0)
    away = torch.hypot(coil.points[:, 0], coil.points[:, 2])
    assert 7.0 < float(away.min()) < 8.0 < float(away.max()) < 9.0


def test_a_similarity_maps_there_and_back() -> None:
    place = Similarity(torch.tensor([100.0, 80.0]), torch.tensor([3.0, -2.0]), 0.6, 0.2)
    points = torch.rand(20, 2, generator=generator(1, "points")) * 200
    uv = place.to_sheet(points)
    x, y = place.to_photo(uv[:, 0], uv[:, 1])
    torch.testing.assert_close(torch.stack([x, y], -1), points, atol=1e-3, rtol=0)
    assert ((uv[1] - uv[0]).norm() / (points[1] - points[0]).norm() - 0.6).abs() < 1e-5


@pytest.mark.parametrize("name", ["laser_business_175", "photo_inkjet_glossy", "dyesub_glossy"])
def test_a_faultless_local_print_is_the_ink_model_s(name: str) -> None:
    paper = load_papers()[name]
    faultless = paper.model_copy(
        update={"faults": paper.faults.model_copy(update={"banding": 0.0, "mottle": 0.0, "misregistration_um": 0.0})}
    )
    params = sample_local_print(1, generator(1, name))
    still = type(params)(**{**params.__dict__, "tone_drift": torch.zeros(1, 4), "density_drift": torch.zeros(1, 4)})
    codes = torch.rand(3, 16, 32, generator=generator(2, name))
    seen = inked(codes, still, faultless, 0.3, (0, 0, 32, 16), (16, 32))
    nominal = apply_table(separation_of(paper), codes[None])[0]
    expected = paper.ink_model().reflectance(nominal.permute(1, 2, 0)).permute(2, 0, 1)
    torch.testing.assert_close(seen, expected, atol=2e-4, rtol=1e-3)
    drifted = inked(codes, params, paper, 0.3, (0, 0, 32, 16), (16, 32))
    assert (drifted - expected).abs().mean() > 1e-3
