"""Cosmetics, likenesses, paintings and tattoos on faces: what changes, what stays, and what each effect does."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from spooflab.config import load_yaml
from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.ablation import ablation
from spooflab.generators.attacks.disguises.tattoo import Tattoo
from spooflab.generators.attacks.live import Live
from spooflab.generators.attacks.makeups.makeup_cosmetic import MakeupCosmetic, MakeupCosmeticParams
from spooflab.generators.attacks.makeups.makeup_impersonation import MakeupImpersonation
from spooflab.generators.attacks.makeups.makeup_obfuscation import MakeupObfuscation
from spooflab.generators.face import PARSING, Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.faces.procedural.skinoptics import reflectance
from spooflab.generators.geometry import read_geometry
from spooflab.generators.instruments import makeup_complexion as complexion
from spooflab.generators.instruments.kubelka_munk import over
from spooflab.generators.instruments.makeup_bank import MakeupBank, load_makeups
from spooflab.generators.instruments.makeup_hand import Hand
from spooflab.generators.instruments.makeup_lips import lips
from spooflab.generators.instruments.skin_canvas import SkinCanvas
from spooflab.generators.instruments.skin_colour import skin_colour
from spooflab.params import Params
from spooflab.seeds import generator

SPECIES: dict[str, Any] = {
    "makeup_cosmetic": MakeupCosmetic,
    "makeup_impersonation": MakeupImpersonation,
    "makeup_obfuscation": MakeupObfuscation,
    "tattoo": Tattoo,
}


@pytest.fixture(scope="module")
def people() -> tuple[Face, ...]:
    source = ProceduralFaces(n_subjects=4, sessions=1, size=192, seed=11)
    return tuple(source.load(ref) for ref in source.refs())


def as_photograph(face: Face) -> Face:
    return face.replace(parsing=None, depth_mm=None, normals=None, synthetic=False)


def apply(attack: Any, face: Face, donor: Face, params: Params) -> Any:
    with torch.inference_mode():
        return attack.apply(face, donor if attack.needs_donor else None, params)


@pytest.mark.parametrize("name", SPECIES)
@pytest.mark.parametrize("photograph", [False, True])
def test_only_what_is_painted_changes(name: str, photograph: bool, people: tuple[Face, ...]) -> None:
    face, donor = (as_photograph(f) if photograph else f for f in people[:2])
    attack = SPECIES[name]()
    for seed in range(2):
        made = apply(attack, face, donor, attack.sample(1, generator(seed, name)))
        mask = made.face.spoof_mask
        changed = (made.face.radiance != face.radiance).any(1, keepdim=True)
        assert bool((mask[changed] > 0).all())
        assert float(changed.float().mean()) > 0.004
        assert 0 <= float(mask.min()) <= float(mask.max()) <= 1
        assert float(made.face.radiance.min()) >= 0
        assert bool(torch.isfinite(made.face.radiance).all())
        # Paint has no thickness to speak of: the geometry stays the wearer's.
        assert made.face.depth_mm is face.depth_mm
        assert made.face.landmarks is face.landmarks
        assert made.instrument_id[0] in attack.bank_ids()
        assert all(value.shape == (1,) and bool(torch.isfinite(value).all()) for value in made.facts.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECIES)
def test_rows_are_independent_and_records_replay(name: str, people: tuple[Face, ...]) -> None:
    attack = SPECIES[name]()
    faces, donors = Face.stack(people[:2]), Face.stack(people[2:])
    params = attack.sample(2, generator(5, name))
    together = apply(attack, faces, donors, params)
    for i in range(2):
        back = attack.parse(json.loads(json.dumps(params.row(i).to_json())))
        alone = apply(SPECIES[name](), faces.row(i), donors.row(i), back)
        torch.testing.assert_close(together.face.radiance[i : i + 1], alone.face.radiance, atol=2e-4, rtol=0)
        assert together.instrument_id[i] == alone.instrument_id[0]


@pytest.mark.parametrize("name", SPECIES)
def test_a_mask_that_was_there_stays(name: str, people: tuple[Face, ...]) -> None:
    attack = SPECIES[name]()
    before = torch.zeros(1, 1, 192, 192)
    before[..., :20, :20] = 0.7
    made = apply(attack, people[0].replace(spoof_mask=before), people[1], attack.sample(1, generator(1, name)))
    assert bool((made.face.spoof_mask[..., :20, :20] >= 0.7).all())


@pytest.mark.parametrize("name", SPECIES)
def test_allowed_instruments_and_unknown_names(name: str, people: tuple[Face, ...]) -> None:
    kind = SPECIES[name]
    ids = kind.bank_ids()
    assert len(ids) >= 4
    for allowed in (ids[0], ids[-1]):
        attack = kind(instruments=(allowed,))
        params = attack.sample(3, generator(2, name))
        assert apply(attack, people[0], people[1], params.row(1)).instrument_id == (allowed,)
    with pytest.raises(ConfigError, match="not in the bank"):
        kind(instruments=("watercolour",))
    with pytest.raises(ConfigError, match="sepia"):
        kind(ablate=("sepia",))


@pytest.mark.parametrize("name", SPECIES)
def test_drawing_does_not_depend_on_what_is_switched_off(name: str) -> None:
    kind = SPECIES[name]
    whole = kind().sample(2, generator(3, name)).row(1).to_json()
    for effect in kind.EFFECTS:
        off = kind(ablate=(effect,)).sample(2, generator(3, name)).row(1).to_json()
        assert off.pop("ablated") != whole["ablated"]
        assert off == {key: value for key, value in whole.items() if key != "ablated"}


def test_a_donor_is_wanted_for_a_likeness(people: tuple[Face, ...]) -> None:
    attack = MakeupImpersonation()
    with pytest.raises(DataError, match="donor"):
        attack.apply(people[0], None, attack.sample(1, generator(0)))


def test_a_face_outside_the_picture_is_skipped(people: tuple[Face, ...]) -> None:
    gone = people[0].replace(landmarks=people[0].landmarks + torch.tensor([180.0, 0.0]))
    attack = MakeupCosmetic()
    with pytest.raises(SkipSample):
        attack.apply(gone, None, attack.sample(1, generator(0)))


def test_it_is_photographed_as_a_live_face(people: tuple[Face, ...]) -> None:
    from spooflab.augment.view import View

    attack = Live(MakeupObfuscation(instruments=("clown",)))
    with torch.inference_mode():
        made = attack.render(people[0], View.ideal(128, 128), attack.sample(1, generator(0)))
    assert made.instrument_id == ("clown",)
    assert 0.05 < float(made.facts["changed_share"]) < 0.6
    assert made.irradiance.shape == (1, 3, 128, 128)


# What a layer does ---------------------------------------------------------------------------------------------------


@pytest.fixture
def canvas(people: tuple[Face, ...]) -> SkinCanvas:
    with torch.inference_mode():
        return SkinCanvas.of(people[1], read_geometry(people[1]))


def spread(values: Tensor, weight: Tensor) -> Tensor:
    chosen = values[:, weight > 0.9]
    return chosen.std(1) / chosen.mean(1)


def test_foundation_evens_the_skin_as_its_layer_says(canvas: SkinCanvas) -> None:
    """Contrast falls by dR/dR_g of Kubelka and Munk's layer at the mean skin."""
    with torch.inference_mode():
        product = load_makeups().product("base_liquid")
        mean = canvas.colour.mean
        paint = product.pigment(mean)
        before = canvas.albedo[:, canvas.skin > 0.9].std(1)
        canvas.lay(paint, torch.ones_like(canvas.skin))
        after = canvas.albedo[:, canvas.skin > 0.9].std(1)
        step = 1e-3
        up, down = (over(paint, torch.ones(1, 1), (mean + d)[:, None, None])[:, 0, 0] for d in (step, -step))
        torch.testing.assert_close(after / before, (up - down) / (2 * step), rtol=0.12, atol=0.02)
        assert bool((after < 0.75 * before).all())


def test_without_evening_the_skin_keeps_its_contrast(people: tuple[Face, ...]) -> None:
    with torch.inference_mode():
        geometry = read_geometry(people[1])
        out = {}
        for evening in (True, False):
            canvas = SkinCanvas.of(people[1], geometry)
            before = spread(canvas.albedo, canvas.skin)
            shade = complexion.shade_of(canvas, 0.1, 0.0)
            product = load_makeups().product("base_full_matte")
            complexion.complexion(canvas, product, 1.0, shade, Hand(3, 0.0), evening=evening)
            out[evening] = spread(canvas.albedo, canvas.skin) / before
        assert bool((out[True] < 0.6).all())
        assert bool((out[False] > 0.7).all())


def test_opaque_products_look_alike_on_all_skins_and_sheer_ones_do_not() -> None:
    bank = load_makeups()
    fair, dark = torch.tensor([0.60, 0.42, 0.33]), torch.tensor([0.12, 0.06, 0.04])
    gap = {}
    for name in ("lip_stain", "lip_brick_matte", "paint_white"):
        on_fair, on_dark = (complexion.reflects(bank.product(name), 1.5, skin) for skin in (fair, dark))
        gap[name] = float((on_fair - on_dark).abs().mean())
    assert gap["paint_white"] < 0.05
    assert gap["lip_brick_matte"] < 0.05
    assert gap["lip_stain"] > 2 * gap["lip_brick_matte"]


def test_powder_hides_shine_and_gloss_adds_it(canvas: SkinCanvas) -> None:
    """Powder darkens what shines and nothing else; gloss is light on top, most where the lamp is mirrored."""
    with torch.inference_mode():
        bare = canvas.radiance.clone()
        canvas.powder(canvas.skin)
        canvas.bring_to_full()
        window = canvas.window
        change = window.of(canvas.radiance) - window.of(bare)
        assert float(change.max()) < 1e-5
        shiny = canvas.full(canvas.colour.relief, window) > 0.15
        assert float(change[:, shiny].mean()) < 5 * float(change[:, ~shiny].mean()) < 0


def test_gloss_on_the_lips_brightens_and_its_ablation_does_not(people: tuple[Face, ...]) -> None:
    with torch.inference_mode():
        geometry = read_geometry(people[0])
        light = {}
        for gloss in (True, False):
            canvas = SkinCanvas.of(people[0], geometry)
            canvas.with_gloss = gloss
            canvas.bring_to_full()
            product = load_makeups().product("lip_gloss_clear")
            lips(canvas, product, 1.0, Hand(1, 0.0), over_mm=(0.0, 0.0, 0.0), softness_mm=0.5)
            light[gloss] = canvas.radiance
        added = light[True] - light[False]
        assert float(added.min()) >= -1e-6
        assert float(added.max()) > 0.02


def test_lipstick_stays_on_the_lips_and_out_of_the_mouth(people: tuple[Face, ...]) -> None:
    face = people[2]
    assert face.parsing is not None
    with torch.inference_mode():
        canvas = SkinCanvas.of(face, read_geometry(face))
        canvas.bring_to_full()
        product = load_makeups().product("lip_fuchsia")
        lips(canvas, product, 1.2, Hand(1, 0.0), over_mm=(0.0, 0.0, 0.0), softness_mm=0.4)
    labels = face.parsing[0, 0]
    vermilion, mouth = labels == PARSING.index("lips"), labels == PARSING.index("mouth")
    assert float(canvas.cover[vermilion].mean()) > 0.75
    assert float(canvas.cover[mouth].sum()) == 0
    assert float((canvas.cover * ~vermilion).sum()) < 0.35 * float(canvas.cover.sum())


def test_eyes_glasses_and_hair_are_never_painted(people: tuple[Face, ...]) -> None:
    attack = MakeupObfuscation(instruments=("clown", "supporter", "camouflage"))
    for face in people:
        assert face.parsing is not None
        made = apply(attack, face, face, attack.sample(1, generator(8)))
        labels = face.parsing[0, 0]
        for name in ("eyes", "hair", "glasses", "mouth"):
            there = made.face.spoof_mask[0, 0][labels == PARSING.index(name)]
            if len(there) > 20:
                assert float((there > 0.5).float().mean()) < 0.2, name


def test_relief_is_latex_and_its_ablation_leaves_colour_alone(people: tuple[Face, ...]) -> None:
    whole, flat = (MakeupObfuscation(instruments=("ageing_latex",), ablate=e) for e in ((), ("relief",)))
    params = whole.sample(1, generator(4)), flat.sample(1, generator(4))
    pictures = [apply(attack, people[0], people[0], p).face for attack, p in zip((whole, flat), params, strict=True)]
    mask = pictures[0].spoof_mask > 0.5

    def fine(picture: Tensor) -> float:
        grey = picture.mean(1, keepdim=True)
        return float((grey - torch.nn.functional.avg_pool2d(grey, 5, 1, 2)).abs()[mask].mean())

    assert fine(pictures[0].radiance) > 1.1 * fine(pictures[1].radiance)


def test_a_likeness_takes_the_other_ones_colour(people: tuple[Face, ...]) -> None:
    """Covered skin goes from the wearer's albedo towards the donor's."""
    attack = MakeupImpersonation(instruments=("kit_cream",), ablate=("contour", "gloss"))
    wearer, donor = people[0], people[1]
    with torch.inference_mode():
        own, other = (SkinCanvas.of(f, read_geometry(f)) for f in (wearer, donor))
        made = attack.apply(wearer, donor, attack.sample(1, generator(1)))
        skin = own.full(own.skin, own.window) > 0.95
        ratio = own.window.of(made.face.radiance[0]) / own.window.of(wearer.radiance[0]).clamp(min=1e-3)
        moved = ratio[:, skin].log().mean(1)
        wanted = (other.colour.mean / own.colour.mean).log()
    assert float(torch.nn.functional.cosine_similarity(moved, wanted, dim=0)) > 0.9
    assert 0.3 < float(moved.norm() / wanted.norm()) < 1.2


def test_pigment_and_relief_are_told_apart() -> None:
    """A melanin pattern is found in the albedo, a grey one in the relief."""
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    spots = torch.sin(x * 0.5) * torch.sin(y * 0.5)
    lines = torch.sin(x * 0.9 + 1)
    melanin = 0.05 * torch.exp(0.35 * spots)
    truth = reflectance(melanin.reshape(-1), torch.full((96 * 96,), 0.05)).T.reshape(3, 96, 96)
    shade = torch.exp(0.2 * lines)
    mean = truth.mean((1, 2))
    ones = torch.ones(96, 96)
    found = skin_colour(truth * shade, torch.ones(3, 96, 96), ones, mean, torch.zeros(96, 96))

    def alike(a: Tensor, b: Tensor) -> float:
        return float(torch.corrcoef(torch.stack([a.reshape(-1), b.reshape(-1)]))[0, 1])

    hue, true_hue = ((a[2] / a[0]).log() for a in (found.albedo, truth))
    assert alike(hue, true_hue) > 0.9
    assert float(hue.std() / true_hue.std()) == pytest.approx(1, abs=0.35)
    assert alike(found.relief, lines) > 0.9
    torch.testing.assert_close(found.albedo.mean((1, 2)), mean, rtol=0.05, atol=0.01)


# The bank ------------------------------------------------------------------------------------------------------------


def test_every_instrument_names_its_source_and_known_products() -> None:
    bank = load_makeups()
    assert len(bank.looks) >= 4
    assert len(bank.kits) >= 4
    assert len(bank.paintings) >= 4
    sources = [e.source for e in bank.looks] + [e.source for e in bank.kits] + [e.source for e in bank.paintings]
    assert all(len(source) > 20 for source in sources)
    assert bank.product(bank.product("lip_coral").number).id == "lip_coral"
    with pytest.raises(ConfigError, match="not in the bank"):
        bank.product(12)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("products", 0, "masstone"), "red", "masstone"),
        (("products", 0, "hiding"), -1, "hiding"),
        (("kits", 0, "cover"), "varnish", "varnish"),
        (("looks", 0, "opacity"), 0.5, "opacity"),
        (("paintings", 1, "id"), "ageing_pencil", "repeat"),
    ],
)
def test_a_bank_with_a_mistake_is_refused(tmp_path: Path, path: tuple[Any, ...], value: Any, message: str) -> None:
    import yaml

    from spooflab.configs import __path__ as folder

    data = load_yaml(Path(next(iter(folder))) / "instruments" / "makeups.yaml")
    entry: Any = data
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = value
    file = tmp_path / "makeups.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_makeups(file)


def test_parameters_name_products_by_stable_numbers() -> None:
    params = MakeupCosmetic().sample(6, generator(0))
    assert isinstance(params, MakeupCosmeticParams)
    bank: MakeupBank = load_makeups()
    numbers = {product.number for product in bank.products}
    assert set(params.product[params.product != 0].tolist()) <= numbers
    assert torch.equal(params.ablated, ablation("x", MakeupCosmetic.EFFECTS, (), 6))
    assert bool((params.amount[params.product == 0] == 0).all())
