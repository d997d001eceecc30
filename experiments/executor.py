"""Run cells in this process or in a bounded pool; a cell that fails, or takes its process down, stops no other."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from spooflab.experiments.run_spec import RunSpec

Task = Callable[[RunSpec, Path], None]
Report = Callable[[RunSpec, BaseException | None], None]
"""Told once per cell: None when it is done, else what it failed of."""


def run_all(specs: Sequence[RunSpec], task: Task, out: Path, workers: int, report: Report) -> None:
    """Run every cell once and tell `report` how each ended.

    Args:
        specs: cells in order.
        task: picklable where `workers` > 0.
        out: folder of the study.
        workers: processes, each with one torch thread; 0 runs here.
        report: called in this process as cells end.
    """
    if workers == 0:
        for spec in specs:
            report(spec, _attempt(task, spec, out))
        return
    for spec in _pooled(specs, task, out, min(workers, max(1, len(specs))), report):
        # The pool broke while this cell was in flight: alone in a pool of its own it breaks only itself.
        for suspect in _pooled([spec], task, out, 1, report):
            report(suspect, RuntimeError("the process died (killed, out of memory, or crashed)"))


def _attempt(task: Task, spec: RunSpec, out: Path) -> BaseException | None:
    try:
        task(spec, out)
    except Exception as error:  # a failed cell is recorded, and the study goes on
        return error
    return None


def _pooled(specs: Sequence[RunSpec], task: Task, out: Path, workers: int, report: Report) -> list[RunSpec]:
    """Run cells in a pool; return those that were in flight when it broke (the rest is started anew)."""
    suspects: list[RunSpec] = []
    waiting = list(specs)
    while waiting:
        broken = False
        with _pool(workers) as pool:
            flying: dict[Future[None], RunSpec] = {}
            # No more than one cell per process is submitted, so a break has few suspects.
            while (waiting and not broken) or flying:
                while waiting and not broken and len(flying) < workers:
                    spec = waiting.pop(0)
                    try:
                        flying[pool.submit(task, spec, out)] = spec
                    except BrokenProcessPool:
                        broken = True
                        waiting.insert(0, spec)
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    spec = flying.pop(future)
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        broken = True
                        suspects.append(spec)
                    else:
                        report(spec, error)
    return suspects


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    # Children read these when they import numpy and torch, before any of our code runs in them.
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_one_thread)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
