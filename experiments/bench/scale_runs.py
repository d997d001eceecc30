"""Runs of the real `spooflab generate`, watched from outside: what they commit when, and what they take."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spooflab.errors import DataError
from spooflab.process_tree import ProcessUse, process_tree
from spooflab.store import Store

_PATIENCE_S = 600.0
_LOOK_S = 0.005


@dataclass(frozen=True)
class Reading:
    """Driver and workers at one moment.

    Attributes:
        at: seconds since 1970.
        driver_mb, workers_mb: resident sets; of all workers together, pages that they share counted in each.
        cpu_s: processor time of all since the start of the run.
    """

    at: float
    driver_mb: float
    workers_mb: float
    cpu_s: float


@dataclass(frozen=True)
class ScaleRun:
    """One whole run.

    Attributes:
        rows, skips: samples made and skipped.
        began: when the command was started, seconds since 1970.
        seconds: wall time of the command, from its start to its end.
        cpu_s: processor time of the command and of all its processes.
        shards: lines of the metrics file, in the order in which they were committed.
        readings: at intervals.
    """

    rows: int
    skips: int
    began: float
    seconds: float
    cpu_s: float
    shards: tuple[dict[str, Any], ...]
    readings: tuple[Reading, ...]

    @property
    def rate(self) -> float:
        """Samples per second from the first shard's claim to the last shard's commit: without start and end."""
        claimed = min(line["at"] - line["seconds"] for line in self.shards)
        return float((self.rows + self.skips) / (self.shards[-1]["at"] - claimed))


def run_generate(
    config: Path, out: Path, n: int, *, workers: int, executor: str = "local", every_s: float = 1.0
) -> ScaleRun:
    """Run the command in an empty folder to its end.

    Args:
        config: YAML of the data set.
        out: its folder; what it says goes into a file beside it.
        n: samples.
        workers: processes.
        executor: `local` or `ray`.
        every_s: between two readings.

    Raises:
        DataError: the command failed; what it said is told.
    """
    metrics, said = out.with_suffix(".jsonl"), out.with_suffix(".log")
    for path in (metrics, said):
        path.unlink(missing_ok=True)
    words = [*_command(out, workers, config=config), "--n", str(n), "--executor", executor, "--metrics", str(metrics)]
    readings = list[Reading]()
    with said.open("w", encoding="utf-8") as log:
        began = time.time()
        child = _start(words, log)
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if tree := process_tree(child.pid):
                readings.append(_reading(tree))
            time.sleep(every_s)
        seconds = time.time() - began
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise DataError(f"{' '.join(words)}: status {child.returncode}: {said.read_text()[-500:]}", wanted="status 0")
    lines = tuple(json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines())
    rows, skips = lines[-1]["rows_total"], lines[-1]["skips_total"]
    return ScaleRun(rows, skips, began, seconds, usage.ru_utime + usage.ru_stime, lines, tuple(readings))


def resumption_s(whole: Path, share: float, scratch: Path, *, workers: int) -> float:
    """Return the seconds from the start of `generate --resume` until its first sample is being made.

    Args:
        whole: folder of a finished data set, which is left as it is.
        share: of its shards that count as done.
        scratch: folder to make, on the same file system; removed afterwards.
        workers: processes.

    Raises:
        DataError: the command ended, or nothing was begun within ten minutes.
    """
    _part_of(whole, share, scratch)
    store = Store.open(scratch)
    next_shards = store.pending()[:workers]
    with scratch.with_suffix(".log").open("w", encoding="utf-8") as log:
        began = time.monotonic()
        child = _start([*_command(scratch, workers), "--resume"], log)
        try:
            while not any(store.making(shard) for shard in next_shards):
                if child.poll() is not None or time.monotonic() - began > _PATIENCE_S:
                    raise DataError(f"resuming {scratch}: nothing was begun", wanted="a first sample")
                time.sleep(_LOOK_S)
            return time.monotonic() - began
        finally:
            child.terminate()
            child.wait()
            shutil.rmtree(scratch)


def _part_of(whole: Path, share: float, part: Path) -> None:
    """Lay out a data set of which only the first shards are done."""
    store = Store.open(whole)
    (part / "shards").mkdir(parents=True)
    shutil.copy(whole / "plan.json", part)
    for shard in range(min(store.shards - 1, max(1, round(share * store.shards)))):
        for path in (whole / "shards").glob(f"shard-{shard:05d}.*"):
            os.link(path, part / "shards" / path.name)


def _command(out: Path, workers: int, *, config: Path | None = None) -> list[str]:
    given = [] if config is None else [str(config)]
    return [sys.executable, "-m", "spooflab.cli", "generate", *given, "--out", str(out), "--workers", str(workers)]


def _start(words: Sequence[str], log: Any) -> "subprocess.Popen[bytes]":
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=log, stderr=log, env=one_thread)  # noqa: S603  # our own command


def _reading(tree: Sequence[ProcessUse]) -> Reading:
    return Reading(
        at=time.time(),
        driver_mb=tree[0].resident_bytes / 1e6,
        workers_mb=sum(use.resident_bytes for use in tree[1:]) / 1e6,
        cpu_s=sum(use.cpu_s + use.waited_s for use in tree),
    )
