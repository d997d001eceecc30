"""`spooflab score`: every picture gets a row, hostile files get a reason, and `spooflab evaluate` reads the result."""

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from spooflab.adapters import ImageSet, load_model, predict_scores
from spooflab.cli.main import run
from spooflab.errors import ConfigError, SkipSample
from spooflab.experiments.export.face_crop import FaceCrop, margin_of
from spooflab.experiments.export.facts_of_row import RowFacts
from spooflab.experiments.export.loaded_detector import LoadedDetector
from spooflab.experiments.export.pictures import Picture, list_pictures, read_pictures
from spooflab.experiments.export.runtime import Pictures, Scores
from spooflab.experiments.export.score import score_pictures
from spooflab.experiments.export.score_writer import open_writer
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.images import encode_png
from spooflab.reader import read_index


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    (root / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "deep/b.JPG"):
        Image.fromarray(rng.integers(0, 256, (80, 60, 3), dtype=np.uint8)).save(root / name)
    whole = (root / "deep/b.JPG").read_bytes()
    (root / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "empty.png").write_bytes(b"")
    (root / "text.png").write_text("no picture")
    (root / "notes.txt").write_text("not looked at")
    (root / "gone.png").symlink_to(root / "nowhere")
    os.mkfifo(root / "pipe.png")
    Image.new("1", (9000, 9000)).save(root / "bomb.png")
    shutil.copy(root / "a.png", os.path.join(os.fsencode(root), b"bad\xff\x1b[2J.png"))
    return root


def scored(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any]]:
    status = run(["score", *map(str, words), "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_a_folder_with_hostile_files_is_scored_to_the_end(
    exported: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = scored(capsys, exported, folder)
    assert status == 1
    assert told["scored"] == 3
    assert told["reasons"] == {
        "truncated": 1,
        "zero_byte": 1,
        "unsupported_format": 1,
        "unreadable": 1,
        "not_a_file": 1,
        "too_many_pixels": 1,
    }
    rows = {row["key"].rsplit("/", 1)[1]: row for row in told["images"]}
    assert len(rows) == 9
    assert rows["cut.jpg"]["score"] is None
    assert rows["cut.jpg"]["decision"] == ""
    assert rows["a.png"]["score"] == rows["bad\\xff\x1b[2J.png"]["score"]
    for name in ("a.png", "b.JPG"):
        wanted = "bonafide" if rows[name]["score"] >= told["threshold"] else "attack"
        assert rows[name]["decision"] == wanted


def test_lines_for_people_hold_nothing_that_a_terminal_obeys(
    exported: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["score", str(exported / "model.onnx"), str(folder)]) == 1
    out = capsys.readouterr().out
    assert out.count("\n") == 9
    assert "\x1b" not in out


def test_scores_are_the_trainers_own(
    exported: Path, trained: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = scored(capsys, exported, data)
    assert status == 0
    images = ImageSet.load(data, read_index(data), 32)
    wanted = dict(zip(images.keys, predict_scores(load_model(trained), images), strict=True))
    assert len(told["images"]) == len(wanted)
    for row in told["images"]:
        assert row["score"] == pytest.approx(wanted[row["key"]], abs=1e-5)
    assert {row["label"] for row in told["images"]} == {"bonafide", "attack"}
    status, of_folder = scored(capsys, trained, data)
    assert of_folder["threshold"] is None
    assert [row["score"] for row in of_folder["images"]] == pytest.approx(
        [r["score"] for r in told["images"]], abs=1e-5
    )
    assert {row["decision"] for row in of_folder["images"]} == {""}


def test_evaluate_reads_the_file_at_the_cards_threshold(
    exported: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.csv"
    _, told = scored(capsys, exported, data, "--out", out)
    assert "images" not in told
    assert run(["evaluate", str(out), "--threshold", repr(told["threshold"]), "--json", "--bootstrap", "20"]) == 0
    figures = json.loads(capsys.readouterr().out)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    genuine = [row for row in rows if row["label"] == "bonafide"]
    assert figures["bpcer"] == pytest.approx(np.mean([row["decision"] == "attack" for row in genuine]))
    assert run(["score", str(exported), str(data), "--out", str(tmp_path / "s.parquet")]) == 0
    table = pq.read_table(tmp_path / "s.parquet")
    assert table.column("score").to_pylist() == [float(row["score"]) for row in rows]


def test_loose_pictures_take_the_label_that_is_given(
    exported: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = scored(capsys, exported, folder / "*.png", "--label", "attack", "--species", "print_a4")
    assert status == 1
    assert {(row["label"], row["species"]) for row in told["images"]} == {("attack", "print_a4")}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nowhere.png",), "no such file"),
        (("*.webp",), "no such file"),
        ((".", "--species", "print_a4"), "--species"),
        ((".", "--margin", "0.3"), "--margin"),
        ((".", "--threshold", "nan"), "--threshold"),
        ((".", "--out", "scores.txt"), ".csv or .parquet"),
    ],
)
def test_wrong_words_are_told(
    words: tuple[str, ...],
    text: str,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["score", str(exported), *words]) == 2
    assert text in capsys.readouterr().err


def test_a_model_without_its_card_or_with_another_is_refused(
    exported: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(exported / "model.onnx", alone)
    assert run(["score", str(alone / "model.onnx"), str(folder)]) == 2
    assert "the card beside the model" in capsys.readouterr().err
    shutil.copy(exported / "card.json", alone)
    (alone / "model.onnx").write_bytes((alone / "model.onnx").read_bytes() + b"\0")
    assert run(["score", str(alone), str(folder)]) == 2
    assert "is not the file that card.json describes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("input", {"shape": ["batch", 48, 48, 3], "face_share": None, "stored_px": 48}, "does not take"),
        ("model", {"file": "../model.onnx"}, "both of one export"),
        ("decision", {}, "not a card"),
    ],
)
def test_a_card_that_was_changed_is_refused(
    key: str, value: dict[str, Any], text: str, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(exported / "model.onnx", tmp_path)
    card = json.loads((exported / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(card | {key: value}))
    assert run(["score", str(tmp_path), str(tmp_path)]) == 2
    assert text in capsys.readouterr().err


def test_torchscript_needs_leave(
    exported: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = json.loads((exported / "card.json").read_text())
    (tmp_path / "model.pt").write_bytes(b"a program")
    card["model"] |= {"file": "model.pt", "sha256": "d0e4a7c1f6"}
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert run(["score", str(tmp_path / "model.pt"), str(folder)]) == 2
    assert "is not the file" in capsys.readouterr().err
    card["model"]["sha256"] = hashlib.sha256(b"a program").hexdigest()
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert run(["score", str(tmp_path), str(folder)]) == 2
    assert "--trust-torchscript" in capsys.readouterr().err


def mean_detector(sizes: list[int]) -> LoadedDetector:
    def runtime(pictures: Pictures) -> Scores:
        sizes.append(len(pictures))
        mean = pictures.mean((1, 2, 3)) / 255
        return Scores(mean, mean)

    return LoadedDetector("mean", runtime, 16, 0.5, "a test")


def flat(name: str, level: int, *, stored: bool = False) -> Picture:
    return Picture(name, encode_png(np.full((20, 20, 3), level, np.uint8)), RowFacts(), stored)


def test_batches_are_bounded_and_rows_keep_their_order() -> None:
    sizes: list[int] = []
    pictures = [flat(str(i), 25 * i) for i in range(10)]
    pictures[3] = Picture("3", SkipSample("unreadable", "gone"))
    rows = list(score_pictures(mean_detector(sizes), iter(pictures), threshold=0.5, batch=4))
    assert sizes == [3, 4, 2]
    assert [row.name for row in rows] == [str(i) for i in range(10)]
    assert [round(row.score * 255) for row in rows if not row.reason] == [25 * i for i in range(10) if i != 3]
    assert (rows[3].reason, rows[3].decision) == ("unreadable", "")
    assert [row.decision for row in rows[4:7]] == ["attack", "attack", "bonafide"]


def test_only_loose_pictures_are_cropped() -> None:
    def dark(_: Pictures) -> Pictures:
        return np.zeros((20, 20, 3), np.uint8)

    pictures = [flat("loose", 200), flat("stored", 200, stored=True)]
    rows = list(score_pictures(mean_detector([]), pictures, threshold=None, crop=dark))
    assert [round(row.score * 255) for row in rows] == [0, 200]


def test_only_pictures_of_a_store_are_decoded_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spooflab.experiments.export.score.decode_image", lambda _: np.zeros((20, 20, 3), np.uint8))
    pictures = [flat("loose", 200), flat("stored", 200, stored=True)]
    rows = list(score_pictures(mean_detector([]), pictures, threshold=None))
    assert [round(row.score * 255) for row in rows] == [200, 0]


def test_a_score_that_is_no_number_is_a_failure() -> None:
    broken = LoadedDetector("broken", lambda x: Scores(np.full(len(x), np.nan), np.full(len(x), np.nan)), 16, 0.5, "")
    row = next(iter(score_pictures(broken, [flat("x", 9)], threshold=0.5)))
    assert (row.reason, row.decision) == ("score_not_finite", "")


def test_a_face_is_framed_by_its_share_of_the_training_sets_pictures() -> None:
    source = ProceduralFaces(n_subjects=1, sessions=1, size=192, seed=3)
    light = source.load(source.refs()[0]).radiance[0].clamp(0, 1)
    pixels = np.ascontiguousarray(((light ** (1 / 2.2)) * 255).round().byte().permute(1, 2, 0).numpy())
    near, wide = FaceCrop(margin_of(0.8), 64)(pixels), FaceCrop(margin_of(0.5), 64)(pixels)
    assert near.shape == wide.shape == (64, 64, 3)
    with pytest.raises(SkipSample):
        FaceCrop(0.3, 64)(np.full((128, 128, 3), 127, np.uint8))
    with pytest.raises(ConfigError, match="--margin"):
        margin_of(None)


def test_an_interrupted_file_leaves_nothing(tmp_path: Path) -> None:
    row = next(iter(score_pictures(mean_detector([]), [flat("x", 9)], threshold=0.5)))

    def broken(path: Path) -> None:
        with open_writer(path) as writer:
            writer.write(row)
            raise KeyboardInterrupt

    for name in ("s.csv", "s.parquet"):
        with pytest.raises(KeyboardInterrupt):
            broken(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_listing_is_sorted_counts_what_it_passes_over_and_reads_lazily(folder: Path) -> None:
    listed = list_pictures([str(folder)])
    assert listed.passed_over == 1
    assert listed.loose
    assert [path.name for path in listed.sources][:2] == ["a.png", "bad\udcff\x1b[2J.png"]
    assert next(read_pictures(listed)).data == (folder / "a.png").read_bytes()
