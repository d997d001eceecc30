"""The store: Parquet shards in a folder or object store, each made once, whole or absent, by any number of processes.

    plan.json                  what the store will hold; written first, by one process
    shards/shard-00000.parquet samples
    shards/shard-00000.json    commit record, written last: the shard counts only with it
    leases/                    who works on what now
    aside/                     files under way

In a folder a shard is committed by: lease, file written aside, fsync, rename, fsync of the folder, then the record in
the same way. In an object store by: lease, object `shard-00000.<hash of its bytes>.parquet`, then the record, created
only if there is none. Two writers never meet under one name there unless with the same bytes, and nothing that a record
may come to speak of is removed; so a shard is whole whatever the leases say.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

import pyarrow.parquet as pq

from spooflab.errors import DataError
from spooflab.lease import LEASE_S, Lease, LeaseLost, live_shards, making, newest_generations, silent_s, take
from spooflab.location import Location
from spooflab.reader import iter_images, iter_rows, read_index, read_row
from spooflab.records import (
    PLAN,
    CommitRecord,
    PlanFile,
    changed_keys,
    keys_sha256,
    own_parquet_name,
    parquet_name,
    plain_parquet_name,
    record_name,
    recorded_shards,
)
from spooflab.sample import Sample, Skip
from spooflab.shards import encode_shard, open_shard
from spooflab.store_files import StoreFiles, files_at
from spooflab.verify import VerifyReport, verify_store

__all__ = ["COMMIT_POINTS", "Store", "iter_images", "iter_rows", "read_index", "read_row"]

COMMIT_POINTS = (
    "encoded",
    "parquet_written",
    "parquet_renamed",
    "record_next",
    "record_renamed",
)
"""Names that `commit` passes to its `hook`, in order: where a test may kill the process.

An object store has no `parquet_written`: nothing is written aside there.
"""

_FOLDERS = ("shards", "leases", "aside")
_PARQUET = re.compile(r"shard-(\d{5,})(\.[0-9a-f]{16})?\.parquet")


class Store:
    """One data set's folder or URL. Make it with `create`, or `open` what exists.

    Attributes:
        root: the folder or URL.
        plan: the maker's plan, as stored.
        shards: number of shards of the plan.
    """

    def __init__(self, files: StoreFiles, plan_file: PlanFile, *, lease_s: float = LEASE_S) -> None:
        self._files, self._plan_file, self._lease_s = files, plan_file, lease_s
        self.plan: dict[str, Any] = plan_file.plan
        self.shards: int = plan_file.shards

    @property
    def root(self) -> Location:
        """The folder or URL."""
        return self._files.place

    @classmethod
    def create(cls, root: str | Location, plan: Mapping[str, Any], *, shards: int, lease_s: float = LEASE_S) -> Self:
        """Start a store in an absent or empty folder, or under an unused prefix of an object store.

        Args:
            root: the folder, whose parents are made, or a URL such as `s3://bucket/prefix`.
            plan: JSON-ready mapping of everything that decides the samples.
            shards: how many shards the plan is cut into.
            lease_s: seconds without `renew` after which another process may take a shard over.

        Raises:
            DataError: the place holds something, cannot be written, or lets two writers create the same object.
            ConfigError: a URL with credentials in it, or of an unknown file system.
        """
        if shards < 1:
            raise DataError(f"plan of {shards} shards", wanted="at least one")
        plan_file, files = PlanFile(shards, _as_json(plan)), files_at(root)
        with files.refusals(f"{files.place}: cannot start a store"):
            _refuse_foreign(files)
            files.begin(_FOLDERS)
            made = files.write_once(PLAN, plan_file.to_bytes())
        if not made:
            raise _holds_a_store(files)
        return cls(files, plan_file, lease_s=lease_s)

    @classmethod
    def open(cls, root: str | Location, plan: Mapping[str, Any] | None = None, *, lease_s: float = LEASE_S) -> Self:
        """Open an existing store.

        Args:
            root: the folder or URL.
            plan: when given, it must equal the stored plan.
            lease_s: as in `create`.

        Raises:
            DataError: no store, a damaged plan, links in place of folders, or another plan: its changed keys are named.
            ConfigError: as `create`.
        """
        files = files_at(root)
        plan_file = PlanFile.of(files)
        files.reopen(_FOLDERS)
        if plan is not None and (changes := changed_keys(plan_file.plan, _as_json(plan))):
            raise DataError(
                f"{files.place} was begun with another plan: " + "; ".join(changes),
                wanted="the plan it was begun with",
                next_step="restore these, or choose a new folder with --out",
            )
        return cls(files, plan_file, lease_s=lease_s)

    @staticmethod
    def begun(root: str | Location) -> bool:
        """Return whether a store was begun at a place."""
        return files_at(root).exists(PLAN)

    @property
    def fingerprint(self) -> str:
        """Hash of the plan."""
        return self._plan_file.fingerprint

    def pending(self) -> list[int]:
        """Return the shards that have no commit record, in order; some may be under way elsewhere. One listing."""
        done = set(recorded_shards(self._files.names("shards")))
        return [shard for shard in range(self.shards) if shard not in done]

    def committed(self) -> list[CommitRecord]:
        """Return the commit records, in order of shards. One listing, and each record is read."""
        return self._records(self._files.names("shards"))

    def stored_bytes(self) -> int:
        """Return the bytes of the committed shards' files. One listing; no record is read."""
        sizes = self._files.sizes("shards")
        done = set(recorded_shards(sizes))
        found = ((_PARQUET.fullmatch(name), size) for name, size in sizes.items())
        return sum(size for match, size in found if match and int(match[1]) in done)

    def claim(self, shard: int) -> Lease | None:
        """Take a pending shard, or return None if it is committed or another process works on it.

        What a dead predecessor left aside is removed. Its shard stays until `commit` renames another over it: it may
        only have been stopped, and wake to publish a record of it.
        """
        if not 0 <= shard < self.shards:
            raise DataError(f"shard {shard} of {self.root}", wanted=f"0 … {self.shards - 1}")
        if self._is_committed(shard):
            return None
        with self._files.refusals(f"{self.root}: cannot take shard {shard}"):
            lease = take(self._files, shard, term_s=self._lease_s)
            if lease is None:
                return None
            if self._is_committed(shard):  # committed and released between the two looks
                lease.release()
                return None
            if not self._files.remote:  # of objects, a late holder's record may still come to speak of one
                self._clean_aside(shard, self._files.names("aside"), held=lease.generation)
        return lease

    def making(self, shard: int) -> str:
        """Return what the shard's newest holder, dead or alive, noted last; "" where it noted nothing.

        Of an object store's, what a holder on this machine noted.
        """
        return making(self._files, shard)

    def silent_s(self, shard: int) -> float | None:
        """Return the seconds since the shard's holder gave a sign of life; None without a holder.

        Of an object store's, a holder on this machine.
        """
        return silent_s(self._files, shard)

    def record(self, shard: int) -> CommitRecord | None:
        """Return a shard's commit record, None where it is not committed."""
        return self._record(shard) if self._is_committed(shard) else None

    def shard_size(self, record: CommitRecord) -> int:
        """Return the bytes of a committed shard's file."""
        return self.shard_file(record)[1]

    def shard_file(self, record: CommitRecord) -> tuple[str, int]:
        """Return name and bytes of a committed shard's file; of either kind, for copies of folders and of objects."""
        names = [plain_parquet_name(record.shard), own_parquet_name(record.shard, record.sha256)]
        for name in reversed(names) if self._files.remote else names:
            if (size := self._files.size(name)) is not None:
                return name, size
        raise DataError(f"{self._files.path(names[0])}: missing", wanted="the file that its commit record speaks of")

    def open_shard(self, record: CommitRecord) -> AbstractContextManager[pq.ParquetFile]:
        """Open a committed shard's file; see `spooflab.shards`."""
        return open_shard(self._files, *self.shard_file(record))

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
        if self._is_committed(lease.shard):
            return self._same_as_committed(record)

        def about_to_rename() -> None:
            reach("parquet_written")
            lease.check()

        files, shard = self._files, lease.shard
        name = own_parquet_name(shard, record.sha256) if files.remote else plain_parquet_name(shard)
        aside = f"aside/shard-{shard:05d}.{lease.generation:06d}.{lease.token}"
        with files.refusals(f"{self.root}: shard {shard} ({len(content) / 1e6:.1f} MB) cannot be written"):
            try:
                files.write(name, content, aside=aside, ready=about_to_rename)
                reach("parquet_renamed")
                self._check_after_writing(lease)
                reach("record_next")
                made = files.write_once(record_name(shard), record.to_bytes())
            except FileNotFoundError:
                lease.check()  # a successor has tidied up what this process had aside
                raise
        reach("record_renamed")
        if files.remote and (lease.generation or not made):
            self._remove_others(shard)
        return record if made else self._same_as_committed(record)

    def _check_after_writing(self, lease: Lease) -> None:
        """Raise `LeaseLost` if it is; an object that nobody will speak of is removed before."""
        try:
            lease.check()
        except LeaseLost:
            # If the shard is not committed yet, whoever commits it removes what others wrote.
            if self._files.remote and self._is_committed(lease.shard):
                self._remove_others(lease.shard)
            raise

    def clean_partial(self) -> list[Location]:
        """Remove what processes that are gone left behind; return the places. Shards under way are not touched."""
        live = live_shards(self._files)
        gone = self._clean_objects(live) if self._files.remote else self._clean_folder(live)
        if not live:
            for folder in ("aside", "leases"):
                gone += self._files.remove([f"{folder}/{n}" for n in self._files.names(folder) if n != "clock"])
        return [self._files.path(name) for name in gone]

    def verify(self) -> VerifyReport:
        """Read everything and compare it with the records; see `spooflab.verify`."""
        return verify_store(self._files, self._plan_file)

    def _clean_folder(self, live: set[int]) -> list[str]:
        aside, held = self._files.names("aside"), newest_generations(self._files)
        done = set(recorded_shards(self._files.names("shards")))
        idle = [shard for shard in range(self.shards) if shard not in live]
        return [n for s in idle for n in self._clean(s, aside, held=held.get(s), committed=s in done)]

    def _clean(self, shard: int, aside: Sequence[str], *, held: int | None, committed: bool) -> list[str]:
        """Remove unfinished files of a shard that nobody holds; in a folder."""
        gone = self._clean_aside(shard, aside, held=held)
        return gone if committed else gone + self._files.remove([plain_parquet_name(shard)])

    def _clean_aside(self, shard: int, aside: Sequence[str], *, held: int | None) -> list[str]:
        """Remove what others than the newest holder left aside of a shard; in a folder."""
        left = [f"aside/{n}" for n in aside if n.startswith(f"shard-{shard:05d}.") and _generation(n) != held]
        return self._files.remove(left)

    def _clean_objects(self, live: set[int]) -> list[str]:
        """Remove objects of which no record speaks, or will: of uncommitted shards, while holding their lease."""
        present = self._files.names("shards")
        strays = sorted({int(m[1]) for name in present if (m := _PARQUET.fullmatch(name))} - live)
        done = set(recorded_shards(present))
        gone = []
        for shard in strays:
            if shard in done:
                gone += self._remove_others(shard)
            elif lease := self.claim(shard):
                with lease:
                    gone += self._files.remove(_objects_of(shard, present))
        return gone

    def _remove_others(self, shard: int) -> list[str]:
        """Remove what others wrote of a shard that is committed now, in an object store."""
        present = self._files.names("shards")
        kept = parquet_name(self._record(shard), present)
        return self._files.remove([name for name in _objects_of(shard, present) if name != kept])

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

    def _is_committed(self, shard: int) -> bool:
        return self._files.exists(record_name(shard))

    def _record(self, shard: int) -> CommitRecord:
        name = record_name(shard)
        return CommitRecord.parse(self._files.read(name), self._files.path(name))

    def _records(self, present: Sequence[str]) -> list[CommitRecord]:
        names = [record_name(shard) for shard in recorded_shards(present) if shard < self.shards]
        contents = self._files.read_all(names)
        return [CommitRecord.parse(c, self._files.path(n)) for c, n in zip(contents, names, strict=True)]


def _as_json(plan: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(json.loads(json.dumps(dict(plan), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise DataError(f"the plan is not JSON: {error}", wanted="text, finite numbers, lists and mappings") from error


def _refuse_foreign(files: StoreFiles) -> None:
    present = files.names("")
    if PLAN in present:
        raise _holds_a_store(files)
    foreign = sorted(set(present) - set(_FOLDERS))
    if not foreign and "shards" in present:
        foreign = [f"shards/{name}" for name in files.names("shards")]
    if foreign:
        raise DataError(
            f"{files.place} holds {', '.join(foreign[:3])}{' …' if len(foreign) > 3 else ''}",
            wanted="an empty or absent folder",
            next_step="choose another --out",
        )


def _holds_a_store(files: StoreFiles) -> DataError:
    return DataError(
        f"{files.place} already holds a data set",
        wanted="an empty or absent folder",
        next_step="go on with it by --resume, or choose another --out",
    )


def _refuse_twice(shard: int, samples: Sequence[Sample], skips: Sequence[Skip]) -> None:
    seen: set[str] = set()
    for key in (*(s.key for s in samples), *(s.key for s in skips)):
        if key in seen:
            raise DataError(f"shard {shard}: key {key!r} comes twice", wanted="each key once, made or skipped")
        seen.add(key)


def _generation(name: str) -> int | None:
    part = name.split(".")[1]
    return int(part) if part.isdigit() else None


def _objects_of(shard: int, present: Iterable[str]) -> list[str]:
    return [f"shards/{name}" for name in present if (m := _PARQUET.fullmatch(name)) and int(m[1]) == shard]
