"""Photographs in a Hugging Face data set."""

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.face import FaceRef
from spooflab.generators.faces.folder import FolderFaces
from spooflab.generators.faces.hf import HFFaces

datasets = pytest.importorskip("datasets")

POINTS = [[201.2, 105.0], [245.2, 104.9], [220.5, 127.2], [203.7, 145.2], [242.3, 145.1]]
BOX = [178.8, 63.1, 91.0, 111.1]


@pytest.fixture(scope="module")
def png() -> bytes:
    data = pytest.importorskip("skimage.data")
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(data.astronaut())).save(buffer, "PNG")
    return buffer.getvalue()


def _table(cells: list[dict[str, Any] | None], points: list[Any] | None = None) -> Any:
    count = len(cells)
    features = datasets.Features({
        "image": datasets.Image(decode=True),
        "who": datasets.Value("string"),
        "points": datasets.List(datasets.List(datasets.Value("float64"))),
        "box": datasets.List(datasets.Value("float64")),
    })  # fmt: skip
    rows = {"image": cells, "who": [f"p{i}" for i in range(count)], "points": points or [POINTS] * count,
            "box": [BOX] * count}  # fmt: skip
    return datasets.Dataset.from_dict(rows, features=features)


def _bytes(data: bytes) -> dict[str, Any]:
    return {"bytes": data, "path": None}


def _columns() -> dict[str, Any]:
    return {"subject_column": "who", "landmarks_column": "points", "box_column": "box", "size": 96, "licence": "CC0"}


def _reason(source: HFFaces, ref: FaceRef) -> str:
    with pytest.raises(SkipSample) as caught:
        source.load(ref)
    return caught.value.reason


def test_rows_load_like_files(tmp_path: Path, png: bytes) -> None:
    source = HFFaces(_table([_bytes(png)] * 2), **_columns())
    refs = source.refs()
    assert [r.subject_id for r in refs] == ["p0", "p1"]
    (tmp_path / "f").mkdir()
    (tmp_path / "f/x.png").write_bytes(png)
    (tmp_path / "l.json").write_text(json.dumps({"x.png": {"points": POINTS, "box": BOX}}))
    files = FolderFaces(tmp_path / "f", landmarks=tmp_path / "l.json", size=96)
    a, b = source.load(refs[1]), files.load(files.refs()[0])
    assert torch.equal(a.radiance, b.radiance)
    assert torch.equal(a.landmarks, b.landmarks)
    assert torch.equal(a.box, b.box)


def test_saved_data_set_is_rebuilt_from_settings(tmp_path: Path, png: bytes) -> None:
    _table([_bytes(png)]).save_to_disk(str(tmp_path / "set"))
    source = HFFaces(tmp_path / "set", **_columns())
    assert source.name == "hf:set"
    settings = json.loads(json.dumps(source.settings()))
    assert settings.pop("kind") == "hf"
    again = HFFaces(**settings)
    ref = source.refs()[0]
    rebuilt = FaceRef(ref.subject_id, ref.source_id, ref.licence, json.loads(json.dumps(ref.record)))
    assert torch.equal(source.load(ref).radiance, again.load(rebuilt).radiance)
    with pytest.raises(DataError, match="fingerprint"):
        HFFaces(**{**settings, "fingerprint": "0"})


def test_rows_without_what_is_needed_are_reasons(png: bytes) -> None:
    table = _table([_bytes(png), None, _bytes(b"rubbish"), {"bytes": None, "path": "/etc/hostname"}],
                   [[], POINTS, POINTS, POINTS])  # fmt: skip
    source = HFFaces(table, **_columns())
    assert [_reason(source, r) for r in source.refs()] == [
        "no_landmarks", "no_image", "unsupported_format", "path_escape"]  # fmt: skip


def test_paths_are_confined_to_the_root(tmp_path: Path, png: bytes) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "in.png").write_bytes(png)
    (tmp_path / "out.png").write_bytes(png)
    os.symlink(tmp_path / "out.png", root / "link.png")
    paths = [str(root / "in.png"), str(tmp_path / "out.png"), str(root / "../out.png"), str(root / "link.png")]
    source = HFFaces(_table([{"bytes": None, "path": p} for p in paths]), root=root, **_columns())
    refs = source.refs()
    assert source.load(refs[0]).batch_size == 1
    assert [_reason(source, r) for r in refs[1:]] == ["path_escape"] * 3
    (root / "in.png").write_bytes(png + b"\0")
    assert _reason(source, refs[0]) == "file_changed"


@pytest.mark.slow
def test_without_landmarks_the_network_finds_the_faces(png: bytes) -> None:
    blank = io.BytesIO()
    Image.new("RGB", (200, 200), (120, 130, 140)).save(blank, "PNG")
    source = HFFaces(_table([_bytes(png), _bytes(blank.getvalue())]), size=96)
    found, none = source.refs()
    face = source.load(found)
    assert face.depth_mm is not None
    with_points = HFFaces(_table([_bytes(png)]), **_columns())
    told = with_points.load(with_points.refs()[0])
    eyes = [float((f.landmarks5[0, 1] - f.landmarks5[0, 0]).norm() / f.box[0, 2]) for f in (face, told)]
    assert eyes[0] == pytest.approx(eyes[1], rel=0.15)
    assert _reason(source, none) == "no_face"
    assert source.settings()["detector"] == "network"
    with pytest.raises(ConfigError, match="without `landmarks_column`"):
        HFFaces(_table([_bytes(png)]), detector="sidecar")


def test_tight_crops_of_rows_are_an_option(png: bytes) -> None:
    crop = Image.open(io.BytesIO(png)).crop((175, 60, 275, 180))
    buffer = io.BytesIO()
    crop.save(buffer, "PNG")
    source = HFFaces(_table([_bytes(buffer.getvalue())]), size=64, min_eyes_px=20, detector="template")
    face = source.load(source.refs()[0])
    assert face.radiance.shape == (1, 3, 64, 64)
    assert source.refs()[0].subject_id == "row-00000000"


def test_wrong_columns_are_told(png: bytes) -> None:
    table = _table([_bytes(png)])
    with pytest.raises(ConfigError, match="no column photo"):
        HFFaces(table, image_column="photo")
    with pytest.raises(ConfigError, match=r"datasets\.Image"):
        HFFaces(table, image_column="who")
    with pytest.raises(ConfigError, match="map-style"):
        HFFaces(table.to_iterable_dataset())
    with pytest.raises(ConfigError, match="no folder"):
        HFFaces("")
