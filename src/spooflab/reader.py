"""Reading a store: the index as a table, pictures one by one, single samples. Only committed shards are read."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet as pq

from spooflab.errors import DataError
from spooflab.location import Location
from spooflab.records import CommitRecord, PlanFile, keys_sha256, parquet_name, record_name, recorded_shards
from spooflab.sample import IMAGE_COLUMNS, SCHEMA, Sample, picture_bytes
from spooflab.shards import INDEX_COLUMNS, open_shard
from spooflab.store_files import StoreFiles, files_at


@dataclass(frozen=True)
class _Shard:
    files: StoreFiles
    name: str
    size: int
    record: CommitRecord

    @property
    def path(self) -> Location:
        return self.files.path(self.name)

    def open(self) -> AbstractContextManager[pq.ParquetFile]:
        return open_shard(self.files, self.name, self.size)

    def keys(self) -> tuple[str, ...]:
        """Read the keys, and hold them against the record."""
        with self.open() as file:
            return self.checked(file.read(columns=["key"]))

    def checked(self, table: pa.Table) -> tuple[str, ...]:
        keys = tuple(table.column("key").to_pylist())
        if keys_sha256(keys) != self.record.keys_sha256:
            raise DataError(
                f"{self.path}: its {len(keys)} keys are not those committed ({self.record.rows} rows)",
                wanted="the shard that its record names",
                next_step=f"spooflab verify {self.files.place}",
            )
        return keys


def read_index(root: str | Location, *, partial: bool = False) -> pa.Table:
    """Return all columns but the pictures, in the plan's order.

    Args:
        root: folder or URL of the store.
        partial: accept a store with shards that are still missing.

    Raises:
        DataError: no store, missing shards, damage, or a key that comes twice.
    """
    tables = []
    for shard in _committed(root, partial=partial):
        with shard.open() as file:
            table = file.read(columns=list(INDEX_COLUMNS)).select(INDEX_COLUMNS)
        shard.checked(table)
        tables.append(table)
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


def iter_rows(
    root: str | Location, columns: Sequence[str] | None = None, *, partial: bool = False
) -> Iterator[pa.Table]:
    """Yield the rows in the plan's order, a few at a time: memory grows with a row group, not with the data set.

    Keys are checked against each shard's commit record; that none comes in two shards is for `spooflab verify`.

    Args:
        root: folder or URL of the store.
        columns: which ones, in this order; all by default. `mask.path` reads that part of a struct alone.
        partial: accept a store with shards that are still missing.

    Raises:
        DataError: no store, missing shards, or damage.
    """
    wanted = list(SCHEMA.names if columns is None else columns)
    names = [name.partition(".")[0] for name in wanted]
    for shard in _committed(root, partial=partial):
        with shard.open() as file:
            shard.checked(file.read(columns=["key"]))
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=wanted).select(names).replace_schema_metadata(None)


def iter_images(
    root: str | Location, keys: Collection[str] | None = None, *, column: str = "image", partial: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Yield (key, PNG bytes) in the plan's order, checked against page checksums and, for `image`, its SHA-256.

    Args:
        root: folder or URL of the store.
        keys: which samples; all by default.
        column: `image`, `mask` or `depth`; samples that have none are passed over.
        partial: accept a store with shards that are still missing.

    Raises:
        DataError: no store, missing shards, a key that is not there, or damage.
    """
    if column not in IMAGE_COLUMNS:
        raise DataError(f"column {column!r}", wanted=f"one of {', '.join(IMAGE_COLUMNS)}")
    found = [(shard, shard.keys()) for shard in _committed(root, partial=partial)]
    wanted = None if keys is None else set(keys)
    if wanted is not None and (unknown := wanted.difference(*(own for _, own in found))):
        raise DataError(
            f"{root} holds no sample {min(unknown)!r} ({len(unknown)} such keys)", wanted="keys of its index"
        )
    return _images(found, wanted, column)


def read_row(root: str | Location, key: str) -> Sample:
    """Return one sample.

    Raises:
        DataError: the key is not in a committed shard, or its shard is damaged.
    """
    for shard in _committed(root, partial=True):
        keys = shard.keys()
        if key in keys:
            row = keys.index(key)
            with shard.open() as file:
                for group in range(file.num_row_groups):
                    size = file.metadata.row_group(group).num_rows
                    if row < size:
                        return Sample.from_row(file.read_row_group(group).slice(row, 1).to_pylist()[0])
                    row -= size
    raise DataError(f"{root} holds no sample {key!r}", wanted="a key of its index (column `key`)")


def _committed(root: str | Location, *, partial: bool) -> list[_Shard]:
    """Find the committed shards: the plan, one listing, and all records."""
    files = files_at(root)
    plan_file = PlanFile.of(files)
    files.check_folder("shards")
    present = files.sizes("shards")
    done = [number for number in recorded_shards(present) if number < plan_file.shards]
    if len(done) < plan_file.shards and not partial:
        held = set(done)
        missing = [number for number in range(plan_file.shards) if number not in held]
        raise DataError(
            f"{root}: {len(missing)} of {plan_file.shards} shards are missing, the first {missing[0]}",
            wanted="a finished data set",
            next_step=f"spooflab generate --out {root} --resume",
        )
    names = [record_name(number) for number in done]
    records = [CommitRecord.parse(c, files.path(n)) for c, n in zip(files.read_all(names), names, strict=True)]
    found = [(record, parquet_name(record, present)) for record in records]
    return [_Shard(files, name, present.get(name.partition("/")[2], 0), record) for record, name in found]


def _images(
    shards: Sequence[tuple[_Shard, tuple[str, ...]]], wanted: set[str] | None, column: str
) -> Iterator[tuple[str, bytes]]:
    for shard, keys in shards:
        if wanted is not None and wanted.isdisjoint(keys):
            continue
        with shard.open() as file:
            start = 0
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                if wanted is None or not wanted.isdisjoint(keys[start:stop]):
                    table = file.read_row_group(group, columns=["key", column, "image_sha256"])
                    yield from _group_images(shard.path, table, wanted, column)
                start = stop


def _group_images(path: Location, table: pa.Table, wanted: set[str] | None, column: str) -> Iterator[tuple[str, bytes]]:
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
