"""The pipeline's promises: same bytes for any worker count, order and interruption; replay to the pixel; no leaks."""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spooflab.augment.tone import srgb_encode
from spooflab.errors import DataError, SkipSample
from spooflab.generators.config import FolderFacesConfig, GenerationConfig, ProceduralFacesConfig
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.lab import replay
from spooflab.generators.plan import plan_record
from spooflab.generators.price import price
from spooflab.generators.run import _prepare, generate, make_shard
from spooflab.images import decode_image
from spooflab.provenance import code_facts
from spooflab.store import Store, iter_images, read_index, read_row

SMALL = GenerationConfig.model_validate(
    {
        "n": 16,
        "seed": 11,
        "faces": [{"kind": "procedural", "subjects": 8, "sessions": 1}],
        "devices": ["front_phone", "old_phone"],
        "sensor_px": 256,
        "face_px": 128,
        "output_px": 96,
        "shard_size": 4,
        "bonafide_share": 0.125,
    }
)


def shard_bytes(root: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((root / "shards").glob("*.parquet"))}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "one"
    summary = generate(SMALL, out)
    assert (summary.rows, summary.skips, summary.committed) == (16, 0, 4)
    return out


def test_verify_finds_nothing(made: Path) -> None:
    found = Store.open(made).verify()
    assert found.ok
    assert found.rows == 16


@pytest.mark.slow
def test_replay_is_pixel_identical_for_every_species(made: Path) -> None:
    index = read_index(made)
    seen = set()
    for key in index.column("key").to_pylist():
        sample = read_row(made, key)
        picture = replay(sample)
        assert np.array_equal(decode_image(sample.image), picture.image), f"{key} {sample.species}"
        assert picture.instrument_id == sample.instrument_id
        seen.add(sample.species)
    assert seen == {"bonafide", *SMALL.attacks}


def test_every_sample_says_what_it_is(made: Path) -> None:
    rows = read_index(made).to_pylist()
    assert all(row["synthetic"] for row in rows)
    assert all(row["digital_source_type"].startswith("http://cv.iptc.org/newscodes/digitalsourcetype/") for row in rows)
    assert all((row["label"] == "bonafide") == (row["species"] == "bonafide") for row in rows)
    assert all((row["instrument_id"] != "") == (row["artefact"] != "none") for row in rows)
    facts = json.loads(next(r["params"] for r in rows if r["species"] == "replay_phone"))["facts"]
    assert 50 < facts["distance_mm"] < 2000


@pytest.mark.slow
def test_two_workers_and_another_order_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "two", workers=2)
    assert shard_bytes(tmp_path / "two") == shard_bytes(made)
    lab, plan = _prepare(SMALL.model_dump_json())
    Store.create(tmp_path / "back", plan=plan_record(SMALL, lab.refs(), code_facts()), shards=plan.shards)
    for shard in reversed(range(plan.shards)):
        make_shard(SMALL.model_dump_json(), tmp_path / "back", shard, {})
    assert shard_bytes(tmp_path / "back") == shard_bytes(made)


@pytest.mark.slow
def test_ray_tasks_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    summary = generate(SMALL, tmp_path / "ray", workers=2, executor="ray")
    assert summary.committed == 4
    assert shard_bytes(tmp_path / "ray") == shard_bytes(made)


def test_a_price_is_told_from_the_plans_own_samples_and_nothing_is_written(made: Path) -> None:
    told = price(SMALL, workers=2, probe=4)
    assert (told.samples, told.shards, told.tried, told.refused) == (16, 4, 4, 0)
    assert 0 < told.hours < 1
    size = sum(path.stat().st_size for path in (made / "shards").glob("*.parquet"))
    assert told.gb * 1e9 == pytest.approx(size, rel=0.5)
    assert price(SMALL, workers=4, probe=1).tried == 1


@pytest.mark.slow
def test_launchers_that_share_a_folder_need_nobody_to_begin_it(made: Path, tmp_path: Path) -> None:
    config, out = tmp_path / "config.yaml", tmp_path / "shared"
    config.write_text(json.dumps(SMALL.model_dump(mode="json")), encoding="utf-8")
    base = [sys.executable, "-m", "spooflab.cli", "generate", str(config), "--out", str(out)]
    children = [subprocess.Popen([*base, "--shard", f"{i}/2"], stderr=subprocess.PIPE, text=True) for i in (1, 2)]
    told = [child.communicate(timeout=300)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], told
    assert shard_bytes(out) == shard_bytes(made)


def test_resuming_with_another_plan_is_refused_and_names_the_key(made: Path) -> None:
    with pytest.raises(DataError, match="seed"):
        generate(SMALL.model_copy(update={"seed": 12}), made, resume=True)


def test_a_used_folder_is_not_overwritten(made: Path) -> None:
    with pytest.raises(DataError, match="--resume"):
        generate(SMALL, made)


def test_datasets_reads_the_store(made: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(
        "parquet", data_files=str(made / "shards" / "*.parquet"), split="train", cache_dir=str(tmp_path)
    )
    assert loaded.num_rows == 16
    assert isinstance(loaded[0]["image"], Image.Image)
    assert loaded[0]["image"].size == (96, 96)


def test_file_size_and_encoding_are_the_same_for_every_row(made: Path) -> None:
    heads = set()
    for _, data in iter_images(made):
        picture = Image.open(io.BytesIO(data))
        heads.add((len(data), picture.format, picture.mode, picture.size, tuple(sorted(picture.info))))
    assert len(heads) == 1


def lay_out_portrait(folder: Path) -> None:
    data = pytest.importorskip("skimage.data")
    folder.mkdir()
    Image.fromarray(data.astronaut()).save(folder / "astronaut.png")
    (folder / "broken.png").write_bytes(b"")
    five = "201.2,105.0,245.2,104.9,220.5,127.2,203.7,145.2,242.3,145.1,178.8,63.1,91.0,111.1"
    head = "file,right_eye_x,right_eye_y,left_eye_x,left_eye_y,nose_x,nose_y,mouth_right_x,mouth_right_y,"
    head += "mouth_left_x,mouth_left_y,box_x,box_y,box_w,box_h"
    (folder / "landmarks.csv").write_text(f"{head}\nastronaut.png,{five}\nbroken.png,{five}\n", encoding="utf-8")


@pytest.mark.slow
def test_photographs_are_attacked_replayed_and_skipped_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out_portrait(Path("photos"))
    config = SMALL.model_copy(
        update={
            "n": 16,
            "bonafide_share": 0.5,
            "attacks": ("print_a4", "swap_blend"),
            "faces": (
                ProceduralFacesConfig(subjects=4, sessions=1),
                FolderFacesConfig(
                    root=Path("photos"),
                    landmarks=Path("photos/landmarks.csv"),
                    subjects="file",
                    licence="public domain",
                    consent="published by NASA",
                ),
            ),
        }
    )
    summary = generate(config, tmp_path / "data")
    assert summary.rows + summary.skips == 16
    assert summary.skips > 0
    store = Store.open(tmp_path / "data")
    assert {skip.reason for record in store.committed() for skip in record.skips} == {"zero_byte"}
    photographed = [row for row in read_index(tmp_path / "data").to_pylist() if row["face_source"] == "folder:photos"]
    assert {row["licence"] for row in photographed} <= {"public domain", "CC0-1.0 AND public domain"}
    assert {row["species"] for row in photographed} >= {"bonafide", "print_a4"}
    for row in photographed:
        assert str(tmp_path) not in row["params"], "a record must not depend on where the folder lies"
        sample = read_row(tmp_path / "data", row["key"])
        assert np.array_equal(decode_image(sample.image), replay(sample).image)
    Image.new("RGB", (512, 512)).save("photos/astronaut.png")
    with pytest.raises(SkipSample) as changed:
        replay(read_row(tmp_path / "data", photographed[0]["key"]))
    assert changed.value.reason == "file_changed"


def test_a_second_generate_sees_what_has_changed_in_the_folder(tmp_path: Path) -> None:
    photos, sidecar = tmp_path / "photos", tmp_path / "landmarks.csv"
    photos.mkdir()
    heads = ProceduralFaces(n_subjects=1, sessions=1, size=256, seed=3)
    face = heads.load(heads.refs()[0])
    light = (srgb_encode(face.radiance[0].clamp(0, 1)) * 255).round().to(torch.uint8)
    pixels = light.permute(1, 2, 0).contiguous().numpy()
    header = ",".join(f"x{k},y{k}" for k in range(68))
    row = ",".join(f"{v:.2f}" for v in face.landmarks[0].flatten().tolist())
    sidecar.write_text(f"file,{header}\nhead.png,{row}\n", encoding="utf-8")
    source = {"kind": "folder", "root": photos, "landmarks": sidecar, "geometry": "none", "subjects": "file"}
    source |= {"licence": "CC0-1.0", "consent": "none: a rendered head"}
    config = GenerationConfig.model_validate(SMALL.model_dump() | {"n": 1, "bonafide_share": 1.0, "faces": [source]})
    made = []
    for name, shown in (("before", pixels), ("after", 255 - pixels)):
        Image.fromarray(shown).save(photos / "head.png")
        assert generate(config, tmp_path / name).rows == 1
        made.append(read_row(tmp_path / name, "s00000000"))
    digests = [json.loads(sample.params)["faces"]["target"]["record"]["sha256"] for sample in made]
    assert digests[1] == hashlib.sha256((photos / "head.png").read_bytes()).hexdigest() != digests[0]
    before, after = (decode_image(sample.image).astype(float).ravel() for sample in made)
    assert np.corrcoef(before, after)[0, 1] < -0.5  # the second holds the negative
