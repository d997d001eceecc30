"""One battery over every species: what the pipeline and its users rely on."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest
import torch
from _pytest.mark import ParameterSet

from spooflab.augment.view import View
from spooflab.errors import ConfigError, DataError
from spooflab.generators.attack import Attack, Rendered
from spooflab.generators.catalogue import CHAINS, SHOWN, build_attack, effects_of, instruments, known_attacks, paints
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.params import Params
from spooflab.seeds import generator
from spooflab.taxonomy import SPECIES, species_of

ALL = ("bonafide", *known_attacks())


def each(names: Iterable[str]) -> list[ParameterSet]:
    """What a diffusion model paints takes a second or two for each picture."""
    return [pytest.param(name, marks=pytest.mark.slow if paints(name) else ()) for name in names]


def first_of_family(names: Iterable[str]) -> list[ParameterSet]:
    """One species of each family is fast enough for every check; the others wait for the whole suite."""
    names = list(names)
    first = {species_of(name).family: name for name in reversed(names) if not paints(name)}.values()
    return [pytest.param(name, marks=() if name in first else pytest.mark.slow) for name in names]


PRESENTED = [name for name in known_attacks() if species_of(name).channel == "presentation"]
BANKS = [name for name in PRESENTED if species_of(name).family != "baseline"]
SMALL = ("tattoo", "adversarial_patch", "partial_eye", "partial_mouth", "makeup_cosmetic", "makeup_obfuscation")
"""What may cover little of the frame."""
SENSOR = 256


def test_the_library_covers_the_taxonomy() -> None:
    assert set(SPECIES) == {*(name for name in known_attacks() if "+" not in name), "bonafide"}
    assert len([name for name in known_attacks() if "+" not in name and not name.startswith("baseline")]) >= 30


@pytest.fixture(scope="module")
def faces() -> tuple[Face, Face]:
    source = ProceduralFaces(n_subjects=4, sessions=1, size=192, seed=5)
    loaded = [source.load(ref) for ref in source.refs()]
    return Face.stack(loaded[:2]), Face.stack(loaded[2:])


@pytest.fixture
def view() -> View:
    return View.ideal(SENSOR, SENSOR, batch_size=2, blur_px=0.5, k1=-0.02, pitch_um=2.8, readout_ms=15.0)


def row(view: View, index: int) -> View:
    return view.row(index)


def render(attack: Attack, faces: tuple[Face, Face], view: View, params: Params) -> Rendered:
    return attack.render(faces[0], view, params, faces[1] if attack.needs_donor else None)


@pytest.mark.parametrize("species", first_of_family(ALL))
def test_shapes_ranges_and_ground_truth(species: str, faces: tuple[Face, Face], view: View) -> None:
    attack = build_attack(species)
    assert attack.species == species
    made = render(attack, faces, view, attack.sample(2, generator(1, species)))
    assert made.irradiance.shape == (2, 3, SENSOR, SENSOR)
    assert made.irradiance.dtype == torch.float32
    assert torch.isfinite(made.irradiance).all()
    assert made.irradiance.min() >= 0
    assert 0.01 < made.irradiance.mean() < 3
    assert made.mask.shape == (2, 1, SENSOR, SENSOR)
    assert made.mask.min() >= 0
    assert made.mask.max() <= 1
    if species == "bonafide":
        assert made.mask.max() == 0
    else:
        assert (made.mask.flatten(1).mean(1) > (0.0005 if species in SMALL else 0.01)).all()
    assert made.depth_mm.shape == (2, 1, SENSOR, SENSOR)
    assert (made.depth_mm > 0).all()
    assert made.landmarks.shape == (2, 68, 2)
    inside = (made.landmarks > -0.05 * SENSOR) & (made.landmarks < 1.05 * SENSOR)
    assert inside.float().mean() > 0.95
    assert made.box.shape == (2, 4)
    assert (made.box[:, 2:] > 0.15 * SENSOR).all()
    assert len(made.instrument_id) == 2
    assert all(value.shape == (2,) and torch.isfinite(value).all() for value in made.facts.values())
    has_instrument = species in PRESENTED
    assert all(bool(name) == has_instrument for name in made.instrument_id)


@pytest.mark.parametrize("species", first_of_family(ALL))
def test_same_seed_same_parameters_and_pixels(species: str, faces: tuple[Face, Face], view: View) -> None:
    attack = build_attack(species)
    one, two = (attack.sample(2, generator(9, species)) for _ in range(2))
    assert [one.row(i).to_json() for i in range(2)] == [two.row(i).to_json() for i in range(2)]
    first, second = render(attack, faces, view, one), render(build_attack(species), faces, view, two)
    assert torch.equal(first.irradiance, second.irradiance)
    assert torch.equal(first.landmarks, second.landmarks)


@pytest.mark.parametrize("species", first_of_family(ALL))
def test_parameters_survive_json_and_replay_the_pixels(species: str, faces: tuple[Face, Face], view: View) -> None:
    attack = build_attack(species)
    params = attack.sample(1, generator(4, species))
    back = attack.parse(json.loads(json.dumps(params.to_json())))
    alone = (faces[0].row(0), faces[1].row(0))
    first, second = (render(attack, alone, row(view, 0), p) for p in (params, back))
    assert torch.equal(first.irradiance, second.irradiance)
    assert torch.equal(first.mask, second.mask)


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """Let PyTorch fill every tensor that nobody has written yet with NaN (or the greatest integer)."""
    before = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = True
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = before


@pytest.mark.slow
@pytest.mark.parametrize("species", each(ALL))
def test_pixels_do_not_depend_on_memory_that_nobody_wrote(species: str, faces: tuple[Face, Face], view: View) -> None:
    """A weight of 0 does not help where what it weighs may be NaN: freed memory holds anything."""
    attack = build_attack(species)
    for seed in (4, 5, 6):
        params = attack.sample(1, generator(seed, species))
        alone = (faces[0].row(0), faces[1].row(0))
        plain = render(attack, alone, row(view, 0), params)
        with poisoned_memory():
            poisoned = render(build_attack(species), alone, row(view, 0), params)
        assert torch.equal(plain.irradiance, poisoned.irradiance)
        assert torch.equal(plain.mask, poisoned.mask)
        assert torch.equal(plain.depth_mm, poisoned.depth_mm)


@pytest.mark.slow
@pytest.mark.parametrize("species", each(ALL))
def test_a_row_of_a_batch_equals_the_row_alone(species: str, faces: tuple[Face, Face], view: View) -> None:
    attack = build_attack(species)
    params = attack.sample(2, generator(2, species))
    together = render(attack, faces, view, params)
    for i in range(2):
        alone = render(attack, (faces[0].row(i), faces[1].row(i)), row(view, i), params.row(i))
        torch.testing.assert_close(together.irradiance[i : i + 1], alone.irradiance, atol=2e-4, rtol=1e-3)
        torch.testing.assert_close(together.landmarks[i : i + 1], alone.landmarks, atol=1e-2, rtol=0)
        assert together.instrument_id[i] == alone.instrument_id[0]


@pytest.mark.slow
@pytest.mark.parametrize("species", each(ALL))
def test_another_seed_gives_another_picture(species: str, faces: tuple[Face, Face], view: View) -> None:
    attack = build_attack(species)
    pictures = [render(attack, faces, view, attack.sample(2, generator(s, species))).irradiance for s in (1, 2)]
    assert (pictures[0] - pictures[1]).abs().mean() > 1e-3


@pytest.mark.parametrize("species", each(s for s in ALL if build_attack(s).needs_donor))
def test_a_missing_donor_is_named(species: str, faces: tuple[Face, Face], view: View) -> None:
    attack = build_attack(species)
    with pytest.raises(DataError, match="donor"):
        attack.render(faces[0], view, attack.sample(2, generator(1, species)), None)


@pytest.mark.parametrize("species", first_of_family(name for name in BANKS if name not in CHAINS))
def test_only_allowed_instruments_are_drawn(species: str, faces: tuple[Face, Face]) -> None:
    bank = instruments()[species]
    assert len(bank) >= 3
    allowed = bank[-1]
    attack = build_attack(species, instruments=(allowed,))
    params = attack.sample(8, generator(1, species))
    face, donor, view = faces[0].row(0), faces[1].row(0), View.ideal(128, 128)
    made = attack.render(face, view, params.row(3), donor if attack.needs_donor else None)
    assert made.instrument_id == (allowed,)
    # A replay builds the attack without the restriction and must find the same instrument.
    again = build_attack(species).render(face, view, params.row(3), donor if attack.needs_donor else None)
    assert torch.equal(made.irradiance, again.irradiance)


@pytest.mark.slow
@pytest.mark.parametrize("species", [name for name in known_attacks() if effects_of(name)])
def test_switching_effects_off_changes_pictures_and_no_draw(species: str, faces: tuple[Face, Face], view: View) -> None:
    """Paired pictures: one seed, parameters that differ by the switch alone, and most switches show."""
    whole = build_attack(species)
    drawn = [whole.sample(1, generator(s, species)) for s in range(6)]
    at_work = dict.fromkeys(effects_of(species), False)
    alone = [(faces[0].row(i % 2), faces[1].row(i % 2)) for i in range(6)]
    plain = [render(whole, alone[i], row(view, i % 2), drawn[i]).irradiance for i in range(6)]
    for effect in at_work:
        off = build_attack(species, ablate=(effect,))
        for i in range(6):
            params = off.sample(1, generator(i, species))
            assert without_switch(params.to_json()) == without_switch(drawn[i].to_json())
            made = render(off, alone[i], row(view, i % 2), params)
            if not torch.equal(made.irradiance, plain[i]):
                at_work[effect] = True
                break
    asleep = [effect for effect, seen in at_work.items() if not seen]
    assert len(asleep) <= len(at_work) // 3, f"{species}: {asleep} changed nothing in six draws"


def without_switch(record: object) -> object:
    """Drop every `ablated` field from a record."""
    if isinstance(record, dict):
        return {name: without_switch(value) for name, value in record.items() if name != "ablated"}
    return record


def test_an_effect_that_an_attack_lacks_is_named() -> None:
    with pytest.raises(ConfigError, match="sepia"):
        build_attack("print_a4", ablate=("sepia",))


@pytest.mark.slow
@pytest.mark.parametrize("species", list(SHOWN))
def test_landmarks_follow_what_is_shown(species: str, faces: tuple[Face, Face]) -> None:
    """A green spot painted on the nose is found where the landmark says."""
    attack, view = build_attack(species), View.ideal(SENSOR, SENSOR, k1=-0.02)
    face, donor = faces[0].row(0), faces[1].row(0)
    nose = face.landmarks[0, 30]
    y, x = torch.meshgrid(torch.arange(192) + 0.5, torch.arange(192) + 0.5, indexing="ij")
    spot = torch.exp(-((x - nose[0]) ** 2 + (y - nose[1]) ** 2) / (2 * 2.5**2))
    marked = face.replace(radiance=face.radiance * (1 - spot) + spot * torch.tensor([0.0, 0.8, 0.0])[:, None, None])
    judged = 0
    for seed in range(6):
        params = attack.sample(1, generator(seed, species))
        plain, seen = (render(attack, (f, donor), view, params) for f in (face, marked))
        change = (seen.irradiance - plain.irradiance).abs().sum((0, 1))
        column, line = seen.landmarks[0, 30].round().long().clamp(0, SENSOR - 1).tolist()
        near = seen.mask[0, 0, max(line - 6, 0) : line + 7, max(column - 6, 0) : column + 7]
        if near.numel() == 0 or float(near.min()) < 0.95:
            continue  # the nose is cropped or cut away, or behind a finger
        judged += 1
        strongest = int(torch.nn.functional.avg_pool2d(change[None, None], 5, 1, 2).argmax())
        centre = torch.tensor([strongest % SENSOR + 0.5, strongest // SENSOR + 0.5])
        assert float((centre - seen.landmarks[0, 30]).norm()) < 0.02 * SENSOR, (species, seed)
    assert judged >= 2


@pytest.mark.parametrize("species", ["swap_blend+print_cut", "print_cut+swap_blend"])
def test_a_chain_with_two_donors_is_refused(species: str) -> None:
    with pytest.raises(ConfigError, match="donor"):
        build_attack(species)


@pytest.mark.parametrize("species", ["replay_phone+", "hologram", "replay_phone+hologram", "bonafide+print_a4", ""])
def test_an_unknown_species_or_step_is_named(species: str) -> None:
    with pytest.raises(ConfigError, match="not known"):
        build_attack(species)
