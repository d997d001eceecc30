"""The folder of one run: written once, finished by a marker that carries the hashes of what it finishes."""

import fcntl
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spooflab.atomic import read_plain, write_over
from spooflab.errors import DataError
from spooflab.json_text import json_object

CONTENT = ("run.json", "scores.parquet", "worst.parquet")
DONE = "done"
FAILED = "failed.json"


class Busy(Exception):
    """Another process holds the run."""


@dataclass(frozen=True)
class RunFolder:
    """Paths and states of one run's folder."""

    path: Path

    @property
    def done(self) -> bool:
        """Whether the marker stands, which is written after everything else."""
        return (self.path / DONE).is_file()

    @property
    def failure(self) -> dict[str, Any] | None:
        """The recorded failure of an unfinished run."""
        file = self.path / FAILED
        if self.done or not file.is_file():
            return None
        return json_object(read_plain(file), file, wanted="the failure as the run noted it")

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file whole or not at all."""
        write_atomic(self.path / name, (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a Parquet file with page checksums, whole or not at all."""
        buffer = io.BytesIO()
        pq.write_table(table, buffer, write_page_checksum=True, compression="zstd")
        write_atomic(self.path / name, buffer.getvalue())

    def finish(self) -> None:
        """Write the marker: from here on the run counts, and is never written again."""
        hashes = {name: hashlib.sha256((self.path / name).read_bytes()).hexdigest() for name in CONTENT}
        self.write_json(DONE, hashes)
        (self.path / FAILED).unlink(missing_ok=True)

    def fail(self, reason: dict[str, Any]) -> None:
        """Record why the run is not finished."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_json(FAILED, reason)

    def read(self) -> tuple[dict[str, Any], pa.Table, pa.Table]:
        """Return run.json, scores and worst errors of a finished run.

        Raises:
            DataError: a file is missing or differs from the hash in the marker.
        """
        hashes = json_object(read_plain(self.path / DONE), self.path / DONE, wanted="the marker as the run wrote it")
        content: dict[str, bytes] = {}
        for name in CONTENT:
            try:
                content[name] = (self.path / name).read_bytes()
            except OSError as error:
                raise self._damaged(name, "missing") from error
            if hashlib.sha256(content[name]).hexdigest() != hashes.get(name):
                raise self._damaged(name, "changed since the run finished")
        tables = [pq.read_table(io.BytesIO(content[name]), page_checksum_verification=True) for name in CONTENT[1:]]
        record = json_object(content["run.json"], self.path / "run.json")
        return record, tables[0], tables[1]

    def _damaged(self, name: str, how: str) -> DataError:
        return DataError(
            f"{self.path / name}: {how}",
            wanted="the file as the run wrote it",
            next_step=f"delete {self.path} and repeat the study's command to run this cell again",
        )

    @contextmanager
    def lease(self, *, wait: bool = False) -> Iterator[None]:
        """Hold the run against other processes; the system lets go when the holder dies.

        Args:
            wait: until the other process is through, instead of raising.

        Raises:
            Busy: another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                raise Busy(f"{self.path} is being run by another process") from error
            yield


def write_atomic(path: Path, data: bytes) -> None:
    """Write aside, flush to disk, rename: a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_over(path, data)
