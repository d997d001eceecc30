"""Some rows of a store as a store of their own: rows as they are, made and committed shard by shard."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from spooflab.errors import DataError
from spooflab.lease import Lease
from spooflab.records import CommitRecord
from spooflab.sample import Sample, Skip
from spooflab.shard_runs import ShardDone, Summary, commit_shard, summarise
from spooflab.store import Store


def write_rows(
    source: Store,
    rows: Sequence[int],
    out: Path,
    plan: Mapping[str, Any],
    *,
    per_shard: int,
    resume: bool,
    progress: Callable[[ShardDone], None] | None = None,
) -> Summary:
    """Write a new store of some rows; memory holds one shard.

    Args:
        source: a finished store.
        rows: their numbers in its order, ascending.
        out: absent or empty, unless `resume`.
        plan: of the new store.
        per_shard: rows of a shard.
        resume: go on with an interrupted run of the same plan.
        progress: called after each commit.

    Raises:
        DataError: damage, an `out` that is taken, or another plan on resuming.
    """
    parts = [rows[start : start + per_shard] for start in range(0, len(rows), per_shard)]
    store = Store.open(out, plan=plan) if resume else Store.create(out, plan=plan, shards=len(parts))
    records = source.committed()
    held = list(zip(records, accumulate((record.rows for record in records), initial=0), strict=False))
    for shard in store.pending():
        done = commit_shard(out, shard, partial(_make, source, held, parts[shard]))
        if done is not None and progress is not None:
            progress(done)
    return summarise(store)


def _make(
    source: Store, held: Sequence[tuple[CommitRecord, int]], wanted: Sequence[int], lease: Lease
) -> tuple[list[Sample], list[Skip]]:
    """Read the wanted rows; `held` are the source's shards, each with the number of its first row."""
    samples: list[Sample] = []
    for record, start in held:
        inside = [row - start for row in wanted if start <= row < start + record.rows]
        if inside:
            lease.renew()
            samples += _rows_of(source, record, inside)
    if len(samples) != len(wanted):
        raise DataError(
            f"{source.root}: {len(samples)} of {len(wanted)} rows are there",
            wanted="an unaltered data set",
            next_step=f"spooflab verify {source.root}",
        )
    return samples, []


def _rows_of(source: Store, record: CommitRecord, wanted: Sequence[int]) -> Iterator[Sample]:
    start = 0
    with source.open_shard(record) as file:
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            inside = [row - start for row in wanted if start <= row < end]
            if inside:
                table = file.read_row_group(group).take(inside)
                yield from (Sample.from_row(row) for row in table.to_pylist())
            start = end
