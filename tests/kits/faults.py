"""A fault of the catalogue, injected many times: what came of it, and the table that tells it."""

import json
import os
import platform
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path

CATALOGUE = {
    "kill": "kill -9 of workers and drivers",
    "hang": "a process that hangs",
    "crash": "a sample that crashes its process",
    "launchers": "two launchers in one folder",
    "drift": "plan drift",
    "disk": "disk full",
    "remote": "S3 failure in mid-write",
    "flip": "bit flip, truncation",
    "checkpoint": "torn or corrupt checkpoint",
    "images": "hostile images",
    "paths": "path escape",
    "determinism": "determinism",
    "code": "code execution",
    "leakage": "leakage",
}
"""Rows of the catalogue in its order: a short name, and what stands in the table."""

COLUMNS = ("injected", "survived", "lost", "duplicated", "silently_wrong", "hung")
BEGIN, END, MACHINE = "<!-- torture: begin -->", "<!-- torture: end -->", "Measured on "


@dataclass(frozen=True)
class Outcome:
    """What came of faults.

    Attributes:
        injected: how many.
        survived: after how many everything was as promised.
        lost: rows that an undisturbed run has and this one lacks.
        duplicated: rows that came twice.
        silently_wrong: wrong results that no check told of.
        hung: processes that neither ended nor were replaced in time.
        also: what else was measured, in a few words.
    """

    injected: int = 0
    survived: int = 0
    lost: int = 0
    duplicated: int = 0
    silently_wrong: int = 0
    hung: int = 0
    also: str = ""

    def __add__(self, other: "Outcome") -> "Outcome":
        sums = {name: getattr(self, name) + getattr(other, name) for name in COLUMNS}
        return Outcome(**sums, also=other.also or self.also)

    @property
    def clean(self) -> bool:
        """Whether every fault was survived, and nothing lost, duplicated, wrong or hung."""
        return self.survived == self.injected > 0 and not any(getattr(self, name) for name in COLUMNS[2:])


@dataclass(frozen=True)
class Fault:
    """One line of the table.

    Attributes:
        row: of `CATALOGUE`.
        how: how it is injected, in words for the table; tells lines of one row apart.
        inject: does it so many times in an empty folder, with draws from the generator.
        trimmed: how many times among the tests.
        full: how many times by `make torture`.
    """

    row: str
    how: str
    inject: Callable[[random.Random, int, Path], Outcome]
    trimmed: int
    full: int

    def draws(self) -> random.Random:
        """Return the generator that this fault draws from: the same in every run."""
        return random.Random(f"{self.row}: {self.how}")


def in_own_process(module: str, function: str) -> Callable[[random.Random, int, Path], Outcome]:
    """Return an `inject` that runs `module.function` of the kits in a process that may fork: it has one thread."""

    def inject(rng: random.Random, count: int, folder: Path) -> Outcome:
        script = f"""
import json, random, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from {module} import {function}
print(json.dumps({function}(random.Random(int(sys.argv[1])), int(sys.argv[2]), Path(sys.argv[3]))))
"""
        command = [sys.executable, "-c", script, str(rng.getrandbits(60)), str(count), str(folder)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800, check=False)
        assert told.returncode == 0, told.stderr[-4000:]
        return Outcome(**json.loads(told.stdout.splitlines()[-1]))

    return inject


def counted(outcome: Outcome) -> dict[str, int | str]:
    """Return an outcome as `in_own_process` wants it."""
    return asdict(outcome)


def write_line(page: Path, fault: Fault, outcome: Outcome) -> None:
    """Put one fault's figures into a page's table, in the catalogue's order, and say on what machine."""
    text = page.read_text(encoding="utf-8")
    before, table, after = text[: text.index(BEGIN)], text[text.index(BEGIN) : text.index(END)], text[text.index(END) :]
    lines = {line[:2]: line for line in lines_of(table)} | {name_of(fault): line_of(fault, outcome)}
    order = list(CATALOGUE.values())
    kept = [lines[name] for name in sorted(lines, key=lambda name: (order.index(name[0]), name[1]))]
    head = ("fault", "how", *(name.replace("_", " ") for name in COLUMNS), "also measured")
    rule = ("---", "---", *("---:" for _ in COLUMNS), "---")
    rows = "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *kept))
    page.write_text(f"{before}{BEGIN}\n{MACHINE}{machine()}.\n\n{rows}\n{after}", encoding="utf-8")


def lines_of(text: str) -> list[tuple[str, ...]]:
    """Return the cells of a table's lines, without its head."""
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    return [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows]


def name_of(fault: Fault) -> tuple[str, str]:
    """Return the two cells that name a line."""
    return CATALOGUE[fault.row], fault.how


def line_of(fault: Fault, outcome: Outcome) -> tuple[str, ...]:
    """Return a line's cells."""
    return (*name_of(fault), *(str(getattr(outcome, name)) for name in COLUMNS), outcome.also)


def machine() -> str:
    """Describe this machine without naming it."""
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, Python {platform.python_version()}, "
        f"torch {version('torch').split('+')[0]}, pyarrow {version('pyarrow')}"
    )


assert tuple(field.name for field in fields(Outcome)) == (*COLUMNS, "also")
