"""Shards of a store made by as many processes as asked: what every command that fills a store does alike."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from spooflab.allocator import keep_freed_memory
from spooflab.errors import DataError
from spooflab.lease import Lease, LeaseLost
from spooflab.sample import Sample, Skip
from spooflab.store import Store


@dataclass(frozen=True)
class ShardDone:
    """What one committed shard holds."""

    shard: int
    rows: int
    skips: int
    sha256: str


@dataclass(frozen=True)
class Summary:
    """What a run left behind.

    Attributes:
        shards: number of shards of the plan.
        committed: how many are committed now.
        rows: samples in the store.
        skips: samples recorded as skipped, with their reasons in the shards' commit records.
    """

    shards: int
    committed: int
    rows: int
    skips: int


def summarise(store: Store) -> Summary:
    """Count what is committed."""
    records = store.committed()
    return Summary(
        shards=store.shards,
        committed=len(records),
        rows=sum(r.rows for r in records),
        skips=sum(len(r.skips) for r in records),
    )


def one_thread() -> None:
    """Let this process compute on one thread, and keep the memory that it frees."""
    torch.set_num_threads(1)
    keep_freed_memory()


def commit_shard(out: Path, shard: int, make: Callable[[Lease], tuple[list[Sample], list[Skip]]]) -> ShardDone | None:
    """Make and commit one shard; None where another process holds, has finished or has taken it over."""
    store = Store.open(out)
    lease = store.claim(shard)
    if lease is None:
        return None
    with lease, suppress(LeaseLost):
        samples, skips = make(lease)
        record = store.commit(lease, samples, skips)
        return ShardDone(shard, record.rows, len(record.skips), record.sha256)
    return None


def run_shards(
    task: Callable[[str, Path, int], ShardDone | None],
    config_json: str,
    out: Path,
    pending: Sequence[int],
    workers: int,
) -> Iterator[ShardDone | None]:
    """Yield what `task(config_json, out, shard)` returns for every pending shard, as they end.

    Args:
        task: picklable where `workers` exceeds 1.
        config_json: of the run, for every process to build its parts from.
        out: the store's folder.
        pending: shards to make.
        workers: processes; 1 works in this process.

    Raises:
        DataError: a worker process died.
    """
    if workers <= 1:
        for shard in pending:
            yield task(config_json, out, shard)
        return
    # Forked children would inherit torch's thread pool in an unusable state; spawned ones start clean.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(task, config_json, out, shard) for shard in pending]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise DataError(
                f"a worker process died (killed, or out of memory); {out} keeps every committed shard",
                wanted=f"{workers} workers that stay alive",
                next_step="run the same command again with --resume, perhaps with fewer --workers",
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
