"""Prints before the camera: the contract, the geometry of the truth, and what each part of the physics does."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.errors import ConfigError, DataError
from spooflab.generators.attack import Attack
from spooflab.generators.attacks.cutouts.holes import PATTERNS, to_donor
from spooflab.generators.attacks.cutouts.print_cut import PrintCut, PrintCutParams
from spooflab.generators.attacks.cutouts.region_upper_body import RegionParams, RegionUpperBody
from spooflab.generators.attacks.prints.content import encode_photograph, exposure_gain
from spooflab.generators.attacks.prints.params import PrintParams
from spooflab.generators.attacks.prints.place import place
from spooflab.generators.attacks.prints.print_a4 import PrintA4
from spooflab.generators.attacks.prints.print_photo import PrintPhoto
from spooflab.generators.attacks.prints.print_poster import PrintPoster
from spooflab.generators.attacks.prints.process import paper_of
from spooflab.generators.face import PARSING, Face
from spooflab.generators.instruments.ink_colour import luminance
from spooflab.generators.instruments.paper_bend import SHAPES, project_sheet
from spooflab.params import Params
from spooflab.seeds import generator

SIZE = 192
ATTACKS: dict[str, Any] = {
    "print_a4": lambda: PrintA4(instruments=["laser_office_141"]),
    "print_photo": lambda: PrintPhoto(instruments=["silver_halide_glossy"]),
    "print_poster": lambda: PrintPoster(instruments=["poster_satin_720"]),
    "print_cut": lambda: PrintCut(instruments=["laser_office_141"]),
    "region_upper_body": lambda: RegionUpperBody(instruments=["laser_office_141"]),
}


def landmarks_of(width: float, cx: float, cy: float) -> Tensor:
    """A frontal template of 68 points, in units of the face's width."""
    points: list[tuple[float, float]] = []
    turn = torch.linspace(torch.pi, 0, 17)
    points += [(float(0.5 * t.cos()), float(-0.1 + 0.72 * t.sin())) for t in turn]
    points += [(x, -0.25) for x in (-0.42, -0.34, -0.25, -0.17, -0.09, 0.09, 0.17, 0.25, 0.34, 0.42)]
    points += [(0.0, y) for y in (-0.12, -0.03, 0.05, 0.13)] + [(x, 0.2) for x in (-0.1, -0.05, 0.0, 0.05, 0.1)]
    for side in (-0.21, 0.21):
        eye = ((-0.09, 0.0), (-0.04, -0.035), (0.04, -0.035), (0.09, 0.0), (0.04, 0.03), (-0.04, 0.03))
        points += [(side + x, -0.12 + y) for x, y in eye]
    for radius_x, radius_y, count in ((0.18, 0.07, 12), (0.13, 0.03, 8)):
        turn = torch.pi + 2 * torch.pi * torch.arange(count) / count
        points += [(float(radius_x * t.cos()), float(0.36 + radius_y * t.sin())) for t in turn]
    return torch.tensor(points) * width + torch.tensor([cx, cy])


def face_of(colour: tuple[float, float, float] = (0.5, 0.3, 0.22), seed: int = 0, *, parsed: bool = False) -> Face:
    """An oval of skin before grey, with dark eyes."""
    side = 128
    y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    oval = (((x - 64) / 35) ** 2 + ((y - 66) / 46) ** 2 < 1).float()
    radiance = 0.25 + 0.02 * torch.randn(3, side, side, generator=generator(seed, "face"))
    radiance = torch.lerp(radiance, torch.tensor(colour)[:, None, None].expand_as(radiance), oval)
    points = landmarks_of(70.0, 64.0, 62.0)
    for first, last in ((36, 42), (42, 48)):
        cx, cy = points[first:last].mean(0).tolist()
        eye = (((x - cx) / 6) ** 2 + ((y - cy) / 3) ** 2 < 1).float()
        radiance = radiance * (1 - 0.85 * eye)
    box = torch.tensor([[29.0, 20.0, 70.0, 92.0]])
    parsing = oval[None, None].to(torch.uint8) * PARSING.index("skin") if parsed else None
    return Face(radiance.clamp(min=0)[None], points[None], box, (f"s{seed}",), (f"p{seed}",), parsing=parsing)


def view_of(size: int = SIZE, **fields: float) -> View:
    return View.ideal(size, size, **{"blur_px": 0.5, "k1": 0.01, "pitch_um": 3.5, **fields})


def draw(name: str, seed: int, count: int = 1) -> tuple[Attack, Any]:
    attack = ATTACKS[name]()
    return attack, attack.sample(count, generator(seed, "draw"))


def bare(params: PrintParams, **changes: Any) -> PrintParams:
    """A flat, frontal, unheld, uncreased, uncovered sheet in even white light from no lamp."""
    zero, none = torch.zeros(1), torch.zeros(1, dtype=torch.int64)
    scene = replace(
        params.scene,
        hand_style=none,
        key_rgb=torch.zeros(1, 3),
        ambient_rgb=torch.ones(1, 3),
    )
    bend = replace(params.bend, shape=none, curvature_per_mm=torch.zeros(1, 2))
    creases = replace(params.creases, folds=torch.zeros(1, 2, dtype=torch.int64), crumple=zero, wear=zero)
    mount = replace(params.mount, kind=none, piece=none)
    lamp = replace(params.lamp, kind=none)
    return replace(
        params, yaw_deg=zero, pitch_deg=zero, roll_deg=zero, waves=zero, ultraviolet=zero, scene=scene, bend=bend,
        aim=torch.zeros(1, 2), creases=creases, mount=mount, lamp=lamp, film=none, **changes,
    )  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_contract(name: str) -> None:
    attack, params = draw(name, 1, count=2)
    assert isinstance(attack, Attack)
    assert attack.species == name
    faces = Face.stack([face_of(), face_of((0.3, 0.18, 0.12), 1)])
    donors = Face.stack([face_of(seed=5), face_of(seed=6)]) if attack.needs_donor else None
    view = View.stack([view_of(), view_of(blur_px=0.8)])
    out = attack.render(faces, view, params, donors)
    assert out.irradiance.shape == (2, 3, SIZE, SIZE)
    assert out.irradiance.dtype == torch.float32
    assert bool(torch.isfinite(out.irradiance).all())
    assert float(out.irradiance.min()) >= 0
    assert out.mask.shape == out.depth_mm.shape == (2, 1, SIZE, SIZE)
    assert 0 <= float(out.mask.min()) <= float(out.mask.max()) <= 1
    assert out.landmarks.shape == (2, 68, 2)
    assert out.box.shape == (2, 4)
    assert all(value.shape == (2,) and bool(torch.isfinite(value).all()) for value in out.facts.values())
    assert set(out.instrument_id) <= set(attack.bank_ids())  # type: ignore[attr-defined]  # beyond the protocol
    again = attack.render(faces, view, params, donors)
    assert torch.equal(out.irradiance, again.irradiance)
    for i in range(2):
        donor = None if donors is None else [face_of(seed=5), face_of(seed=6)][i]
        one = attack.render([face_of(), face_of((0.3, 0.18, 0.12), 1)][i], view.row(i), params.row(i), donor)
        assert torch.equal(one.irradiance[0], out.irradiance[i])
        assert torch.equal(one.mask[0], out.mask[i])


@pytest.mark.parametrize("name", ATTACKS)
def test_replay_from_json(name: str) -> None:
    attack, params = draw(name, 3)
    back: Params = attack.parse(json.loads(json.dumps(params.to_json())))
    donor = face_of(seed=5) if attack.needs_donor else None
    first, second = (attack.render(face_of(), view_of(), p, donor) for p in (params, back))
    assert torch.equal(first.irradiance, second.irradiance)
    assert torch.equal(first.landmarks, second.landmarks)


@pytest.mark.parametrize("kind", [PrintA4, PrintPhoto, PrintPoster, PrintCut, RegionUpperBody])
def test_draws_repeat_and_hold_out_instruments(kind: Any) -> None:
    ids = kind.bank_ids()
    held_in = ids[:2]
    attack = kind(instruments=held_in)
    params = attack.sample(64, generator(0, "draw"))
    shown: PrintParams = params.shown if isinstance(params, PrintCutParams | RegionParams) else params
    seen = {paper_of(shown.printing.row(i)).id for i in range(64)}
    assert seen == set(held_in)
    other = attack.sample(64, generator(0, "draw"))
    assert params.row(5).to_json() == other.row(5).to_json()
    with pytest.raises(ConfigError, match="wanted"):
        kind(instruments=["no_such_paper"])


def test_unknown_paper_number_is_an_error() -> None:
    _, params = draw("print_a4", 0)
    with pytest.raises(DataError, match="not in the bank"):
        paper_of(replace(params.printing, paper=torch.tensor([5])))


def test_batch_sizes_must_agree() -> None:
    attack, params = draw("print_a4", 0, count=2)
    with pytest.raises(ValueError, match="batch sizes"):
        attack.render(face_of(), view_of(), params)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", SHAPES)
def test_landmarks_are_where_the_face_is_seen(seed: int, shape: str) -> None:
    """Bright dots in the photograph come out at the landmarks that are recorded, whatever the sheet's shape."""
    attack = PrintPhoto(instruments=["silver_halide_lustre"])
    params = attack.sample(40, generator(seed, "shape"))
    wanted = (params.bend.shape == SHAPES.index(shape)).nonzero()
    row = params.row(int(wanted[0]))
    row = replace(
        row, scene=replace(bare(row).scene, person=torch.zeros(1, dtype=torch.bool)), share=torch.tensor([0.55])
    )
    face = face_of((0.02, 0.02, 0.02))
    dark = torch.full_like(face.radiance, 0.02)
    y, x = torch.meshgrid(torch.arange(128) + 0.5, torch.arange(128) + 0.5, indexing="ij")
    for index in (30, 8, 36, 45):
        cx, cy = face.landmarks[0, index].tolist()
        dark[0] += torch.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 1.2**2))
    out = attack.render(face.replace(radiance=dark), view_of(384, pitch_um=1.75), row)
    plain = attack.render(face.replace(radiance=torch.full_like(dark, 0.02)), view_of(384, pitch_um=1.75), row)
    glow = (out.irradiance - plain.irradiance).mean(1)[0].clamp(min=0)
    ys, xs = torch.meshgrid(torch.arange(384) + 0.5, torch.arange(384) + 0.5, indexing="ij")
    for index in (30, 8, 36, 45):
        cx, cy = out.landmarks[0, index].tolist()
        near = glow * ((xs - cx).abs() < 6) * ((ys - cy).abs() < 6)
        assert float((near * xs).sum() / near.sum()) == pytest.approx(cx, abs=0.5)
        assert float((near * ys).sum() / near.sum()) == pytest.approx(cy, abs=0.5)


def test_mask_is_the_sheet() -> None:
    attack, params = draw("print_photo", 2)
    params = bare(params, share=torch.tensor([0.3]))
    out = attack.render(face_of(), view_of(k1=0.0), params)
    placement = place(face_of(), view_of(k1=0.0), params)
    half = params.sheet_mm / 2
    corners = torch.stack([-half, half], 1)
    seen, _ = project_sheet(placement.view, placement.pose, params.bend, corners)
    inside = seen.clamp(0, SIZE)
    area = float((inside[0, 1] - inside[0, 0]).prod())
    assert float(out.mask.sum()) == pytest.approx(area, rel=0.01)
    on = out.mask[0, 0] > 0.5
    assert bool(torch.isinf(out.depth_mm[0, 0][~on]).all())
    assert float(out.depth_mm[0, 0][on].max()) == pytest.approx(float(placement.distance_mm), rel=0.01)


@pytest.mark.parametrize("share", [0.35, 0.5, 0.62])
def test_face_fills_the_asked_share(share: float) -> None:
    attack, params = draw("print_photo", 4)
    out = attack.render(face_of(), view_of(), bare(params, share=torch.tensor([share])))
    assert float(out.box[0, 2]) / SIZE == pytest.approx(share, rel=0.03)
    assert 150 <= float(out.facts["distance_mm"]) <= 700


def test_bare_paper_has_the_banks_white_and_print_its_lifted_black() -> None:
    attack, params = draw("print_a4", 6)
    printing = replace(params.printing, tone_drift=torch.zeros(1, 4), density_drift=torch.zeros(1, 4))
    calm = bare(params, share=torch.tensor([0.3]), margin_mm=torch.tensor([20.0]), picture_mm=torch.tensor([150.0]),
                printing=printing)  # fmt: skip
    face = face_of()
    black = attack.render(face.replace(radiance=torch.zeros_like(face.radiance)), view_of(), calm)
    paper = paper_of(calm.printing)
    sheet = black.mask[0, 0] > 0.99
    light = luminance(black.irradiance[0].permute(1, 2, 0))[sheet]
    white = float(luminance(paper.ink_model().white))
    gloss = paper.surface.f0 * 0.7  # the room mirrored in the surface lifts both
    assert white * 0.95 < float(light.quantile(0.98)) < white * 1.06 + 2 * gloss
    darkest = float(light.quantile(0.02))
    assert 0.01 < darkest < 0.12
    assert "lpi" in black.facts


def test_a_cylinder_is_shaded_as_its_cosine() -> None:
    _, params = draw("print_photo", 8)
    calm = bare(params, share=torch.tensor([0.5]))
    flat = replace(calm.bend, axis_deg=torch.zeros(1), start_mm=torch.zeros(1, 2))
    curved = replace(calm, bend=replace(flat, shape=torch.tensor([4]), curvature_per_mm=torch.full((1, 2), 0.012)))
    light = torch.tensor([[0.6, 0.0, -0.8]])
    scene = replace(curved.scene, key_direction=light, key_rgb=torch.ones(1, 3), ambient_rgb=torch.full((1, 3), 1e-4),
                    key_radius_deg=torch.tensor([1.0]))  # fmt: skip
    face = face_of()
    white = face.replace(radiance=torch.full_like(face.radiance, 4.0))
    matte: PrintPhoto = PrintPhoto(instruments=["silver_halide_lustre"])
    number = matte.papers[0].number
    out = matte.render(
        white, view_of(), replace(curved, scene=scene, printing=replace(curved.printing, paper=torch.tensor([number])))
    )
    place_of = place(white, view_of(), curved)
    row = out.irradiance[0, 1, SIZE // 2]
    sheet = out.mask[0, 0, SIZE // 2] > 0.99
    s = torch.linspace(-45, 45, 19)
    points = torch.stack([s, curved.offset_mm[0, 1].expand(19)], -1)[None]
    seen, _ = project_sheet(place_of.view, place_of.pose, curved.bend, points)
    at = seen[0, :, 0].long()
    keep = (at >= 0) & (at < SIZE)
    keep[keep.clone()] &= sheet[at[keep]]
    slope = 0.012 * s[keep]
    predicted = (0.6 * slope.sin() + 0.8 * slope.cos()).clamp(min=0)  # n = (sin, 0, -cos) towards the camera
    got = row[at[keep]]
    assert float(torch.corrcoef(torch.stack([got, predicted]))[0, 1]) > 0.97


def test_cut_out_shows_the_donor() -> None:
    attack, params = draw("print_cut", 2)
    shown = bare(params.shown)
    holes = replace(params.holes, pattern=torch.tensor([PATTERNS.index("eyes_mouth")]), gap_mm=torch.tensor([4.0]))
    cut = replace(params, shown=shown, holes=holes)
    colours = torch.tensor([[0.05, 0.6, 0.05], [0.6, 0.05, 0.05]])[:, None, :, None, None].expand(2, 1, 3, 128, 128)
    green, red = (face_of(seed=9).replace(radiance=c.contiguous()) for c in colours)
    one, two = (attack.render(face_of(), view_of(), cut, donor) for donor in (green, red))
    for first, last in ((36, 42), (42, 48), (48, 60)):
        x, y = one.landmarks[0, first:last].mean(0).long().tolist()
        assert float(one.mask[0, 0, y, x]) < 0.01
        pixel = one.irradiance[0, :, y, x]
        assert float(pixel[1]) > 3 * float(pixel[0])
        assert float(two.irradiance[0, 0, y, x]) > 3 * float(two.irradiance[0, 1, y, x])
        assert float(one.depth_mm[0, 0, y, x]) == pytest.approx(float(one.facts["distance_mm"]) + 4, abs=2)
    nose = one.landmarks[0, 30].long().tolist()
    assert float(one.mask[0, 0, nose[1], nose[0]]) == 1
    printed = [r.irradiance[0, :, nose[1], nose[0]] for r in (one, two)]
    assert torch.allclose(*printed, atol=2e-3)
    assert float(one.facts["hole_share"]) > 0


def test_only_what_the_pattern_names_is_cut() -> None:
    attack, params = draw("print_cut", 2)
    holes = replace(params.holes, pattern=torch.tensor([PATTERNS.index("mouth")]))
    out = attack.render(face_of(), view_of(), replace(params, shown=bare(params.shown), holes=holes), face_of(seed=4))
    eye, mouth = (out.landmarks[0, a:b].mean(0).long().tolist() for a, b in ((36, 42), (48, 60)))
    assert float(out.mask[0, 0, eye[1], eye[0]]) == 1
    assert float(out.mask[0, 0, mouth[1], mouth[0]]) < 0.01


def test_attacker_shows_beside_a_small_sheet() -> None:
    attack, params = draw("print_cut", 2)
    shown = bare(params.shown, sheet_mm=torch.tensor([[90.0, 120.0]]), picture_mm=torch.tensor([200.0]))
    donor = face_of((0.02, 0.9, 0.02), 4, parsed=True)
    out = attack.render(face_of(), view_of(), replace(params, shown=shown), donor)
    beside = (out.mask[0, 0] < 0.01) & torch.isfinite(out.depth_mm[0, 0])
    assert int(beside.sum()) > 100


def test_donor_is_aligned_by_eyes_and_mouth() -> None:
    _, params = draw("print_cut", 0)
    straight = replace(params.holes, donor_shift_mm=torch.zeros(1, 2), donor_turn_deg=torch.zeros(1),
                       donor_scale=torch.ones(1))  # fmt: skip
    donor = face_of(seed=3)
    c, s = 0.8, 0.3
    on_sheet = donor.landmarks[0] @ torch.tensor([[c, s], [-s, c]]) + torch.tensor([-40.0, 12.0])
    transform = to_donor(on_sheet, donor, straight)
    back = on_sheet @ transform[:, :2].T + transform[:, 2]
    assert torch.allclose(back, donor.landmarks[0], atol=1e-3)


def test_cut_without_donor_is_skipped() -> None:
    attack, params = draw("print_cut", 0)
    with pytest.raises(DataError, match="no donor"):
        attack.render(face_of(), view_of(), params)


def test_photograph_is_eight_bit_jpeg() -> None:
    radiance = face_of().radiance[0]
    fine, coarse = (encode_photograph(radiance, 1.0, q) for q in (96, 20))
    assert torch.allclose(fine * 255, (fine * 255).round(), atol=1e-4)
    assert float((fine - coarse).abs().mean()) > 0.002
    assert float(encode_photograph(torch.full((3, 16, 16), 50.0), 1.0, 95).min()) > 0.99


def test_exposure_brings_the_face_to_the_level() -> None:
    face = face_of()
    gain = exposure_gain(face.radiance[0], face.box[0], 0.3)
    assert exposure_gain(face.radiance[0] * 1.5, face.box[0], 0.3) == pytest.approx(gain / 1.5, rel=1e-4)
    assert exposure_gain(face.radiance[0] * 1e-9, face.box[0], 0.3) == 4.0


def test_draws_stay_in_range() -> None:
    params = PrintA4().sample(400, generator(0, "range"))
    assert float(params.yaw_deg.abs().max()) <= 25
    assert float(params.pitch_deg.abs().max()) <= 25
    assert 0.5 < float((params.share > 0.5).float().mean()) < 0.9
    assert set(map(tuple, params.sheet_mm.tolist())) == {(210.0, 297.0), (297.0, 210.0)}
    photo = PrintPhoto().sample(200, generator(0, "range"))
    assert float(photo.picture_mm.max()) < 200
    assert float((photo.bend.shape == 0).float().mean()) == pytest.approx(0.34, abs=0.12)
