"""Scores as CSV or Parquet, row by row, under their final name only when all are there."""

import csv
import math
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from spooflab.atomic import disk_errors, replace
from spooflab.errors import ConfigError
from spooflab.experiments.export.score import ScoredPicture

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("score", pa.float64()),
        ("decision", pa.string()),
        ("label", pa.string()),
        ("species", pa.string()),
        ("subject", pa.string()),
        ("device", pa.string()),
        ("log_odds", pa.float64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)
"""`score`, `label`, `species`, `subject` and `device` are named as `spooflab evaluate` reads them."""

_ROWS = 1024


class Writer(Protocol):
    """Takes rows as they come."""

    def write(self, row: ScoredPicture) -> None:
        """Take one row."""


def as_row(scored: ScoredPicture) -> dict[str, Any]:
    """Return a row of `SCHEMA`; a score that is missing is null."""
    facts = scored.facts
    return {
        "key": scored.name,
        "score": _known(scored.score),
        "decision": scored.decision,
        "label": facts.label,
        "species": facts.species,
        "subject": facts.subject,
        "device": facts.device,
        "log_odds": _known(scored.log_odds),
        "reason": scored.reason,
        "detail": scored.detail,
    }


@contextmanager
def open_writer(path: Path) -> Iterator[Writer]:
    """Lend a writer of `path`, CSV or Parquet by its suffix; nothing is there unless the block ends well.

    Raises:
        ConfigError: another suffix.
        DataError: the disk refuses.
    """
    check_suffix(path)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with disk_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _csv(aside) if path.suffix == ".csv" else _parquet(aside) as writer:
                yield writer
            descriptor = os.open(aside, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
            replace(aside, path)
        finally:
            with suppress(OSError):
                aside.unlink()


def check_suffix(path: Path) -> None:
    """Raise `ConfigError` unless the suffix is one that is written."""
    if path.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"--out {path}", wanted="a name that ends in .csv or .parquet")


class _Csv:
    def __init__(self, file: Any) -> None:
        self.writer = csv.DictWriter(file, SCHEMA.names)
        self.writer.writeheader()

    def write(self, row: ScoredPicture) -> None:
        told = as_row(row)
        # repr keeps every digit of a float; an empty cell is a failure to acquire.
        told |= {name: "" if told[name] is None else repr(told[name]) for name in ("score", "log_odds")}
        self.writer.writerow(told)


class _Parquet:
    def __init__(self, writer: pq.ParquetWriter) -> None:
        self.writer, self.held = writer, list[dict[str, Any]]()

    def write(self, row: ScoredPicture) -> None:
        self.held.append(as_row(row))
        if len(self.held) == _ROWS:
            self.flush()

    def flush(self) -> None:
        self.writer.write_table(pa.Table.from_pylist(self.held, schema=SCHEMA))
        self.held.clear()


@contextmanager
def _csv(path: Path) -> Iterator[Writer]:
    with path.open("x", encoding="utf-8", newline="") as file:
        yield _Csv(file)


@contextmanager
def _parquet(path: Path) -> Iterator[Writer]:
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", write_page_checksum=True) as file:
        writer = _Parquet(file)
        yield writer
        writer.flush()


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
