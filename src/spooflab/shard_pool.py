"""Processes that make shards, watched: one that dies or hangs takes no other down, and no sample may do it for ever."""

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from dataclasses import dataclass, field
from pathlib import Path

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from spooflab.budget import Budget
from spooflab.errors import DataError
from spooflab.lease import LEASE_S
from spooflab.shard_runs import GivenUp, ShardDone, Task, committed
from spooflab.store import Store

ATTEMPTS = 3
"""How often in a row a sample may kill or hang its process before it is given up."""
GRACE_S = 2.0
"""Beyond a lease's term, before its holder is killed: another process may take the shard over from the term on."""
START_S = 600.0
"""For a process to load its code and models, before it claims its shard."""
_LOOK_S = 0.5


def run_shards(
    task: Task,
    config_json: str,
    out: Path,
    pending: Sequence[int],
    workers: int,
    *,
    budget: Budget | None = None,
    lease_s: float = LEASE_S,
) -> Iterator[ShardDone | None]:
    """Yield what `task` returns for every pending shard, as they end, until the budget forbids another.

    With one worker everything happens in this process, which no one watches. Of several, each may die or hang: its
    shard is made again by a new process. When the same sample ended three attempts at its shard in a row, it is given
    up (`GIVEN_UP`): a sample at which a process happened to be killed is not, since the next attempt passes it.

    Args:
        task: makes a shard.
        config_json: of the run, for every process to build its parts from.
        out: the store's folder.
        pending: shards to make.
        workers: processes.
        budget: limits; None has none.
        lease_s: seconds without a sign of life after which a process counts as hung; the store's leases' term.

    Raises:
        DataError: processes die outside of any sample, three times in a row at one shard.
    """
    budget = budget or Budget()
    if workers > 1:
        yield from _Watched(task, config_json, out, workers, budget, lease_s).run(pending)
        return
    for shard in pending:
        if budget.refusal(0):
            return
        done = task(config_json, out, shard, {})
        if done is not None:
            budget.spend(done)
        yield done


@dataclass
class _Attempts:
    """What happened to one shard.

    Attributes:
        given_up: its samples that are not tried again.
        suspect: the sample at which its last attempt ended.
        times: how many attempts in a row ended there.
    """

    given_up: dict[str, str] = field(default_factory=dict)
    suspect: str = ""
    times: int = 0

    def failed(self, sample: str, reason: str) -> None:
        self.times = self.times + 1 if sample == self.suspect else 1
        self.suspect = sample
        if sample and self.times >= ATTEMPTS:
            self.given_up[sample] = reason
            self.suspect, self.times = "", 0


class _Watched:
    """A pool whose processes are watched by the leases that they hold."""

    def __init__(self, task: Task, config_json: str, out: Path, workers: int, budget: Budget, lease_s: float) -> None:
        self.task, self.config_json, self.out, self.workers = task, config_json, out, workers
        self.budget, self.lease_s = budget, lease_s
        self.store = Store.open(out)
        self.attempts: dict[int, _Attempts] = {}
        self.flying: dict[ProcessFuture[ShardDone | None], tuple[int, float]] = {}

    def run(self, pending: Sequence[int]) -> Iterator[ShardDone | None]:
        waiting = deque(pending)
        # Forked children would inherit torch's thread pool in an unusable state; spawned ones start clean.
        with ProcessPool(self.workers, context=multiprocessing.get_context("spawn")) as pool:
            try:
                while waiting or self.flying:
                    self._begin(pool, waiting)
                    if not self.flying and self.budget.refusal(0):
                        return
                    for future in self._ended():
                        shard, _ = self.flying.pop(future)
                        try:
                            done = future.result()
                        except (ProcessExpired, CancelledError) as error:
                            done = committed(self.store, shard)
                            if done is None:
                                self._failed(shard, error)
                                waiting.appendleft(shard)
                        if shard not in waiting:
                            if done is not None:
                                self.budget.spend(done)
                            yield done
                    self._stop_the_silent()
            finally:
                pool.stop()  # type: ignore[no-untyped-call]  # pebble's

    def _begin(self, pool: ProcessPool, waiting: deque[int]) -> None:
        for _ in range(len(waiting)):
            if len(self.flying) == self.workers or self.budget.refusal(len(self.flying)):
                return
            shard = waiting.popleft()
            # A process told to end may live for some seconds, and nobody else is given its shard before it is gone.
            if shard in self.attempts and self.store.is_held(shard):
                waiting.append(shard)
            else:
                self._submit(pool, shard)

    def _ended(self) -> list[ProcessFuture[ShardDone | None]]:
        if not self.flying:
            time.sleep(_LOOK_S)
            return []
        ended = wait(self.flying, timeout=_LOOK_S, return_when=FIRST_COMPLETED).done
        return [future for future in self.flying if future in ended]

    def _submit(self, pool: ProcessPool, shard: int) -> None:
        given_up: GivenUp = self.attempts.get(shard, _Attempts()).given_up
        future = pool.schedule(self.task, args=(self.config_json, self.out, shard, given_up))
        self.flying[future] = shard, time.monotonic()

    def _failed(self, shard: int, error: BaseException) -> None:
        hung = isinstance(error, CancelledError)
        known = self.attempts.setdefault(shard, _Attempts())
        known.failed(self.store.making(shard), "hung" if hung else "process_died")
        if not known.suspect and known.times >= ATTEMPTS:
            raise DataError(
                f"shard {shard}: a worker process {'hung' if hung else how_it_ended(error)} outside of any sample, "
                f"{ATTEMPTS} times in a row; {self.out} keeps every committed shard",
                wanted=f"{self.workers} workers that stay alive",
                next_step="run the same command again with --resume, perhaps with fewer --workers",
            ) from error

    def _stop_the_silent(self) -> None:
        for future, (shard, since) in self.flying.items():
            under_way, silent = time.monotonic() - since, self.store.silent_s(shard)
            # A lease older than the attempt is a dead predecessor's: this process has not got so far.
            began = silent is not None and silent <= under_way
            if (silent or 0.0) > self.lease_s + GRACE_S if began else under_way > START_S:
                future.cancel()  # type: ignore[no-untyped-call]  # pebble's


def how_it_ended(error: BaseException) -> str:
    """Say how a process died.

    >>> how_it_ended(ProcessExpired("", code=-11))
    'died of SIGSEGV'
    """
    code = getattr(error, "exitcode", None)
    if isinstance(code, int) and code < 0:
        return f"died of {signal.Signals(-code).name}"
    return f"ended with status {code}"
