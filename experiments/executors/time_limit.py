"""A time limit for each cell: first an exception that it may clean up after, then the end of its process."""

import faulthandler
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from spooflab.experiments.executors.protocol import Executor, Task
from spooflab.experiments.run_spec import RunSpec

GRACE_S = 20.0
"""Between the exception and the end of a process that did not heed it."""
HANG = "hang.txt"
"""In the cell's folder: where every thread stood when its process was ended."""


class OverTime(Exception):
    """A cell ran past `run_minutes`."""


@dataclass(frozen=True)
class Limited:
    """A task with a time limit.

    Attributes:
        task: runs one cell.
        minutes: limit; at its end `OverTime` is raised in the cell.
        kill: whether a cell that is deaf to it (stuck in native code, or in a lock) takes its process with it
            `GRACE_S` later. A watching thread of the interpreter's does that, which needs no lock of Python's.
    """

    task: Task
    minutes: float
    kill: bool

    def __call__(self, spec: RunSpec, out: Path) -> None:
        """Run the cell.

        Raises:
            OverTime: it ran past the limit.
        """
        with _alarm(self.minutes), _watched(_hang_file(spec, out), 60 * self.minutes + GRACE_S, on=self.kill):
            self.task(spec, out)


def within(minutes: float | None, task: Task, executor: Executor) -> Task:
    """Return the task with a limit, if there is one."""
    return task if minutes is None else Limited(task, minutes, kill=executor.apart)


def overran(spec: RunSpec, out: Path) -> OverTime | None:
    """Return the reason when a dead process was ended for its time limit."""
    path = _hang_file(spec, out)
    if not path.is_file() or not path.stat().st_size:
        return None
    return OverTime(f"hung past its limit (run_minutes) and was ended; where it stood: {path}")


def _hang_file(spec: RunSpec, out: Path) -> Path:
    return out / "runs" / spec.run_id / HANG


@contextmanager
def _alarm(minutes: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise OverTime(f"ran past its limit of {minutes:g} minutes (run_minutes)")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _watched(path: Path, seconds: float, *, on: bool) -> Iterator[None]:
    if not on:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        faulthandler.dump_traceback_later(seconds, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
    path.unlink(missing_ok=True)
