"""Leases: which process works on a shard now, and how another takes over when it dies or hangs.

A lease is a file `shard-00000.<generation>`, made exclusively. Its holder touches it as it works. When the newest
generation's holder is dead, or has not touched it for its term, the next generation may be made: whoever makes that
file is the new holder, and the old one, should it wake, sees that it is no longer the newest. Leases save work;
that a shard is committed once does not rest on them but on the exclusive commit record.

In an object store a sign of life is a request. There the holder gives one for each eighth of its term at most, and
notes what it makes on its own machine, where whoever watches it is as well.
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
from typing import Any, Self

from spooflab.atomic import disk_errors
from spooflab.errors import DataError, StoreUnreachable
from spooflab.json_text import parse_json
from spooflab.location import Location
from spooflab.store_files import StoreFiles

LEASE_S = 120.0
"""Seconds without a sign of life after which another process may take over."""

_NAME = re.compile(r"shard-(\d{5,})\.(\d{6})")
_SIGNS_PER_TERM = 8
_KINDS = {"host": str, "pid": int, "started": str, "term_s": float | int, "token": str}


class LeaseLost(DataError):
    """The shard was taken over by another process, because this one gave no sign of life for its term."""


class Lease:
    """The right to make one shard; a context manager that gives it back.

    Attributes:
        shard: number of the shard.
        generation: how many took the shard over before.
        token: that of this holder alone.
        name: of the lease's file in the store.
        note: file of this machine that says what is being made; it outlives a holder that dies.
    """

    def __init__(self, files: StoreFiles, shard: int, generation: int, content: bytes) -> None:
        self._files, self.shard, self.generation, self._content = files, shard, generation, content
        told = json.loads(content)
        self.token, self._pause_s = str(told["token"]), float(told["term_s"]) / _SIGNS_PER_TERM
        self.name, self.note = _name(shard, generation), files.note(shard, generation)
        self._signed = time.monotonic()
        if files.remote:
            self.note.parent.mkdir(exist_ok=True)
            self.note.write_text("", encoding="utf-8")

    @property
    def path(self) -> Location:
        """The lease's file."""
        return self._files.path(self.name)

    def renew(self, making: str = "") -> None:
        """Give a sign of life, and say what is made next: whoever watches this process knows it should it die or hang.

        Raises:
            LeaseLost: another process has taken over; whatever was made is to be dropped.
        """
        if not self._files.remote or time.monotonic() - self._signed > self._pause_s:
            self.check()
            self._files.touch(self.name, self._content)
            self._signed = time.monotonic()
        if making:
            with disk_errors(f"{self.note}: cannot note what is made next"):
                self.note.write_text(making, encoding="utf-8")
        elif self._files.remote:
            self.note.touch()

    def made_all(self) -> None:
        """Note that no sample is being made any more: what comes now is no sample's fault."""
        if self._files.remote:
            self.note.write_text("", encoding="utf-8")  # its time stays a sign of life
        else:
            self.note.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise `LeaseLost` unless this is still the shard's newest lease."""
        newest = newest_generation(self._files, self.shard)
        if newest != self.generation or _content(self._files, self.name).get("token") != self.token:
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
            self._files.remove([_name(self.shard, generation) for generation in range(self.generation + 1)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What went wrong is told, not that the lease could not be given back because of it.
        with suppress(*(() if value is None else (StoreUnreachable,))):
            self.release()


def take(files: StoreFiles, shard: int, *, term_s: float = LEASE_S) -> Lease | None:
    """Take the lease of a shard, or return None while another process holds it.

    Args:
        files: of the store.
        shard: number of the shard.
        term_s: seconds that the lease lives without `renew`.
    """
    files.check_folder("leases")
    newest = newest_generation(files, shard)
    if newest is not None and is_alive(files, _name(shard, newest)):
        return None
    generation = 0 if newest is None else newest + 1
    token = secrets.token_hex(8)
    told = {"host": _host(), "pid": os.getpid(), "started": _started(os.getpid()), "term_s": term_s, "token": token}
    content, name = json.dumps(told).encode(), _name(shard, generation)
    try:
        made = files.write_once(name, content)
    except FileNotFoundError:  # a newer holder has tidied up after older ones, this process among them
        return None
    # Of a request that was sent again because its reply was lost, the second reply says that the lease exists.
    if not made and not (files.remote and _content(files, name).get("token") == token):
        return None
    return Lease(files, shard, generation, content)


def making(files: StoreFiles, shard: int) -> str:
    """Return what a shard's newest holder, dead or alive, noted last; "" where it noted nothing on this machine."""
    newest = 0 if files.remote else newest_generation(files, shard)
    if newest is None:
        return ""
    try:
        return files.note(shard, newest).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def silent_s(files: StoreFiles, shard: int) -> float | None:
    """Return the seconds since a shard's holder gave a sign of life; None without one.

    Of an object store's, one on this machine, by its note's time: watching costs no request.
    """
    if files.remote:
        try:
            return time.time() - files.note(shard, 0).stat().st_mtime
        except FileNotFoundError:
            return None
    newest = newest_generation(files, shard)
    return None if newest is None else files.silent_s(_name(shard, newest))


def newest_generation(files: StoreFiles, shard: int) -> int | None:
    """Return the highest generation of a shard's leases, None if there is none."""
    return newest_generations(files).get(shard)


def live_shards(files: StoreFiles) -> set[int]:
    """Return the shards that some process works on."""
    return {shard for shard, newest in newest_generations(files).items() if is_alive(files, _name(shard, newest))}


def is_alive(files: StoreFiles, name: str) -> bool:
    """Return whether a lease's holder still counts as working."""
    content = _content(files, name)
    silent = files.silent_s(name)
    if silent is None or silent > float(content.get("term_s", LEASE_S)):
        return False
    if content.get("host") != _host():
        return True  # nothing can be known of another machine's processes but their silence
    return _started(int(content["pid"])) == str(content["started"])


def newest_generations(files: StoreFiles) -> dict[int, int]:
    """Return the highest generation by shard, from one look at the folder."""
    newest: dict[int, int] = {}
    for name in files.names("leases"):
        if match := _NAME.fullmatch(name):
            shard, generation = int(match[1]), int(match[2])
            newest[shard] = max(generation, newest.get(shard, 0))
    return newest


def _name(shard: int, generation: int) -> str:
    return f"leases/shard-{shard:05d}.{generation:06d}"


def _content(files: StoreFiles, name: str) -> dict[str, Any]:
    """A lease's JSON; empty where it is gone or damaged, so that its age alone decides."""
    try:
        content = parse_json(files.read(name))
    except StoreUnreachable:
        raise
    except (DataError, ValueError):
        return {}
    whole = isinstance(content, dict) and all(isinstance(content.get(key), kind) for key, kind in _KINDS.items())
    return content if whole else {}


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
