"""Shards as bytes: samples to one Parquet file, the same bytes for the same rows, and back with every check."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from spooflab.errors import DataError
from spooflab.location import Location
from spooflab.sample import IMAGE_COLUMNS, SCHEMA, Sample
from spooflab.store_files import StoreFiles

ROWS_PER_GROUP = 32
"""Rows that are compressed together: few, so that reading one picture unpacks little."""

INDEX_COLUMNS = tuple(name for name in SCHEMA.names if name not in IMAGE_COLUMNS)
"""All columns but the pictures."""

_PLAIN = [f.name for f in SCHEMA if not pa.types.is_nested(f.type) and f.name not in ("params", "image_sha256")]
# zstd level 3 and page checksums; dictionaries and statistics only where they are small.
_OPTIONS: dict[str, Any] = {
    "version": "2.6",
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": _PLAIN,
    "write_statistics": _PLAIN,
    "write_page_checksum": True,
    "store_schema": True,
}


def encode_shard(samples: Sequence[Sample]) -> pa.Buffer:
    """Write samples as one Parquet file: zstd, page checksums, no time, no host, no order but the given one."""
    table = pa.Table.from_pylist([sample.to_row() for sample in samples], schema=SCHEMA)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, SCHEMA, **_OPTIONS) as writer:
        if samples:  # no row group at all for no rows: `datasets` fails on an empty one
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)
    return sink.getvalue()


@contextmanager
def open_shard(files: StoreFiles, name: str, size: int | None = None) -> Iterator[pq.ParquetFile]:
    """Open a store's shard; see `read_parquet`. Of an object, only the parts that are asked for are fetched.

    Args:
        files: of the store.
        name: of the shard's file in it.
        size: of that file, where it is known.

    Raises:
        DataError: as `read_parquet`, or not a regular file.
    """
    with (
        files.open(name, size) as file,
        read_parquet(file, files.path(name), files.place, few_requests=files.remote) as shard,
    ):
        yield shard


@contextmanager
def read_parquet(
    file: BinaryIO, path: Location, root: Location, *, few_requests: bool = False
) -> Iterator[pq.ParquetFile]:
    """Read a shard with page checksums verified; what is damaged becomes a `DataError` naming the file.

    Args:
        file: its content.
        path: its place, for errors.
        root: its store's place, for errors.
        few_requests: fetch columns that lie close together at once.

    Raises:
        DataError: not Parquet, another schema, or a page whose checksum fails.
    """
    try:
        shard = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=few_requests)
        if shard.schema_arrow.names != SCHEMA.names or shard.schema_arrow.types != SCHEMA.types:
            raise DataError(f"{path}: its columns are not spooflab's", wanted=f"{', '.join(SCHEMA.names)}")
        yield shard
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: damaged: {(str(error).splitlines() or [repr(error)])[0]}",
            wanted="the bytes that were committed",
            next_step=f"spooflab verify {root}",
        ) from error
