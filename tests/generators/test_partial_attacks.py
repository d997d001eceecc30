"""The four partial attacks: contract of a manipulation, bank, effects, photographs, bad input."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.attack import Changed, Manipulation
from spooflab.generators.attacks.partials.partial_eye import PartialEye
from spooflab.generators.attacks.partials.partial_funny_eye import PartialFunnyEye
from spooflab.generators.attacks.partials.partial_mouth import PartialMouth
from spooflab.generators.attacks.partials.partial_paper_glasses import PartialPaperGlasses
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.instruments.partial_bank import PartialBank, load_partials
from spooflab.params import Params
from spooflab.seeds import generator

KINDS = (PartialFunnyEye, PartialPaperGlasses, PartialMouth, PartialEye)
SIZE = 160


@pytest.fixture(scope="module")
def faces() -> tuple[Face, Face]:
    source = ProceduralFaces(n_subjects=4, sessions=1, size=SIZE, seed=5)
    loaded = [source.load(ref) for ref in source.refs()]
    return Face.stack(loaded[:2]), Face.stack(loaded[2:])


def put_on(attack: Manipulation, faces: tuple[Face, Face], params: Params) -> Changed:
    with torch.inference_mode():
        return attack.apply(faces[0], faces[1] if attack.needs_donor else None, params)


def one(faces: tuple[Face, Face], index: int = 0) -> tuple[Face, Face]:
    return faces[0].row(index), faces[1].row(index)


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_the_mask_names_has_changed(kind: Any, faces: tuple[Face, Face]) -> None:
    attack = kind()
    for seed in range(2):
        changed = put_on(attack, faces, attack.sample(2, generator(seed, "mask", attack.species)))
        mask = changed.face.spoof_mask
        assert mask is not None
        assert (mask.flatten(1).mean(1) > 0.01).all()
        assert mask.min() >= 0
        assert mask.max() <= 1
        untouched = (mask == 0).expand(-1, 3, -1, -1)
        assert torch.equal(changed.face.radiance[untouched], faces[0].radiance[untouched])
        assert torch.isfinite(changed.face.radiance).all()
        assert changed.face.radiance.min() >= 0
        covered = mask > 0.5
        before, after = faces[0], changed.face
        assert before.depth_mm is not None
        assert after.depth_mm is not None
        assert (after.depth_mm <= before.depth_mm).all()
        nearer = after.depth_mm[covered] < before.depth_mm[covered]
        assert nearer.float().mean() > 0.98  # two halves of a pixel make a whole, but no depth
        assert torch.equal(after.depth_mm[mask < 0.25], before.depth_mm[mask < 0.25])
        assert after.normals is not None
        torch.testing.assert_close(
            after.normals.norm(dim=1, keepdim=True)[covered], torch.ones(int(covered.sum())), atol=0.05, rtol=0
        )
        assert len(changed.instrument_id) == 2
        assert set(changed.instrument_id) <= set(kind.bank_ids())
        assert all(v.shape == (2,) and torch.isfinite(v).all() for v in changed.facts.values())


@pytest.mark.parametrize("kind", KINDS)
def test_rows_alone_and_replayed_are_the_same_pixels(kind: Any, faces: tuple[Face, Face]) -> None:
    attack = kind()
    params = attack.sample(2, generator(4, attack.species))
    together = put_on(attack, faces, params)
    for i in range(2):
        back = attack.parse(json.loads(json.dumps(params.row(i).to_json())))
        alone = put_on(kind(), one(faces, i), back)
        assert torch.equal(alone.face.radiance[0], together.face.radiance[i])
        assert torch.equal(alone.face.landmarks[0], together.face.landmarks[i])
        assert alone.instrument_id[0] == together.instrument_id[i]


@pytest.mark.parametrize("kind", KINDS)
def test_every_instrument_can_be_worn_and_chosen(kind: Any, faces: tuple[Face, Face]) -> None:
    assert len(kind.bank_ids()) >= 3
    for name in kind.bank_ids():
        attack = kind(instruments=(name,))
        params = attack.sample(1, generator(1, name))
        changed = put_on(kind(), one(faces), params)
        assert changed.instrument_id == (name,)
    with pytest.raises(ConfigError, match="not in its bank"):
        kind(instruments=("unheard_of",))


@pytest.mark.parametrize("kind", KINDS)
def test_a_photograph_without_depth_and_parsing_is_dressed(kind: Any, faces: tuple[Face, Face]) -> None:
    attack = kind()
    bare = [f.replace(depth_mm=None, normals=None, parsing=None, synthetic=False) for f in one(faces)]
    changed = put_on(attack, (bare[0], bare[1]), attack.sample(1, generator(2, attack.species)))
    assert changed.face.spoof_mask is not None
    assert changed.face.spoof_mask.mean() > 0.01
    assert changed.face.depth_mm is None
    assert changed.face.parsing is None


@pytest.mark.parametrize("kind", [PartialPaperGlasses, PartialMouth, PartialEye])
def test_a_missing_donor_is_named(kind: Any, faces: tuple[Face, Face]) -> None:
    attack = kind()
    with pytest.raises(DataError, match="donor"):
        attack.apply(faces[0], None, attack.sample(2, generator(1, "x")))


@pytest.mark.parametrize("kind", KINDS)
def test_bad_calls_are_named(kind: Any, faces: tuple[Face, Face]) -> None:
    with pytest.raises(ConfigError, match="no effect"):
        kind(ablate=("smell",))
    attack = kind()
    with pytest.raises(ValueError, match="batch sizes"):
        put_on(attack, faces, attack.sample(3, generator(1, "x")))
    squashed = one(faces)[0]
    squashed = squashed.replace(landmarks=torch.full_like(squashed.landmarks, 80.0))
    with pytest.raises(SkipSample):
        put_on(attack, (squashed, one(faces)[1]), attack.sample(1, generator(1, "x")))


def test_a_thing_outside_the_picture_is_skipped(faces: tuple[Face, Face]) -> None:
    attack = PartialMouth()
    face, donor = one(faces)
    shifted = face.landmarks + torch.tensor([0.0, 90.0])  # the mouth lies below the picture
    with pytest.raises(SkipSample, match="instrument_not_seen"):
        put_on(attack, (face.replace(landmarks=shifted), donor), attack.sample(1, generator(1, "x")))


CASES = [(kind, effect) for kind in KINDS for effect in kind.EFFECTS]


def pair(kind: Any, effect: str, faces: tuple[Face, Face], seed: int) -> tuple[Changed, Changed]:
    whole, without = kind(), kind(ablate=(effect,))
    drawn = [attack.sample(1, generator(seed, "ablation", attack.species)) for attack in (whole, without)]
    same = [{k: v for k, v in p.to_json().items() if k != "ablated"} for p in drawn]
    assert same[0] == same[1], "drawing must not depend on what is switched off"
    return put_on(whole, one(faces), drawn[0]), put_on(without, one(faces), drawn[1])


def visible(effect: str, on: Changed, off: Changed) -> Tensor:
    """Return where the picture differs, after a check of the effect's own measure."""
    difference = on.face.radiance - off.face.radiance
    if effect == "gloss":
        assert difference.min() > -1e-5, "gloss only adds light"
    if effect == "contact_shadow":
        assert difference.max() < 1e-5, "a shadow only takes light"
        masks = [c.face.spoof_mask for c in (on, off)]
        assert masks[0] is not None
        assert masks[1] is not None
        assert (masks[1] <= masks[0] + 1e-6).all()
    return difference.abs().amax()


@pytest.mark.parametrize(("kind", "effect"), CASES)
def test_an_effect_switched_off_is_gone(kind: Any, effect: str, faces: tuple[Face, Face]) -> None:
    for seed in range(12):
        on, off = pair(kind, effect, faces, seed)
        if float(visible(effect, on, off)) > 1e-3:
            return
    pytest.fail(f"{kind.species}: {effect} was never at work")


def test_without_its_shadow_bare_skin_is_untouched(faces: tuple[Face, Face]) -> None:
    attack = PartialEye(ablate=("contact_shadow",), instruments=("oval_eye_photo",))
    changed = put_on(attack, one(faces), attack.sample(1, generator(3, "x")))
    assert changed.face.spoof_mask is not None
    soft = (changed.face.spoof_mask > 0) & (changed.face.spoof_mask < 0.9)
    assert soft.float().mean() < 0.02  # the outline's own pixels


def test_ideal_colours_reach_white_and_ink_does_not(faces: tuple[Face, Face]) -> None:
    on, off = pair(PartialPaperGlasses, "ink", faces, 2)
    mask = on.face.spoof_mask
    assert mask is not None
    covered = (mask > 0.99).expand(-1, 3, -1, -1)
    assert off.face.radiance[covered].std() > on.face.radiance[covered].std()


def test_printed_landmarks_are_those_that_are_seen(faces: tuple[Face, Face]) -> None:
    attack = PartialPaperGlasses(instruments=("plain_strip_inkjet",))
    changed = put_on(attack, one(faces), attack.sample(1, generator(5, "x")))
    assert torch.equal(changed.face.landmarks[:, 48:], faces[0].landmarks[:1, 48:])
    moved = (changed.face.landmarks - faces[0].landmarks[:1])[0, 36:48].norm(dim=1)
    assert (moved > 0).all()
    assert moved.max() < 0.08 * SIZE


def bank_file(tmp_path: Path, change: Any) -> Path:
    source = Path(__file__).parents[2] / "configs" / "instruments" / "partials.yaml"
    data = yaml.safe_load(source.read_text())
    change(data)
    path = tmp_path / "partials.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["partial_eye"][0].update(smell=1), "smell"),
        (lambda d: d["partial_eye"][0].update(papers=["none_such"]), "none_such"),
        (lambda d: d["partial_eye"][0].update(number=1), "number repeats"),
        (lambda d: d["partial_mouth"][0].update(id="oval_eye_photo"), "id repeats"),
        (lambda d: d["partial_mouth"][0].update(gap_mm=[3, 1]), "runs backwards"),
        (lambda d: d["partial_paper_glasses"][0].update(rim_mm=[3, 1]), "runs backwards"),
        (lambda d: d["partial_funny_eye"][0].update(kind="odd"), "kind"),
        (lambda d: d.pop("adversarial_patch"), "adversarial_patch"),
    ],
)
def test_a_bank_that_is_wrong_is_named(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_partials(bank_file(tmp_path, change))


def test_numbers_are_those_of_the_first_release() -> None:
    bank: PartialBank = load_partials()
    numbers = {row.id: row.number for name in type(bank).model_fields for row in getattr(bank, name)}
    assert {k: numbers[k] for k in ("party_round_printed", "eyelid_stickers", "cinema_card_laser")} == {
        "party_round_printed": 1,
        "eyelid_stickers": 8,
        "cinema_card_laser": 101,
    }
    assert numbers["a4_mouth_taped"] == 201
    assert numbers["oval_eye_photo"] == 301
    assert numbers["forehead_sticker"] == 401
