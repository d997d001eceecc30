"""Examples: what they show, that a folder of them does not depend on how it was filled, and what is refused."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spooflab.augment.tone import srgb_encode
from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.diffusion.face_frame import on_crop
from spooflab.generators.diffusion.identity_crop import SIDE, identity_crop
from spooflab.generators.diffusion.mask_frame import mask_frame
from spooflab.generators.diffusion.materials import MATERIALS, MaskGeometry, prompt_of
from spooflab.generators.diffusion.training import examples as module
from spooflab.generators.diffusion.training.examples import (
    FACE,
    ExampleFolder,
    Examples,
    Prepared,
    make_group,
    read_shard,
    shards_of,
)
from spooflab.generators.face import FaceRef
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.params import uniform
from spooflab.seeds import generator

pytestmark = pytest.mark.slow  # together half a minute

HOW = Prepared(size=32, masks=0.5, seed=1)


def test_shapes_and_ranges(examples: Examples) -> None:
    count = len(examples)
    for name, shape in (
        ("picture", (count, 3, 32, 32)), ("region", (count, 32, 32)), ("condition", (count, 3, 32, 32)),
        ("likeness", (count, 3, SIDE, SIDE)), ("subject", (count,)), ("kind", (count,)), ("caption", (count,)),
    ):  # fmt: skip
        assert getattr(examples, name).shape == shape
    assert examples.picture.dtype == examples.region.dtype == examples.condition.dtype == np.uint8
    assert set(np.unique(examples.region)) == {0, 255}
    share = (examples.region > 0).mean((1, 2))
    assert share.min() > 0.1
    assert (examples.condition.reshape(count, -1).max(1) > 200).all()  # the landmarks' curves


def test_masks_are_as_many_as_asked_and_captions_name_them(examples: Examples) -> None:
    faces = int((examples.kind == FACE).sum())
    assert faces == 6
    assert 6 <= len(examples) - faces <= 12  # one of each face, and another of every second
    for kind, text in zip(examples.kind.tolist(), examples.caption.tolist(), strict=True):
        assert kind == FACE or text == prompt_of(kind)
        assert kind == FACE or kind in MATERIALS


def test_a_likeness_is_another_picture_of_the_same_person(examples: Examples, source: ProceduralFaces) -> None:
    """With two sessions the likeness in one is the other's face, for faces and for masks."""
    shown = {}
    for ref in source.refs():
        face = source.load(ref)
        inner = identity_crop(srgb_encode(face.radiance.clamp(0, 1)), face.landmarks)
        shown[(inner.clamp(0, 1) * 255).round().to(torch.uint8).numpy().tobytes()] = ref
    refs, owner = list(source.refs()), -1
    for row in range(len(examples)):
        owner += examples.kind[row] == FACE
        seen = shown[examples.likeness[row].tobytes()]
        assert seen.subject_id == examples.subject[row] == refs[owner].subject_id
        assert seen.source_id != refs[owner].source_id


def test_one_picture_of_a_person_is_its_own_likeness() -> None:
    source = ProceduralFaces(n_subjects=1, sessions=1, size=64, seed=2)
    made, _ = make_group(source, source.refs(), dataclasses.replace(HOW, masks=0), 0)
    face = source.load(source.refs()[0])
    inner = identity_crop(srgb_encode(face.radiance.clamp(0, 1)), face.landmarks)
    assert np.array_equal(made.likeness[0], (inner[0] * 255).round().to(torch.uint8).numpy())


def test_donors_come_from_the_same_shard(source: ProceduralFaces, monkeypatch: pytest.MonkeyPatch) -> None:
    refs = [ref for ref in source.refs() if not ref.subject_id.endswith("2")]
    inside = {ref.subject_id for ref in refs}
    seen = []
    plain = module._masked

    def watched(wearer: Any, shown: Any, *rest: Any) -> Any:
        seen.append((wearer.subject_id[0], shown.subject_id[0]))
        return plain(wearer, shown, *rest)

    monkeypatch.setattr(module, "_masked", watched)
    make_group(source, refs, dataclasses.replace(HOW, masks=1.0), 0)
    assert len(seen) == len(refs)
    assert all(shown in inside and shown != wearer for wearer, shown in seen)


@pytest.mark.parametrize("material", ["silicone", "resin"])
def test_eye_openings_are_no_part_of_the_region(source: ProceduralFaces, material: str) -> None:
    """The same mask rendered here: where the wearer's own eye looks through, nothing is to be painted."""
    face, other = (source.load(source.refs()[k]) for k in (0, 2))
    likeness = torch.zeros(1, 3, SIDE, SIDE)
    made = module._masked(face, other, material, likeness, 96, generator(3, material))
    gen, mask = generator(3, material), MaskGeometry(material)
    worn = mask.worn(face, other if mask.needs_donor else None, mask.sample(gen)).face
    frame = module._moved(mask_frame(worn, float(uniform(1, 1.05, 1.3, gen))), gen)
    points = on_crop(worn.landmarks, frame, 96)[0]
    right, left, nose = points[36:42].mean(0), points[42:48].mean(0), points[30]
    region = made.region[0]
    for eye in (right, left):
        x, y = (int(v) for v in eye)
        assert (region[y - 3 : y + 4, x - 3 : x + 4] == 0).sum() >= 6
    assert region[int(nose[1]), int(nose[0])] == 255
    brow = points[[19, 24]].mean(0)  # between the eyes and over them there is mask
    assert region[int(brow[1]), int(brow[0])] == 255


def test_a_region_without_mask_covers_the_face(examples: Examples) -> None:
    """The landmarks' curves lie within the region, but for the rim that is drawn for each."""
    for row in np.flatnonzero(examples.kind == FACE):
        inner = np.argwhere(examples.condition[row].max(0) > 128)
        centre = inner.mean(0).astype(int)
        assert examples.region[row, centre[0], centre[1]] == 255
        share = (examples.region[row][tuple(inner.T)] > 0).mean()
        assert share > 0.6


def test_a_source_never_shows_the_people_of_another(source: ProceduralFaces) -> None:
    """Training and held-out people have different roots: other names, and other faces."""
    from spooflab.generators.diffusion.training.config import DiffusionTrainConfig
    from spooflab.generators.diffusion.training.evaluate import HELD_OUT

    assert DiffusionTrainConfig().people_seed != HELD_OUT
    other = ProceduralFaces(n_subjects=3, sessions=2, size=96, seed=HELD_OUT)
    assert not {r.subject_id for r in source.refs()} & {r.subject_id for r in other.refs()}
    shapes = [s.params(ref)[0].age_years for s in (source, other) for ref in s.refs()[::2]]
    assert len({float(age) for age in shapes}) == 6


def test_a_subject_lies_in_one_shard() -> None:
    refs = [FaceRef(f"p{k % 40}", f"{k}", "CC0", {}) for k in range(120)]
    groups = shards_of(refs)
    assert [len({r.subject_id for r in group}) for group in groups] == [16, 16, 8]
    assert sorted(int(r.source_id) for group in groups for r in group) == list(range(120))
    where = [{r.subject_id for r in group} for group in groups]
    assert not where[0] & where[1]
    assert not where[1] & where[2]


def _folder(path: Path, how: Prepared = HOW) -> ExampleFolder:
    return ExampleFolder(path, ProceduralFaces(n_subjects=4, sessions=1, size=64, seed=3), how)


@pytest.fixture
def in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUP", 2)


@pytest.mark.usefixtures("in_pairs")
def test_a_folder_does_not_depend_on_how_it_was_filled(tmp_path: Path) -> None:
    first, second = _folder(tmp_path / "one"), _folder(tmp_path / "two")
    assert len(first) == 2
    for group in (0, 1):
        first.fill(group)
    # A killed process leaves pieces behind, of its facts and of a shard.
    (tmp_path / "two" / "examples.part").write_text("{")
    (tmp_path / "two" / "00001.part").write_bytes(b"PK\x03\x04half")
    for group in (1, 0, 1):
        _folder(tmp_path / "two").fill(group)
    for name in ("00000.npz", "00001.npz", "examples.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    one, two = first.read(), second.read()
    for field in dataclasses.fields(Examples):
        assert np.array_equal(getattr(one, field.name), getattr(two, field.name))


@pytest.mark.usefixtures("in_pairs")
def test_a_half_written_list_of_facts_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "examples.part").write_text('{"fac')
    assert _folder(tmp_path).fill(0) == []


def test_other_settings_are_refused(tmp_path: Path) -> None:
    _folder(tmp_path)
    for how in (dataclasses.replace(HOW, size=40), dataclasses.replace(HOW, seed=2), dataclasses.replace(HOW, masks=1)):
        with pytest.raises(ConfigError, match="other faces or sizes"):
            _folder(tmp_path, how)
    with pytest.raises(ConfigError, match="other faces or sizes"):
        ExampleFolder(tmp_path, ProceduralFaces(n_subjects=5, sessions=1, size=64, seed=3), HOW)


@pytest.mark.parametrize("keep", [0, 3, 40, 5000, -20])
def test_a_damaged_shard_is_told(examples: Examples, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "00000.npz"
    np.savez(path, **vars(examples))
    read_shard(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"00000\.npz: no readable examples"):
        read_shard(path)


def test_a_missing_or_strange_shard_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable examples"):
        read_shard(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", picture=np.zeros(3))
    with pytest.raises(DataError, match="no readable examples"):
        read_shard(tmp_path / "other.npz")


def test_faces_that_cannot_be_had_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _folder(tmp_path)

    def nothing(*_: object) -> None:
        raise SkipSample("face_too_small", "3 px between the eyes")

    monkeypatch.setattr(ProceduralFaces, "load", nothing)
    skipped = folder.fill(0)
    assert len(skipped) == 4
    assert "face_too_small" in skipped[0]
    with pytest.raises(DataError, match="no face could be made an example"):
        folder.read()
