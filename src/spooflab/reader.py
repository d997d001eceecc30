"""Reading a store: the index as a table, pictures one by one, single samples. Only committed shards are read."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from spooflab.atomic import plain_folder
from spooflab.errors import DataError
from spooflab.records import CommitRecord, PlanFile, keys_sha256
from spooflab.sample import IMAGE_COLUMNS, SCHEMA, Sample, picture_bytes
from spooflab.shards import INDEX_COLUMNS, open_shard


@dataclass(frozen=True)
class _Shard:
    path: Path
    record: CommitRecord
    keys: tuple[str, ...]


def read_index(root: Path, *, partial: bool = False) -> pa.Table:
    """Return all columns but the pictures, in the plan's order.

    Args:
        root: folder of the store.
        partial: accept a store with shards that are still missing.

    Raises:
        DataError: no store, missing shards, damage, or a key that comes twice.
    """
    tables = []
    for shard in _shards(Path(root), partial=partial):
        with open_shard(shard.path) as file:
            tables.append(file.read(columns=list(INDEX_COLUMNS)).select(INDEX_COLUMNS))
    if not tables:
        return pa.schema([SCHEMA.field(name) for name in INDEX_COLUMNS]).empty_table()
    table = pa.concat_tables(tables).combine_chunks()
    counts = table.column("key").value_counts()
    twice = [entry["values"].as_py() for entry in counts if entry["counts"].as_py() > 1]
    if twice:
        raise DataError(
            f"{root}: {len(twice)} keys come twice, the first {twice[0]!r}",
            wanted="each key once",
            next_step=f"spooflab verify {root}",
        )
    return table.replace_schema_metadata(None)


def iter_rows(root: Path, columns: Sequence[str] | None = None, *, partial: bool = False) -> Iterator[pa.Table]:
    """Yield the rows in the plan's order, a few at a time: memory grows with a row group, not with the data set.

    Keys are checked against each shard's commit record; that none comes in two shards is for `spooflab verify`.

    Args:
        root: folder of the store.
        columns: which ones, in this order; all by default. `mask.path` reads that part of a struct alone.
        partial: accept a store with shards that are still missing.

    Raises:
        DataError: no store, missing shards, or damage.
    """
    wanted = list(SCHEMA.names if columns is None else columns)
    names = [name.partition(".")[0] for name in wanted]
    for path, record in _committed(Path(root), partial=partial):
        _keys(path, record)
        with open_shard(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=wanted).select(names).replace_schema_metadata(None)


def iter_images(
    root: Path, keys: Collection[str] | None = None, *, column: str = "image", partial: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Yield (key, PNG bytes) in the plan's order, checked against page checksums and, for `image`, its SHA-256.

    Args:
        root: folder of the store.
        keys: which samples; all by default.
        column: `image`, `mask` or `depth`; samples that have none are passed over.
        partial: accept a store with shards that are still missing.

    Raises:
        DataError: no store, missing shards, a key that is not there, or damage.
    """
    if column not in IMAGE_COLUMNS:
        raise DataError(f"column {column!r}", wanted=f"one of {', '.join(IMAGE_COLUMNS)}")
    shards = _shards(Path(root), partial=partial)
    wanted = None if keys is None else set(keys)
    if wanted is not None and (unknown := wanted.difference(*(s.keys for s in shards))):
        raise DataError(
            f"{root} holds no sample {min(unknown)!r} ({len(unknown)} such keys)", wanted="keys of its index"
        )
    return _images(shards, wanted, column)


def read_row(root: Path, key: str) -> Sample:
    """Return one sample.

    Raises:
        DataError: the key is not in a committed shard, or its shard is damaged.
    """
    for shard in _shards(Path(root), partial=True):
        if key in shard.keys:
            row = shard.keys.index(key)
            with open_shard(shard.path) as file:
                for group in range(file.num_row_groups):
                    size = file.metadata.row_group(group).num_rows
                    if row < size:
                        return Sample.from_row(file.read_row_group(group).slice(row, 1).to_pylist()[0])
                    row -= size
    raise DataError(f"{root} holds no sample {key!r}", wanted="a key of its index (column `key`)")


def _shards(root: Path, *, partial: bool) -> list[_Shard]:
    return [_Shard(path, record, _keys(path, record)) for path, record in _committed(root, partial=partial)]


def _committed(root: Path, *, partial: bool) -> list[tuple[Path, CommitRecord]]:
    plan_file = PlanFile.read(root / "plan.json")
    folder = plain_folder(root / "shards")
    shards, missing = [], []
    for number in range(plan_file.shards):
        record_path = folder / f"shard-{number:05d}.json"
        if not record_path.exists():
            missing.append(number)
            continue
        shards.append((folder / f"shard-{number:05d}.parquet", CommitRecord.read(record_path)))
    if missing and not partial:
        raise DataError(
            f"{root}: {len(missing)} of {plan_file.shards} shards are missing, the first {missing[0]}",
            wanted="a finished data set",
            next_step=f"spooflab generate --out {root} --resume",
        )
    return shards


def _keys(path: Path, record: CommitRecord) -> tuple[str, ...]:
    with open_shard(path) as file:
        keys = tuple(file.read(columns=["key"]).column("key").to_pylist())
    if keys_sha256(keys) != record.keys_sha256:
        raise DataError(
            f"{path}: its {len(keys)} keys are not those committed ({record.rows} rows)",
            wanted="the shard that its record names",
            next_step=f"spooflab verify {path.parent.parent}",
        )
    return keys


def _images(shards: list[_Shard], wanted: set[str] | None, column: str) -> Iterator[tuple[str, bytes]]:
    for shard in shards:
        if wanted is not None and wanted.isdisjoint(shard.keys):
            continue
        with open_shard(shard.path) as file:
            start = 0
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                if wanted is None or not wanted.isdisjoint(shard.keys[start:stop]):
                    table = file.read_row_group(group, columns=["key", column, "image_sha256"])
                    yield from _group_images(shard.path, table, wanted, column)
                start = stop


def _group_images(path: Path, table: pa.Table, wanted: set[str] | None, column: str) -> Iterator[tuple[str, bytes]]:
    for row in range(table.num_rows):
        key = table.column("key")[row].as_py()
        if wanted is not None and key not in wanted:
            continue
        data = picture_bytes(table.column(column)[row].as_py(), label=f"{path}: sample {key}", column=column)
        if data is None:
            continue
        if column == "image" and sha256(data).hexdigest() != table.column("image_sha256")[row].as_py():
            raise DataError(f"{path}: sample {key}: its image is not the one recorded", wanted="its SHA-256")
        yield key, data
