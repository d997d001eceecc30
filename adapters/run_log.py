"""What a training tells while it goes on: rows of `log.jsonl`, and the same figures to a tracker."""

import json
from pathlib import Path
from typing import Any

from spooflab.atomic import write_over
from spooflab.errors import DataError
from spooflab.json_text import json_object

WALL_CLOCK = ("images_per_s", "data_s", "data_share")
"""Figures of a `train` row that measure time; all others are the same however often a run was interrupted."""


class RunLog:
    """Rows of JSON in one file, of a run that may be interrupted and resumed.

    Args:
        path: the file.
        accelerator: writes to its tracker, and says whether this process is the one that writes.
        tracked: whether there is a tracker.
    """

    def __init__(self, path: Path, accelerator: Any, *, tracked: bool) -> None:
        self.path, self.accelerator, self.tracked = path, accelerator, tracked

    def write(self, row: dict[str, Any]) -> None:
        """Append one row."""
        if self.accelerator.is_main_process:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def track(self, figures: dict[str, float], step: int) -> None:
        """Give the figures to the tracker, if there is one."""
        if self.tracked:
            self.accelerator.log(figures, step=step)

    def trim(self, done: int) -> None:
        """Drop the rows of steps after `done`, which will be made again, and a half-written last line."""
        if self.path.exists() and self.accelerator.is_main_process:
            whole = [line for line in self.path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
            kept = [line for line in whole if _step(line, self.path) <= done] if done else []
            # Over, not into: a kill while the file is written again would lose the rows of steps that are done.
            write_over(self.path, "".join(f"{line}\n" for line in kept).encode())


def _step(line: str, path: Path) -> int:
    step = json_object(line, path, wanted="rows that a training wrote").get("step", 0)
    if type(step) is not int:
        raise DataError(f"{path}: step {step!r:.80}", wanted="rows that a training wrote")
    return step
