"""What every executor is: a strict configuration that runs cells somewhere and tells how each ended."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from spooflab.experiments.run_spec import RunSpec

Task = Callable[[RunSpec, Path], None]
"""Runs one cell of the study in a folder. Cells write their own folders and return nothing."""

Report = Callable[[RunSpec, BaseException | None], None]
"""Told once per cell, in the process that called `run`: None when it is done, else what it failed of."""


class Executor(Protocol):
    """Runs cells; one that fails, or takes its process down, stops no other."""

    @property
    def lanes(self) -> int:
        """How many cells run at once, as far as is known before anything runs."""
        ...

    @property
    def apart(self) -> bool:
        """Whether cells run in processes that may be killed without harm to the caller."""
        ...

    def run(self, specs: Sequence[RunSpec], task: Task, out: Path, report: Report) -> None:
        """Run every cell once and return when all have ended.

        Args:
            specs: cells, in the order in which they are begun.
            task: a function of a module, or a frozen dataclass with `__call__`, that other processes can import.
            out: folder of the study, the same path everywhere.
            report: called here as cells end.

        Raises:
            ConfigError: what the executor needs is not installed or cannot be reached.
        """
        ...
