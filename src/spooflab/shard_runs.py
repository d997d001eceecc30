"""Shards of a store made and committed one by one: what every command that fills a store does alike."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import torch

from spooflab.allocator import keep_freed_memory
from spooflab.lease import Lease, LeaseLost
from spooflab.location import Location
from spooflab.records import CommitRecord
from spooflab.sample import Sample, Skip
from spooflab.store import Store

GIVEN_UP = {
    "process_died": "the process that made it died, three times in a row",
    "hung": "it gave no sign of life for its lease's term, three times in a row",
}
"""Reasons for which the supervisor skips a sample that cannot be made, with a sentence for a person."""

GivenUp = Mapping[str, str]
"""Samples that are not to be tried again, by key, with a reason of `GIVEN_UP`."""

Task = Callable[[str, Location, int, GivenUp], "ShardDone | None"]
"""Makes and commits one shard of a configuration in a store; None where another process has it. Picklable."""


@dataclass(frozen=True)
class ShardDone:
    """What one committed shard holds, and what it cost.

    Attributes:
        shard: its number.
        rows, skips: samples made and skipped.
        sha256: of the file.
        size: of the file, in bytes.
        seconds: from claim to commit.
        reasons: how many samples were skipped for each reason.
    """

    shard: int
    rows: int
    skips: int
    sha256: str
    size: int = 0
    seconds: float = 0.0
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """What a run left behind.

    Attributes:
        shards: number of shards of the plan.
        committed: how many are committed now.
        rows: samples in the store.
        skips: samples recorded as skipped, with their reasons in the shards' commit records.
        given_up: how many of these were skipped because they killed or hung their process.
        reasons: how many were skipped for each reason, the commonest first.
    """

    shards: int
    committed: int
    rows: int
    skips: int
    given_up: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)


def summarise(store: Store) -> Summary:
    """Count what is committed."""
    records = store.committed()
    reasons = Counter(skip.reason for r in records for skip in r.skips)
    return Summary(
        shards=store.shards,
        committed=len(records),
        rows=sum(r.rows for r in records),
        skips=reasons.total(),
        given_up=sum(reasons[reason] for reason in GIVEN_UP),
        reasons=dict(reasons.most_common()),
    )


def one_thread() -> None:
    """Let this process compute on one thread, and keep the memory that it frees."""
    torch.set_num_threads(1)
    keep_freed_memory()


def commit_shard(
    out: Location, shard: int, make: Callable[[Lease], tuple[list[Sample], list[Skip]]]
) -> ShardDone | None:
    """Make and commit one shard; None where another process holds, has finished or has taken it over."""
    began = time.monotonic()
    store = Store.open(out)
    lease = store.claim(shard)
    if lease is None:
        return None
    with lease, suppress(LeaseLost):
        samples, skips = make(lease)
        lease.made_all()
        record = store.commit(lease, samples, skips)
        return _done(store, record, time.monotonic() - began)
    return None


def committed(store: Store, shard: int, seconds: float = 0.0) -> ShardDone | None:
    """Return what a committed shard holds, None where it is not committed.

    Args:
        store: its store.
        shard: its number.
        seconds: what it cost, where that is known.
    """
    record = store.record(shard)
    return None if record is None else _done(store, record, seconds)


def _done(store: Store, record: CommitRecord, seconds: float) -> ShardDone:
    size = store.shard_size(record)
    # A plain mapping: `asdict` counts the items of a `Counter` instead of copying it.
    reasons = dict(Counter(skip.reason for skip in record.skips))
    return ShardDone(record.shard, record.rows, len(record.skips), record.sha256, size, seconds, reasons)
