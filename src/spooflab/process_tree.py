"""What a process and its descendants take of memory and processor, from /proc: Linux tells, other systems do not."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessUse:
    """One process at one moment.

    Attributes:
        pid: its number.
        parent: its parent's number.
        resident_bytes: what it holds in memory; pages that processes share count in each of them.
        cpu_s: processor time that it has taken so far.
        waited_s: the same of its children that have ended.
    """

    pid: int
    parent: int
    resident_bytes: int
    cpu_s: float
    waited_s: float


def process_tree(root: int) -> list[ProcessUse]:
    """Return a process and all that descend from it, itself first; empty where it is gone, or the system does not tell.

    Args:
        root: number of the process.
    """
    found = {use.pid: use for use in _all()}
    children: dict[int, list[int]] = {}
    for use in found.values():
        children.setdefault(use.parent, []).append(use.pid)
    order = [root] if root in found else []
    for pid in order:  # grows as it is walked
        order += children.get(pid, [])
    return [found[pid] for pid in order]


def _all() -> Iterator[ProcessUse]:
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    with suppress(FileNotFoundError):
        for name in os.listdir(_PROC):
            if not name.isdigit():
                continue
            with suppress(OSError):  # it ended as we looked
                # The name, in brackets, may hold anything; what follows is numbers. See proc_pid_stat(5).
                rest = (_PROC / name / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                user, system, waited_user, waited_system = map(int, rest[11:15])
                yield ProcessUse(
                    int(name),
                    int(rest[1]),
                    int(rest[21]) * page,
                    (user + system) / tick,
                    (waited_user + waited_system) / tick,
                )
