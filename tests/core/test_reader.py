import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spooflab.errors import DataError
from spooflab.images import decode_own_png
from spooflab.sample import IMAGE_COLUMNS, SCHEMA, Sample
from spooflab.store import Store, iter_images, read_index, read_row

Make = Callable[..., Sample]
ROWS = (40, 0, 3)


@pytest.fixture
def root(tmp_path: Path, make_sample: Make) -> Path:
    store = Store.create(tmp_path / "data", {"seed": 1}, shards=len(ROWS))
    first = 0
    for shard, rows in enumerate(ROWS):
        with store.claim(shard) as lease:  # type: ignore[union-attr]  # nobody else is about
            store.commit(lease, [make_sample(first + row) for row in range(rows)])
        first += rows
    return store.root


def test_index_holds_every_row_in_order_and_no_pictures(root: Path, make_sample: Make) -> None:
    index = read_index(root)
    assert index.column_names == [name for name in SCHEMA.names if name not in IMAGE_COLUMNS]
    assert index.column("key").to_pylist() == [f"s{i:08d}" for i in range(sum(ROWS))]
    row, wanted = index.to_pylist()[41], make_sample(41).to_row()
    assert row == {name: wanted[name] for name in row}


def test_images_are_those_written(root: Path, make_sample: Make) -> None:
    seen = list(iter_images(root))
    assert [key for key, _ in seen] == read_index(root).column("key").to_pylist()
    assert all(data == make_sample(i).image for i, (_, data) in enumerate(seen))
    some = list(iter_images(root, ["s00000042", "s00000033", "s00000001"]))
    assert [key for key, _ in some] == ["s00000001", "s00000033", "s00000042"]
    assert some[1][1] == make_sample(33).image
    depths = dict(iter_images(root, column="depth"))
    assert sorted(depths) == [f"s{i:08d}" for i in range(1, sum(ROWS), 2)]  # the others have none
    assert list(iter_images(root, [])) == []


def test_one_row_is_the_sample(root: Path, make_sample: Make) -> None:
    for number in (0, 31, 32, 39, 40, 42):
        assert read_row(root, f"s{number:08d}") == make_sample(number)


def test_unknown_names_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match="s99"):
        read_row(root, "s99")
    with pytest.raises(DataError, match=r"'s98' \(2 such keys\)"):
        iter_images(root, ["s99", "s98", "s00000001"])
    with pytest.raises(DataError, match="column 'params'"):
        iter_images(root, column="params")
    with pytest.raises(DataError, match=r"plan\.json"):
        read_index(root / "shards")


def test_an_unfinished_store_is_read_only_on_request(root: Path) -> None:
    (root / "shards" / "shard-00002.json").unlink()
    with pytest.raises(DataError, match=r"1 of 3 shards are missing[\s\S]*--resume"):
        read_index(root)
    with pytest.raises(DataError, match="missing"):
        iter_images(root)
    assert read_index(root, partial=True).num_rows == 40
    assert len(list(iter_images(root, partial=True))) == 40


def test_an_exchanged_shard_is_refused(root: Path) -> None:
    shards = root / "shards"
    (shards / "shard-00000.parquet").replace(shards / "shard-00002.parquet")
    (shards / "shard-00000.json").unlink()
    with pytest.raises(DataError, match="not those committed"):
        read_index(root, partial=True)


def test_datasets_reads_pictures(root: Path, tmp_path: Path, make_sample: Make) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(
        "parquet", data_files=str(root / "shards" / "*.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.num_rows == sum(ROWS)
    assert {name for name, kind in loaded.features.items() if isinstance(kind, datasets.Image)} == set(IMAGE_COLUMNS)
    row = loaded[33]
    sample = make_sample(33)
    assert np.array_equal(np.asarray(row["image"]), decode_own_png(sample.image))
    assert np.array_equal(np.asarray(row["mask"]), decode_own_png(sample.mask or b""))
    assert np.array_equal(np.asarray(row["depth"]).astype(np.uint16), decode_own_png(sample.depth or b""))
    assert loaded[32]["depth"] is None
    assert row["landmarks"] == [list(point) for point in sample.landmarks]
    assert (row["seed"], row["synthetic"], row["chain"]) == (sample.seed, True, list(sample.chain))


def test_pandas_and_plain_pyarrow_read_it(root: Path, make_sample: Make) -> None:
    table = pq.read_table(root / "shards" / "shard-00000.parquet", filters=[("label", "=", "attack")])
    assert table.num_rows == 30
    assert table.column("image")[0]["bytes"].as_py() == make_sample(1).image
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(root / "shards" / "shard-00000.parquet")
    assert frame["image"][5]["bytes"] == make_sample(5).image
    assert set(frame["species"]) == {"bonafide", "print_a4", "replay_phone", "swap_blend+replay_phone"}


def test_links_in_the_store_are_not_followed(root: Path, tmp_path: Path) -> None:
    shards, outside = root / "shards", tmp_path / "outside"
    shards.rename(outside)
    shards.symlink_to(outside)
    with pytest.raises(DataError, match="link"):
        read_index(root)
    with pytest.raises(DataError, match="link"):
        Store.open(root)
    shards.unlink()
    outside.rename(shards)
    for name in ("shard-00000.parquet", "shard-00000.json"):
        (shards / name).rename(tmp_path / name)
        (shards / name).symlink_to(tmp_path / name)
        with pytest.raises(DataError, match="link"):
            read_index(root)
        assert not Store.open(root).verify().ok
        (shards / name).unlink()
        (tmp_path / name).rename(shards / name)
    for name in ("leases", "aside"):
        (root / name).rmdir()
        (root / name).symlink_to(tmp_path)
        with pytest.raises(DataError, match="link"):
            Store.open(root)
        (root / name).unlink()
    assert Store.open(root).verify().ok
    (root / "plan.json").rename(tmp_path / "plan.json")
    (root / "plan.json").symlink_to(tmp_path / "plan.json")
    with pytest.raises(DataError, match="link"):
        Store.open(root)


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_pipe_in_place_of_a_shard_is_refused_and_does_not_hang(root: Path) -> None:
    path = root / "shards" / "shard-00000.parquet"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="not a regular file"):
        read_index(root)


@pytest.mark.parametrize("path", ["/etc/passwd", "../../secret.png", "https://example.org/x.png"])
def test_a_crafted_row_with_a_path_is_refused(path: str, root: Path, make_sample: Make) -> None:
    rows = [make_sample(i).to_row() for i in range(40, 43)]
    rows[1]["image"] = {"bytes": None, "path": path}
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), root / "shards" / "shard-00002.parquet")
    with pytest.raises(DataError, match="holds the path"):
        list(iter_images(root))
    with pytest.raises(DataError, match="holds the path"):
        read_row(root, "s00000041")


def test_an_exchanged_picture_is_noticed(root: Path, make_sample: Make) -> None:
    rows = [make_sample(i).to_row() for i in range(40, 43)]
    rows[1]["image"]["bytes"] = make_sample(5).image
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), root / "shards" / "shard-00002.parquet")
    with pytest.raises(DataError, match="s00000041: its image is not the one recorded"):
        list(iter_images(root))


def test_a_foreign_parquet_file_is_refused(root: Path) -> None:
    path = root / "shards" / "shard-00000.parquet"
    pq.write_table(pa.table({"key": ["a"]}), path)
    with pytest.raises(DataError, match="columns are not spooflab's"):
        read_index(root)
    path.write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"shard-00000\.parquet: damaged"):
        read_index(root)
    assert json.loads((root / "plan.json").read_text())["shards"] == len(ROWS)
