"""The store: a folder of Parquet shards that are each made once, whole or absent, by any number of processes.

    plan.json                  what the store will hold; written first, by one process
    shards/shard-00000.parquet samples
    shards/shard-00000.json    commit record, written last: the shard counts only with it
    leases/                    who works on what now
    aside/                     files under way

A shard is committed by: lease, file written aside, fsync, rename, fsync of the folder, then the record in the same way.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from spooflab.atomic import disk_errors, fsync_folder, plain_folder, replace, write_aside, write_once
from spooflab.errors import DataError
from spooflab.lease import LEASE_S, Lease, last_sign, live_shards, newest_generation, note_path, take
from spooflab.reader import iter_images, iter_rows, read_index, read_row
from spooflab.records import CommitRecord, PlanFile, changed_keys, keys_sha256
from spooflab.sample import Sample, Skip
from spooflab.shards import encode_shard
from spooflab.verify import VerifyReport, verify_store

__all__ = ["COMMIT_POINTS", "Store", "iter_images", "iter_rows", "read_index", "read_row"]

COMMIT_POINTS = (
    "encoded",
    "parquet_written",
    "parquet_renamed",
    "record_next",
    "record_renamed",
)
"""Names that `commit` passes to its `hook`, in order: where a test may kill the process."""

_FOLDERS = ("shards", "leases", "aside")


class Store:
    """One data set's folder. Make it with `create`, or `open` what exists.

    Attributes:
        root: the folder.
        plan: the maker's plan, as stored.
        shards: number of shards of the plan.
    """

    def __init__(self, root: Path, plan_file: PlanFile, *, lease_s: float = LEASE_S) -> None:
        self.root, self._plan_file, self._lease_s = root, plan_file, lease_s
        self.plan: dict[str, Any] = plan_file.plan
        self.shards: int = plan_file.shards

    @classmethod
    def create(cls, root: Path, plan: Mapping[str, Any], *, shards: int, lease_s: float = LEASE_S) -> Self:
        """Start a store in an absent or empty folder.

        Args:
            root: the folder; parents are made.
            plan: JSON-ready mapping of everything that decides the samples.
            shards: how many shards the plan is cut into.
            lease_s: seconds without `renew` after which another process may take a shard over.

        Raises:
            DataError: the folder holds something, or cannot be written.
        """
        if shards < 1:
            raise DataError(f"plan of {shards} shards", wanted="at least one")
        plan_file = PlanFile(shards, _as_json(plan))
        root = Path(root)
        with disk_errors(f"{root}: cannot start a store"):
            root.mkdir(parents=True, exist_ok=True)
            _refuse_foreign(root)
            for name in _FOLDERS:
                (root / name).mkdir(exist_ok=True)
                plain_folder(root / name)
            made = write_once(root / "aside", root / "plan.json", plan_file.to_bytes())
        if not made:
            raise _holds_a_store(root)
        return cls(root, plan_file, lease_s=lease_s)

    @classmethod
    def open(cls, root: Path, plan: Mapping[str, Any] | None = None, *, lease_s: float = LEASE_S) -> Self:
        """Open an existing store.

        Args:
            root: the folder.
            plan: when given, it must equal the stored plan.
            lease_s: as in `create`.

        Raises:
            DataError: no store, a damaged plan, links in place of folders, or another plan: its changed keys are named.
        """
        root = Path(root)
        plan_file = PlanFile.read(root / "plan.json")
        for name in _FOLDERS:
            with suppress(OSError):  # copies of a data set come without the empty folders, or cannot be written
                (root / name).mkdir()
            if name == "shards" or os.path.lexists(root / name):
                plain_folder(root / name)
        if plan is not None and (changes := changed_keys(plan_file.plan, _as_json(plan))):
            raise DataError(
                f"{root} was begun with another plan: " + "; ".join(changes),
                wanted="the plan it was begun with",
                next_step="restore these, or choose a new folder with --out",
            )
        return cls(root, plan_file, lease_s=lease_s)

    @property
    def fingerprint(self) -> str:
        """Hash of the plan."""
        return self._plan_file.fingerprint

    def pending(self) -> list[int]:
        """Return the shards that have no commit record, in order; some may be under way elsewhere."""
        return [shard for shard in range(self.shards) if not self._record_path(shard).exists()]

    def committed(self) -> list[CommitRecord]:
        """Return the commit records, in order of shards."""
        return [self._record(shard) for shard in range(self.shards) if self._record_path(shard).exists()]

    def claim(self, shard: int) -> Lease | None:
        """Take a pending shard, or return None if it is committed or another process works on it.

        What a dead predecessor left aside is removed. Its shard stays until `commit` renames another over it: it may
        only have been stopped, and wake to publish a record of it.
        """
        if not 0 <= shard < self.shards:
            raise DataError(f"shard {shard} of {self.root}", wanted=f"0 … {self.shards - 1}")
        if self._record_path(shard).exists():
            return None
        with disk_errors(f"{self.root}: cannot take shard {shard}"):
            lease = take(self.root / "leases", shard, aside=self.root / "aside", term_s=self._lease_s)
            if lease is None:
                return None
            if self._record_path(shard).exists():  # committed and released between the two looks
                lease.release()
                return None
            self._clean_aside(shard)
        return lease

    def making(self, shard: int) -> str:
        """Return what the shard's newest holder, dead or alive, noted last; "" where it noted nothing."""
        newest = newest_generation(self.root / "leases", shard)
        if newest is None:
            return ""
        try:
            return note_path(self.root / "aside", shard, newest).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def silent_s(self, shard: int) -> float | None:
        """Return the seconds since the shard's holder gave a sign of life; None without a holder."""
        sign = last_sign(self.root / "leases", shard)
        return None if sign is None else time.time() - sign

    def record(self, shard: int) -> CommitRecord | None:
        """Return a shard's commit record, None where it is not committed."""
        return self._record(shard) if self._record_path(shard).exists() else None

    def shard_size(self, shard: int) -> int:
        """Return the bytes of a committed shard's file."""
        return self._shard_path(shard).stat().st_size

    def commit(
        self,
        lease: Lease,
        samples: Sequence[Sample],
        skips: Sequence[Skip] = (),
        *,
        hook: Callable[[str], None] | None = None,
    ) -> CommitRecord:
        """Publish a shard and its record; the lease stays with the caller.

        A shard that is committed already with the same bytes is left as it is, and its record returned.

        Args:
            lease: from `claim`, still held.
            samples: rows, in order.
            skips: planned samples that could not be made.
            hook: called with each of `COMMIT_POINTS` as it is reached; for tests.

        Raises:
            DataError: keys come twice, the disk refuses, or the shard is committed with other bytes.
            LeaseLost: another process has taken the shard over.
        """
        reach = hook or (lambda point: None)
        _refuse_twice(lease.shard, samples, skips)
        content = encode_shard(samples).to_pybytes()
        record = CommitRecord(
            shard=lease.shard,
            plan_fingerprint=self.fingerprint,
            sha256=hashlib.sha256(content).hexdigest(),
            rows=len(samples),
            keys_sha256=keys_sha256([sample.key for sample in samples]),
            skips=tuple(skips),
        )
        reach("encoded")
        if self._record_path(lease.shard).exists():
            return self._same_as_committed(record)
        aside = self.root / "aside" / f"shard-{lease.shard:05d}.{lease.generation:06d}.{lease.token}"
        with disk_errors(f"{self.root}: shard {lease.shard} ({len(content) / 1e6:.1f} MB) cannot be written"):
            try:
                write_aside(aside, content)
                reach("parquet_written")
                lease.check()
                replace(aside, self._shard_path(lease.shard))
                reach("parquet_renamed")
                lease.check()
                reach("record_next")
                made = write_once(self.root / "aside", self._record_path(lease.shard), record.to_bytes())
            except FileNotFoundError:
                lease.check()  # a successor has tidied up what this process had aside
                raise
            finally:
                aside.unlink(missing_ok=True)
        reach("record_renamed")
        return record if made else self._same_as_committed(record)

    def clean_partial(self) -> list[Path]:
        """Remove what processes that are gone left behind; return the paths. Shards under way are not touched."""
        live = live_shards(self.root / "leases")
        gone = [path for shard in range(self.shards) if shard not in live for path in self._clean(shard)]
        if not live:
            gone += _unlink(sorted((self.root / "aside").iterdir()))
            gone += _unlink(sorted((self.root / "leases").iterdir()))
        return gone

    def verify(self) -> VerifyReport:
        """Read everything and compare it with the records; see `spooflab.verify`."""
        return verify_store(self.root, self._plan_file)

    def _clean(self, shard: int) -> list[Path]:
        """Remove unfinished files of a shard that nobody holds."""
        gone = self._clean_aside(shard)
        return gone if self._record_path(shard).exists() else gone + _unlink([self._shard_path(shard)])

    def _clean_aside(self, shard: int) -> list[Path]:
        """Remove what others than the newest holder left aside of a shard."""
        held = newest_generation(self.root / "leases", shard)
        aside = self.root / "aside"
        return _unlink([p for p in sorted(aside.glob(f"shard-{shard:05d}.*")) if _generation(p) != held])

    def _same_as_committed(self, record: CommitRecord) -> CommitRecord:
        stored = self._record(record.shard)
        if stored != record:
            raise DataError(
                f"shard {record.shard} of {self.root} is committed with sha256 {stored.sha256[:12]}, "
                f"made again it has {record.sha256[:12]}",
                wanted="the same bytes from the same plan",
                next_step="run `spooflab verify`; if it is clean, this machine renders differently: use a new --out",
            )
        return stored

    def _record(self, shard: int) -> CommitRecord:
        return CommitRecord.read(self._record_path(shard))

    def _record_path(self, shard: int) -> Path:
        return self.root / "shards" / f"shard-{shard:05d}.json"

    def _shard_path(self, shard: int) -> Path:
        return self.root / "shards" / f"shard-{shard:05d}.parquet"


def _as_json(plan: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(json.loads(json.dumps(dict(plan), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise DataError(f"the plan is not JSON: {error}", wanted="text, finite numbers, lists and mappings") from error


def _refuse_foreign(root: Path) -> None:
    if (root / "plan.json").exists():
        raise _holds_a_store(root)
    foreign = sorted(set(os.listdir(root)) - set(_FOLDERS))
    if not foreign and (root / "shards").exists():
        foreign = [f"shards/{name}" for name in sorted(os.listdir(root / "shards"))]
    if foreign:
        raise DataError(
            f"{root} holds {', '.join(foreign[:3])}{' …' if len(foreign) > 3 else ''}",
            wanted="an empty or absent folder",
            next_step="choose another --out",
        )


def _holds_a_store(root: Path) -> DataError:
    return DataError(
        f"{root} already holds a data set",
        wanted="an empty or absent folder",
        next_step="go on with it by --resume, or choose another --out",
    )


def _refuse_twice(shard: int, samples: Sequence[Sample], skips: Sequence[Skip]) -> None:
    seen: set[str] = set()
    for key in (*(s.key for s in samples), *(s.key for s in skips)):
        if key in seen:
            raise DataError(f"shard {shard}: key {key!r} comes twice", wanted="each key once, made or skipped")
        seen.add(key)


def _generation(path: Path) -> int | None:
    part = path.name.split(".")[1]
    return int(part) if part.isdigit() else None


def _unlink(paths: Sequence[Path]) -> list[Path]:
    gone = []
    for path in paths:
        with suppress(FileNotFoundError):
            path.unlink()
            gone.append(path)
    if gone:
        fsync_folder(gone[0].parent)
    return gone
