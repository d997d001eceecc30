"""How a run is doing: rate and remaining time after each shard, for people and for machines."""

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spooflab.shard_runs import ShardDone


@dataclass
class RunMetrics:
    """Counts shards as they end.

    The clock of rate and remaining time starts with `begin`, so that what is loaded before counts for neither.

    Attributes:
        shards: to be made by this run.
        path: JSON lines are appended to it, one for each shard; None writes none.
        clock: seconds that only grow.
    """

    shards: int
    path: Path | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.began, self.rows, self.skips, self.done, self.size = self.clock(), 0, 0, 0, 0
        self.working = self.began

    def begin(self, shards: int) -> None:
        """Say how many shards are to be made, when the first may be begun."""
        self.shards, self.working = shards, self.clock()

    def count(self, done: ShardDone) -> dict[str, Any]:
        """Take a shard in; return the figures after it, and append them to the file."""
        self.done, self.rows, self.skips = self.done + 1, self.rows + done.rows, self.skips + done.skips
        self.size += done.size
        line = {**asdict(done), "at": round(time.time(), 3), **self.figures()}
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, sort_keys=True) + "\n")
        return line

    def figures(self) -> dict[str, Any]:
        """Return totals of this run, its rate, and the seconds that the rest will take at this rate."""
        now = self.clock()
        seconds = now - self.working
        left = self.shards - self.done
        return {
            "done": self.done,
            "shards": self.shards,
            "rows_total": self.rows,
            "skips_total": self.skips,
            "bytes_total": self.size,
            "elapsed_s": round(now - self.began, 3),
            "rows_per_s": round(self.rows / seconds, 3) if seconds > 0 else None,
            "eta_s": round(seconds / self.done * left, 1) if self.done else None,
            "driver_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _RSS_UNITS_PER_MB, 1),
        }


_RSS_UNITS_PER_MB = 1e6 if sys.platform == "darwin" else 1e3
