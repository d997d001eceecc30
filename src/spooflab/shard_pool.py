"""Processes that make shards, watched: one that dies or hangs takes no other down, and no sample may do it for ever."""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait as wait_for
from typing import Any

from spooflab.budget import Budget
from spooflab.errors import DataError
from spooflab.lease import LEASE_S
from spooflab.location import Location
from spooflab.shard_runs import GivenUp, ShardDone, Task, committed
from spooflab.store import Store

ATTEMPTS = 3
"""How often in a row a sample may kill or hang its process before it is given up."""
STARTS = 10
"""How often in a row processes may die at one shard outside of any sample: at start-up, or while committing."""
GRACE_S = 2.0
"""Beyond a lease's term, before its holder is killed: another process may take the shard over from the term on."""
START_S = 600.0
"""For a process to load its code and models, before it claims its shard."""
_LOOK_S = 0.5
_LOADING_S = 60.0
"""That an interrupted run waits for a process which is just being started, to end it."""


def run_shards(
    task: Task,
    config_json: str,
    out: Location,
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
        DataError: processes die outside of any sample, many times in a row at one shard.
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


class _Lane:
    """One process, made anew when it is gone."""

    def __init__(self) -> None:
        # Forked children would inherit torch's thread pool in an unusable state; spawned ones start clean.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_end_with_parent)
        with _interrupts_held():
            self._pid = self._pool.submit(os.getpid)
        self.hung = False

    def submit(self, task: Task, *arguments: Any) -> "Future[ShardDone | None]":
        return self._pool.submit(task, *arguments)

    def kill(self, *, wait_s: float = 0.0) -> None:
        """End the process at once, stopped ones as well; what it was making fails.

        One that is still loading its code has no number yet: it is given `wait_s` to say it.
        """
        with suppress(BrokenProcessPool, ProcessLookupError, TimeoutError):
            os.kill(self._pid.result(timeout=wait_s), signal.SIGKILL)

    def close(self, *, kill: bool) -> None:
        if kill:
            self.kill(wait_s=_LOADING_S)
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start children that Ctrl-C does not reach: a terminal sends it to all, and only the driver knows what to do.

    A process inherits which signals are held back. One that comes to the driver meanwhile is delivered afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """Let this process end when its parent is gone, even by SIGKILL: it would wait for work for ever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            wait_for([parent.sentinel])
            os._exit(1)  # what it was making is made again; the committed stays

    threading.Thread(target=watch, daemon=True).start()


@dataclass
class _Flight:
    """One shard under way."""

    shard: int
    lane: _Lane
    since: float


class _Watched:
    """Lanes whose processes are watched by the leases that they hold."""

    def __init__(
        self, task: Task, config_json: str, out: Location, workers: int, budget: Budget, lease_s: float
    ) -> None:
        self.task, self.config_json, self.out, self.workers = task, config_json, out, workers
        self.budget, self.lease_s = budget, lease_s
        self.store = Store.open(out)
        self.attempts: dict[int, _Attempts] = {}
        self.flying: dict[Future[ShardDone | None], _Flight] = {}
        self.idle: list[_Lane] = []

    def run(self, pending: Sequence[int]) -> Iterator[ShardDone | None]:
        waiting = deque(pending)
        whole = False
        try:
            while waiting or self.flying:
                self._begin(waiting)
                if not self.flying and self.budget.refusal(0):
                    break
                for future in self._ended():
                    flight = self.flying.pop(future)
                    try:
                        done = future.result()
                        self.idle.append(flight.lane)
                    except BrokenProcessPool:
                        flight.lane.close(kill=False)
                        done = committed(self.store, flight.shard)
                        if done is None:
                            self._failed(flight)
                            waiting.appendleft(flight.shard)
                            continue
                    if done is not None:
                        self.budget.spend(done)
                    yield done
                self._stop_the_silent()
            whole = True
        finally:
            for lane in (*self.idle, *(flight.lane for flight in self.flying.values())):
                lane.close(kill=not whole)

    def _begin(self, waiting: deque[int]) -> None:
        while waiting and len(self.flying) < self.workers and not self.budget.refusal(len(self.flying)):
            shard, lane = waiting.popleft(), self.idle.pop() if self.idle else _Lane()
            given_up: GivenUp = self.attempts.get(shard, _Attempts()).given_up
            try:
                future = lane.submit(self.task, self.config_json, self.out, shard, given_up)
            except BrokenProcessPool:  # it died while it had nothing to do
                lane.close(kill=False)
                waiting.appendleft(shard)
            else:
                self.flying[future] = _Flight(shard, lane, time.monotonic())

    def _ended(self) -> "list[Future[ShardDone | None]]":
        ended = wait(self.flying, timeout=_LOOK_S, return_when=FIRST_COMPLETED).done
        return [future for future in self.flying if future in ended]

    def _failed(self, flight: _Flight) -> None:
        known = self.attempts.setdefault(flight.shard, _Attempts())
        known.failed(self.store.making(flight.shard), "hung" if flight.lane.hung else "process_died")
        if not known.suspect and known.times >= STARTS:
            raise DataError(
                f"shard {flight.shard}: worker processes died outside of any sample, {STARTS} times in a row; "
                f"{self.out} keeps every committed shard",
                wanted=f"{self.workers} workers that stay alive",
                next_step="run the same command again with --resume, perhaps with fewer --workers",
            )

    def _stop_the_silent(self) -> None:
        for flight in self.flying.values():
            under_way, silent = time.monotonic() - flight.since, self.store.silent_s(flight.shard)
            # A lease older than the attempt is a dead predecessor's: this process has not got so far.
            began = silent is not None and silent <= under_way
            if (silent or 0.0) > self.lease_s + GRACE_S if began else under_way > START_S:
                flight.lane.hung = True
                flight.lane.kill()
