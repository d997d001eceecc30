import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spooflab.cli.main import run
from spooflab.errors import DataError
from spooflab.experiments.data_sets.outgoing.export import export_data_set
from spooflab.experiments.data_sets.outgoing.rows import outgoing_rows
from spooflab.experiments.data_sets.outgoing.webdataset import tar_name
from spooflab.experiments.data_sets.whole_folder import whole_folder
from spooflab.provenance import ALGORITHMIC_MEDIA, DIGITAL_CAPTURE
from spooflab.source_mark import mark_source, source_mark
from spooflab.store import Store, iter_images, read_index, read_row

MakeStore = Callable[..., Path]
FORMATS = ("webdataset", "imagefolder", "hf")


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library `datasets`, kept from the network."""
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_OFFLINE", True)
    return library


def tar_samples(folder: Path) -> dict[str, dict[str, bytes]]:
    """Read tar files as WebDataset does: a name ends at its first point, files of one name that follow are a sample."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(folder.glob("*.tar")):
        last = None
        with tarfile.open(path) as tar:
            for entry in tar:
                base, _, kind = entry.name.partition(".")
                assert (entry.mtime, entry.uid, entry.uname, entry.isreg()) == (0, 0, "", True)
                assert base == last or base not in found, "files of one sample stand together"
                last = base
                found.setdefault(base, {})[kind] = tar.extractfile(entry).read()  # type: ignore[union-attr]
    return found


def test_webdataset_holds_every_row_in_its_documented_layout(make_store: MakeStore, tmp_path: Path) -> None:
    root = make_store()
    export_data_set(root, tmp_path / "out", "webdataset", masks=True, per_shard=5)
    assert sorted(p.name for p in (tmp_path / "out").glob("*.tar")) == [f"shard-{n:06d}.tar" for n in range(3)]
    found = tar_samples(tmp_path / "out")
    assert list(found) == read_index(root).column("key").to_pylist()
    for key, files in found.items():
        sample = read_row(root, key)
        assert files.keys() == {"json", "mask.png", "png"}
        assert files["png"] == mark_source(sample.image, sample.digital_source_type)
        assert source_mark(files["png"]) == ALGORITHMIC_MEDIA
        assert files["mask.png"] == sample.mask
        record = json.loads(files["json"])
        assert record["file_sha256"] == hashlib.sha256(files["png"]).hexdigest()
        assert (record["species"], record["params"]) == (sample.species, sample.params)
        assert record["synthetic"] is True


def test_a_point_in_a_key_does_not_end_a_samples_name(make_store: MakeStore, tmp_path: Path) -> None:
    export_data_set(make_store(rows=1, key="a.b.c"), tmp_path / "out", "webdataset")
    (name, files), *_ = tar_samples(tmp_path / "out").items()
    assert name == tar_name("a.b.c") == "a%2Eb%2Ec"
    assert json.loads(files["json"])["key"] == "a.b.c"


@pytest.mark.parametrize("masks", [False, True])
def test_datasets_reads_the_image_folder(make_store: MakeStore, tmp_path: Path, datasets: Any, masks: bool) -> None:
    root = make_store()
    export_data_set(root, tmp_path / "out", "imagefolder", masks=masks)
    rows = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    check_rows(rows, root, masks=masks)
    for path in (tmp_path / "out/images").rglob("*.png"):
        assert source_mark(path.read_bytes()) == ALGORITHMIC_MEDIA


@pytest.mark.parametrize("masks", [False, True])
def test_datasets_reads_the_parquet_files(make_store: MakeStore, tmp_path: Path, datasets: Any, masks: bool) -> None:
    root = make_store()
    export_data_set(root, tmp_path / "out", "hf", masks=masks, per_shard=5)
    rows = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train")
    assert isinstance(rows.features["image"], datasets.Image)
    check_rows(rows, root, masks=masks)
    undecoded = rows.cast_column("image", datasets.Image(decode=False))
    assert {source_mark(row["image"]["bytes"]) for row in undecoded} == {ALGORITHMIC_MEDIA}


def check_rows(rows: Any, root: Path, *, masks: bool) -> None:
    index = read_index(root).to_pylist()
    assert [row["key"] for row in rows] == [row["key"] for row in index]
    for row, stored in zip(rows, index, strict=True):
        sample = read_row(root, row["key"])
        assert row["image"].tobytes() == Image.open(io.BytesIO(sample.image)).tobytes()
        assert {name: row[name] for name in ("label", "species", "params", "licence")} == {
            name: stored[name] for name in ("label", "species", "params", "licence")
        }
        shown = row.get("mask")
        assert (shown is not None) == masks
        if shown is not None:
            assert shown.tobytes() == Image.open(io.BytesIO(sample.mask or b"")).tobytes()


@pytest.mark.parametrize("to", FORMATS)
def test_the_same_store_gives_the_same_bytes(make_store: MakeStore, tmp_path: Path, to: str) -> None:
    root = make_store()
    for name in ("a", "b"):
        export_data_set(root, tmp_path / name, to, masks=True, per_shard=5)  # type: ignore[arg-type]
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path / "b") for p in (tmp_path / "b").rglob("*") if p.is_file())
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test_without_marks_the_stored_bytes_leave(make_store: MakeStore) -> None:
    root = make_store(digital_source_type=DIGITAL_CAPTURE)
    stored = dict(iter_images(root))
    plain = {row.key: row.picture for row in outgoing_rows(root, masks=False, mark=False)}
    marked = [row.picture for row in outgoing_rows(root, masks=False, mark=True)]
    assert plain == stored
    assert len({len(picture) for picture in marked}) == 1, "a mark tells nothing by its length"
    assert {source_mark(picture) for picture in marked} == {DIGITAL_CAPTURE}


def test_bad_places_and_numbers_are_refused(
    make_store: MakeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_store()
    (tmp_path / "there").mkdir()
    base = ["export-dataset", str(root), "--to", "hf", "--out"]
    assert run([*base, str(tmp_path / "there")]) == 2
    assert "exists" in capsys.readouterr().err
    assert run([*base, str(tmp_path / "new"), "--per-shard", "0"]) == 2
    assert "per-shard: 0" in capsys.readouterr().err
    (root / "shards/shard-00001.json").unlink()
    assert run([*base, str(tmp_path / "new")]) == 2
    assert "shards are missing" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "there"]


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("key", ["../../evil", "/evil", "a/b", ".hidden"])
def test_a_crafted_key_becomes_no_file(make_store: MakeStore, tmp_path: Path, to: str, key: str) -> None:
    root = make_store("fine", 1)
    sample = read_row(root, "s00000000")
    object.__setattr__(sample, "key", key)  # past the checks, as whoever writes Parquet by hand gets past them
    store = Store.create(tmp_path / "a/crafted", {}, shards=1)
    with store.claim(0) as lease:  # type: ignore[union-attr]  # nobody else is about
        store.commit(lease, [sample])
    with pytest.raises(DataError, match="key"):
        export_data_set(store.root, tmp_path / "a/out", to)  # type: ignore[arg-type]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "fine"]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["crafted"]


def test_a_killed_export_leaves_nothing_that_looks_whole(make_store: MakeStore, tmp_path: Path) -> None:
    root, out = make_store(), tmp_path / "out"
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from spooflab.experiments.data_sets.outgoing import export as e\n"
        "write = e.write_imagefolder\n"
        "def killed(folder, rows, **options):\n"
        "    def some():\n"
        "        for n, row in enumerate(rows):\n"
        "            if n == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "            yield row\n"
        "    return write(folder, some(), **options)\n"
        "e.write_imagefolder = killed\n"
        "e.export_data_set(Path(sys.argv[1]), Path(sys.argv[2]), 'imagefolder')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(root), str(out)], env=dict(os.environ), check=False)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    assert len(list((tmp_path / ".out.unfinished/images/00000").iterdir())) == 4
    export_data_set(root, out, "imagefolder")
    assert len(list((out / "images/00000").iterdir())) == 12
    assert not (tmp_path / ".out.unfinished").exists()


def test_two_processes_do_not_fill_one_folder(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("first")
        with pytest.raises(DataError, match="another process"), whole_folder(tmp_path / "out"):
            pass
        assert (folder / "file").exists()
    assert (tmp_path / "out/file").read_text() == "first"
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "other") as folder:
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
