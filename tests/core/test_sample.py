import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spooflab.errors import DataError
from spooflab.images import decode_own_png, encode_depth, encode_mask, encode_png
from spooflab.provenance import COMPOSITE_SYNTHETIC, DIGITAL_CAPTURE
from spooflab.sample import IMAGE_COLUMNS, QC_FIGURES, SCHEMA, Sample, Skip
from spooflab.taxonomy import SPECIES

Make = Callable[..., Sample]


def test_columns_and_fields_are_the_same() -> None:
    assert set(SCHEMA.names) == {field.name for field in fields(Sample)}
    assert set(IMAGE_COLUMNS) < set(SCHEMA.names)
    features = json.loads(SCHEMA.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == SCHEMA.names
    assert all(features[name] == {"_type": "Image"} for name in IMAGE_COLUMNS)


@pytest.mark.parametrize("species", SPECIES)
def test_labels_follow_from_the_species(species: str, make_sample: Make) -> None:
    sample = make_sample(species=species)
    assert sample.label == ("bonafide" if species == "bonafide" else "attack")
    assert (sample.channel, sample.goal) == (SPECIES[species].channel, SPECIES[species].goal)
    assert sample.chain == tuple(species.split("+"))


def test_derived_fields(make_sample: Make) -> None:
    sample = make_sample(1)
    assert (sample.width, sample.height) == (32, 32)
    assert sample.image_sha256 == hashlib.sha256(sample.image).hexdigest()
    assert sample.synthetic
    assert sample.generator.startswith("spooflab ")
    assert json.loads(sample.params)["facts"]["ppi"] == 400.5
    assert list(json.loads(sample.params)) == sorted(json.loads(sample.params))
    assert len(sample.landmarks) == 68


@pytest.mark.parametrize("number", range(4))
def test_row_and_table_round_trip_is_exact(number: int, make_sample: Make) -> None:
    sample = make_sample(number)
    assert Sample.from_row(sample.to_row()) == sample
    table = pa.Table.from_pylist([sample.to_row()], schema=SCHEMA)
    assert Sample.from_row(table.to_pylist()[0]) == sample


def test_numbers_are_kept_as_float32(make_sample: Make) -> None:
    sample = make_sample(box=[0.1, 0.2, 10.3, 10.4])
    assert sample.box == tuple(float(np.float32(v)) for v in (0.1, 0.2, 10.3, 10.4))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"species": "swirl"}, "'swirl' is unknown"),
        ({"key": "../etc/passwd"}, "key"),
        ({"key": ""}, "key"),
        ({"chain": ["print_a4"]}, "chain"),
        ({"subject_id": ""}, "subject_id is empty"),
        ({"licence": ""}, "licence is empty"),
        ({"digital_source_type": "photo"}, "digital_source_type 'photo'"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**63}, "seed"),
        ({"box": [1, 2, 3]}, "box has 3"),
        ({"box": [1, 2, 3, float("nan")]}, "box holds nan"),
        ({"landmarks": [[1, float("inf")]]}, "landmarks holds inf"),
        ({"params": {"a": float("nan")}}, "params are not JSON"),
        ({"params": {"a": object()}}, "params are not JSON"),
        ({"qc": {"mean_luma": 1.0}}, "quality figures"),
        ({"qc": dict.fromkeys(QC_FIGURES, float("nan"))}, "holds nan"),
        ({"image": b""}, "image"),
        ({"image": b"\xff\xd8\xff"}, "image"),
        ({"image": encode_mask(np.zeros((32, 32), np.uint8))}, "image is grey 32 x 32"),
        ({"mask": encode_mask(np.zeros((32, 31), np.uint8))}, "mask is grey 31 x 32"),
        ({"mask": encode_depth(np.zeros((32, 32), np.uint16))}, "mask is grey16"),
        ({"depth": encode_mask(np.zeros((32, 32), np.uint8))}, "depth is grey 32"),
    ],
)
def test_impossible_samples_are_refused_and_named(changes: dict[str, Any], named: str, make_sample: Make) -> None:
    with pytest.raises(DataError) as caught:
        make_sample(**changes)
    assert named in str(caught.value)
    assert caught.value.wanted


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"label": "attack"}, "label 'attack' with species bonafide"),
        ({"channel": "injection"}, "channel"),
        ({"goal": "concealment"}, "goal"),
        ({"family": "print"}, "family"),
        ({"width": 31}, "image is rgb 32 x 32"),
        ({"image_sha256": "0" * 64}, "image hashes to"),
        ({"image": encode_png(np.zeros((32, 32, 3), np.uint8))}, "image hashes to"),
        ({"synthetic": False}, "synthetic is False"),
        ({"digital_source_type": DIGITAL_CAPTURE}, "synthetic is True"),
        ({"params": "[1]"}, "params hold list"),
        ({"params": "{"}, "params are not JSON"),
        ({"landmarks": ((1.0,),)}, "not pairs"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], named: str, make_sample: Make) -> None:
    with pytest.raises(DataError, match="sample s00000000") as caught:
        replace(make_sample(), **changes)
    assert named in str(caught.value)


def test_rows_with_a_path_and_no_bytes_are_refused(make_sample: Make) -> None:
    row = make_sample().to_row()
    row["image"] = {"bytes": None, "path": "/etc/passwd"}
    with pytest.raises(DataError, match="/etc/passwd"):
        Sample.from_row(row)


def test_rows_with_other_columns_or_holes_are_refused(make_sample: Make) -> None:
    row = make_sample().to_row()
    with pytest.raises(DataError, match=r"unknown columns \['extra'\], missing \['seed'\]"):
        Sample.from_row({k: v for k, v in row.items() if k != "seed"} | {"extra": 1})
    with pytest.raises(DataError, match="no value for donor_id, image"):
        Sample.from_row(row | {"donor_id": None, "image": None})


def test_pictures_may_be_left_out(make_sample: Make) -> None:
    sample = make_sample(mask=None, depth=None, landmarks=[], box=[], digital_source_type=COMPOSITE_SYNTHETIC)
    assert Sample.from_row(sample.to_row()) == sample
    assert sample.landmarks == ()
    assert decode_own_png(sample.image).shape == (32, 32, 3)


def test_skips_are_checked() -> None:
    assert Skip("s1", "print_a4", "no_landmarks").detail == ""
    for wrong in (("s1", "print_a4", "No Landmarks"), ("s1", "swirl", "x"), ("a/b", "print_a4", "x")):
        with pytest.raises(DataError):
            Skip(*wrong)
