"""Worn masks: contract of a manipulation, each effect at work, and what each kind of mask must and must not do."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.attack import Changed
from spooflab.generators.attacks.cutouts.mask_paper import MaskPaper
from spooflab.generators.attacks.cutouts.mask_paper_sheet import wrap
from spooflab.generators.attacks.masks.fit import mirror_vertices, symmetric, without_expression
from spooflab.generators.attacks.masks.mannequin import Mannequin
from spooflab.generators.attacks.masks.mask_half import PARTS, MaskHalf
from spooflab.generators.attacks.masks.mask_rigid import MaskRigid
from spooflab.generators.attacks.masks.mask_silicone import COVERAGES, MaskSilicone
from spooflab.generators.attacks.masks.mask_transparent import MaskTransparent
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.geometry import fit_head
from spooflab.seeds import generator

KINDS: tuple[Any, ...] = (MaskRigid, MaskSilicone, MaskTransparent, MaskHalf, Mannequin, MaskPaper)
SIZE = 192


@pytest.fixture(scope="module")
def people() -> list[Face]:
    source = ProceduralFaces(n_subjects=4, sessions=1, size=SIZE, seed=5)
    return [source.load(ref) for ref in source.refs()]


def bare(face: Face) -> Face:
    """Return what a photograph knows."""
    return face.replace(depth_mm=None, normals=None, parsing=None)


def put(attack: Any, face: Face, donor: Face, params: Any) -> Changed:
    with torch.inference_mode():
        changed: Changed = attack.apply(face, donor if attack.needs_donor else None, params)
    return changed


def worn_picture(attack: Any, face: Face, donor: Face) -> Face:
    """Return the picture that the mask is worn in: a paper mask's is the donor's."""
    return donor if attack.species == "mask_paper" else face


def mask_of(changed: Changed) -> Tensor:
    assert changed.face.spoof_mask is not None
    return changed.face.spoof_mask


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("photo", [False, True])
def test_pixels_beside_the_mask_keep_their_bits_and_facts_are_finite(
    kind: Any, photo: bool, people: list[Face]
) -> None:
    attack = kind()
    for seed in range(2):
        face, donor = people[seed], people[seed + 1]
        if photo:
            face, donor = bare(face), bare(donor)
        changed = put(attack, face, donor, attack.sample(1, generator(seed, "mask", photo)))
        mask, before = mask_of(changed), worn_picture(attack, face, donor)
        assert float(mask.min()) >= 0
        assert float(mask.max()) <= 1
        assert 0.02 < float(mask.mean()) < 0.95
        same = (changed.face.radiance == before.radiance).all(1, keepdim=True)
        assert bool(same[mask == 0].all())
        assert float((changed.face.radiance - before.radiance).abs().sum(1)[mask[:, 0] > 0.5].mean()) > 0.005
        assert bool(torch.isfinite(changed.face.radiance).all())
        assert float(changed.face.radiance.min()) >= 0
        assert all(v.shape == (1,) and bool(torch.isfinite(v).all()) for v in changed.facts.values())
        assert changed.instrument_id[0] in kind.bank_ids()
        assert changed.face.depth_mm is not None
        assert float(changed.face.depth_mm.amin()) > 100
        inside = (changed.face.landmarks > -0.05 * SIZE) & (changed.face.landmarks < 1.05 * SIZE)
        assert float(inside.float().mean()) > 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_rows_stand_alone_and_records_replay(kind: Any, people: list[Face]) -> None:
    attack = kind()
    faces, donors = Face.stack(people[:2]), Face.stack(people[2:])
    params = attack.sample(2, generator(4, "rows"))
    both = put(attack, faces, donors, params)
    for i in range(2):
        back = attack.parse(json.loads(json.dumps(params.row(i).to_json())))
        alone = put(kind(), people[i], people[2 + i], back)
        assert torch.equal(both.face.radiance[i : i + 1], alone.face.radiance)
        assert torch.equal(mask_of(both)[i : i + 1], mask_of(alone))
        assert both.instrument_id[i] == alone.instrument_id[0]
        assert {k: float(v[i]) for k, v in both.facts.items()} == {k: float(v) for k, v in alone.facts.items()}
    assert len({float(v) for v in both.facts["cover_share"]}) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_effect_changes_the_picture_where_it_is_at_work(kind: Any, people: list[Face]) -> None:
    whole = kind()
    drawn = [whole.sample(1, generator(s, "effects")) for s in range(10)]
    plain = {}
    for effect in kind.EFFECTS:
        off = kind(ablate=(effect,))
        for seed in range(10):
            if seed not in plain:
                plain[seed] = put(whole, people[0], people[2], drawn[seed]).face.radiance
            params = off.sample(1, generator(seed, "effects"))
            assert torch.equal(params.seed, drawn[seed].seed)
            if not torch.equal(put(off, people[0], people[2], params).face.radiance, plain[seed]):
                break
        else:
            pytest.fail(f"{kind.species}: {effect} changed nothing in ten draws")


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_asked_is_named(kind: Any, people: list[Face]) -> None:
    with pytest.raises(ConfigError, match="sepia"):
        kind(ablate=("sepia",))
    with pytest.raises(ConfigError, match="no_such"):
        kind(instruments=["no_such"])
    attack = kind()
    params = attack.sample(1, generator(1, "bad"))
    absurd = people[0].replace(landmarks=torch.zeros_like(people[0].landmarks))
    if attack.needs_donor:
        with pytest.raises(DataError, match="donor"):
            attack.apply(people[0], None, params)
        with pytest.raises(ValueError, match="donors"):
            attack.apply(people[0], Face.stack(people[:2]), params)
    wearer, other = (people[0], absurd) if attack.species == "mask_paper" else (absurd, people[0])
    with pytest.raises(SkipSample):
        put(attack, wearer, other, params)


def test_a_donor_without_a_usable_face_is_skipped(people: list[Face]) -> None:
    attack = MaskRigid(instruments=["rigid_gypsum_colour"])
    donor = people[1].replace(landmarks=people[1].landmarks.flip(1) * torch.tensor([1.0, 0.01]))
    with pytest.raises(SkipSample):
        put(attack, people[0], donor, attack.sample(1, generator(1, "donor")))


def rigid(name: str, seed: int = 1, ablate: tuple[str, ...] = (), **fields: Tensor) -> tuple[MaskRigid, Any]:
    attack = MaskRigid(instruments=[name], ablate=ablate)
    params = attack.sample(1, generator(seed, "rigid"))
    return attack, type(params)(**{**params.__dict__, **fields})


def test_a_mask_stands_before_the_face_and_its_landmarks_are_its_own(people: list[Face]) -> None:
    attack, params = rigid("rigid_plaster_bare", eyes=torch.tensor([0]), strap=torch.tensor([False]))
    changed = put(attack, people[0], people[1], params)
    solid = mask_of(changed)[0, 0] > 0.9
    assert people[0].depth_mm is not None
    assert changed.face.depth_mm is not None
    skin = people[0].parsing[0, 0] == 1 if people[0].parsing is not None else solid
    nearer = (people[0].depth_mm - changed.face.depth_mm)[0, 0][solid & skin]
    # The fitted distance is a guess within some per cent; shape, not distance, is what the test can hold.
    spread = nearer - nearer.median()
    assert float(spread.abs().median()) < 12
    moved = (changed.face.landmarks - people[0].landmarks)[0].norm(dim=1)
    assert 0.5 < float(moved.mean()) < 0.1 * SIZE
    ordinary = changed.face.normals
    assert ordinary is not None
    torch.testing.assert_close(ordinary[0].norm(dim=0)[solid], torch.ones(int(solid.sum())), atol=1e-3, rtol=0)


def test_openings_show_the_wearer_and_shadow_him(people: list[Face]) -> None:
    attack, params = rigid("rigid_plaster_bare", eyes=torch.tensor([2]), eye_mm=torch.tensor([[16.0, 15.0]]))
    closed, _ = rigid("rigid_plaster_bare", ablate=("openings",))
    shut = closed.sample(1, generator(1, "rigid"))
    shut = type(params)(**{**params.__dict__, "ablated": shut.ablated})
    opened, filled = put(attack, people[0], people[1], params), put(closed, people[0], people[1], shut)
    hole = (mask_of(filled) > 0.99) & (mask_of(opened) < 0.9)
    assert float(hole.float().sum()) > 150
    assert float(opened.facts["opening_share"]) > 0.02
    assert float(filled.facts["opening_share"]) == 0
    ratio = (opened.face.radiance / people[0].radiance).mean(1, keepdim=True)[hole]
    assert float(ratio.median()) < 1.0  # the rim takes light away, and adds none
    assert float(ratio.median()) > 0.15
    tint = opened.face.radiance[:, 0:1][hole] / people[0].radiance[:, 0:1][hole] / ratio
    assert float((tint - 1).abs().median()) < 1e-3  # what is seen keeps its colour: it is the live face


def test_without_a_contact_shadow_nothing_but_the_mask_changes(people: list[Face]) -> None:
    with_it, params = rigid("rigid_gypsum_colour")
    without, _ = rigid("rigid_gypsum_colour", ablate=("contact_shadow",))
    off = type(params)(**{**params.__dict__, "ablated": without.sample(1, generator(1, "rigid")).ablated})
    shadowed, plain = put(with_it, people[0], people[1], params), put(without, people[0], people[1], off)
    faint = (mask_of(shadowed) > 0) & (mask_of(plain) == 0)
    assert float(faint.float().mean()) > 0.005
    darker = (shadowed.face.radiance <= people[0].radiance + 1e-6).all(1, keepdim=True)
    assert bool(darker[faint].all())


def test_gloss_only_adds_light_and_rough_masks_spread_it(people: list[Face]) -> None:
    _, params = rigid("rigid_plastic_glossy", strap=torch.tensor([False]))
    shiny = MaskRigid(instruments=["rigid_plastic_glossy"])
    dull = type(params)(**{**params.__dict__, "ablated": torch.tensor([1 << MaskRigid.EFFECTS.index("gloss")])})
    lit, plain = (put(shiny, people[0], people[1], p).face.radiance for p in (params, dull))
    added = (lit - plain).mean(1)
    assert float(added.min()) > -1e-4
    rough = type(params)(**{**params.__dict__, "alpha": torch.tensor([0.6])})
    wide = (put(shiny, people[0], people[1], rough).face.radiance - plain).mean(1)
    assert float(wide.max()) < 0.6 * float(added.max())


def test_silicone_softens_the_light_that_falls_on_it(people: list[Face]) -> None:
    attack = MaskSilicone(instruments=["silicone_uniform"])
    params = attack.sample(1, generator(3, "soft"))
    still = {name: MaskSilicone.EFFECTS.index(name) for name in ("gloss", "subsurface", "texture", "thickness")}
    common = sum(1 << still[n] for n in ("gloss", "texture", "thickness"))
    soft = type(params)(**{**params.__dict__, "ablated": torch.tensor([common])})
    hard = type(params)(**{**params.__dict__, "ablated": torch.tensor([common | 1 << still["subsurface"]])})
    one, two = put(attack, people[0], people[1], soft), put(attack, people[0], people[1], hard)
    inside = (mask_of(one) > 0.999)[0, 0]

    def roughness(image: Tensor) -> Tensor:
        curve = image[0, :, 1:-1, 2:] + image[0, :, 1:-1, :-2] - 2 * image[0, :, 1:-1, 1:-1]
        return curve.abs()[:, inside[1:-1, 1:-1]].mean(1)

    assert (roughness(one.face.radiance) < roughness(two.face.radiance)).all()
    assert float(one.facts["scatter_red_mm"]) > 0.5
    assert float(two.facts["scatter_red_mm"]) == 0


def test_silicone_covers_face_wig_or_head(people: list[Face]) -> None:
    attack = MaskSilicone()
    params = attack.sample(1, generator(2, "cover"))
    share = []
    for k in range(len(COVERAGES)):
        made = put(attack, people[1], people[2], type(params)(**{**params.__dict__, "coverage": torch.tensor([k])}))
        share.append(float(made.facts["cover_share"]))
        assert float(made.facts["coverage"]) <= k
    assert share[1] > share[0]
    assert share[2] >= share[1] - 1e-6
    last = type(params)(**{**params.__dict__, "coverage": torch.tensor([2])})
    assert float(put(attack, bare(people[1]), bare(people[2]), last).facts["coverage"]) == 0


def test_a_clear_mask_shows_the_live_face_and_darkens_it(people: list[Face]) -> None:
    attack = MaskTransparent(instruments=["clear_acrylic_thick"])
    params = attack.sample(1, generator(5, "clear"))
    changed = put(attack, people[0], people[1], params)
    assert torch.equal(changed.face.landmarks, people[0].landmarks)
    off = sum(1 << MaskTransparent.EFFECTS.index(n) for n in ("gloss", "haze", "refraction", "texture", "thickness"))
    calm = put(attack, people[0], people[1], type(params)(**{**params.__dict__, "ablated": torch.tensor([off])}))
    inside = mask_of(calm) > 0.999
    ratio = (calm.face.radiance / people[0].radiance)[inside.expand(-1, 3, -1, -1)]
    # Twice through the sheet: seen through it, and lit through it; (1 - 0.04)^2 twice at best.
    assert float(ratio.max()) < 0.93
    assert 0.70 < float(ratio.median()) < 0.87
    assert 0.75 < float(changed.facts["transmittance"]) < 0.93
    assert float(changed.facts["transmittance"] + changed.facts["reflectance"]) < 1.0
    everything = sum(1 << i for i in range(len(MaskTransparent.EFFECTS)))
    nothing = put(
        attack,
        people[0],
        people[1],
        type(params)(**{**params.__dict__, "ablated": torch.tensor([everything]), "strap": torch.tensor([False])}),
    )
    torch.testing.assert_close(nothing.face.radiance, people[0].radiance, atol=1e-6, rtol=0)


def test_haze_lowers_contrast(people: list[Face]) -> None:
    attack = MaskTransparent(instruments=["clear_frosted"])
    params = attack.sample(1, generator(6, "haze"))
    off = [sum(1 << MaskTransparent.EFFECTS.index(n) for n in names) for names in (("gloss",), ("gloss", "haze"))]
    hazy, clear = (
        put(attack, people[0], people[1], type(params)(**{**params.__dict__, "ablated": torch.tensor([o])}))
        for o in off
    )
    inside = (mask_of(hazy) > 0.999)[0, 0]
    spread = [c.face.radiance[0][:, inside].std(1).mean() for c in (hazy, clear)]
    assert float(spread[0]) < float(spread[1])
    assert float(clear.facts["haze"]) == 0


def test_half_masks_cover_their_half(people: list[Face]) -> None:
    attack = MaskHalf(instruments=["half_plastic_plain"])
    params = attack.sample(1, generator(7, "half"))
    face = people[0]
    nose = face.landmarks[0, 33]
    rows = torch.arange(SIZE)[:, None] + 0.5
    for part in (PARTS.index("upper"), PARTS.index("domino"), PARTS.index("lower")):
        made = put(
            attack,
            face,
            people[1],
            type(params)(
                **{
                    **params.__dict__,
                    "part": torch.tensor([part]),
                    "strap": torch.tensor([False]),
                    "border_mm": torch.tensor([-20.0]),
                }
            ),
        )
        assert torch.equal(made.face.landmarks, face.landmarks)
        solid = (mask_of(made)[0, 0] > 0.9).float()
        below = float((solid * (rows > nose[1])).sum() / solid.sum())
        assert (below > 0.6) if PARTS[part] == "lower" else (below < 0.35)


def test_a_mannequin_is_even_and_frozen(people: list[Face]) -> None:
    attack = Mannequin(instruments=["mannequin_white"])
    changed = put(attack, people[0], people[1], attack.sample(1, generator(8, "dummy")))
    inside = (mask_of(changed) > 0.999)[0, 0] & (
        (people[0].parsing[0, 0] == 1) if people[0].parsing is not None else True
    )
    chroma = [
        (image / image.mean(0, keepdim=True))[:, inside].std(1).mean()
        for image in (changed.face.radiance[0], people[0].radiance[0])
    ]
    assert float(chroma[0]) < 0.6 * float(chroma[1])
    assert "thickness_mm" not in changed.facts  # it is no shell


def test_a_mannequin_leaves_no_live_skin(people: list[Face]) -> None:
    attack = Mannequin(instruments=["mannequin_white"])
    face = people[1]
    changed = put(attack, face, people[0], attack.sample(1, generator(9, "dummy")))
    assert face.parsing is not None
    skin = (face.parsing == 1) | (face.parsing == 2) | (face.parsing == 10)
    assert float((mask_of(changed)[skin] > 0.5).float().mean()) > 0.98


def test_a_dummys_head_is_nearly_its_own_mirror_image() -> None:
    source = ProceduralFaces(n_subjects=2, sessions=1, size=SIZE, seed=9)
    fit = fit_head(source.load(source.refs()[0]).landmarks[0], (SIZE, SIZE))
    even = symmetric(without_expression(fit, 1.0))
    flipped = even[mirror_vertices()] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(even, flipped, atol=1e-3, rtol=0)
    assert float((fit.local - even).abs().max()) > 0.5


def paper(seed: int, **fields: Tensor) -> tuple[MaskPaper, Any]:
    attack = MaskPaper(instruments=["inkjet_matte_1200"])
    params = attack.sample(1, generator(seed, "paper"))
    return attack, type(params)(**{**params.__dict__, **fields})


def test_a_paper_mask_carries_the_printed_face(people: list[Face]) -> None:
    attack, params = paper(1)
    face, wearer = people[0], people[2]
    changed = put(attack, face, wearer, params)
    assert changed.face.subject_id == face.subject_id
    assert changed.face.source_id == face.source_id
    # A mark on the printed face's nose is found where the landmark says.
    nose = face.landmarks[0, 30]
    y, x = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    spot = torch.exp(-((x - nose[0]) ** 2 + (y - nose[1]) ** 2) / (2 * 2.5**2))
    green = torch.tensor([0.0, 0.8, 0.0])[:, None, None]
    marked = face.replace(radiance=face.radiance * (1 - spot) + spot * green)
    other = put(attack, marked, wearer, params)
    change = (other.face.radiance - changed.face.radiance).abs().sum((0, 1))
    weight = torch.where(change > 0.4 * change.max(), change, torch.zeros_like(change))
    centre = torch.stack([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    assert float((centre - changed.face.landmarks[0, 30]).norm()) < 2.5


def test_paper_keeps_its_lengths_when_it_bends(people: list[Face]) -> None:
    fit = fit_head(people[0].landmarks[0], people[0].size)
    bent = wrap(
        fit,
        radius_mm=80.0,
        flat_mm=20.0,
        fold_deg=12.0,
        lean_deg=3.0,
        roll_deg=2.0,
        shift_mm=torch.tensor([1.0, 2.0]),
        stand_mm=3.0,
        reach_mm=150,
    )
    u = torch.linspace(-140, 140, 1401)
    line, normal = bent.place(torch.stack([u, torch.full_like(u, 30.0)], 1))
    steps = (line[1:] - line[:-1]).norm(dim=1)
    assert float(steps.sum()) == pytest.approx(280.0, rel=2e-3)
    ruled, _ = bent.place(torch.stack([torch.full_like(u, 50.0), u], 1))
    assert float((ruled[-1] - ruled[0]).norm()) == pytest.approx(280.0, rel=1e-4)
    tangent = (line[2:] - line[:-2]) / (line[2:] - line[:-2]).norm(dim=1, keepdim=True)
    smooth = u[1:-1].abs() > 5  # beside the crease
    assert float((tangent * normal[1:-1]).sum(1).abs()[smooth].max()) < 0.01
    assert (line[700, 2] >= line[:, 2] - 1e-3).all()  # the middle stands foremost


def test_paper_masks_are_cut_along_the_face_or_wider(people: list[Face]) -> None:
    share = []
    for outline in range(2):
        attack, params = paper(2, outline=torch.tensor([outline]), holes=torch.zeros(1, 2))
        made = put(attack, people[0], people[2], params)
        share.append(float(made.facts["cover_share"]))
        assert float(made.facts["opening_share"]) == 0
    assert share[1] > 1.15 * share[0]
