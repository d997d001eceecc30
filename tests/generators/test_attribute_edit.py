"""Attribute edits, one by one and together."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from spooflab.errors import ConfigError, SkipSample
from spooflab.generators.attacks.digital import attribute_parts as parts
from spooflab.generators.attacks.digital import attribute_skin as skin
from spooflab.generators.attacks.digital.attribute_edit import EDITS, AttributeEdit, AttributeEditParams
from spooflab.generators.attacks.digital.attribute_scene import EditScene, shifted
from spooflab.generators.attacks.digital.attribute_warp import WARPS, displacement, liquify, pushes
from spooflab.generators.face import PARSING, Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.faces.procedural.skinoptics import reflectance
from spooflab.generators.geometry.regions import region
from spooflab.seeds import generator

SIZE = 192


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    """One face without and one with glasses."""
    source = ProceduralFaces(n_subjects=2, sessions=1, size=SIZE, seed=2)
    return [source.load(ref) for ref in source.refs()]


@pytest.fixture(scope="module")
def scenes(faces: list[Face]) -> list[EditScene]:
    return [EditScene.of(face, 0.0, torch.zeros(2)) for face in faces]


def _is(face: Face, name: str) -> Tensor:
    assert face.parsing is not None
    return face.parsing[0, 0] == PARSING.index(name)


def _params(edit: str, **fields: Any) -> tuple[AttributeEdit, AttributeEditParams]:
    attack = AttributeEdit(edits=[edit])
    return attack, dataclasses.replace(attack.sample(1, generator(3, edit)), **fields)


def test_draws_are_two_or_three_and_weighted() -> None:
    params = AttributeEdit().sample(900, generator(1, "d"))
    assert set(params.count.tolist()) == {2, 3}
    assert torch.equal(params.order.sort(1).values, torch.arange(len(EDITS)).expand(900, -1))
    first = torch.bincount(params.order[:, 0], minlength=len(EDITS)) / 900
    assert float(first.min()) > 0.02
    assert float(first[EDITS.index("hair")]) > float(first[EDITS.index("large_eyes")])
    assert 0.45 <= float(params.strength.min()) <= float(params.strength.max()) <= 1
    with pytest.raises(ValueError, match="nose"):
        AttributeEdit(edits=["nose"])
    with pytest.raises(ConfigError, match="no effect"):
        AttributeEdit(ablate=["gloss"])


def test_hair_takes_the_colour_and_keeps_its_shading(faces: list[Face], scenes: list[EditScene]) -> None:
    scene, light = scenes[0], faces[0].radiance[0]
    colour = torch.tensor(parts.HAIR["red"])
    dyed = parts.hair_colour(scene, light, 1.0, colour)
    assert dyed is not None
    hair = _is(faces[0], "hair")
    assert torch.equal(dyed[:, ~hair], light[:, ~hair])
    before, after = (p[:, hair].clamp(min=1e-4).mean(0).log() for p in (light, dyed))
    assert float(torch.corrcoef(torch.stack([before, after]))[0, 1]) > 0.98
    chroma = dyed[:, hair].mean(1) / dyed[:, hair].mean(1).sum()
    wanted = colour * scene.light
    torch.testing.assert_close(chroma, wanted / wanted.sum(), atol=0.02, rtol=0)


def test_hair_without_a_parsing_is_found_by_its_colour(faces: list[Face]) -> None:
    photo = EditScene.of(faces[0].replace(parsing=None), 0.0, torch.zeros(2))
    found, hair = photo.hair, _is(faces[0], "hair").float()
    assert found is not None
    assert float((found * hair).sum() / found.sum()) > 0.8
    assert float((found * hair).sum() / hair.sum()) > 0.5


def test_tone_multiplies_skin_by_the_ratio_of_albedos(faces: list[Face], scenes: list[EditScene]) -> None:
    scene, light = scenes[0], faces[0].radiance[0]
    darker = skin.tone(scene, light, 1.0, 0.3)
    wanted = reflectance(torch.tensor([0.3]), torch.tensor([0.05]))[0] / scene.skin_albedo
    bare = _is(faces[0], "skin")
    torch.testing.assert_close((darker / light)[:, bare].mean(1), wanted.clamp(0.3, 3), atol=1e-3, rtol=1e-3)
    other = _is(faces[0], "hair") | _is(faces[0], "background") | _is(faces[0], "eyes")
    assert torch.equal(darker[:, other], light[:, other])


def test_age_darkens_furrows_within_the_skin_alone(faces: list[Face], scenes: list[EditScene]) -> None:
    scene, light = scenes[0], faces[0].radiance[0]
    old = skin.age(scene, light, 1.0, 5)
    bare = scene.skin > 0
    assert torch.equal(old[:, ~bare], light[:, ~bare])
    ratio = (old / light).mean(0)
    forehead = (region(scene.maps, "forehead") > 0.8) & (scene.skin > 0.9)
    assert float(ratio[forehead].min()) < 0.85
    assert float(ratio[forehead].std()) > 2 * float(ratio[region(scene.maps, "nose") > 0.9].std())
    assert torch.equal(old, skin.age(scene, light, 1.0, 5))
    assert not torch.equal(old, skin.age(scene, light, 1.0, 6))


def test_beautify_removes_detail_from_skin(faces: list[Face], scenes: list[EditScene]) -> None:
    scene, light = scenes[0], faces[0].radiance[0]
    smooth = skin.beautify(scene, light, 1.0)
    inner = scene.skin[:, :-1] > 0.95

    def detail(picture: Tensor) -> float:
        return float(picture.log().diff(dim=-1).abs()[:, inner].mean())

    assert detail(smooth) < 0.75 * detail(light)
    outside = scene.skin == 0
    assert torch.equal(smooth[:, outside], light[:, outside])


@pytest.mark.parametrize("style", [1, 2, 4])
def test_a_beard_darkens_its_region(faces: list[Face], scenes: list[EditScene], style: int) -> None:
    scene, light = scenes[0], faces[0].radiance[0]
    bearded = skin.beard(scene, light, 1.0, style, torch.tensor(parts.HAIR["black"]), 7)
    lip = region(scene.maps, "upper_lip") > 0.9
    assert float(bearded[:, lip].mean()) < 0.75 * float(light[:, lip].mean())
    forehead = region(scene.maps, "forehead") > 0
    assert torch.equal(bearded[:, forehead], light[:, forehead])
    chin = region(scene.maps, "chin") > 0.9
    assert (float(bearded[:, chin].mean()) < 0.9 * float(light[:, chin].mean())) == (style != 2)


def test_irises_take_the_colour_within_the_lids(faces: list[Face], scenes: list[EditScene]) -> None:
    scene, light = scenes[0], faces[0].radiance[0]
    tinted = parts.iris_colour(scene, light, 1.0, torch.tensor(parts.IRIS["violet"]))
    changed = (tinted - light).abs().amax(0) > 1e-4
    y, x = torch.nonzero(changed, as_tuple=True)
    for eye in (slice(36, 42), slice(42, 48)):
        low, high = faces[0].landmarks[0, eye].amin(0) - 1.5, faces[0].landmarks[0, eye].amax(0) + 1.5
        inside = (x + 0.5 > low[0]) & (x + 0.5 < high[0]) & (y + 0.5 > low[1]) & (y + 0.5 < high[1])
        assert int(inside.sum()) > 8
        changed[y[inside], x[inside]] = False
    assert not bool(changed.any())
    hit = (tinted - light).abs().amax(0) > 0.02
    assert float((tinted[2, hit] - tinted[1, hit]).mean()) > float((light[2, hit] - light[1, hit]).mean())


def test_frames_go_round_the_eyes_and_nowhere_else(faces: list[Face], scenes: list[EditScene]) -> None:
    scene, light = scenes[0], faces[0].radiance[0]
    colour = torch.tensor([0.02, 0.02, 0.02])
    worn = parts.add_glasses(scene, light, 0.0, 1, colour)
    frame = (worn - light).abs().amax(0) > 0.02
    assert 0.005 < float(frame.float().mean()) < 0.06
    eyes = torch.stack([faces[0].landmarks[0, 36:42].mean(0), faces[0].landmarks[0, 42:48].mean(0)])
    reach = float((eyes[1] - eyes[0]).norm())
    y, x = torch.nonzero(frame, as_tuple=True)
    far = torch.cdist(torch.stack([x, y], 1).float() + 0.5, eyes).amin(1)
    assert 0.2 * reach < float(far.quantile(0.1)) < float(far.quantile(0.9)) < 0.9 * reach
    assert float(worn[:, frame].mean()) < 0.6 * float(light[:, frame].mean())


def test_removed_frames_leave_skin(faces: list[Face], scenes: list[EditScene]) -> None:
    scene, light = scenes[1], faces[1].radiance[0]
    bare = parts.remove_glasses(scene, light)
    assert bare is not None
    frames = _is(faces[1], "glasses")
    mean = scene.skin_colour / scene.skin_colour.sum()

    def off_skin(picture: Tensor) -> float:
        colour = picture[:, frames]
        return float((colour / colour.sum(0) - mean[:, None]).abs().mean())

    assert off_skin(bare) < 0.6 * off_skin(light)
    assert parts.remove_glasses(scenes[0], faces[0].radiance[0]) is None


def test_displacement_and_liquify_against_loops(faces: list[Face]) -> None:
    strokes = dataclasses.replace(pushes(faces[0].landmarks[0], "smile", 1.0), gains=torch.linspace(-0.1, 0.2, 8))
    points = torch.tensor([[70.0, 120.0], [100.0, 130.0], [20.0, 20.0]])
    found = displacement(points, strokes)
    for p, got in zip(points.tolist(), found.tolist(), strict=True):
        total, sums = 0.0, [0.0, 0.0]
        rows = (strokes.centres, strokes.moves, strokes.gains, strokes.reaches)
        for c, m, g, r in zip(*(row.tolist() for row in rows), strict=True):
            weight = math.exp(-((p[0] - c[0]) ** 2 + (p[1] - c[1]) ** 2) / (2 * r * r))
            if weight >= 0.01:
                total += weight
                sums = [s + weight * (v + g * (a - b)) for s, v, a, b in zip(sums, m, p, c, strict=True)]
        assert got == pytest.approx([s / max(total, 1.0) for s in sums], abs=1e-4)
    ramp = torch.arange(SIZE).float().add(0.5).expand(1, 1, SIZE, SIZE)
    pushed = liquify(ramp, strokes)
    at = (strokes.centres[0] - 0.5).round().long()
    middle = displacement(at[None].float() + 0.5, strokes)[0]
    assert float(pushed[0, 0, at[1], at[0]]) == pytest.approx(float(at[0]) + 0.5 - float(middle[0]), abs=0.2)


def test_shape_edits_do_what_they_say(faces: list[Face]) -> None:
    base = faces[0].landmarks[0]
    shapes = {}
    for name in WARPS:
        attack, params = _params(name)
        shapes[name] = attack.apply(faces[0], None, params).face.landmarks[0]
    assert float(shapes["slim"][12, 0] - shapes["slim"][4, 0]) < float(base[12, 0] - base[4, 0]) - 2
    assert float(shapes["smile"][[48, 54], 1].mean()) < float(base[[48, 54], 1].mean()) - 0.8
    height = [float(p[[40, 41], 1].mean() - p[[37, 38], 1].mean()) for p in (shapes["large_eyes"], base)]
    assert height[0] > 1.05 * height[1]
    with pytest.raises(KeyError):
        pushes(base, "nose", 1.0)


@pytest.mark.parametrize("edit", EDITS)
def test_each_edit_alone_marks_what_it_changes_and_says_so(faces: list[Face], edit: str) -> None:
    face = faces[1] if edit == "remove_glasses" else faces[0]
    attack, params = _params(edit, melanin=torch.tensor([0.25]))
    got = attack.apply(face, None, params)
    assert got.face.spoof_mask is not None
    same = (got.face.spoof_mask == 0).expand_as(face.radiance)
    assert torch.equal(got.face.radiance[same], face.radiance[same])
    assert 0 < float((~same).float().mean()) < 0.75
    assert float((got.face.radiance - face.radiance).abs().max()) > 0.01
    made = {name for name in EDITS if float(got.facts[f"edit_{name}"][0]) > 0}
    assert made == {edit}
    assert bool(torch.isfinite(got.face.radiance).all())
    assert float(got.face.radiance.min()) >= 0


def test_opposites_and_the_impossible_are_left_out(faces: list[Face]) -> None:
    attack = AttributeEdit(edits=["beautify", "age", "remove_glasses", "add_glasses"])
    params = dataclasses.replace(attack.sample(1, generator(4, "o")), count=torch.tensor([3]))
    for face, wanted in ((faces[0], "add_glasses"), (faces[1], "remove_glasses")):
        facts = attack.apply(face, None, params).facts
        made = {name for name in EDITS if float(facts[f"edit_{name}"][0]) > 0}
        assert len(made & {"beautify", "age"}) == 1
        assert made & {"remove_glasses", "add_glasses"} == {wanted}
    alone, drawn = _params("remove_glasses")
    with pytest.raises(SkipSample) as caught:
        alone.apply(faces[0], None, drawn)
    assert caught.value.reason == "nothing_to_edit"


def test_each_effect_vanishes_when_off(faces: list[Face]) -> None:
    for effect, neutral in (
        ("halo", {"halo_px": torch.zeros(1), "shift_px": torch.zeros(1, 2)}),
        ("smoothing", {"smooth": torch.zeros(1)}),
    ):
        bits = AttributeEdit(ablate=[effect]).sample(1, generator(0, "x")).ablated
        attack, params = _params("tone", melanin=torch.tensor([0.3]), smooth=torch.ones(1), halo_px=torch.tensor([4.0]))
        on = attack.apply(faces[0], None, params).face.radiance
        off = attack.apply(faces[0], None, dataclasses.replace(params, ablated=bits)).face.radiance
        wanted = attack.apply(faces[0], None, dataclasses.replace(params, **neutral)).face.radiance
        assert float((on - off).abs().max()) > 0.01, effect
        torch.testing.assert_close(off, wanted)


def test_shifted_moves_whole_pixels_and_lets_nothing_in() -> None:
    mask = torch.arange(12.0).reshape(3, 4)
    assert shifted(mask, 1, -1).tolist() == [[0, 4, 5, 6], [0, 8, 9, 10], [0, 0, 0, 0]]


def test_photographs_and_rows(faces: list[Face]) -> None:
    bare = [f.replace(depth_mm=None, normals=None, parsing=None) for f in faces]
    attack = AttributeEdit()
    params = attack.sample(2, generator(6, "rows"))
    whole = attack.apply(Face.stack(bare), None, params).face
    for i in range(2):
        alone = attack.apply(bare[i], None, attack.parse(params.row(i).to_json())).face
        assert torch.equal(whole.radiance[i : i + 1], alone.radiance)
        assert torch.equal(whole.landmarks[i : i + 1], alone.landmarks)
    with pytest.raises(SkipSample) as caught:
        attack.apply(bare[0].replace(landmarks=torch.zeros(1, 68, 2)), None, params.row(0))
    assert caught.value.reason == "head_fit_failed"
