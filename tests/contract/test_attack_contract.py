"""One battery over every species: what the pipeline and its users rely on."""

import json

import pytest
import torch

from spooflab.augment.view import View
from spooflab.errors import DataError
from spooflab.generators.attack import Attack, Rendered
from spooflab.generators.catalogue import build_attack, known_attacks
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.params import Params
from spooflab.seeds import generator
from spooflab.taxonomy import SPECIES

ALL = ("bonafide", *known_attacks())
PRESENTED = [name for name in known_attacks() if SPECIES[name].channel == "presentation"]
SENSOR = 256


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


def single(face: Face, index: int) -> Face:
    def pick(value: torch.Tensor | None) -> torch.Tensor | None:
        return None if value is None else value[index : index + 1]

    return face.replace(
        radiance=face.radiance[index : index + 1],
        landmarks=face.landmarks[index : index + 1],
        box=face.box[index : index + 1],
        subject_id=face.subject_id[index : index + 1],
        source_id=face.source_id[index : index + 1],
        depth_mm=pick(face.depth_mm),
        normals=pick(face.normals),
        parsing=pick(face.parsing),
        spoof_mask=pick(face.spoof_mask),
    )


def render(attack: Attack, faces: tuple[Face, Face], view: View, params: Params) -> Rendered:
    return attack.render(faces[0], view, params, faces[1] if attack.needs_donor else None)


@pytest.mark.parametrize("species", ALL)
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
        assert (made.mask.flatten(1).mean(1) > 0.01).all()
    assert made.depth_mm.shape == (2, 1, SENSOR, SENSOR)
    assert (made.depth_mm > 0).all()
    assert made.landmarks.shape == (2, 68, 2)
    inside = (made.landmarks > -0.05 * SENSOR) & (made.landmarks < 1.05 * SENSOR)
    assert inside.float().mean() > 0.95
    assert made.box.shape == (2, 4)
    assert (made.box[:, 2:] > 0.15 * SENSOR).all()
    assert len(made.instrument_id) == 2
    assert all(value.shape == (2,) and torch.isfinite(value).all() for value in made.facts.values())
    has_instrument = SPECIES[species].channel == "presentation" and species != "bonafide"
    assert all(bool(name) == has_instrument for name in made.instrument_id)


@pytest.mark.parametrize("species", ALL)
def test_same_seed_same_parameters_and_pixels(species: str, faces: tuple[Face, Face], view: View) -> None:
    attack = build_attack(species)
    one, two = (attack.sample(2, generator(9, species)) for _ in range(2))
    assert [one.row(i).to_json() for i in range(2)] == [two.row(i).to_json() for i in range(2)]
    first, second = render(attack, faces, view, one), render(build_attack(species), faces, view, two)
    assert torch.equal(first.irradiance, second.irradiance)
    assert torch.equal(first.landmarks, second.landmarks)


@pytest.mark.parametrize("species", ALL)
def test_parameters_survive_json_and_replay_the_pixels(species: str, faces: tuple[Face, Face], view: View) -> None:
    attack = build_attack(species)
    params = attack.sample(1, generator(4, species))
    back = attack.parse(json.loads(json.dumps(params.to_json())))
    alone = (single(faces[0], 0), single(faces[1], 0))
    first, second = (render(attack, alone, row(view, 0), p) for p in (params, back))
    assert torch.equal(first.irradiance, second.irradiance)
    assert torch.equal(first.mask, second.mask)


@pytest.mark.parametrize("species", ALL)
def test_a_row_of_a_batch_equals_the_row_alone(species: str, faces: tuple[Face, Face], view: View) -> None:
    attack = build_attack(species)
    params = attack.sample(2, generator(2, species))
    together = render(attack, faces, view, params)
    for i in range(2):
        alone = render(attack, (single(faces[0], i), single(faces[1], i)), row(view, i), params.row(i))
        torch.testing.assert_close(together.irradiance[i : i + 1], alone.irradiance, atol=2e-4, rtol=1e-3)
        torch.testing.assert_close(together.landmarks[i : i + 1], alone.landmarks, atol=1e-2, rtol=0)
        assert together.instrument_id[i] == alone.instrument_id[0]


@pytest.mark.parametrize("species", ALL)
def test_another_seed_gives_another_picture(species: str, faces: tuple[Face, Face], view: View) -> None:
    attack = build_attack(species)
    pictures = [render(attack, faces, view, attack.sample(2, generator(s, species))).irradiance for s in (1, 2)]
    assert (pictures[0] - pictures[1]).abs().mean() > 1e-3


@pytest.mark.parametrize("species", [s for s in ALL if build_attack(s).needs_donor])
def test_a_missing_donor_is_named(species: str, faces: tuple[Face, Face], view: View) -> None:
    attack = build_attack(species)
    with pytest.raises(DataError, match="donor"):
        attack.render(faces[0], view, attack.sample(2, generator(1, species)), None)


@pytest.mark.parametrize("species", PRESENTED)
def test_only_allowed_instruments_are_drawn(species: str) -> None:
    shown = species.rpartition("+")[2]
    from spooflab.generators.catalogue import instruments

    bank = instruments()[shown]
    assert len(bank) >= 2
    allowed = bank[-1]
    attack = build_attack(species, instruments=(allowed,))
    params = attack.sample(8, generator(1, species))
    source = ProceduralFaces(n_subjects=2, sessions=1, size=96, seed=1)
    face, donor = (source.load(ref) for ref in source.refs()[:2])
    made = attack.render(face, View.ideal(128, 128), params.row(3), donor if attack.needs_donor else None)
    assert made.instrument_id == (allowed,)
    # A replay builds the attack without the restriction and must find the same instrument.
    again = build_attack(species).render(
        face, View.ideal(128, 128), params.row(3), donor if attack.needs_donor else None
    )
    assert torch.equal(made.irradiance, again.irradiance)
