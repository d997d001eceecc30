"""Planted faults are each caught and named, by the check that they are for, and clean data pass."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from planted import replant

from spooflab.cli.main import run as command
from spooflab.config import parse_config
from spooflab.experiments.audit.covariates import Covariates, noise_level, radial_spectrum, recorded
from spooflab.experiments.audit.finding import Finding
from spooflab.experiments.audit.jpeg_traces import blockiness, jpeg_step
from spooflab.experiments.audit.labels import picture_findings, record_findings
from spooflab.experiments.audit.parts import part_findings
from spooflab.experiments.audit.people import people_findings
from spooflab.experiments.audit.predictive import numbered, predictive, within
from spooflab.experiments.audit.run import audit
from spooflab.experiments.audit.shortcuts import shortcut_findings
from spooflab.experiments.index_columns import column
from spooflab.experiments.near_duplicates import NearPair
from spooflab.experiments.protocols import RandomSubjects
from spooflab.experiments.study_config import StudyConfig
from spooflab.images import decode_image, encode_png
from spooflab.store import iter_images, read_index

Indexed = Callable[..., pa.Table]


def changed(index: pa.Table, changes: Mapping[int, Mapping[str, str]]) -> pa.Table:
    rows = index.to_pylist()
    for row, values in changes.items():
        rows[row] |= values
    return pa.Table.from_pylist(rows)


def errors(findings: Any) -> list[Finding]:
    return [finding for finding in findings if finding.severity == "error"]


# People


def test_clean_people_and_records_have_no_finding(index: pa.Table) -> None:
    assert list(people_findings(index, [])) == []
    assert list(record_findings(index)) == []
    assert [f.kind for f in people_findings(index, None)] == ["not told"]


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("source_id", "face-00-0", "the photograph face-00-0"),
        ("params", json.dumps({"file_sha256": "ab12"}), "the source file ab12"),
        ("params", json.dumps({"faces": {"target": {"physics": {"identity": {"age": 3}}}}}), "the drawn identity"),
    ],
)
def test_one_person_under_two_names_is_named(index: pa.Table, field: str, value: str, what: str) -> None:
    last = index.num_rows - 1
    (found,) = errors(people_findings(changed(index, {0: {field: value}, last: {field: value}}), []))
    assert found.kind == "person under two names"
    assert f"s00 and s23 share {what}" in found.told
    assert {index.column("key")[row].as_py() for row in (0, last)} <= set(found.keys)


def test_a_near_duplicate_names_both_people(index: pa.Table) -> None:
    keys = index.column("key").to_pylist()
    (found,) = errors(people_findings(index, [NearPair(keys[0], keys[-1], 2, 0.99)]))
    assert found.kind == "near-duplicate"
    assert "s00" in found.told
    assert "s23" in found.told


# Parts


def test_a_leak_and_a_reused_instrument_are_two_things(index: pa.Table) -> None:
    folds = RandomSubjects().folds(index)
    clean = list(part_findings(index, folds, [], ()))
    assert not errors(clean)
    assert {(f.kind, f.severity) for f in clean} == {("instrument reuse", "warning")}
    reused = errors(part_findings(index, folds, [], ("instrument_id",)))
    assert {f.kind for f in reused} == {"leak"}
    assert "shared instrument in train / test" in " ".join(f.told for f in reused)
    moved = changed(
        index, {int(folds[0].train[0]): {"subject_id": index.column("subject_id")[int(folds[0].test[0])].as_py()}}
    )
    assert any("shared subject in train / test" in f.told for f in errors(part_findings(moved, folds, [], ())))


# Labels


def test_labels_that_their_records_contradict_are_named(index: pa.Table) -> None:
    key = index.column("key").to_pylist()
    species = index.column("species").to_pylist()
    live, printed = species.index("bonafide"), species.index("print_a4")
    plants = {
        live: ({"label": "attack"}, "label attack with species bonafide"),
        printed: ({"species": "unheard_of"}, "not in the taxonomy"),
        live + 1: ({"instrument_id": "panel-7"}, "bona fide with the instrument panel-7"),
    }
    for row, (change, told) in plants.items():
        (found,) = errors(record_findings(changed(index, {row: change})))
        assert found.keys == (key[row],)
        assert told in found.told
    twins = changed(index, {live: {"image_sha256": "x"}, printed: {"image_sha256": "x"}})
    (found,) = errors(record_findings(twins))
    assert "one picture labelled bonafide and print_a4" in found.told


def test_a_swapped_label_is_told_by_what_the_picture_was_drawn_with(index: pa.Table) -> None:
    drawn = {"bonafide": {"gain": 1}, "print_a4": {"gain": 1, "halftone_lpi": 133}}
    rows = index.to_pylist()
    for row in rows:
        row["params"] = json.dumps({"attack": drawn.get(row["species"], {"gain": 1, "panel": 2})})
    place = next(i for i, row in enumerate(rows) if row["species"] == "print_a4")
    assert not errors(record_findings(pa.Table.from_pylist(rows)))
    rows[place] |= {"species": "bonafide", "label": "bonafide", "family": "bonafide", "instrument_id": ""}
    (found,) = errors(record_findings(pa.Table.from_pylist(rows)))
    assert (
        found.told == f"{rows[place]['key']}: labelled bonafide, but what its record was drawn with is that of print_a4"
    )


def figures_of(index: pa.Table, apart: float, root: int = 0) -> tuple[Covariates, Any, Any]:
    """Made-up statistics in which all attacks but prints of photos stand `apart` standard deviations off."""
    rng = np.random.default_rng(root)
    count = index.num_rows
    attack = (column(index, "label") == "attack") & (column(index, "species") != "print_photo")
    statistics = {name: rng.normal(0, 1, count) + apart * attack for name in ("sharpness", "noise")}
    figures = Covariates({}, {}, statistics, rng.normal(0, 1, (count, 4)))
    strata = np.unique(column(index, "device_profile"), return_inverse=True)[1]
    return figures, numbered(column(index, "subject_group")), strata


def test_swapped_labels_are_found_by_pictures_and_silence_is_told(indexed: Indexed) -> None:
    index = indexed(subjects=12)
    figures, groups, strata = figures_of(index, 9.0)
    clean = list(picture_findings(index, figures, groups, strata))
    assert not errors(clean)
    assert "print_photo" in clean[-1].told
    assert "print_a4" not in clean[-1].told
    species = index.column("species").to_pylist()
    live, printed = species.index("bonafide"), species.index("print_a4")
    swapped = changed(
        index,
        {live: {"label": "attack", "species": "print_a4"}, printed: {"label": "bonafide", "species": "bonafide"}},
    )
    found = {f.keys[0]: f.told for f in errors(picture_findings(swapped, figures, groups, strata))}
    key = index.column("key").to_pylist()
    assert set(found) == {key[live], key[printed]}
    assert "labelled print_a4, but reads as bona fide" in found[key[live]]
    assert "labelled bona fide, but reads as " in found[key[printed]]


def test_classes_that_are_alike_contradict_no_label(indexed: Indexed) -> None:
    index = indexed(subjects=12)
    figures, groups, strata = figures_of(index, 0.5)
    assert not errors(picture_findings(index, figures, groups, strata))


# Shortcuts


def test_a_figure_is_judged_within_devices_and_by_other_people(index: pa.Table) -> None:
    attack = column(index, "label") == "attack"
    groups = numbered(column(index, "subject_group"))
    device = np.unique(column(index, "device_profile"), return_inverse=True)[1]
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, len(attack))
    for values, low, high in (
        (noise, 0.4, 0.6),
        (noise + 10 * device, 0.4, 0.6),  # tells the device and nothing else
        (np.ones(len(attack)), 0.5, 0.5),
        (noise + 3 * attack, 0.9, 1.0),
        (np.where(attack, np.abs(noise), 3 * np.sign(noise)), 0.9, 1.0),  # the middle is the attacks'
    ):
        found = predictive(values, attack, device, groups, z=2)
        assert found is not None
        assert low <= found.auc <= high
    assert predictive(noise, attack, device, groups * 0, z=2) is None
    assert within(np.array([3.0, 1, 2, 9]), np.array([0, 0, 0, 1])).tolist() == pytest.approx([5 / 6, 1 / 6, 0.5, 0.5])


def test_encoding_is_an_error_and_statistics_are_a_note(index: pa.Table) -> None:
    attack = column(index, "label") == "attack"
    rng = np.random.default_rng(0)
    groups, device = (
        numbered(column(index, "subject_group")),
        np.unique(column(index, "device_profile"), return_inverse=True)[1],
    )
    quality = np.where(attack, 40.0, 90.0) + rng.normal(0, 2, len(attack))
    kinds = (attack & (rng.random(len(attack)) < 0.9)).astype(np.int64)
    encoding = {"file.quality": quality, "file.bytes": rng.normal(0, 1, len(attack))}
    figures = Covariates(encoding, {"file type": kinds}, {"sharpness": quality}, np.zeros((len(attack), 1)))
    found = {f.told.split(" alone")[0]: f for f in shortcut_findings(index, figures, groups, device)}
    assert set(found) == {"file.quality", "file type", "sharpness"}
    assert (found["file.quality"].kind, found["file.quality"].severity) == ("shortcut", "error")
    assert found["file.quality"].figures["auc"] == 1
    assert (found["sharpness"].kind, found["sharpness"].severity) == ("statistic", "note")


def natural(root: int, side: int = 128) -> np.ndarray:
    """A picture with a falling spectrum, a little noise, and no trace of JPEG."""
    rng = np.random.default_rng(root)
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(0, 1, (side, side))) / (radius + 0.02), (side, side))
    luma = 120 + 35 * field / field.std() + rng.normal(0, 1.5, (side, side))
    return np.repeat(np.clip(luma, 0, 255).round().astype(np.uint8)[..., None], 3, axis=2)


def as_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def test_jpeg_leaves_its_step_and_its_block_edges() -> None:
    """The luma table of the standard (K.1) at quality 50 has 11, 12 and 12 there; 25 doubles it, 75 halves it."""
    for root in range(3):
        pixels = natural(root)
        assert jpeg_step(pixels[..., 0].astype(float)) == 0
        assert abs(blockiness(pixels[..., 0].astype(float)) - 1) < 0.05
        steps = {q: jpeg_step(as_jpeg(pixels, q)[..., 0].astype(float)) for q in (25, 50, 75)}
        assert steps == pytest.approx({25: 24, 50: 12, 75: 6}, abs=1)
        assert blockiness(as_jpeg(pixels, 25)[..., 0].astype(float)) > 1.05


def test_noise_and_spectrum_are_those_of_white_noise() -> None:
    noise = np.random.default_rng(0).normal(128, 6, (128, 128))
    assert noise_level(noise) == pytest.approx(6, rel=0.03)
    rings = radial_spectrum(noise)
    assert np.ptp(rings[1:]) < 0.5  # flat, but for the few waves of the first ring


def test_codec_settings_are_read_from_records() -> None:
    params = {
        "device": {"quality": {"dtype": "int64", "value": 56}, "lux": {"dtype": "float32", "value": 8.0}},
        "output": {"output_px": 128, "resize": "bilinear"},
        "file": {"bytes": 9000},
        "frames_in_clip": 9,
    }
    assert dict(recorded(params)) == {
        "device.quality": 56,
        "output.output_px": 128,
        "file.bytes": 9000,
        "frames in clip": 9,
    }


# The whole


@pytest.fixture(scope="module")
def clean(indexed: Indexed, stored: Callable[[Path, pa.Table], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Natural pictures, each another; attacks carry stripes. 24 people in 6 groups on 4 devices."""
    index = indexed(species=("bonafide", "print_a4", "replay_phone"))
    root = stored(tmp_path_factory.mktemp("audit") / "noise", index)
    stripes = {"bonafide": 0.0, "print_a4": 1.9, "replay_phone": 1.3}
    changes = {}
    for number, row in enumerate(index.select(["key", "species"]).to_pylist()):
        wave = 25 * np.sin(np.arange(64) * stripes[row["species"]])[None, :, None]
        pixels = np.clip(natural(number, 64) + wave, 0, 255).round().astype(np.uint8)
        changes[row["key"]] = {"image": encode_png(pixels), "width": 64, "height": 64}
    return replant(root, root.with_name("clean"), changes)


@pytest.mark.slow
def test_clean_data_pass_and_every_planted_fault_is_named(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = parse_config(
        {"protocol": {"name": "random_subjects", "repeats": 3}, "algorithms": [{"name": "erm"}]},
        StudyConfig,
        origin="x",
    )
    found = audit(clean, study)
    assert found.ok, found.summary()
    assert command(["audit", str(clean)]) == 0
    assert "0 errors" in capsys.readouterr().out

    rows = read_index(clean).select(["key", "subject_id", "species"]).to_pylist()
    pictures = {key: decode_image(data) for key, data in iter_images(clean, [row["key"] for row in rows])}
    first = next(r["key"] for r in rows if r["subject_id"] == "s00" and r["species"] == "bonafide")
    copy = next(r["key"] for r in rows if r["subject_id"] == "s23" and r["species"] == "bonafide")
    live = [r["key"] for r in rows if r["species"] == "bonafide" and r["subject_id"] == "s07"][:2]
    printed = [r["key"] for r in rows if r["species"] == "print_a4" and r["subject_id"] == "s12"][:2]
    changes: dict[str, dict[str, Any]] = {
        r["key"]: {"image": encode_png(as_jpeg(pictures[r["key"]], 90 if r["species"] == "bonafide" else 40))}
        for r in rows
    }
    changes[copy]["image"] = encode_png(as_jpeg(np.clip(pictures[first] * 0.95, 0, 255).astype(np.uint8), 90))
    for key in live:
        changes[key] |= {"species": "print_a4", "instrument_id": "print_a4-0"}
    for key in printed:
        changes[key] |= {"species": "bonafide", "instrument_id": ""}
    found = audit(replant(clean, clean.with_name("planted"), changes), study)
    by_kind: dict[str, list[Finding]] = {}
    for finding in errors(found.findings):
        by_kind.setdefault(finding.kind, []).append(finding)
    assert [f.keys for f in by_kind["near-duplicate"]] == [tuple(sorted((first, copy)))]
    assert any(first in f.told and copy in f.told for f in by_kind["leak"])
    assert {key for f in by_kind["label"] for key in f.keys} == {*live, *printed}
    assert any(f.told.startswith("JPEG step alone tells the class") for f in by_kind["shortcut"])
    assert command(["audit", str(clean.with_name("planted")), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["errors"] >= 6
