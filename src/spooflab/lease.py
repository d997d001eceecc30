"""Leases: which process works on a shard now, and how another takes over when it dies or hangs.

A lease is a file `shard-00000.<generation>`, made exclusively. Its holder touches it as it works. When the newest
generation's holder is dead, or has not touched it for its term, the next generation may be made: whoever makes that
file is the new holder, and the old one, should it wake, sees that it is no longer the newest. Leases save work;
that a shard is committed once does not rest on them but on the exclusive commit record.
"""

import json
import os
import platform
import re
import secrets
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

from spooflab.atomic import disk_errors, read_plain, write_once
from spooflab.errors import DataError

LEASE_S = 120.0
"""Seconds without a sign of life after which another process may take over."""

_NAME = re.compile(r"shard-(\d{5})\.(\d{6})")


class LeaseLost(DataError):
    """The shard was taken over by another process, because this one gave no sign of life for its term."""


class Lease:
    """The right to make one shard; a context manager that gives it back.

    Attributes:
        shard: number of the shard.
        generation: how many took the shard over before.
        note: file that says what is being made; it outlives a holder that dies.
    """

    def __init__(self, folder: Path, shard: int, generation: int, token: str, *, aside: Path) -> None:
        self.folder, self.shard, self.generation, self.token = folder, shard, generation, token
        self.note = note_path(aside, shard, generation)

    @property
    def path(self) -> Path:
        """The lease's file."""
        return _path(self.folder, self.shard, self.generation)

    def renew(self, making: str = "") -> None:
        """Give a sign of life, and say what is made next: whoever watches this process knows it should it die or hang.

        Raises:
            LeaseLost: another process has taken over; whatever was made is to be dropped.
        """
        self.check()
        with suppress(FileNotFoundError):
            os.utime(self.path)
        if making:
            with disk_errors(f"{self.note}: cannot note what is made next"):
                self.note.write_text(making, encoding="utf-8")

    def check(self) -> None:
        """Raise `LeaseLost` unless this is still the shard's newest lease."""
        newest = newest_generation(self.folder, self.shard)
        if newest != self.generation or _content(self.path).get("token") != self.token:
            raise LeaseLost(
                f"shard {self.shard}: the lease of process {os.getpid()} has passed to another process",
                wanted="a sign of life within the lease's term",
                next_step="nothing is lost: the other process commits the shard",
            )

    def release(self) -> None:
        """Remove the lease and the ones it took over from; quiet if that was done already."""
        with suppress(LeaseLost):
            self.check()
            self.note.unlink(missing_ok=True)
            for generation in range(self.generation + 1):
                _path(self.folder, self.shard, generation).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def take(folder: Path, shard: int, *, aside: Path, term_s: float = LEASE_S) -> Lease | None:
    """Take the lease of a shard, or return None while another process holds it.

    Args:
        folder: where leases lie.
        shard: number of the shard.
        aside: folder on the same file system for the unfinished file.
        term_s: seconds that the lease lives without `renew`.
    """
    newest = newest_generation(folder, shard)
    if newest is not None and is_alive(_path(folder, shard, newest)):
        return None
    generation = 0 if newest is None else newest + 1
    token = secrets.token_hex(8)
    content = {"host": _host(), "pid": os.getpid(), "started": _started(os.getpid()), "term_s": term_s, "token": token}
    try:
        made = write_once(aside, _path(folder, shard, generation), json.dumps(content).encode())
    except FileNotFoundError:  # a newer holder has tidied up after older ones, this process among them
        return None
    if not made:
        return None
    return Lease(folder, shard, generation, token, aside=aside)


def note_path(aside: Path, shard: int, generation: int) -> Path:
    """Return where a holder notes what it makes."""
    return aside / f"shard-{shard:05d}.{generation:06d}.making"


def last_sign(folder: Path, shard: int) -> float | None:
    """Return when the shard's newest holder last gave a sign of life, seconds since 1970; None without a holder."""
    newest = newest_generation(folder, shard)
    try:
        return None if newest is None else _path(folder, shard, newest).stat().st_mtime
    except FileNotFoundError:
        return None


def newest_generation(folder: Path, shard: int) -> int | None:
    """Return the highest generation of a shard's leases, None if there is none."""
    found = [match for name in os.listdir(folder) if (match := _NAME.fullmatch(name))]
    return max((int(m[2]) for m in found if int(m[1]) == shard), default=None)


def live_shards(folder: Path) -> set[int]:
    """Return the shards that some process works on."""
    shards = {int(match[1]) for name in os.listdir(folder) if (match := _NAME.fullmatch(name))}
    alive = set()
    for shard in shards:
        newest = newest_generation(folder, shard)
        if newest is not None and is_alive(_path(folder, shard, newest)):
            alive.add(shard)
    return alive


def is_alive(path: Path) -> bool:
    """Return whether a lease's holder still counts as working."""
    content = _content(path)
    try:
        silent_s = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    if silent_s > float(content.get("term_s", LEASE_S)):
        return False
    if content.get("host") != _host():
        return True  # nothing can be known of another machine's processes but their silence
    return _started(int(content["pid"])) == content["started"]


def _path(folder: Path, shard: int, generation: int) -> Path:
    return folder / f"shard-{shard:05d}.{generation:06d}"


def _content(path: Path) -> dict[str, str]:
    """A lease's JSON; empty where it is gone or damaged, so that its age alone decides."""
    try:
        content = json.loads(read_plain(path))
    except (DataError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@lru_cache(maxsize=1)
def _host() -> str:
    """Name what process numbers are unique in: machine, boot and, under Linux, the process-number namespace."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "|".join(parts)


def _started(pid: int) -> str:
    """When a process began, so that a number used again is not taken for its first owner; "" if there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
    except ProcessLookupError:
        return ""
    else:
        state, *rest = status.rpartition(")")[2].split()
        return "" if state in "ZX" else rest[18]
    try:  # systems without /proc
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "running"
    return "running"
