"""Cells in this process or in a bounded pool of processes, which are reused; a crash costs one cell."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

from pydantic import Field

from spooflab.config import Config
from spooflab.experiments.executors.ending import Died, Ending, as_error, attempt
from spooflab.experiments.executors.protocol import Report, Task
from spooflab.experiments.executors.time_limit import overran
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.worker_server import one_thread_each, start_early, start_method


class LocalExecutor(Config):
    """Processes of this machine with one torch thread each."""

    name: Literal["local"] = "local"
    workers: int | None = Field(default=None, ge=0, le=256, description="processes; 0 runs in this one")

    @property
    def lanes(self) -> int:
        """Cells at once."""
        return max(1, self.workers or 1)

    @property
    def apart(self) -> bool:
        """Whether cells have processes of their own."""
        return bool(self.workers)

    def with_workers(self, workers: int) -> "LocalExecutor":
        """Return the same with another number of processes."""
        return self.model_copy(update={"workers": workers})

    def run(self, specs: Sequence[RunSpec], task: Task, out: Path, report: Report) -> None:
        """Run the cells as `Executor` says."""
        if not self.apart:
            for spec in specs:
                report(spec, _here(task, spec, out))
            return
        for spec, _ in _pooled(specs, task, out, min(self.lanes, max(1, len(specs))), report):
            # The pool broke while this cell was in flight: alone in a pool of its own it breaks only itself.
            late = overran(spec, out)
            dead = [] if late else _pooled([spec], task, out, 1, report)
            for suspect, how in dead:
                report(suspect, overran(suspect, out) or Died(f"the process died ({how})"))
            if late:
                report(spec, late)


def _here(task: Task, spec: RunSpec, out: Path) -> BaseException | None:
    try:
        task(spec, out)
    except Exception as error:  # a failed cell is recorded, and the study goes on
        return error
    return None


def _pooled(specs: Sequence[RunSpec], task: Task, out: Path, workers: int, report: Report) -> list[tuple[RunSpec, str]]:
    """Run cells in a pool; return those in flight when it broke, and how it did (the rest is started anew)."""
    suspects: list[tuple[RunSpec, str]] = []
    waiting = list(specs)
    while waiting:
        broken = False
        with _pool(workers) as pool:
            flying: dict[Future[Ending | None], RunSpec] = {}
            processes: set[BaseProcess] = set()
            # No more than one cell per process is submitted, so a break has few suspects.
            while (waiting and not broken) or flying:
                while waiting and not broken and len(flying) < workers:
                    spec = waiting.pop(0)
                    try:
                        flying[pool.submit(attempt, task, spec, out)] = spec
                    except BrokenProcessPool:
                        broken = True
                        waiting.insert(0, spec)
                    processes.update(multiprocessing.active_children())
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    spec = flying.pop(future)
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        broken = True
                        suspects.append((spec, _how_it_ended(processes)))
                    else:
                        report(spec, error or as_error(future.result()))
    return suspects


def _how_it_ended(processes: set[BaseProcess]) -> str:
    """Tell the exit of the process that broke a pool; the pool ends the others with SIGTERM."""
    codes = [process.exitcode for process in processes]
    # A fork server tells 255 where it could not tell how its child ended.
    codes = [code for code in codes if code not in (None, 0, 255, -signal.SIGTERM)]
    if -signal.SIGKILL in codes:
        return "SIGKILL: out of memory, or killed by hand"
    if not codes or codes[0] is None:
        return "killed, out of memory, or crashed"
    return signal.Signals(-codes[0]).name if codes[0] < 0 else f"exit status {codes[0]}"


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    start_early()
    with one_thread_each():
        context = multiprocessing.get_context(start_method())
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        finally:
            pool.shutdown()


def _begin_worker() -> None:
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent is gone, even by SIGKILL: an orphan would hold its cell's lock for nothing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)
