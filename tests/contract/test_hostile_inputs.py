"""Whatever a folder of strangers holds, ingest and generate end with a picture or a reason for every file of it.

`make torture` reads 10,000 files; a run among the tests reads some hundred of the same corpus.
"""

import ast
import importlib.util
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_files import UNREAD, clips, parquets, pictures, texts, write_pictures
from hostile_runs import ingested, loaded, peak_mib
from real_trees import picture, png, video, write

from spooflab.bounded_decoder import MOST_MIB
from spooflab.errors import DataError
from spooflab.experiments.readers.catalogue import reader_of
from spooflab.experiments.score_file import read_score_file
from spooflab.generators.faces.folder import FolderFaces
from spooflab.generators.faces.landmarks import read_landmarks
from spooflab.images import decode_image
from spooflab.reasons import REASONS

COUNT = 10_000 if os.environ.get("SPOOFLAB_TORTURE") else 300
ROOT = Path(__file__).parents[2]


def test_the_corpus_is_the_same_at_every_call() -> None:
    one, other = (list(pictures(random.Random(5), 120)) for _ in range(2))
    assert one == other
    assert len({data for _, data in one}) > 100


def test_every_file_of_a_hostile_folder_becomes_a_picture_or_a_reason(tmp_path: Path) -> None:
    wanted = write_pictures(random.Random(1), COUNT, tmp_path / "data" / "live")
    stored, broken = ingested(tmp_path / "data", "folder", tmp_path / "out")
    seen = {path.removeprefix("live/"): pixels for path, pixels in stored.items()}
    for path, pixels in wanted.items():
        # A backslash parts folders on other systems: no path that holds one is followed.
        assert ("\\" in path) == (path not in seen), path
        assert "\\" in path or np.array_equal(seen[path], pixels), path
    names = [name for _, _, inner in os.walk(tmp_path / "data") for name in inner]
    assert len(stored) + broken.total() == sum(1 for name in names if not name.endswith(UNREAD))
    assert set(broken) <= set(REASONS)
    assert broken["bad_name"] == 7
    assert 0 < peak_mib() <= MOST_MIB
    print(f"ingest: {len(stored)} pictures, {dict(broken.most_common())}, decoder {peak_mib():.0f} MiB")


def test_every_photograph_of_a_hostile_folder_becomes_a_face_or_a_reason(tmp_path: Path) -> None:
    wanted = write_pictures(random.Random(1), COUNT, tmp_path / "faces")
    faces = FolderFaces(
        tmp_path / "faces", detector="template", geometry="none", dense="mean_head", size=32, min_eyes_px=4
    )
    came, reasons = loaded(faces)
    assert set(wanted) <= came
    assert set(reasons) <= set(REASONS)
    assert reasons["bad_name"] == 7
    assert 0 < peak_mib() <= MOST_MIB
    print(f"faces: {len(came)} faces, {dict(reasons.most_common())}, decoder {peak_mib():.0f} MiB")


def test_nothing_of_strangers_is_decoded_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data"
    for number in range(3):
        write(root, f"live/{number}.png", png(number, 48))
    if av_is_here():
        video(root / "live" / "a.avi", [picture(number, 48) for number in range(4)])
        monkeypatch.setattr("av.open", None)
    monkeypatch.setattr("spooflab.images.open_picture", None)
    stored, broken = ingested(root, "folder", tmp_path / "out")
    assert (len(stored), broken.total()) == (3 + av_is_here(), 0)
    faces = FolderFaces(root, detector="template", geometry="none", dense="mean_head", size=32, min_eyes_px=4)
    assert len(loaded(faces)[0]) == 3
    with pytest.raises(TypeError):
        decode_image(png(1, 48))


def av_is_here() -> bool:
    return importlib.util.find_spec("av") is not None


@pytest.mark.slow
def test_reasons_are_the_same_at_every_call(tmp_path: Path) -> None:
    write_pictures(random.Random(2), 200, tmp_path / "data" / "live")
    told = []
    for out in ("one", "other"):
        ingested(tmp_path / "data", "folder", tmp_path / out)
        told.append((tmp_path / out / "broken.csv").read_bytes())
        assert b" at 0x" not in told[-1]
        assert str(tmp_path).encode() not in told[-1]
    assert told[0] == told[1]


def test_damaged_clips_have_reasons(tmp_path: Path) -> None:
    pytest.importorskip("av")
    pytest.importorskip("h5py")
    root = tmp_path / "data"
    for number, (suffix, data) in enumerate(clips(random.Random(1), COUNT // 10, tmp_path / "sound")):
        place = root / ("wmca" if suffix == "h5" else "videos/live")
        place.mkdir(parents=True, exist_ok=True)
        name = f"{number:03d}_01_035_0_00" if suffix == "h5" else f"{number:05d}"
        (place / f"{name}.{suffix}").write_bytes(data)
    for reader, folder in (("folder", "videos"), ("wmca", "wmca")):
        stored, broken = ingested(root / folder, reader, tmp_path / f"out-{reader}")
        assert stored or broken
        assert set(broken) <= set(REASONS)
        print(f"{folder}: {len(stored)} clips, {dict(broken.most_common())}, decoder {peak_mib():.0f} MiB")
    assert peak_mib() <= MOST_MIB


def test_damaged_parquet_has_reasons(tmp_path: Path) -> None:
    root, counted = tmp_path / "data", Counter[str]()
    root.mkdir()
    for number, data in enumerate(parquets(random.Random(1), COUNT // 10, tmp_path / "sound")):
        (root / f"train-{number:05d}.parquet").write_bytes(data)
    (root / "train-sound.parquet").write_bytes((tmp_path / "sound" / "a.parquet").read_bytes())
    stored, counted = ingested(root, "hf_parquet", tmp_path / "out")
    assert stored
    assert set(counted) <= set(REASONS)
    print(f"parquet: {len(stored)} pictures, {dict(counted.most_common())}")


LISTS: dict[str, Callable[[Path], object]] = {
    "manifest.csv": lambda root: list(reader_of("manifest")(root)),
    "labels.csv": lambda root: list(reader_of("synthaspoof")(root)),
    "classes.csv": lambda root: list(reader_of("hq_wmca")(root)),
    "PROTOCOL-a.csv": lambda root: list(reader_of("wmca")(root)),
    "train_sub_list.txt": lambda root: list(reader_of("msu_mfsd")(root)),
    "metas/intra_test/train_label.json": lambda root: list(reader_of("celeba_spoof")(root)),
    "landmarks.csv": lambda root: read_landmarks(root / "landmarks.csv"),
    "landmarks.json": lambda root: read_landmarks(root / "landmarks.json"),
    "scores.csv": lambda root: read_score_file(root / "scores.csv"),
    "subjects.csv": lambda root: FolderFaces(root, subjects=str(root / "subjects.csv")).refs(),
}


def outcome(read: Callable[[], Any]) -> tuple[Any, str]:
    """Return what was read, or None and what was told; any error but ours ends the test."""
    try:
        return read(), ""
    except DataError as error:
        return None, str(error)


@pytest.mark.parametrize("name", LISTS)
def test_odd_lists_are_told_of(name: str, tmp_path: Path) -> None:
    for kind, data in texts():
        root = tmp_path / kind
        for folder in ("scene01", "Data/train/1/live", "metas"):
            (root / folder).mkdir(parents=True)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data.replace(b"path", b"image_path") if name == "labels.csv" else data)
        (root / "0.png").write_bytes(b"")
        told, error = outcome(lambda root=root: LISTS[name](root))  # type: ignore[misc]  # bound at once
        assert told is not None or str(root) in error, kind


@pytest.mark.parametrize("kind", [kind for kind, _ in texts()])
def test_a_manifest_of_odd_rows_is_ingested_or_refused(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_pictures(random.Random(3), 1, root)
    for number in range(8):
        (root / f"{number}.png").write_bytes((root / "00" / "sound00000.png").read_bytes())
    (root / "manifest.csv").write_bytes(dict(texts())[kind])
    told, error = outcome(lambda: ingested(root, "manifest", tmp_path / "out"))
    if told is None:
        assert str(root) in error
        return
    stored, broken = told
    assert stored or broken
    assert set(broken) <= set(REASONS)


def test_every_code_of_the_readers_is_listed() -> None:
    """A code that a reader invents must stand in the one list, or nobody can look it up."""
    found: dict[str, str] = {}
    places = ["experiments/ingest", "experiments/readers", "experiments/export", "generators/faces"]
    files = [file for place in places for file in sorted((ROOT / place).rglob("*.py"))]
    for file in [*files, *sorted((ROOT / "src/spooflab").glob("*.py"))]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            at = {"SkipSample": 0, "ImageRefused": 0, "Broken": 1}.get(node.func.id)
            if at is not None and len(node.args) > at and isinstance(code := node.args[at], ast.Constant):
                found[str(code.value)] = str(file)
    assert {"truncated", "decoder_hung", "bad_list_line"} <= set(found)
    assert {code: file for code, file in found.items() if code not in REASONS} == {}
