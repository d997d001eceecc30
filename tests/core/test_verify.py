import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spooflab.errors import DataError
from spooflab.sample import SCHEMA, Sample, Skip
from spooflab.store import Store, iter_images, read_index

Make = Callable[..., Sample]


@pytest.fixture
def store(tmp_path: Path, make_sample: Make) -> Store:
    store = Store.create(tmp_path, {"seed": 1}, shards=3)
    for shard in range(3):
        with store.claim(shard) as lease:  # type: ignore[union-attr]  # nobody else is about
            samples = [make_sample(shard * 10 + row, size=16) for row in range(3)]
            store.commit(lease, samples, [Skip(f"skip{shard}", "print_a4", "too_small")])
    return store


def file_of(store: Store, shard: int, kind: str = "parquet") -> Path:
    return store.root / "shards" / f"shard-{shard:05d}.{kind}"


def flip(path: Path, place: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(bytes(data))


def test_a_whole_store(store: Store) -> None:
    report = store.verify()
    assert report.ok
    assert (report.shards, report.committed, report.rows, report.skips, report.problems) == (3, 3, 9, 3, ())
    assert report.summary() == "9 rows, 3 skipped, 3/3 shards: 0 missing, 0 duplicate, 0 corrupt"
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


def test_missing_shards(store: Store) -> None:
    file_of(store, 1, "json").unlink()
    report = store.verify()
    assert not report.ok
    assert (report.count("missing"), report.count("orphan")) == (1, 1)
    assert report.problems[0].shard == 1
    assert "--resume" in report.summary()
    file_of(store, 1).unlink()
    assert [p.kind for p in store.verify().problems] == ["missing"]


def test_a_record_without_its_shard(store: Store) -> None:
    file_of(store, 2).unlink()
    report = store.verify()
    assert [(p.kind, p.shard) for p in report.problems] == [("corrupt", 2)]
    assert "shard-00002" in report.summary()


def test_duplicates_name_both_places(store: Store, make_sample: Make, tmp_path: Path) -> None:
    other = Store.create(tmp_path / "other", store.plan, shards=3)
    lease = other.claim(2)
    assert lease is not None
    other.commit(lease, [make_sample(20, size=16), make_sample(1, size=16)], [Skip("skip0", "print_a4", "too_small")])
    for kind in ("parquet", "json"):
        file_of(other, 2, kind).replace(file_of(store, 2, kind))
    report = store.verify()
    assert [(p.kind, p.shard, p.key) for p in report.problems] == [
        ("duplicate", 2, "s00000001"),
        ("duplicate", 2, "skip0"),
    ]
    assert "in shard-00000 and again in shard-00002" in report.problems[0].detail
    with pytest.raises(DataError, match="1 keys come twice, the first 's00000001'"):
        read_index(store.root)


def test_shards_of_another_plan_or_number(store: Store, make_sample: Make, tmp_path: Path) -> None:
    other = Store.create(tmp_path / "other", {"seed": 2}, shards=1)
    lease = other.claim(0)
    assert lease is not None
    other.commit(lease, [make_sample(50, size=16)])
    for kind in ("parquet", "json"):
        file_of(other, 0, kind).replace(file_of(store, 0, kind))
    file_of(store, 2, "json").write_bytes(file_of(store, 1, "json").read_bytes())
    report = store.verify()
    assert [(p.kind, p.shard) for p in report.problems] == [("corrupt", 0), ("corrupt", 2)]
    assert all("belongs to another plan or shard" in p.detail for p in report.problems)


def test_a_damaged_page_names_row_key_and_column(tmp_path: Path, make_sample: Make) -> None:
    store = Store.create(tmp_path, {"seed": 1}, shards=1)
    with store.claim(0) as lease:  # type: ignore[union-attr]  # nobody else is about
        store.commit(lease, [make_sample(row) for row in range(70)])
    chunk = pq.ParquetFile(file_of(store, 0)).metadata.row_group(1).column(1)
    assert chunk.path_in_schema == "image.bytes"
    flip(file_of(store, 0), chunk.data_page_offset + chunk.total_compressed_size // 2)
    report = store.verify()
    found = [p for p in report.problems if p.kind == "corrupt"]
    assert [(p.shard, p.row, p.key) for p in found] == [(0, 32, "s00000032")]
    assert "rows 32 to 63" in found[0].detail
    assert "column image is damaged" in found[0].detail
    with pytest.raises(DataError, match=r"shard-00000\.parquet: damaged[\s\S]*spooflab verify"):
        list(iter_images(tmp_path))


def test_a_wrong_picture_under_a_right_file_hash_is_found(tmp_path: Path, make_sample: Make) -> None:
    store = Store.create(tmp_path, {"seed": 1}, shards=1)
    lease = store.claim(0)
    assert lease is not None
    store.commit(lease, [make_sample(row) for row in range(3)])
    rows = [make_sample(row).to_row() for row in range(3)]
    rows[1]["image"]["bytes"] = rows[2]["image"]["bytes"]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file_of(store, 0))
    problems = store.verify().problems
    assert [(p.row, p.key) for p in problems] == [(1, "s00000001")]
    assert "image hashes to" in problems[0].detail


def test_orphans_are_told_and_do_no_harm(store: Store) -> None:
    (store.root / "aside" / "shard-00000.000000.gone").write_bytes(b"x")
    (store.root / "shards" / "notes.txt").write_bytes(b"x")
    report = store.verify()
    assert report.ok
    assert report.count("orphan") == 2
    lease = Store.create(store.root / "else", {}, shards=1).claim(0)
    assert lease is not None
    (store.root / "else" / "aside" / "under-way").write_bytes(b"x")
    assert Store.open(store.root / "else").verify().count("orphan") == 0


def test_long_reports_are_cut(store: Store) -> None:
    for number in range(30):
        (store.root / "shards" / f"stray{number}").write_bytes(b"")
    assert store.verify().summary(most=5).splitlines()[-1] == "… and 25 more"
