"""From a tree in an official layout to a store, its card and its findings."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from real_trees import picture, png, video, write

from spooflab.cli.main import run
from spooflab.errors import DataError
from spooflab.experiments.ingest.config import IngestConfig
from spooflab.experiments.ingest.duplicates import clusters_of
from spooflab.experiments.ingest.findings import Row
from spooflab.experiments.ingest.run import ingest
from spooflab.experiments.leakage import require_no_leak
from spooflab.experiments.protocols import Official
from spooflab.provenance import DIGITAL_CAPTURE
from spooflab.store import Store, read_index, read_row


def manifest_tree(root: Path) -> IngestConfig:
    """Six pictures of three people with boxes; one is damaged, one is missing, two are the same under two labels."""
    rows = ["path,label,subject,split,x,y,w,h"]
    for number in range(6):
        label, split = ("live", "print_a4")[number % 2], ("train", "train", "dev", "dev", "test", "test")[number]
        write(root, f"{number}.png", png(0 if number == 3 else number, 64) if number != 5 else b"\x89PNG\r\n\x1a\nno")
        rows.append(f"{number}.png,{label},p{number // 2},{split},16,16,32,32")
    write(root, "manifest.csv", "\n".join([*rows, "6.png,live,p9,test,1,1,30,30", "7.png,wax,p9,test,,,,"]))
    return IngestConfig(
        reader="manifest",
        root=str(root),
        licence="for tests",
        consent="none: drawn",
        size=32,
        shard_size=4,
        faces="given",
    )


def test_pictures_become_samples_with_their_facts(tmp_path: Path) -> None:
    config = manifest_tree(tmp_path / "data")
    summary, findings = ingest(config, tmp_path / "out")
    assert (summary.rows, summary.skips, summary.shards) == (5, 2, 2)
    assert findings is not None
    sample = read_row(tmp_path / "out", "r00000001-000000")
    params = json.loads(sample.params)
    assert (sample.species, sample.label, sample.subject_id) == ("print_a4", "attack", "manifest/p0")
    assert (sample.licence, sample.synthetic, sample.digital_source_type) == ("for tests", False, DIGITAL_CAPTURE)
    assert (sample.width, sample.height) == (32, 32)
    assert (params["path"], params["splits"], params["face"]["told_by"]) == (
        "1.png",
        {"manifest": "train"},
        "annotation",
    )
    assert sample.box == pytest.approx((6.275, 6.275, 20.078, 20.078), abs=0.001)  # a square of 51 from 6, scaled to 32
    assert {(b.path, b.reason) for b in findings.broken} == {
        ("5.png", "undecodable"), ("6.png", "missing"), ("7.png", "unknown_class"),
    }  # fmt: skip
    assert Store.open(tmp_path / "out").verify().ok


def test_the_findings_and_the_card_name_what_is_wrong(tmp_path: Path) -> None:
    _, findings = ingest(manifest_tree(tmp_path / "data"), tmp_path / "out")
    assert findings is not None
    (conflict,) = {c.sources for c in findings.label_conflicts}
    assert conflict == ("manifest/0.png", "manifest/3.png")
    leaks = {(leak.parts, leak.what): leak.shared for leak in findings.leaks}
    assert leaks["train / dev", "file"] == leaks["train / dev", "picture"] == 1
    assert leaks["train / dev", "person"] == leaks["train / test", "file"] == 0
    card = (tmp_path / "out/README.md").read_text()
    for words in (
        "for tests",
        "Consent, as stated by whoever read the data set: none: drawn",
        "| print_a4 | 2 |",
        "| manifest | train | 1 | 1 | print_a4 |",
        "undecodable",
        "two labels",
    ):
        assert words in card
    with (tmp_path / "out/broken.csv").open() as file:
        assert {row["reason"] for row in csv.DictReader(file)} == {"undecodable", "missing", "unknown_class"}
    told = json.loads((tmp_path / "out/ingest.json").read_text())
    assert (told["pictures"], told["broken"]) == (5, {"missing": 1, "undecodable": 1, "unknown_class": 1})


def test_the_consent_is_asked_for_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = manifest_tree(tmp_path / "data")
    with pytest.raises(SystemExit) as ended:
        run(["ingest", "manifest", config.root, "--licence", "for tests", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "--consent" in capsys.readouterr().err
    ingest(config, tmp_path / "out")
    assert Store.open(tmp_path / "out").plan["config"]["consent"] == "none: drawn"
    assert run(["card", str(tmp_path / "out"), "--out", str(tmp_path / "card")]) == 0
    card = (tmp_path / "card/card.md").read_text()
    assert "| - | data set manifest | yes | for tests | none: drawn |" in card
    assert "0 of 5 pictures are synthetic" in card
    assert json.loads((tmp_path / "card/stats.json").read_text())["splits"]["manifest"]["train"] == {
        "attack": 1,
        "bonafide": 1,
    }


def test_names_of_files_cannot_break_the_card(tmp_path: Path) -> None:
    write(tmp_path, "data/live/<script>|`x`.png", b"broken")
    write(tmp_path, "data/live/fine.png", png(1, 64))
    config = IngestConfig(
        reader="folder", root=str(tmp_path / "data"), licence="x", consent="none: drawn", crop="frame", faces="given"
    )
    ingest(config, tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text()
    assert "<script>" not in card
    assert "\\|'x'.png" in card


def row(key: str, source: str, phash: int, label: str = "bonafide", part: str = "train", image: str = "") -> Row:
    return Row(
        key,
        source,
        label,
        label,
        label,
        "d",
        ("p",),
        True,
        source,
        f"file of {source}",
        image or key,
        phash,
        "none",
        {"p": part},
    )


def test_clusters_leave_frames_of_one_clip_out_and_tell_what_straddles() -> None:
    rows = [
        row("a1", "a", 0b0000, image="i"), row("a2", "a", 0b0001), row("b1", "b", 0b0111, part="test"),
        row("c1", "c", 0xFFFF << 40, image="j"), row("d1", "d", 0xFFFF << 40, "attack", image="j"),
    ]  # fmt: skip
    same, near = clusters_of(rows, near=2)
    assert (same.kind, same.keys, same.labels, same.straddles) == ("picture", ("c1", "d1"), ("attack", "bonafide"), ())
    assert (near.kind, near.keys, near.straddles) == ("near", ("a1", "a2", "b1"), ("p",))
    assert [c.kind for c in clusters_of(rows, near=1)] == ["picture"]


@pytest.mark.slow
def test_a_replay_attack_tree_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("av")
    root = tmp_path / "replay"
    for number, part in enumerate(("train", "train", "devel", "test")):
        client = f"client{number:03d}"
        for stem in (
            f"real/{client}_session01_webcam_authenticate_adverse_1",
            f"attack/hand/attack_highdef_{client}_session01_highdef_video_controlled",
        ):
            video(root / part / f"{stem}.mov", [picture(len(stem) * 100 + number * 10 + n, 64) for n in range(9)])
            write(root, f"face-locations/{part}/{stem}.face", "".join(f"{n} 8 8 40 40\n" for n in range(9)))
    write(root, "test/real/client009_session01_webcam_authenticate_adverse_1.mov", b"broken")
    common = ["ingest", "replay_attack", str(root), "--licence", "test", "--consent", "none: drawn"]
    common += ["--size", "48", "--frames", "3", "--json"]
    assert run([*common, "--out", str(tmp_path / "one")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["pictures"], told["clips"], told["broken"], told["leaks"]) == (24, 8, {"bad_video": 1}, [])
    assert run([*common, "--out", str(tmp_path / "two"), "--workers", "2"]) == 0
    assert run(["verify", str(tmp_path / "one")]) == 0
    shards = [sorted((tmp_path / name / "shards").glob("*.parquet")) for name in ("one", "two")]
    assert [p.read_bytes() for p in shards[0]] == [p.read_bytes() for p in shards[1]]
    index = read_index(tmp_path / "one")
    (fold,) = Official(protocol="replay_grandtest").folds(index)
    assert [len(rows) for rows in (fold.train, fold.dev, fold.test)] == [12, 6, 6]
    require_no_leak(index, fold)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_another_plan_is_refused(tmp_path: Path) -> None:
    config = manifest_tree(tmp_path / "data")

    def stop(done: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(config, tmp_path / "out", progress=stop)
    assert len(Store.open(tmp_path / "out").pending()) == 1
    summary, findings = ingest(config, tmp_path / "out", resume=True)
    assert summary.committed == summary.shards == 2
    assert findings is not None
    with pytest.raises(DataError, match="size"):
        ingest(config.model_copy(update={"size": 40}), tmp_path / "out", resume=True)
    write(tmp_path, "data/0.png", png(77, 32))
    with pytest.raises(DataError, match="listing_sha256"):
        ingest(config, tmp_path / "out", resume=True)


@pytest.mark.slow
def test_the_shipped_network_finds_faces_where_no_box_is_given(tmp_path: Path) -> None:
    portrait = pytest.importorskip("skimage.data").astronaut()
    for path, pixels in (("live/anna/1.png", portrait), ("live/nobody/2.png", picture(5, 200))):
        write(tmp_path, f"data/{path}")
        Image.fromarray(pixels).save(tmp_path / "data" / path)
    config = IngestConfig(
        reader="folder", root=str(tmp_path / "data"), licence="public domain", consent="published by NASA", size=128
    )
    _, findings = ingest(config, tmp_path / "out")
    assert findings is not None
    assert [(b.path, b.reason) for b in findings.broken] == [("live/nobody/2.png", "no_face")]
    sample = read_row(tmp_path / "out", "r00000000-000000")
    assert len(sample.landmarks) == 68
    assert json.loads(sample.params)["face"]["told_by"] == "network"
    x, y, w, h = sample.box
    points = np.array(sample.landmarks)
    assert (points.min(0) >= (x - 0.01, y)).all()
    assert (points.max(0) <= (x + w + 0.01, y + h + 0.01)).all()
    assert 60 < max(w, h) < 90  # 128 px less a margin of 0.3 on each side
