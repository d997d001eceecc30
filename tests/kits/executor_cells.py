"""Six cells on an executor, some of which end badly; run as a script with the executor's settings and a folder."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from spooflab.errors import DataError
from spooflab.experiments.executors import AnyExecutor, time_limit, within
from spooflab.experiments.run_spec import RunSpec

time_limit.GRACE_S = 1.0  # in worker processes too: they import this module for its task


class Picky(Exception):
    """Cannot be unpickled: its constructor wants more than its message."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def cell(name: str) -> RunSpec:
    return RunSpec(name, {}, 0, name, (), (), (), (), Path("."), "")


def task(run: RunSpec, out: Path) -> None:
    import torch

    if run.label == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if run.label == "raises":
        raise Picky("not", "well")
    if run.label == "refuses":
        raise DataError("no rows", wanted="some", next_step="make some")
    if run.label == "late":
        threading.Event().wait(60)
    if run.label == "stuck":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        threading.Event().wait(60)
    # The third: whether CUDA was asked of before this process was forked, and so is lost to it.
    facts = (torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS"), torch.cuda._is_in_bad_fork())
    (out / run.label).write_text(" ".join(map(str, facts)))


def main(settings: dict[str, object], names: list[str], out: Path, minutes: float | None) -> None:
    from pydantic import TypeAdapter

    executor = TypeAdapter(AnyExecutor).validate_python(settings)
    ends: dict[str, str] = {}

    def report(run: RunSpec, error: BaseException | None) -> None:
        assert run.label not in ends
        ends[run.label] = str(error)

    executor.run([cell(n) for n in names], within(minutes, task, executor), out, report)
    sys.stdout.write("\n" + json.dumps(ends))


if __name__ == "__main__":
    from executor_cells import main as importable  # so that tasks are importable by name, as a study's are

    importable(*(json.loads(a) for a in sys.argv[1:3]), Path(sys.argv[3]), json.loads(sys.argv[4]))
