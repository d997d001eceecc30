"""Cut-out pieces of prints before a live face: their outlines, where they lie, what shows beside them."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.errors import DataError
from spooflab.generators.attack import Rendered
from spooflab.generators.attacks.cutouts.behind import light_past, rim_share
from spooflab.generators.attacks.cutouts.region_upper_body import RegionParams, RegionUpperBody
from spooflab.generators.attacks.cutouts.silhouette import SHAPES, Cutout, grown_person, outline_of, sample_cutout
from spooflab.generators.face import PARSING, Face
from spooflab.generators.pose import Pose
from spooflab.generators.scene import Scene
from spooflab.seeds import generator

SIZE = 192


def landmarks() -> Tensor:
    turn = torch.linspace(torch.pi, 0, 17)
    points = [(float(0.5 * t.cos()), float(-0.1 + 0.72 * t.sin())) for t in turn]
    points += [(x, -0.25) for x in (-0.42, -0.34, -0.25, -0.17, -0.09, 0.09, 0.17, 0.25, 0.34, 0.42)]
    points += [(0.0, y) for y in (-0.12, -0.03, 0.05, 0.13)] + [(x, 0.2) for x in (-0.1, -0.05, 0.0, 0.05, 0.1)]
    for side in (-0.21, 0.21):
        eye = ((-0.09, 0.0), (-0.04, -0.035), (0.04, -0.035), (0.09, 0.0), (0.04, 0.03), (-0.04, 0.03))
        points += [(side + x, -0.12 + y) for x, y in eye]
    for radius_x, radius_y, count in ((0.18, 0.07, 12), (0.13, 0.03, 8)):
        turn = torch.pi + 2 * torch.pi * torch.arange(count) / count
        points += [(float(radius_x * t.cos()), float(0.36 + radius_y * t.sin())) for t in turn]
    return torch.tensor(points)


def face_of(
    colour: tuple[float, float, float], *, width: float = 60.0, parsed: bool = False, turn: float = 0.0
) -> Face:
    """An even oval face on black, or the same colour everywhere without a parsing map."""
    y, x = torch.meshgrid(torch.arange(128) + 0.5, torch.arange(128) + 0.5, indexing="ij")
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    points = landmarks() * width @ torch.tensor([[cos, sin], [-sin, cos]]) + torch.tensor([64.0, 62.0])
    box = torch.tensor([[64 - width / 2, 62 - 0.7 * width, width, 1.35 * width]])
    radiance = torch.tensor(colour)[None, :, None, None].expand(1, 3, 128, 128).contiguous()
    parsing = None
    if parsed:
        person = (x - 64) ** 2 + (y - 64) ** 2 < 50**2
        parsing = person[None, None].to(torch.uint8) * PARSING.index("skin")
    return Face(radiance, points[None], box, ("s",), ("p",), parsing=parsing)


GREEN, RED = (0.05, 0.5, 0.05), (0.5, 0.05, 0.05)


def straight(cutout: Cutout, shape: str, **changes: Tensor) -> Cutout:
    zero = torch.zeros(1, 2)
    plain = replace(cutout, shape=torch.tensor([SHAPES.index(shape)]), waver_mm=zero, edges=zero, slant=zero,
                    margin_mm=torch.zeros(1))  # fmt: skip
    return replace(plain, **changes)


def cutout_of(shape: str, **changes: Tensor) -> Cutout:
    return straight(sample_cutout(1, generator(0, "cut")), shape, **changes)


def draw(shape: str, **changes: Any) -> tuple[RegionUpperBody, RegionParams]:
    """An unheld, unbent piece that lies exactly where it should, in even light."""
    attack = RegionUpperBody(instruments=["laser_business_175"])
    params = attack.sample(1, generator(2, "region"))
    none, zero = torch.zeros(1, dtype=torch.int64), torch.zeros(1)
    shown = params.shown
    scene = replace(shown.scene, hand_style=none, key_rgb=torch.zeros(1, 3), ambient_rgb=torch.ones(1, 3))
    shown = replace(
        shown, yaw_deg=zero, pitch_deg=zero, waves=zero, scene=scene, film=none, lamp=replace(shown.lamp, kind=none),
        bend=replace(shown.bend, shape=none, curvature_per_mm=torch.zeros(1, 2)),
        creases=replace(shown.creases, folds=torch.zeros(1, 2, dtype=torch.int64), crumple=zero),
    )  # fmt: skip
    changes = {"shift_mm": torch.zeros(1, 2), "turn_deg": zero, "scale": torch.ones(1), "step_back": torch.ones(1),
               "gap_mm": torch.tensor([3.0]), **changes}  # fmt: skip
    return attack, replace(params, shown=shown, cutout=straight(params.cutout, shape), **changes)


def view_of() -> View:
    return View.ideal(SIZE, SIZE, blur_px=0.4, pitch_um=3.5)


def show(shape: str, donor: Face | None = None, **changes: Any) -> Rendered:
    attack, params = draw(shape, **changes)
    return attack.render(face_of(GREEN), view_of(), params, face_of(RED) if donor is None else donor)


def test_silhouette_is_the_outline_at_its_distance() -> None:
    """Of a large round person, the depth is the distance to the circle, a blur's shrinking of round edges apart."""
    face = face_of(GREEN, parsed=True)
    outline = outline_of(
        face, cutout_of("silhouette", smooth_mm=torch.tensor([5.0])), 2.0, torch.full((2,), 64.0), torch.zeros(2)
    )
    v, u = torch.meshgrid(torch.linspace(-120, 120, 241), torch.linspace(-120, 120, 241), indexing="ij")
    depth = outline.depth(u, v)
    wanted = 100 - torch.hypot(u, v)
    near = wanted.abs() < 9
    assert float((depth - wanted)[near].abs().max()) < 2.0
    assert float((depth - wanted)[near].mean()) == pytest.approx(-(5.0**2) / 200, abs=0.4)  # s^2 / 2R
    assert bool((depth[wanted > 25] > 5).all())
    assert bool((depth[wanted < -25] < -5).all())
    wider = outline_of(
        face, cutout_of("silhouette", margin_mm=torch.tensor([6.0])), 2.0, torch.full((2,), 64.0), torch.zeros(2)
    )
    assert float((wider.depth(u, v) > 0).float().sum() - (depth > 0).float().sum()) == pytest.approx(
        math.pi * (105.9**2 - 99.9**2), rel=0.15
    )
    assert float(outline.low_mm.min()) == pytest.approx(-100, abs=4)


def test_grown_person_has_head_neck_and_shoulders() -> None:
    points = landmarks() * 50 + torch.tensor([64.0, 80.0])
    y, x = torch.meshgrid(torch.arange(160) + 0.5, torch.arange(128) + 0.5, indexing="ij")
    person = grown_person(points, x, y)
    inside = person[points[:, 1].long(), points[:, 0].long()]
    assert bool((inside == 1).all())
    eyes, chin = points[36:48].mean(0), points[8]
    reach = float(chin[1] - eyes[1])
    rows = person.sum(1)
    assert float(rows[int(eyes[1] - 1.2 * reach)]) == 0  # nothing above the crown
    neck, shoulders = rows[int(eyes[1] + 1.25 * reach)], rows[int(eyes[1] + 1.9 * reach)]
    assert 0 < float(neck) < float(rows[int(eyes[1])]) < float(shoulders)
    turned = grown_person(points @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), y * 0 - y, x)
    assert torch.equal(person, turned)  # the shape turns with the face


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_parts_keep_what_they_are_named_for(shape: str) -> None:
    face = face_of(GREEN)
    outline = outline_of(face, cutout_of(shape), 1.0, torch.full((2,), 64.0), torch.full((2,), 64.0))
    points = face.landmarks[0]
    depth = outline.depth(points[None, :, 0], points[None, :, 1])[0]
    eyes, nose_tip, mouth = depth[36:48], depth[30], depth[48:60]
    kept = {"upper": (True, True, False), "eyes_nose": (True, True, False), "lower": (False, True, True),
            "face": (True, True, True)}[shape]  # fmt: skip
    assert (bool((eyes > 0).all()), bool(nose_tip > 0), bool((mouth > 0).all())) == kept
    v, u = torch.meshgrid(torch.linspace(0, 128, 129), torch.linspace(0, 128, 129), indexing="ij")
    inside = outline.depth(u, v) > 0
    assert float(u[inside].min()) >= float(outline.low_mm[0]) - 1
    assert float(v[inside].max()) <= float(outline.high_mm[1]) + 1
    along = (outline.depth(u, v)[:, 1:] - outline.depth(u, v)[:, :-1]).abs()
    assert float(along[inside[:, 1:]].max()) < 1.6  # about millimetres


@pytest.mark.parametrize("turn", [0.0, 17.0])
@pytest.mark.parametrize("shape", ["eyes_nose", "face"])
def test_printed_features_lie_on_the_live_ones(shape: str, turn: float) -> None:
    """The print is sized and turned to the attacker's eyes and mouth."""
    donor = face_of(RED, width=48.0, turn=turn)
    out = show(shape, donor)
    on_sensor = donor.landmarks[0] * (SIZE / 128)
    for first, last in ((36, 42), (42, 48), (48, 60)):
        gap = out.landmarks[0, first:last].mean(0) - on_sensor[first:last].mean(0)
        assert float(gap.norm()) < 1.0
    smaller = show(shape, donor, scale=torch.tensor([0.8]))
    spans = [float(o.landmarks[0, 36:42].mean(0).sub(o.landmarks[0, 42:48].mean(0)).norm()) for o in (out, smaller)]
    assert spans[1] / spans[0] == pytest.approx(0.8, rel=1e-3)


def test_mask_is_paper_alone_and_the_live_face_is_beside_it() -> None:
    out = show("eyes_nose")
    mask = out.mask[0, 0]
    green, red = out.irradiance[0, 1] > 3 * out.irradiance[0, 0], out.irradiance[0, 0] > 3 * out.irradiance[0, 1]
    assert 0.05 < float(mask.mean()) < 0.4
    paper, live = mask > 0.99, mask < 0.01
    eroded = -torch.nn.functional.max_pool2d(-paper.float()[None], 7, 1, 3)[0] > 0.5
    assert bool(green[eroded].all())
    assert bool(red[live].float().mean() > 0.99)
    step = out.depth_mm[0, 0][live].median() - out.depth_mm[0, 0][paper].median()
    assert float(step) == pytest.approx(3, abs=0.2)
    mouth = out.landmarks[0, 48:60].mean(0).long().tolist()
    assert float(mask[mouth[1], mouth[0]]) < 0.01


def test_shadow_of_the_piece_widens_with_the_gap() -> None:
    """Beside the paper the live face is darker, over a width that grows with their distance."""
    widths = []
    for gap in (2.0, 6.0, 15.0):
        _, params = draw("eyes_nose", gap_mm=torch.tensor([gap]))
        whole = show("eyes_nose", gap_mm=torch.tensor([gap]))
        attack = RegionUpperBody(ablate=("edge_shadow",))
        bits = attack.sample(1, generator(0, "bits")).ablated
        lit = attack.render(face_of(GREEN), view_of(), replace(params, ablated=bits), face_of(RED))
        live = (whole.mask[0, 0] < 0.01) & (lit.mask[0, 0] < 0.01)
        lost = (1 - whole.irradiance[0, 0] / lit.irradiance[0, 0]) * live
        assert 0.1 < float(lost.max()) < 0.8
        shift = float(params.occlusion)
        widths.append(float((lost - (1 - shift) > 0.05).sum()))
    assert widths[0] < widths[1] < widths[2]


def test_light_past_a_straight_edge_is_its_closed_form() -> None:
    """Behind a half plane with a gap g, key light of slope tan reaches g tan under the edge; ambient falls linearly."""
    room = Scene().sample(1, generator(0, "edge"))
    room = replace(room, key_direction=torch.tensor([[0.6, 0.0, -0.8]]), key_rgb=torch.ones(1, 3),
                   ambient_rgb=torch.full((1, 3), 0.5), key_radius_deg=torch.tensor([3.0]))  # fmt: skip
    pose = Pose(torch.tensor([[0.0, 0.0, 500.0]]), torch.zeros(1), torch.zeros(1), torch.zeros(1))
    u = torch.linspace(-60, 60, 1201)[None]
    light = light_past(lambda at_u, _: at_u, u, torch.zeros_like(u), u, room, pose, 10.0, 0.1, 1.0)[1, 0]
    ambient = 0.5 * (u[0] / 20 + 0.5).clamp(0.25, 1)
    key = (light - ambient) / 0.8
    half = float(u[0, int((key > 0.5).nonzero()[0])])
    assert half == pytest.approx(-10 * 0.6 / 0.8, abs=0.2)
    soft = 0.1 + 20 * math.radians(3)
    rise = ((key > 0.05) & (key < 0.95)).sum() * 0.1
    assert float(rise) == pytest.approx(0.9 * soft, abs=0.25)
    assert float(light[-1]) == pytest.approx(0.5 + 0.8, abs=1e-4)


def test_rim_is_its_share_of_the_papers_pixels() -> None:
    """Integrated over pixels of any phase, the rim has its width."""
    for rim in (0.2, 0.7, 2.5):
        depth = torch.arange(-40, 40)[:, None] * 0.8 + torch.linspace(0, 0.8, 33)[None, :-1]
        paper = (depth / 0.8 + 0.5).clamp(0, 1)
        covered = (rim_share(depth, rim, 0.8) * paper).sum(0) * 0.8
        assert float(covered.mean()) == pytest.approx(rim, rel=0.1)


def test_attackers_room_shows_when_he_is_known() -> None:
    donor = face_of(RED, parsed=True)
    out = show("silhouette", donor, step_back=torch.tensor([1.5]))
    plain = show("silhouette", face_of(RED), step_back=torch.tensor([1.5]))
    red = out.irradiance[0, 0] > 4 * out.irradiance[0, 2]
    assert float(red.float().mean()) < 0.8 * float((plain.irradiance[0, 0] > 4 * plain.irradiance[0, 2]).float().mean())
    assert bool(torch.isinf(out.depth_mm).any())
    assert not bool(torch.isinf(plain.depth_mm).any())
    assert float(out.facts["distance_mm"]) > 0
    assert float(out.facts["region_share"]) > 0.1


def test_gap_never_brings_the_piece_to_the_lens() -> None:
    out = show("silhouette", gap_mm=torch.tensor([400.0]))
    gap, distance = float(out.facts["region_gap_mm"]), float(out.facts["distance_mm"])
    assert gap == pytest.approx((gap + distance) / 6, rel=1e-4)


def test_draws_cover_every_shape_and_bad_input_is_told() -> None:
    attack = RegionUpperBody()
    params = attack.sample(200, generator(0, "draws"))
    assert set(params.cutout.shape.tolist()) == set(range(len(SHAPES)))
    assert float((params.cutout.shape == 0).float().mean()) == pytest.approx(0.5, abs=0.1)
    assert not any(p.surface.woven for p in attack.papers)
    one = params.row(0)
    with pytest.raises(DataError, match="no donor"):
        attack.render(face_of(GREEN), view_of(), one)
    with pytest.raises(ValueError, match="donors"):
        attack.render(face_of(GREEN), view_of(), one, Face.stack([face_of(RED), face_of(RED)]))
