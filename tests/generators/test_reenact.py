"""Reenactment: the motion against the projected mesh, then the whole."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.errors import ConfigError, SkipSample
from spooflab.generators.attacks.digital.reenact import ACTS, Reenact, ReenactParams, expression_of
from spooflab.generators.attacks.digital.reenact_blink import blinked
from spooflab.generators.attacks.digital.reenact_mouth import gap_px, inside, opening
from spooflab.generators.attacks.digital.reenact_warp import field, moved
from spooflab.generators.face import PARSING, Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.faces.procedural.modes import EXPRESSIONS
from spooflab.generators.geometry.head_fit import fit_head
from spooflab.seeds import generator

SIZE = 192


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    source = ProceduralFaces(n_subjects=2, sessions=1, size=SIZE, seed=2)
    return [source.load(ref) for ref in source.refs()]


def _params(*, yaw: float = 0, pitch: float = 0, roll: float = 0, soft: float = 0, **acts: float) -> ReenactParams:
    drawn = Reenact().sample(1, generator(1, "r"))
    strength = torch.tensor([[acts.get(name, 0.0) for name in ACTS]])
    fields: dict[str, Any] = {"yaw_deg": yaw, "pitch_deg": pitch, "roll_deg": roll, "soft": soft}
    values = {name: torch.tensor([float(value)]) for name, value in fields.items()}
    return dataclasses.replace(drawn, acts=strength, **values)


def test_draws_always_do_something_within_limits() -> None:
    params = Reenact().sample(500, generator(2, "d"))
    assert bool((params.acts > 0).any(1).all())
    assert float(params.yaw_deg.abs().max()) <= 15
    assert float((params.yaw_deg != 0).float().mean()) == pytest.approx(0.75, abs=0.07)
    assert bool((params.acts > 0).any(0).all())
    with pytest.raises(ConfigError, match="no effect"):
        Reenact(ablate=["gloss"])


def test_nothing_to_do_changes_nothing(faces: list[Face]) -> None:
    got = Reenact().apply(faces[0], None, _params())
    assert torch.equal(got.face.radiance, faces[0].radiance)
    assert got.face.spoof_mask is not None
    assert float(got.face.spoof_mask.max()) == 0
    torch.testing.assert_close(got.face.landmarks, faces[0].landmarks, atol=1e-3, rtol=0)
    assert all(abs(float(value[0])) < 1e-4 for value in got.facts.values())


def test_acts_are_weights_of_named_units() -> None:
    weights = expression_of(torch.eye(len(ACTS))[ACTS.index("raise")] * 0.5)
    assert float(weights[EXPRESSIONS.index("eyebrows-*-up")]) == pytest.approx(0.5)
    assert float(weights.abs().sum()) == pytest.approx(0.5)


@pytest.mark.parametrize("yaw", [-6.0, 4.0])
def test_shift_leads_from_the_new_to_the_old_projection(faces: list[Face], yaw: float) -> None:
    """At a mesh point seen before and after, position plus shift is where the mesh's point was."""
    fit = fit_head(faces[0].landmarks[0], faces[0].size)
    motion = moved(fit, torch.zeros(len(EXPRESSIONS)), (yaw, 2.0, -1.0))
    flow = field(motion)
    old, new = fit.project(fit.points), fit.project(motion.points)
    facing = -(fit.normals * fit.points).sum(1) / fit.points.norm(dim=1)
    centre = fit.project(fit.to_camera(torch.tensor([0.0, -30.0, 10.0])))
    near = (old - centre).norm(dim=1) < 0.16 * SIZE
    seen = (facing > 0.8) & near & (fit.local[:, 2] > -5)
    at = (new[seen] / SIZE * 2 - 1)[None, None]
    found = F.grid_sample(flow.shift[None], at, align_corners=False)[0, :, 0].T
    error = (new[seen] + found - old[seen]).norm(dim=1)
    assert int(seen.sum()) > 300
    assert float((new - old)[seen].norm(dim=1).mean()) > 2
    assert float(error.median()) < 0.1
    assert float(error.quantile(0.9)) < 0.6


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(12.0, 0.0, 0.0), (-12.0, 0.0, 0.0), (0.0, 7.0, 5.0)])
def test_landmarks_turn_as_the_facts_say(faces: list[Face], yaw: float, pitch: float, roll: float) -> None:
    """A head fitted to the new landmarks is turned by about what was asked for."""
    got = Reenact().apply(faces[0], None, _params(yaw=yaw, pitch=pitch, roll=roll))
    before = fit_head(faces[0].landmarks[0], faces[0].size).angles_deg
    after = fit_head(got.face.landmarks[0], faces[0].size).angles_deg
    for k, (name, wanted) in enumerate((("yaw", yaw), ("pitch", pitch), ("roll", roll))):
        assert float(got.facts[f"{name}_change_deg"][0]) == wanted
        assert after[k] - before[k] == pytest.approx(wanted, abs=3.0)


def test_far_away_the_picture_rests(faces: list[Face]) -> None:
    got = Reenact().apply(faces[0], None, _params(smile=0.8))
    assert got.face.spoof_mask is not None
    still = (got.face.spoof_mask == 0).expand_as(faces[0].radiance)
    assert float(still.float().mean()) > 0.6
    assert torch.equal(got.face.radiance[still], faces[0].radiance[still])
    assert float((got.face.radiance - faces[0].radiance).abs().max()) > 0.05
    assert 3 < float(got.facts["expression_change_mm"][0]) < 15


def test_a_smile_widens_the_mouth_and_an_open_one_opens(faces: list[Face]) -> None:
    base = faces[0].landmarks[0]
    smiling = Reenact().apply(faces[0], None, _params(smile=1.0)).face.landmarks[0]
    assert float(smiling[54, 0] - smiling[48, 0]) > float(base[54, 0] - base[48, 0]) + 1
    got = Reenact().apply(faces[0], None, _params(open=1.0)).face
    assert gap_px(got.landmarks[0]) > gap_px(base) + 4
    assert got.parsing is not None
    mouth = (got.parsing == PARSING.index("mouth"))[0, 0].float()
    cover = opening(got.landmarks[0], got.size, feather_px=1.0)
    assert float((mouth * cover).sum() / cover.sum()) > 0.9


def test_the_mouths_inside_has_teeth_above_a_dark_cavity() -> None:
    points = torch.zeros(68, 2)
    points[60:68] = torch.tensor([[30.0, 50], [40, 44], [50, 43], [60, 44], [70, 50], [60, 62], [50, 64], [40, 62]])
    shown = inside(points, (100, 100), mm_per_px=1.0, light=torch.ones(3), teeth_mm=5.0, blur_px=0.0).mean(0)
    assert float(shown[46, 48]) > 0.4
    assert float(shown[52, 50]) < 0.1
    assert float(shown[46, 48]) > 1.3 * float(shown[46, 67])  # darker towards the corners
    dim = inside(points, (100, 100), mm_per_px=1.0, light=torch.full((3,), 0.5), teeth_mm=5.0, blur_px=0.0).mean(0)
    torch.testing.assert_close(dim * 2, shown)


def test_a_blink_brings_the_lids_together_and_carries_skin(faces: list[Face]) -> None:
    face = faces[0]
    picture, points, where = blinked(face.radiance, face.landmarks[0], 1.0)
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        torch.testing.assert_close(points[upper], points[lower])
    still = (where == 0).expand_as(face.radiance)
    assert torch.equal(picture[still], face.radiance[still])
    assert 0.002 < float(where.mean()) < 0.1
    for eye in (slice(36, 42), slice(42, 48)):
        x, y = (int(v) for v in face.landmarks[0, eye].mean(0))
        skin = face.radiance[0, :, int(face.landmarks[0, 29, 1]), int(face.landmarks[0, 29, 0])]
        before, after = ((p[0, :, y, x] / p[0, :, y, x].sum() - skin / skin.sum()).abs().max()
                         for p in (face.radiance, picture))  # fmt: skip
        assert float(after) < float(before)
    nothing, same, _ = blinked(face.radiance, face.landmarks[0], 0.0)
    assert torch.equal(nothing, face.radiance)
    assert torch.equal(same, face.landmarks[0])


def test_depth_and_normals_follow_a_turn(faces: list[Face]) -> None:
    got = Reenact().apply(faces[0], None, _params(yaw=12)).face
    assert got.depth_mm is not None
    assert got.normals is not None
    assert faces[0].normals is not None
    fit = fit_head(faces[0].landmarks[0], faces[0].size)
    motion = moved(fit, torch.zeros(len(EXPRESSIONS)), (12.0, 0.0, 0.0))
    for k in (48, 54):  # the corners of the mouth
        x, y = (int(v) for v in got.landmarks[0, k])
        ox, oy = (int(v) for v in faces[0].landmarks[0, k])
        change = motion.points - fit.points
        vertex = int(
            (fit.project(fit.points) - faces[0].landmarks[0, k]).norm(dim=1).add(1e3 * (fit.local[:, 2] < -20)).argmin()
        )
        wanted = float(faces[0].depth_mm[0, 0, oy, ox] + change[vertex, 2]) if faces[0].depth_mm is not None else 0.0
        assert float(got.depth_mm[0, 0, y, x]) == pytest.approx(wanted, abs=5.0)
    x, y = (int(v) for v in got.landmarks[0, 28])
    ox, oy = (int(v) for v in faces[0].landmarks[0, 28])
    assert float(got.normals[0, 0, y, x] - faces[0].normals[0, 0, oy, ox]) > 0.05  # the bridge looks further right
    torch.testing.assert_close(got.normals.norm(dim=1), torch.ones(1, SIZE, SIZE), atol=1e-3, rtol=0)


def test_each_effect_vanishes_when_off(faces: list[Face]) -> None:
    face = faces[0]
    cases: dict[str, tuple[dict[str, float], dict[str, float]]] = {
        "turn": ({"yaw": 10.0, "smile": 0.6}, {"smile": 0.6}),
        "expression": ({"yaw": 10.0, "smile": 0.6}, {"yaw": 10.0}),
        "smoothing": ({"soft": 1.0, "smile": 0.6}, {"smile": 0.6}),
    }
    for effect, (drawn, neutral) in cases.items():
        bits = Reenact(ablate=[effect]).sample(1, generator(0, "x")).ablated
        on = Reenact().apply(face, None, _params(**drawn)).face.radiance
        off = Reenact().apply(face, None, dataclasses.replace(_params(**drawn), ablated=bits)).face.radiance
        wanted = Reenact().apply(face, None, _params(**neutral)).face.radiance
        assert float((on - off).abs().max()) > 0.01, effect
        torch.testing.assert_close(off, wanted)


def test_without_paint_an_opened_mouth_shows_only_what_was_there(faces: list[Face]) -> None:
    face, params = faces[0], _params(open=1.0)
    bits = Reenact(ablate=["painted_mouth"]).sample(1, generator(0, "x")).ablated
    on, off = (Reenact().apply(face, None, dataclasses.replace(params, ablated=b)).face for b in (params.ablated, bits))
    cover = opening(on.landmarks[0], on.size, feather_px=1.0) > 0.9
    dark: list[Tensor] = [f.radiance[0].mean(0)[cover].quantile(0.1) for f in (on, off)]
    assert float(dark[0]) < 0.5 * float(dark[1])


def test_photographs_have_no_geometry_and_rows_stand_alone(faces: list[Face]) -> None:
    bare = [f.replace(depth_mm=None, normals=None, parsing=None) for f in faces]
    attack = Reenact()
    params = attack.sample(2, generator(5, "rows"))
    whole = attack.apply(Face.stack(bare), None, params).face
    assert whole.depth_mm is None
    assert whole.parsing is None
    for i in range(2):
        alone = attack.apply(bare[i], None, attack.parse(params.row(i).to_json())).face
        assert torch.equal(whole.radiance[i : i + 1], alone.radiance)
        assert torch.equal(whole.landmarks[i : i + 1], alone.landmarks)


def test_no_face_is_a_reason(faces: list[Face]) -> None:
    with pytest.raises(SkipSample) as caught:
        Reenact().apply(faces[0].replace(landmarks=torch.zeros(1, 68, 2)), None, _params(yaw=5))
    assert caught.value.reason == "head_fit_failed"
