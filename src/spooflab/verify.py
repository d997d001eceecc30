"""Proof that a store is whole: every shard, page, row and picture is read and compared with what was committed."""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from spooflab.errors import DataError, StoreUnreachable
from spooflab.lease import live_shards
from spooflab.location import Location
from spooflab.records import CommitRecord, PlanFile, keys_sha256, parquet_name, record_name
from spooflab.sample import Sample
from spooflab.shards import read_parquet
from spooflab.store_files import StoreFiles

_FILE = re.compile(r"shard-(\d{5,})((?:\.[0-9a-f]{16})?\.parquet|\.json)")

Kind = Literal["missing", "duplicate", "corrupt", "orphan"]


@dataclass(frozen=True)
class Problem:
    """One finding.

    Attributes:
        kind: `missing` shard, `duplicate` key, `corrupt` bytes or record, `orphan` file that belongs to nothing.
        shard: its number, where the finding belongs to one.
        row: first row concerned, counted in the shard from 0, where it is known.
        key: that row's key, where it is known.
        detail: what was seen, for a person.
    """

    kind: Kind
    shard: int | None
    row: int | None
    key: str | None
    detail: str


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found.

    Attributes:
        root: the store's folder or URL.
        shards: planned.
        committed: shards with a commit record.
        rows: samples in committed shards.
        skips: planned samples that were skipped with a reason.
        problems: all findings, in order of shards.
    """

    root: Location
    shards: int
    committed: int
    rows: int
    skips: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, duplicate or corrupt; orphans waste space and harm nothing."""
        return all(problem.kind == "orphan" for problem in self.problems)

    def count(self, kind: Kind) -> int:
        """Return how many findings are of a kind."""
        return sum(problem.kind == kind for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        counts: dict[str, Any] = {k: self.count(k) for k in ("missing", "duplicate", "corrupt", "orphan")}
        head = {
            "ok": self.ok,
            "shards": self.shards,
            "committed": self.committed,
            "rows": self.rows,
            "skips": self.skips,
        }
        return {"root": str(self.root), **head, **counts, "problems": [asdict(problem) for problem in self.problems]}

    def summary(self, *, most: int = 20) -> str:
        """Return a few lines for a person, with at most `most` findings and the next step."""
        lines = [
            f"{self.rows} rows, {self.skips} skipped, {self.committed}/{self.shards} shards: "
            f"{self.count('missing')} missing, {self.count('duplicate')} duplicate, {self.count('corrupt')} corrupt"
        ]
        lines += [f"{problem.kind}: {problem.detail}" for problem in self.problems[:most]]
        if len(self.problems) > most:
            lines.append(f"… and {len(self.problems) - most} more")
        if self.count("corrupt") or self.count("duplicate"):
            lines.append("next: remove the shards named (both files), then run generate with --resume")
        elif self.count("missing"):
            lines.append(f"next: spooflab generate --out {self.root} --resume")
        return "\n".join(lines)


def verify_store(files: StoreFiles, plan_file: PlanFile) -> VerifyReport:
    """Check every shard of a store against its commit record and every row against itself."""
    files.check_folder("shards")
    present = frozenset(files.names("shards"))
    problems: list[Problem] = []
    records: dict[int, CommitRecord] = {}
    keys: dict[str, str] = {}
    for shard in range(plan_file.shards):
        record = _record(files, shard, plan_file, present, problems)
        if record is None:
            continue
        records[shard] = record
        found = _check_shard(files, parquet_name(record, present), record, problems)
        found += [skip.key for skip in record.skips]
        for row, key in enumerate(found):
            if key in keys:
                detail = f"key {key} in {keys[key]} and again in {_name(shard)}"
                problems.append(Problem("duplicate", shard, row, key, detail))
            keys.setdefault(key, _name(shard))
    problems += _orphans(files, plan_file, present, records)
    return VerifyReport(
        root=files.place,
        shards=plan_file.shards,
        committed=len(records),
        rows=sum(record.rows for record in records.values()),
        skips=sum(len(record.skips) for record in records.values()),
        problems=tuple(problems),
    )


def _record(
    files: StoreFiles, shard: int, plan_file: PlanFile, present: Collection[str], problems: list[Problem]
) -> CommitRecord | None:
    name = record_name(shard)
    if name.partition("/")[2] not in present:
        problems.append(Problem("missing", shard, None, None, f"{_name(shard)} is not committed"))
        return None
    try:
        record = CommitRecord.parse(files.read(name), files.path(name))
    except StoreUnreachable:
        raise
    except DataError as error:
        problems.append(Problem("corrupt", shard, None, None, error.seen))
        return None
    if record.plan_fingerprint != plan_file.fingerprint or record.shard != shard:
        detail = f"{files.path(name)} belongs to another plan or shard"
        problems.append(Problem("corrupt", shard, None, None, detail))
        return None
    return record


def _check_shard(files: StoreFiles, name: str, record: CommitRecord, problems: list[Problem]) -> list[str]:
    """Add what is wrong with one shard to `problems`; return the keys that could be read."""
    path = files.path(name)
    try:
        content = files.read(name)
    except StoreUnreachable:
        raise
    except DataError as error:
        problems.append(Problem("corrupt", record.shard, None, None, error.seen))
        return []
    whole = hashlib.sha256(content).hexdigest() == record.sha256
    found: list[Problem] = []
    keys: list[str] = []
    try:
        with read_parquet(BytesIO(content), path, files.place) as file:
            keys = _check_rows(file, record.shard, found)
    except DataError as error:
        found.append(Problem("corrupt", record.shard, None, None, error.seen))
    if whole and (len(keys) != record.rows or keys_sha256(keys) != record.keys_sha256) and not found:
        found.append(Problem("corrupt", record.shard, None, None, f"{path}: rows are not those of its record"))
    if not whole and not found:
        detail = f"{path}: its SHA-256 is not the one committed, though every page reads"
        found.append(Problem("corrupt", record.shard, None, None, detail))
    problems += found
    return keys


def _check_rows(file: pq.ParquetFile, shard: int, found: list[Problem]) -> list[str]:
    keys: list[str] = []
    start = 0
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        try:
            rows = file.read_row_group(group).to_pylist()
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            found += _damage(file, group, shard, start, size)
        else:
            for row, values in enumerate(rows, start):
                keys.append(str(values["key"]))
                try:
                    Sample.from_row(values)
                except DataError as error:
                    detail = f"{_name(shard)} row {row}: {error.seen}"
                    found.append(Problem("corrupt", shard, row, str(values["key"]), detail))
        start += size
    return keys


def _damage(file: pq.ParquetFile, group: int, shard: int, start: int, size: int) -> Iterator[Problem]:
    """Find which columns of a row group fail, and from which row on."""
    names = list(_readable(file, group, "key"))
    for column in file.schema_arrow.names:
        good = sum(1 for _ in _readable(file, group, column))
        if good < size:
            key = names[good] if good < len(names) else None
            where = f"{_name(shard)} rows {start + good} to {start + size - 1}" + (
                f" (from sample {key})" if key else ""
            )
            yield Problem("corrupt", shard, start + good, key, f"{where}: column {column} is damaged")


def _readable(file: pq.ParquetFile, group: int, column: str) -> Iterator[Any]:
    """Yield the values of one column until the first that cannot be read."""
    try:
        for batch in file.iter_batches(batch_size=1, row_groups=[group], columns=[column], use_threads=False):
            yield batch.column(0)[0].as_py()
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return


def _orphans(
    files: StoreFiles, plan_file: PlanFile, present: Collection[str], records: Mapping[int, CommitRecord]
) -> Iterator[Problem]:
    for name in sorted(present):
        if not _belongs(name, plan_file, present, records):
            detail = f"{files.path(f'shards/{name}')} belongs to no committed shard"
            yield Problem("orphan", None, None, None, detail)
    aside = files.names("aside")
    if aside and not live_shards(files):
        for name in aside:
            detail = f"{files.path(f'aside/{name}')} was left by a process that is gone"
            yield Problem("orphan", None, None, None, detail)


def _belongs(name: str, plan_file: PlanFile, present: Collection[str], records: Mapping[int, CommitRecord]) -> bool:
    match = _FILE.fullmatch(name)
    if match is None or int(match[1]) >= plan_file.shards:
        return False
    shard, record = int(match[1]), record_name(int(match[1])).partition("/")[2]
    if match[2] == ".json":
        return name == record
    if shard in records:
        return f"shards/{name}" == parquet_name(records[shard], present)
    return record in present  # of a record that cannot be read nobody knows which file it speaks of


def _name(shard: int) -> str:
    return f"shard-{shard:05d}"
