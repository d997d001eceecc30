"""Effects of prints, switched off one by one: the draw stays, the picture changes, the effect's measure vanishes."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.errors import ConfigError
from spooflab.generators.attack import Rendered
from spooflab.generators.attacks.cutouts.print_cut import PrintCut, PrintCutParams
from spooflab.generators.attacks.cutouts.region_upper_body import RegionParams, RegionUpperBody
from spooflab.generators.attacks.prints.params import PRINT_EFFECTS, PrintParams
from spooflab.generators.attacks.prints.place import place
from spooflab.generators.attacks.prints.print_a4 import PrintA4
from spooflab.generators.attacks.prints.print_photo import PrintPhoto
from spooflab.generators.attacks.prints.print_poster import PrintPoster
from spooflab.generators.attacks.prints.process import black_point, paper_of, printed_reflectance
from spooflab.generators.attacks.prints.sheet import Sheet, printed_area, show_sheet, switch_off
from spooflab.generators.face import Face
from spooflab.generators.instruments.ink_colour import luminance
from spooflab.generators.instruments.ink_separation import print_target
from spooflab.generators.scene import Scene
from spooflab.params import Params
from spooflab.seeds import generator

SIZE = 160
KINDS: dict[str, Any] = {
    "print_a4": (PrintA4, "newsprint_85"),
    "print_photo": (PrintPhoto, "photo_inkjet_glossy"),
    "print_poster": (PrintPoster, "banner_pvc_720"),
    "print_cut": (PrintCut, "newsprint_85"),
    "region_upper_body": (RegionUpperBody, "newsprint_85"),
}
SLOW = ("print_a4", "print_poster", "region_upper_body")
UNSEEN = {("print_photo", "fibre"), ("print_photo", "halftone")}
"""Photo paper has no fibre to be seen; its inkjet's dots are finer than the lens resolves at this distance."""


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
    return torch.tensor(points) * 70 + torch.tensor([64.0, 62.0])


def face_of(seed: int = 0, *, grey: float | None = None) -> Face:
    radiance = torch.rand(3, 16, 16, generator=generator(seed, "face"))
    radiance = radiance.repeat_interleave(8, 1).repeat_interleave(8, 2)
    if grey is not None:
        radiance = torch.full_like(radiance, grey)
    box = torch.tensor([[29.0, 20.0, 70.0, 92.0]])
    return Face(radiance[None], landmarks()[None], box, (f"s{seed}",), (f"p{seed}",))


def view_of() -> View:
    return View.ideal(SIZE, SIZE, blur_px=0.4, pitch_um=3.5)


def provoked(params: PrintParams) -> PrintParams:
    """Put every effect to work: a small, bent, creased, laminated, held sheet under a lamp, close enough for dots."""
    one, half = torch.ones(1, dtype=torch.int64), torch.full((1,), 0.5)
    scene = replace(
        params.scene, hand_style=one, hand_edge=0 * one, hand_along=0 * half,
        key_direction=torch.tensor([[0.3, -0.5, -0.81]]),
        key_rgb=torch.full((1, 3), 0.5), ambient_rgb=torch.full((1, 3), 0.5),
    )  # fmt: skip
    bend = replace(params.bend, shape=2 * one, axis_deg=0 * half, start_mm=torch.zeros(1, 2),
                   curvature_per_mm=torch.full((1, 2), 0.01))  # fmt: skip
    creases = replace(params.creases, folds=torch.ones(1, 2, dtype=torch.int64), fold_slope=0.2 * half,
                      wear=half, crumple=0.2 * half)  # fmt: skip
    lamp = replace(params.lamp, kind=one, aim=torch.zeros(1, 2), level=4 * half, half_deg=torch.full((1, 2), 3.0))
    return replace(
        params, scene=scene, bend=bend, creases=creases, lamp=lamp, film=one, film_roughness=0.2 * half,
        mount=replace(params.mount, kind=0 * one, piece=0 * one), sheet_mm=torch.tensor([[34.0, 40.0]]),
        picture_mm=torch.tensor([26.0]), margin_mm=torch.tensor([2.0]), offset_mm=torch.zeros(1, 2),
        share=half, ultraviolet=half, ground=torch.ones(1, 3),
    )  # fmt: skip


def draw(name: str, ablate: tuple[str, ...] = (), seed: int = 1) -> tuple[Any, Any]:
    kind, paper = KINDS[name]
    attack = kind(instruments=[paper], ablate=ablate)
    params = attack.sample(1, generator(seed, "effects"))
    if isinstance(params, RegionParams):
        params = replace(params, shown=provoked(params.shown), face_mm=torch.tensor([15.0]), gap_mm=torch.tensor([2.0]),
                         shift_mm=torch.zeros(1, 2))  # fmt: skip
    elif isinstance(params, PrintCutParams):
        holes = replace(params.holes, pattern=torch.tensor([2]), rim_mm=torch.tensor([0.4]), gap_mm=torch.tensor([6.0]))
        params = replace(params, shown=provoked(params.shown), holes=holes)
    else:
        params = provoked(params)
    return attack, params


def render(name: str, ablate: tuple[str, ...] = ()) -> Rendered:
    attack, params = draw(name, ablate)
    out: Rendered = attack.render(face_of(), view_of(), params, face_of(3) if attack.needs_donor else None)
    return out


@pytest.mark.parametrize(
    "name", ["print_cut", "print_photo", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_each_effect_changes_the_picture_but_not_the_draw(name: str) -> None:
    kind, paper = KINDS[name]
    plain = kind(instruments=[paper]).sample(2, generator(4, "same"))
    whole = render(name)
    for effect in kind.EFFECTS:
        other = kind(instruments=[paper], ablate=(effect,)).sample(2, generator(4, "same"))
        assert bool((other.ablated == 1 << kind.EFFECTS.index(effect)).all())
        assert without_bits(other.row(1)) == without_bits(plain.row(1)), effect
        less = render(name, (effect,))
        changed = float((less.irradiance - whole.irradiance).abs().max())
        assert (changed < 2e-3) == ((name, effect) in UNSEEN), (effect, changed)


def without_bits(params: Params) -> dict[str, Any]:
    record = params.to_json()
    for part in (record, record.get("shown", {})):
        part.pop("ablated", None)
    return record


@pytest.mark.parametrize("name", ["print_poster", "region_upper_body"])
def test_what_is_off_stays_off_in_the_record(name: str) -> None:
    attack, params = draw(name, ("gloss", "halftone"))
    back = attack.parse(json.loads(json.dumps(params.to_json())))
    donor = face_of(3) if attack.needs_donor else None
    plain = KINDS[name][0]()  # bits travel with the record, not with the attack
    first, second = attack.render(face_of(), view_of(), params, donor), plain.render(face_of(), view_of(), back, donor)
    assert torch.equal(first.irradiance, second.irradiance)


@pytest.mark.parametrize("kind", [PrintA4, PrintPoster, PrintCut, RegionUpperBody])
def test_unknown_effect_is_named(kind: Any) -> None:
    with pytest.raises(ConfigError, match="moire"):
        kind(ablate=("moire",))


def sheet(*ablate: str, face: Face | None = None, **changes: Any) -> Sheet:
    """Show a provoked newspaper portrait."""
    _, params = draw("print_a4", ablate)
    face = face_of() if face is None else face
    kept, off = switch_off(replace(params, **changes))
    return show_sheet(face, kept, off, place(face, view_of(), kept), Scene())


def reflectance(*ablate: str, face: Face | None = None, seed: int = 1) -> Tensor:
    _, params = draw("print_a4", seed=seed)
    face = face_of() if face is None else face
    return printed_reflectance(face.radiance[0], face.box[0], params.printing, 0.4, off=ablate)


def test_ideal_gamut_is_the_target() -> None:
    """Without gamut, drift and faults, each patch has the colour that the file asks for, between black and paper."""
    _, params = draw("print_a4")
    paper = paper_of(params.printing)
    off = ("drift", "banding", "misregistration")
    face = face_of().replace(
        radiance=torch.tensor([0.4, 0.02, 0.02])[:, None, None].expand(1, 3, 128, 128).contiguous()
    )
    ideal = reflectance("gamut", *off, face=face)
    inked = reflectance(*off, face=face)
    wanted = print_target(paper.ink_model(), paper.black_generation(), torch.tensor([[0.3, 0.0, 0.0]]))[0]
    spread = (ideal.mean((1, 2)) - wanted.flip(0)).abs()
    assert float(spread.max()) < 1  # a colour at all
    chroma = [float(x[0].mean() / x[1].mean()) for x in (ideal, inked)]
    assert chroma[0] > 1.15 * chroma[1]  # newsprint cannot print that red


def test_black_without_lift_is_black() -> None:
    face = face_of(grey=0.0)
    lifted, sunk = (luminance(reflectance(*off, face=face).permute(1, 2, 0)) for off in ((), ("black_lift",)))
    _, params = draw("print_a4")
    floor = black_point(paper_of(params.printing))
    assert float(lifted.mean()) > 0.7 * floor * 0.6
    assert float(sunk.quantile(0.05)) < 0.02 < float(lifted.quantile(0.05))
    white = [reflectance(*off, "banding", "drift", face=face_of(grey=4.0)) for off in ((), ("black_lift",))]
    assert torch.allclose(*white, atol=0.01)


def test_no_banding_is_even_and_no_drift_is_neutral() -> None:
    face = face_of(grey=0.3)
    uneven, even = reflectance(face=face), reflectance("banding", "misregistration", face=face)
    assert float(uneven.std((1, 2)).min()) > 5 * float(even.std((1, 2)).max())
    greys = [reflectance("banding", *off, face=face, seed=s).mean((1, 2)) for s in range(6) for off in ((), ("drift",))]
    cast = [float((g / luminance(g)).std()) for g in greys]
    assert max(cast[1::2]) < 0.6 * max(cast[::2])
    assert max(cast[1::2]) - min(cast[1::2]) < 1e-3  # one printer, characterised


def test_no_misregistration_is_no_displacement() -> None:
    _, params = draw("print_a4")
    face = face_of()
    still = replace(params.printing, misregistration_mm=torch.zeros(1, 4, 2))
    expected = printed_reflectance(face.radiance[0], face.box[0], still, 0.4)
    assert torch.equal(reflectance("misregistration"), expected)


def test_no_halftone_is_no_dots() -> None:
    assert sheet().dots is not None
    assert float(sheet().facts["halftone_modulation"]) > 0.1
    bare = sheet("halftone")
    assert bare.dots is None
    assert float(bare.facts["halftone_modulation"]) == 0


def test_neutral_paper_is_white() -> None:
    blank = face_of(grey=4.0)
    flat = ("shading", "gloss", "fibre", "creases", "drift", "banding")
    radiance = [sheet(*flat, *off, face=blank) for off in ((), ("paper_white",))]
    colours = [(s.radiance / s.maps.shade)[:, s.cover > 0.99].amax(1) for s in radiance]
    assert torch.allclose(colours[1], torch.ones(3), atol=1e-4)
    assert float(colours[0].max()) < 0.8  # newsprint is grey


def test_no_fibre_is_smooth() -> None:
    blank = face_of(grey=4.0)
    flat = ("shading", "gloss", "creases", "drift", "banding", "border")
    with_fibre, without = (sheet(*flat, *off, face=blank) for off in ((), ("fibre",)))
    roughness = [float(s.radiance[1][s.cover > 0.99].std()) for s in (with_fibre, without)]
    assert roughness[0] > 0.005
    assert roughness[1] < 1e-3


def test_gloss_and_glare() -> None:
    whole, dull, unlit, none = sheet(), sheet("gloss"), sheet("glare"), sheet(lamp=no_lamp())
    assert dull.maps.gloss is None
    assert whole.maps.gloss is not None
    assert unlit.maps.gloss is not None
    assert none.maps.gloss is not None
    assert float(whole.maps.gloss.max()) > 1.5 * float(unlit.maps.gloss.max())
    assert torch.allclose(unlit.maps.gloss, none.maps.gloss, atol=1e-6)  # the lamp's image alone is gone
    assert torch.equal(unlit.maps.shade, whole.maps.shade)  # and it still lights the sheet


def no_lamp() -> Any:
    _, params = draw("print_a4")
    return replace(params.lamp, kind=torch.zeros(1, dtype=torch.int64))


def test_even_light_is_even() -> None:
    shade = sheet("shading").maps.shade
    assert float(shade.std((1, 2)).max()) < 1e-5
    assert float(sheet().maps.shade.std((1, 2)).min()) > 0.01


def test_no_bend_is_flat_and_no_creases_smooth() -> None:
    flat = sheet("bend")
    assert float(flat.params.bend.curvature_per_mm.abs().max()) == 0
    row = 1 / flat.maps.depth_mm[80].double()  # of a plane, 1 / depth is linear in the image
    straight = row[0] + (row[-1] - row[0]) * torch.linspace(0, 1, SIZE, dtype=torch.float64)
    assert float((row / straight - 1).abs().max()) < 1e-5
    creased, smooth = sheet("bend"), sheet("bend", "creases")
    edges = [float((s.maps.shade[1, :, 1:] - s.maps.shade[1, :, :-1]).abs().max()) for s in (creased, smooth)]
    assert edges[0] > 5 * edges[1]


def test_no_border_is_only_the_photograph() -> None:
    trimmed, whole = sheet("border", "bend"), sheet("bend")
    low, high = printed_area(face_of(), trimmed.params, trimmed.placement)
    inside = (
        (trimmed.maps.u > low[0]) & (trimmed.maps.u < high[0]) & (trimmed.maps.v > low[1]) & (trimmed.maps.v < high[1])
    )
    assert float(trimmed.cover[~inside].max()) < 0.51
    assert float((trimmed.cover - inside.float()).abs().mean()) < 0.01
    assert float(whole.cover.sum()) > 1.1 * float(trimmed.cover.sum())


def test_no_hand_leaves_the_whole_sheet() -> None:
    held, free = render("print_a4"), render("print_a4", ("hand",))
    assert float(free.mask.sum()) > 1.02 * float(held.mask.sum())
    assert float((free.mask - sheet().cover).abs().max()) < 1e-6


def test_effects_of_cuts() -> None:
    """Without rim no pixel round the holes is as bright as paper; without shadow the live face is evenly lit."""
    assert PrintCut.EFFECTS[: len(PRINT_EFFECTS)] == PRINT_EFFECTS
    attack, params = draw("print_cut", ("gloss", "hand", "creases"))
    dark, live = face_of(grey=0.02), face_of(3, grey=0.4)
    outs = {}
    for effect in ("", "rim", "edge_shadow"):
        bits = params.ablated | (1 << attack.EFFECTS.index(effect) if effect else 0)
        outs[effect] = attack.render(dark, view_of(), replace(params, ablated=bits), live)
    whole, rimless, shadeless = outs.values()
    brighter = (whole.irradiance - rimless.irradiance)[0].mean(0)
    assert float(brighter.max()) > 0.05
    holes = whole.mask[0, 0] < 0.01
    deep = torch.nn.functional.avg_pool2d((holes & (whole.depth_mm[0, 0].isfinite())).float()[None], 5, 1, 2)[0] > 0.99
    shades = [out.irradiance[0, 1][deep].std() / out.irradiance[0, 1][deep].mean() for out in (whole, shadeless)]
    assert float(shades[1]) < 0.5 * float(shades[0])


def test_every_effect_is_a_documented_name() -> None:
    assert len(set(RegionUpperBody.EFFECTS)) == len(RegionUpperBody.EFFECTS) <= 62
    assert {f.name for f in fields(PrintParams)} >= {"ablated", "printing", "creases", "lamp", "mount"}
