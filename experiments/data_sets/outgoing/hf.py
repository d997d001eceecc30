"""Parquet files as the Hugging Face hub lays them out, with `Image` columns: `datasets.load_dataset(FOLDER)`."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spooflab.experiments.data_sets.outgoing.rows import OutgoingRow
from spooflab.experiments.data_sets.outgoing.slices import slices
from spooflab.sample import IMAGE_COLUMNS, SCHEMA
from spooflab.shards import ROWS_PER_GROUP


def write_hf(out: Path, rows: Iterable[OutgoingRow], *, total: int, per_shard: int, masks: bool) -> list[str]:
    """Write `data/train-00000-of-00003.parquet` and so on; return their names."""
    (out / "data").mkdir()
    files, schema = max(1, -(-total // per_shard)), hf_schema(masks=masks)
    names = []
    for number, part in enumerate(slices(rows, per_shard)):
        name = f"data/train-{number:05d}-of-{files:05d}.parquet"
        with pq.ParquetWriter(out / name, schema, compression="zstd", write_page_checksum=True) as writer:
            for group in _groups(part):
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
        names.append(name)
    return names


def hf_schema(*, masks: bool) -> pa.Schema:
    """Return the store's schema without the pictures that do not leave it, and with `file_sha256`."""
    gone = {name for name in IMAGE_COLUMNS if name != "image" and not (masks and name == "mask")}
    kept = [column for column in SCHEMA if column.name not in gone]
    features = json.loads(SCHEMA.metadata[b"huggingface"])["info"]["features"]
    shown = {column.name: features[column.name] for column in kept} | {
        "file_sha256": {"dtype": "string", "_type": "Value"}
    }
    metadata = {"huggingface": json.dumps({"info": {"features": shown}})}
    return pa.schema([*kept, pa.field("file_sha256", pa.string())], metadata=metadata)


def _groups(rows: Iterable[OutgoingRow]) -> Iterable[list[dict[str, Any]]]:
    for part in slices(rows, ROWS_PER_GROUP):
        yield [
            {**row.record, "image": _cell(row.key, row.picture), "mask": row.mask and _cell(row.key, row.mask)}
            for row in part
        ]


def _cell(key: str, data: bytes) -> dict[str, Any]:
    return {"bytes": data, "path": f"{key}.png"}
