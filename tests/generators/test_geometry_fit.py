"""The head fitted to landmarks against the renderer's truth and against what fitting must keep."""

import math
from functools import lru_cache

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from spooflab.errors import SkipSample
from spooflab.generators.face import Face
from spooflab.generators.faces.landmarks import MEAN_HEAD
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.faces.procedural.attach import rest_normals
from spooflab.generators.faces.procedural.landmarks import attachments, landmark_points
from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.faces.procedural.params import NuisanceParams
from spooflab.generators.faces.procedural.shape import build_head, camera, place, rotation
from spooflab.generators.geometry import HeadFit, fit_head, head_maps, neutral_expression
from spooflab.generators.geometry.bake_basis import PATH, bake
from spooflab.generators.geometry.head_basis import head_basis
from spooflab.generators.geometry.head_solver import HeadProblem, HeadState, _jacobian, _linearised, _moved

_SIZE = (384, 384)
_SOURCE = ProceduralFaces(n_subjects=40, sessions=1, seed=71)


def _posed(subject: int, **pose: float) -> tuple[Tensor, Tensor, NuisanceParams]:
    """Return the landmarks, the head in camera axes, and the session of one subject, without drawing a picture."""
    identity, nuisance = _SOURCE.params(_SOURCE.refs()[subject])
    changes = {f"{k}_deg": torch.tensor([v]) for k, v in pose.items()}
    nuisance = NuisanceParams(**{**nuisance.__dict__, **changes})
    model = head_model()
    head = build_head(model, identity, nuisance.expression)
    turn = rotation(float(nuisance.yaw_deg[0]), float(nuisance.pitch_deg[0]), float(nuisance.roll_deg[0]))
    view = camera(head, nuisance, turn, _SIZE[0])
    world = place(head.points, False, torch.ones(len(head.points), 1), turn, turn)
    seen = torch.stack([world[:, 0], -world[:, 1], view.distance_mm - world[:, 2]], 1)
    return landmark_points(view.project(world)[0]), seen, nuisance


@lru_cache(maxsize=1)
def _landmarks() -> Tensor:
    return _posed(3)[0]


def _eyes(points: Tensor) -> float:
    return float((points[42:48].mean(0) - points[36:42].mean(0)).norm())


def _front() -> Tensor:
    """Return the vertices of the face's front, clear of sockets and mouth."""
    rest = head_model().rest
    near = torch.tensor([[30.0, -1.0], [-30.0, -1.0], [0.0, -68.0]])
    clear = torch.cdist(rest[:, :2], near).amin(1) > 24
    return (rest[:, 2] > -25) & (rest[:, 1] > -100) & (rest[:, 1] < 55) & clear


def test_pose_and_shape_come_back_from_the_landmarks_of_thirty_people() -> None:
    yaw, pitch, roll, landmark, depth = [], [], [], [], []
    front = _front()
    for subject in range(30):
        points, seen, nuisance = _posed(subject)
        fit = fit_head(points, _SIZE)
        found = fit.angles_deg
        yaw.append(found[0] - float(nuisance.yaw_deg))
        pitch.append(found[1] - float(nuisance.pitch_deg))
        roll.append(found[2] - float(nuisance.roll_deg))
        missed = (landmark_points(fit.project(fit.points)) - points).norm(dim=1).mean()
        landmark.append(float(missed) / _eyes(points))
        off = (fit.points - seen)[front][:, 2]
        depth.append(float((off - off.median()).abs().median()))
        assert fit.error < 0.03
    for angle, limit in ((yaw, 2.5), (pitch, 4.5), (roll, 1.5)):
        assert math.sqrt(sum(v * v for v in angle) / len(angle)) < limit
    # The mean over people hides no bias.
    assert abs(sum(pitch) / len(pitch)) < 2
    assert max(landmark) < 0.015
    assert sum(depth) / len(depth) < 2.5


def test_heads_turned_far_are_found_up_to_the_limit() -> None:
    for yaw in (-48.0, -40.0, 40.0, 48.0):
        points, _, _ = _posed(5, yaw=yaw)
        assert fit_head(points, _SIZE).angles_deg[0] == pytest.approx(yaw, abs=5)
    points, _, _ = _posed(5, yaw=75.0)
    with pytest.raises(SkipSample) as skipped:
        fit_head(points, _SIZE)
    assert skipped.value.reason == "profile_face"


def test_a_head_on_its_side_and_upside_down_is_found() -> None:
    points = _landmarks()
    upright = fit_head(points, _SIZE)
    for degrees in (90.0, 180.0):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        spin = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        spun = fit_head((points - 192) @ spin[:2, :2].T + 192, _SIZE)
        gap = spun.rotation @ (spin @ upright.rotation).T
        # Up to 20° of tilt are the head's and move the point that the camera is taken to aim at.
        assert math.degrees(math.acos(min((float(gap.trace()) - 1) / 2, 1.0))) < 4
        assert spun.error == pytest.approx(upright.error, abs=0.005)


def test_shifted_and_scaled_landmarks_shift_and_scale_the_fit() -> None:
    points = _landmarks()
    first = fit_head(points, _SIZE)
    shifted = fit_head(points + torch.tensor([13.0, -7.5]), _SIZE)
    torch.testing.assert_close(shifted.points, first.points, atol=2e-2, rtol=0)
    moved = shifted.project(shifted.points) - first.project(first.points)
    torch.testing.assert_close(moved, torch.tensor([13.0, -7.5]).expand_as(moved), atol=1e-2, rtol=0)
    doubled = fit_head(points * 2, (768, 768))
    torch.testing.assert_close(doubled.points, first.points, atol=2e-2, rtol=0)
    assert doubled.focal_px == pytest.approx(2 * first.focal_px, rel=1e-4)


def test_mirrored_landmarks_give_the_mirrored_pose() -> None:
    swap = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46]
    swap += [39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1)]
    points = _landmarks()
    mirrored = torch.stack([384 - points[swap, 0], points[swap, 1]], 1)
    one, other = fit_head(points, _SIZE).angles_deg, fit_head(mirrored, _SIZE).angles_deg
    assert other[0] == pytest.approx(-one[0], abs=1.0)
    assert other[1] == pytest.approx(one[1], abs=1.0)
    assert other[2] == pytest.approx(-one[2], abs=0.7)


def test_noise_of_landmarks_moves_the_pose_little() -> None:
    points = _landmarks()
    clean = torch.tensor(fit_head(points, _SIZE).angles_deg)
    noise = torch.randn(12, 68, 2, generator=torch.Generator().manual_seed(4)) * 0.02 * _eyes(points)
    moves = torch.stack([torch.tensor(fit_head(points + n, _SIZE).angles_deg) - clean for n in noise])
    assert bool((moves.square().mean(0).sqrt() < torch.tensor([3.5, 4.5, 1.5])).all())


def test_the_jacobian_is_the_projections_derivative() -> None:
    points = _landmarks().double()
    problem = HeadProblem(points, torch.tensor([190.0, 150.0]).double(), 1.5, 480.0, 0.25)
    basis = head_basis()
    drawn = torch.randn(basis.modes.shape[0], generator=torch.Generator().manual_seed(1)).double() * 0.1
    turn = rotation(12, 4, 3).double() * torch.tensor([1.0, -1.0, -1.0]).double()[:, None]
    state = HeadState(turn, torch.tensor([195.0, 160.0]).double(), math.log(450.0), math.log(1.6), drawn.clamp(min=0))
    off, *rest = _linearised(problem, state)
    jacobian = _jacobian(state, *rest, rigid=False)
    for k in (*range(7), 9, 40, 50, len(drawn) + 6):
        move = torch.zeros(7 + len(drawn), dtype=torch.float64)
        move[k] = 1e-6
        numeric = (off - _linearised(problem, _moved(state, move))[0]) / 1e-6
        torch.testing.assert_close(jacobian[:, :, k], numeric, atol=2e-3, rtol=2e-3)


def test_project_and_to_camera_go_round() -> None:
    fit = fit_head(_landmarks(), _SIZE)
    torch.testing.assert_close(fit.to_camera(fit.local), fit.points, atol=1e-3, rtol=0)
    torch.testing.assert_close(fit.to_head(fit.points), fit.local, atol=1e-3, rtol=0)
    pixel = fit.project(fit.points)
    z = fit.points[:, 2:]
    back = torch.cat([(pixel - torch.tensor(fit.centre_px)) / fit.focal_px * z, z], 1)
    torch.testing.assert_close(back, fit.points, atol=1e-3, rtol=0)
    assert torch.linalg.det(fit.rotation.double()) == pytest.approx(1, abs=1e-5)
    # Normals point out of the head, so that those of the face look at the camera.
    expected = rest_normals(head_model()) @ fit.rotation.T
    assert float(((fit.normals * expected).sum(1)[_front()] > 0.7).float().mean()) > 0.95
    fixed = attachments()[0]
    torch.testing.assert_close(fit.carry(fixed), fixed.carry(fit.points))


def test_another_head_takes_this_ones_place() -> None:
    wearer, donor = fit_head(_landmarks(), _SIZE), fit_head(_posed(8)[0], _SIZE)
    worn = wearer.with_shape(donor.shape, neutral_expression())
    assert worn.rotation is wearer.rotation
    assert worn.focal_px == wearer.focal_px
    coarse = head_basis().coarse(donor.shape, neutral_expression())
    torch.testing.assert_close(worn.local, head_model().fine(coarse))
    torch.testing.assert_close(worn.points, wearer.to_camera(worn.local))
    assert float((worn.local - wearer.local).norm(dim=1).amax()) > 2


def test_landmarks_that_are_no_face_are_skipped() -> None:
    points = _landmarks()
    broken = points.clone()
    broken[4, 0] = torch.nan
    cases = {
        "nan": broken,
        "collapsed": points * 0 + 100,
        "five": points[:5],
        "shuffled": points[torch.randperm(68, generator=torch.Generator().manual_seed(0))],
        "mirrored without its names": points * torch.tensor([-1.0, 1.0]) + torch.tensor([384.0, 0.0]),
        "line": torch.linspace(0, 300, 68)[:, None].expand(68, 2),
    }
    for name, case in cases.items():
        with pytest.raises(SkipSample) as skipped:
            fit_head(case, _SIZE)
        assert skipped.value.reason in ("head_fit_failed", "profile_face"), name


def test_the_mean_head_of_photographs_is_found() -> None:
    points = torch.from_numpy(MEAN_HEAD[:, :2]).float() * 90 + 180
    fit = fit_head(points, _SIZE)
    assert fit.error < 0.06
    assert max(abs(a) for a in fit.angles_deg) < 6


def _rendered(subjects: tuple[int, ...]) -> list[Face]:
    source = ProceduralFaces(n_subjects=40, sessions=1, size=256, seed=71)
    return [source.load(source.refs()[k]) for k in subjects]


def test_maps_agree_with_the_renderers_depth_and_normals() -> None:
    angles, depths = [], []
    for face in _rendered((0, 1, 2, 4, 6, 9)):
        maps = head_maps(fit_head(face.landmarks[0], face.size))
        assert face.parsing is not None
        assert face.normals is not None
        assert face.depth_mm is not None
        skin = (face.parsing[0, 0] == 1) | (face.parsing[0, 0] == 2)
        assert float((maps.cover[skin] > 0.5).float().mean()) > 0.97
        both = skin & (maps.cover > 0.99)
        cosine = (maps.normals * face.normals[0]).sum(0)[both].clamp(-1, 1)
        angles.append(float(torch.rad2deg(cosine.acos()).median()))
        off = (maps.depth_mm - face.depth_mm[0, 0])[both]
        depths.append(float((off - off.median()).abs().median()))
    assert max(angles) < 9
    assert max(depths) < 4


def test_rest_coordinates_lie_where_the_landmarks_are() -> None:
    points = _landmarks()
    fit = fit_head(points, _SIZE)
    maps = head_maps(fit)
    fixed = attachments()[0]
    # Nose bridge, brows and mouth corners: places without a fold.
    for row, landmark in ((11, 27), (13, 29), (3, 19), (8, 24)):
        x, y = (points[landmark] - 0.5).round().long().tolist()
        torch.testing.assert_close(maps.rest_mm[:2, y, x], fixed.rest[row, :2], atol=2.0, rtol=0)
    inside = maps.cover > 0
    assert bool(torch.isfinite(maps.depth_mm[inside]).all())
    assert bool((maps.depth_mm[~inside] == torch.inf).all())
    torch.testing.assert_close(maps.normals.norm(dim=0)[inside], torch.ones(int(inside.sum())), atol=1e-4, rtol=0)


def test_a_head_outside_the_picture_leaves_empty_maps() -> None:
    fit = fit_head(_landmarks() + 2000, _SIZE)
    maps = head_maps(fit)
    assert float(maps.cover.sum()) == 0
    assert bool((maps.depth_mm == torch.inf).all())


def test_the_stored_basis_is_what_the_script_makes() -> None:
    made = bake(people=400, components=6)
    basis = head_basis()
    mean = head_model().base.flatten() + made["mean"] @ head_model().modes
    front = _coarse_front()
    # The mean of 400 of the 3000 people: within sampling noise of a few tenths of a millimetre.
    gap = (mean - basis.mean).reshape(-1, 3)[front].norm(dim=1)
    assert float(gap.mean()) < 0.8
    stored = basis.modes[:6].reshape(6, -1, 3)[:, front].flatten(1)
    fresh = (made["shape"] @ head_model().modes).reshape(6, -1, 3)[:, front].flatten(1)
    cosine = torch.nn.functional.cosine_similarity(stored[:2], fresh[:2]).abs()
    assert bool((cosine > 0.9).all())
    torch.testing.assert_close(stored[:2].norm(dim=1), fresh[:2].norm(dim=1), rtol=0.15, atol=0)


@pytest.mark.slow
def test_the_script_makes_the_stored_file_again() -> None:
    made, stored = bake(), load_file(PATH)
    assert set(made) == set(stored)
    torch.testing.assert_close(made["mean"], stored["mean"], atol=1e-5, rtol=0)
    torch.testing.assert_close(made["share"], stored["share"], atol=1e-6, rtol=1e-4)
    # Components of nearly equal variance may turn into each other with another linear algebra library.
    torch.testing.assert_close(made["shape"][:8], stored["shape"][:8], atol=1e-3, rtol=0)


def _coarse_front() -> Tensor:
    base = head_model().base
    return (base[:, 2] > -25) & (base[:, 1] > -100) & (base[:, 1] < 55)


def test_fits_are_the_same_each_time() -> None:
    points = _landmarks()
    one, other = fit_head(points, _SIZE), fit_head(points, _SIZE)
    assert isinstance(one, HeadFit)
    assert torch.equal(one.points, other.points)
    assert torch.equal(one.shape, other.shape)
