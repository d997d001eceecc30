"""False hair: what it covers, how it shines, where it throws shadow."""

import json

import pytest
import torch

from spooflab.errors import ConfigError
from spooflab.generators.attacks.disguises.wig import Wig, fitting_cut
from spooflab.generators.face import PARSING, Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.faces.procedural.hair import STYLES
from spooflab.generators.geometry import read_geometry
from spooflab.generators.instruments.bare_head import filled, without_hair
from spooflab.generators.instruments.own_hair import own_hair, stand_off_mm
from spooflab.generators.instruments.wig_bank import load_wigs
from spooflab.generators.instruments.wig_hair import lighting_of
from spooflab.seeds import generator

HAIR = PARSING.index("hair")


@pytest.fixture(scope="module")
def people() -> tuple[Face, ...]:
    source = ProceduralFaces(n_subjects=3, sessions=1, size=192, seed=31)
    return tuple(source.load(ref) for ref in source.refs())


def as_photograph(face: Face) -> Face:
    return face.replace(parsing=None, depth_mm=None, normals=None, synthetic=False)


@pytest.mark.parametrize("photograph", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_hair_is_where_the_mask_says(photograph: bool, seed: int, people: tuple[Face, ...]) -> None:
    face = as_photograph(people[seed]) if photograph else people[seed]
    attack = Wig()
    with torch.inference_mode():
        made = attack.apply(face, None, attack.sample(1, generator(seed, "wig")))
    mask = made.face.spoof_mask
    assert mask is not None
    changed = (made.face.radiance != face.radiance).any(1, keepdim=True)
    assert bool((mask[changed] > 0).all())
    assert float((mask > 0.5).float().mean()) > 0.03
    assert bool(torch.isfinite(made.face.radiance).all())
    assert 0 <= float(made.facts["own_hair_showing"]) <= 1
    if photograph:
        assert made.face.parsing is None
        return
    assert made.face.parsing is not None
    assert made.face.depth_mm is not None
    assert face.depth_mm is not None
    hair = made.face.parsing == HAIR
    assert float(mask[hair & (face.parsing != HAIR)].mean()) > 0.6
    # Hair in front of skin is nearer than the skin, but not by more than a handful of centimetres.
    both = hair & torch.isfinite(face.depth_mm) & (face.parsing == PARSING.index("skin"))
    if int(both.sum()) > 30:
        gap = (face.depth_mm - made.face.depth_mm)[both]
        assert float(gap.median()) > -8
        assert float(gap.median()) < 90
    # Eyes, nose and mouth are left alone but for bangs.
    nose = face.parsing == PARSING.index("nose")
    assert float(mask[nose].mean()) < 0.1


def test_rows_are_independent_and_records_replay(people: tuple[Face, ...]) -> None:
    attack = Wig()
    faces = Face.stack(people[:2])
    params = attack.sample(2, generator(5))
    with torch.inference_mode():
        together = attack.apply(faces, None, params)
        for i in range(2):
            back = attack.parse(json.loads(json.dumps(params.row(i).to_json())))
            alone = Wig().apply(faces.row(i), None, back)
            torch.testing.assert_close(together.face.radiance[i : i + 1], alone.face.radiance, atol=2e-4, rtol=0)
            assert together.instrument_id[i] == alone.instrument_id[0]


def test_synthetic_fibre_shines_whiter_than_hair(people: tuple[Face, ...]) -> None:
    whole, dull = Wig(instruments=("costume_neon",)), Wig(instruments=("costume_neon",), ablate=("gloss",))
    with torch.inference_mode():
        bright, plain = (a.apply(people[0], None, a.sample(1, generator(3))) for a in (whole, dull))
    mask = bright.face.spoof_mask
    assert mask is not None
    added = (bright.face.radiance - plain.face.radiance)[0][:, mask[0, 0] > 0.9]
    assert float(added.mean()) > 0
    lit = added[:, added.sum(0) > added.sum(0).quantile(0.9)].mean(1)
    base = plain.face.radiance[0][:, mask[0, 0] > 0.9].mean(1)
    saturation = [float(1 - c.amin() / c.amax()) for c in (lit, base)]
    assert saturation[0] < 0.7 * saturation[1]


def test_shadow_only_darkens_and_falls_beside_the_hair(people: tuple[Face, ...]) -> None:
    whole, bare = Wig(instruments=("doll_fringe",)), Wig(instruments=("doll_fringe",), ablate=("shadow",))
    with torch.inference_mode():
        dark, light = (a.apply(people[1], None, a.sample(1, generator(2))) for a in (whole, bare))
    change = dark.face.radiance - light.face.radiance
    assert float(change.max()) < 1e-5
    assert float(change.min()) < -0.01
    mask = dark.face.spoof_mask
    assert mask is not None
    touched = (change.abs().amax(1, keepdim=True) > 0.01).float()
    near = torch.nn.functional.max_pool2d((mask > 0.5).float(), 41, 1, 20)
    assert float((touched * near).sum() / touched.sum()) > 0.97


def test_lace_lies_on_the_forehead(people: tuple[Face, ...]) -> None:
    whole, bare = (Wig(instruments=("lace_front_human",), ablate=e) for e in ((), ("lace",)))
    with torch.inference_mode():
        lace, none = (a.apply(people[0], None, a.sample(1, generator(1))) for a in (whole, bare))
        rest = read_geometry(people[0]).maps.rest_mm
    there = (lace.face.radiance != none.face.radiance).any(1)[0]
    assert int(there.sum()) > 40
    assert float(rest[1][there].median()) > 25


def test_own_hair_is_found_and_makes_the_wig_fuller(people: tuple[Face, ...]) -> None:
    attack = Wig(instruments=("curly_costume",))
    params = attack.sample(1, generator(0))
    entry = load_wigs()["curly_costume"]
    flat, full = fitting_cut(entry, params, 0.0), fitting_cut(entry, params, 45.0)
    hides = [STYLES[c.style].volume * c.volume + c.cap_mm for c in (flat, full)]
    assert hides[1] > hides[0]
    assert hides[1] > 0.6 * 45
    face = people[0]
    assert face.parsing is not None
    with torch.inference_mode():
        geometry = read_geometry(face)
        seen = own_hair(face.radiance[0], geometry)
    truth = torch.nn.functional.avg_pool2d((face.parsing == HAIR).float(), 4)[0, 0]
    torch.testing.assert_close(seen, truth)
    assert stand_off_mm(torch.zeros_like(seen), geometry) == 0.0


def test_own_hair_of_photographs_agrees_with_the_renderer(people: tuple[Face, ...]) -> None:
    """Intersection over union with the truth, mean over people with hair."""
    scores = []
    for face in people:
        assert face.parsing is not None
        truth = torch.nn.functional.avg_pool2d((face.parsing == HAIR).float(), 4)[0, 0] > 0.5
        if int(truth.sum()) < 100:
            continue
        bare = as_photograph(face)
        with torch.inference_mode():
            found = own_hair(bare.radiance[0], read_geometry(bare)) > 0.5
        scores.append(float((found & truth).sum() / (found | truth).sum()))
    assert scores
    assert sum(scores) / len(scores) > 0.4


def test_filling_is_exact_on_constants_and_smooth_across_holes() -> None:
    plain = torch.full((3, 40, 56), 0.37)
    known = torch.ones(40, 56)
    known[8:30, 10:44] = 0
    torch.testing.assert_close(filled(plain * known, known), plain, atol=1e-5, rtol=0)
    ramp = torch.linspace(0, 1, 56).expand(3, 40, 56)
    out = filled(ramp * known, known)
    assert float((out - ramp).abs().max()) < 0.3
    torch.testing.assert_close(out[:, 2:6, 2:6], ramp[:, 2:6, 2:6], atol=1e-5, rtol=0)


def test_no_hair_leaves_the_picture_to_the_bit(people: tuple[Face, ...]) -> None:
    with torch.inference_mode():
        geometry = read_geometry(people[0])
        out = without_hair(people[0].radiance[0], torch.zeros(192, 192), geometry, 4)
    assert torch.equal(out, people[0].radiance[0])


def test_the_light_on_hair_is_the_light_on_the_face(people: tuple[Face, ...]) -> None:
    """Lamp and surroundings together give a surface that faces the lamp about what the estimate says."""
    from spooflab.generators.geometry import shading

    with torch.inference_mode():
        light = read_geometry(people[0]).light
        lights = lighting_of(light)
        toward = light.key_direction
        expected = shading(light, toward[:, None])[:, 0]
        lamp = lights.lamps[0]
        up = 0.5 + 0.5 * float(lamp.direction[1])
        got = lamp.colour + torch.lerp(lights.ground, lights.sky, up)
    torch.testing.assert_close(got, expected, rtol=0.45, atol=0.05)
    assert float(lamp.direction.norm()) == pytest.approx(1, abs=1e-4)


def test_names_are_checked() -> None:
    assert len(Wig.bank_ids()) >= 4
    with pytest.raises(ConfigError, match="not in the bank"):
        Wig(instruments=("powdered",))
    with pytest.raises(ConfigError, match="sepia"):
        Wig(ablate=("sepia",))
