"""Decode what strangers made in a process of its own: whatever it does there, this one lives and the file has a reason.

Each process that decodes has one decoder, started when it is first needed and ended with it. A decoder that dies or
hangs is replaced. It is bounded (`spooflab.decoder_process` says how), and it is no sandbox.
"""

import atexit
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from spooflab.decoder_wire import (
    ARRAY,
    END,
    ERROR,
    READY,
    REFUSED,
    ROWS,
    WireClosed,
    receive_head,
    receive_into,
    receive_json,
    send_request,
)
from spooflab.errors import ConfigError, SkipSample, SpooflabError
from spooflab.images import upright
from spooflab.reasons import REASONS

PICTURES = "spooflab.decoder_process"
"""The module whose process decodes pictures and nothing else."""
PICTURE_S = 60.0
"""For one picture. The largest takes a second or two; a lease's term, after which a worker is replaced, is longer."""
MOST_MIB = 300
"""Resident memory of a decoder, at most."""
_START_S = 120.0
_ATTEMPTS = 2
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONHOME")
"""Of the environment: a decoder needs no credentials."""


@dataclass(frozen=True)
class Reply:
    """What a decoder answers: JSON, and uint8 arrays in the order in which it gave them."""

    told: dict[str, Any]
    arrays: list[npt.NDArray[np.uint8]]


def decode_untrusted(
    data: bytes | BinaryIO, *, max_pixels: int = 50_000_000, min_side: int = 16
) -> npt.NDArray[np.uint8]:
    """Decode a stranger's picture as `spooflab.images.decode_image` does, in this process's decoder.

    Args:
        data: the file's content, or the file, open for reading; it must be one of the system's.
        max_pixels, min_side: see `decode_image`.

    Returns:
        (H, W, 3) uint8, contiguous, sRGB; the same values.

    Raises:
        SkipSample: with a reason of `spooflab.reasons.PICTURE` or `DECODER`.
    """
    limits = {"max_pixels": max_pixels, "min_side": min_side}
    reply = decoder_of(PICTURES).ask("picture", data, limits, seconds=PICTURE_S, most_bytes=3 * max_pixels)
    return np.ascontiguousarray(upright(reply.arrays[0], reply.told["orientation"]))


class BoundedDecoder:
    """One decoder, its process replaced as needed; threads take turns.

    Args:
        command: starts a process that calls `spooflab.decoder_process.serve`; the socket's descriptor is added.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._peak_mib = 0.0
        _ALL.add(self)

    def ask(
        self, job: str, source: bytes | BinaryIO, arguments: Mapping[str, Any], *, seconds: float, most_bytes: int
    ) -> Reply:
        """Have a file decoded.

        Args:
            job: of those that the process serves.
            source: the file's content, or the file itself, open; it is read from its start.
            arguments: for the job, JSON-ready.
            seconds: after which the process is ended.
            most_bytes: most that one array of the answer may take here.

        Raises:
            SkipSample: the job's reasons, `out_of_memory`, `decoder_died` or `decoder_hung`.
            SpooflabError: the process cannot be started, or a package is missing in it.
        """
        if not isinstance(source, bytes):
            return self._asked(job, source, arguments, seconds, most_bytes)
        with _in_memory() as file:
            file.write(source)
            return self._asked(job, file, arguments, seconds, most_bytes)

    @property
    def pid(self) -> int | None:
        """Number of the process that runs now."""
        child = self._child
        return None if child is None else child.process.pid

    @property
    def peak_mib(self) -> float:
        """Most resident memory that any of its processes has held so far; 0 where the system does not tell."""
        if self._child is not None:
            self._peak_mib = max(self._peak_mib, self._child.peak_mib())
        return self._peak_mib

    def close(self) -> None:
        """End the process; the next request starts another."""
        with self._lock:
            self._end()

    def _asked(self, job: str, file: BinaryIO, arguments: Mapping[str, Any], seconds: float, most_bytes: int) -> Reply:
        file.flush()
        request = {"job": job, "arguments": dict(arguments), "seconds": seconds}
        with self._lock:
            for attempt in range(_ATTEMPTS):
                if self._child is None:
                    self._child = self._start()
                try:
                    return self._child.ask(request, file.fileno(), seconds, most_bytes)
                except TimeoutError as error:
                    self._end()
                    raise SkipSample("decoder_hung", f"it was not done after {seconds:g} s") from error
                except (WireClosed, OSError) as error:
                    how = self._end()
                    # Someone else may have ended it, such as a system short of memory: the file gets a second chance.
                    if attempt + 1 == _ATTEMPTS:
                        raise SkipSample("decoder_died", f"its process ended {_ATTEMPTS} times, {how}") from error
                except (SkipSample, SpooflabError):
                    raise
                except BaseException:  # interrupted in mid-answer: what is still to come would be taken for the next
                    self._end()
                    raise
        raise AssertionError("every attempt returns or raises")

    def _start(self) -> "_Child":
        try:
            return _Child(self._command)
        except OSError as error:
            raise SpooflabError(
                f"the decoder's process does not start: {error.strerror or error}", wanted=" ".join(self._command)
            ) from error

    def _end(self) -> str:
        child, self._child = self._child, None
        if child is None:
            return ""
        self._peak_mib = max(self._peak_mib, child.peak_mib())
        return child.end()

    def _forget(self) -> None:
        """Leave the decoder to the process that this one was forked from."""
        self._lock = threading.Lock()
        child, self._child = self._child, None
        if child is not None:
            child.forget()


def decoder_of(module: str) -> BoundedDecoder:
    """Return this process's decoder that runs a module, the same at every call.

    Args:
        module: its dotted name; it calls `spooflab.decoder_process.serve`.
    """
    with _SHARED_LOCK:
        if module not in _SHARED:
            # -P: a folder of strangers may be the working one, and must not be where modules are looked for.
            _SHARED[module] = BoundedDecoder((sys.executable, "-P", "-m", module))
        return _SHARED[module]


class _Child:
    """One process and the socket to it."""

    def __init__(self, command: Sequence[str]) -> None:
        self.link, theirs = socket.socketpair()
        # The file takes what Python says if it cannot start. Later the process may write no file, so it stays small.
        with theirs, _in_memory() as said:
            try:
                self.process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                    [*command, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    env=_environment(),
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C is its parent's to answer
                )
            except BaseException:
                self.link.close()
                raise
            theirs.close()
            try:
                if receive_head(self.link, time.monotonic() + _START_S) != (READY, 0):
                    raise WireClosed("something else than that it is ready")
            except (WireClosed, OSError) as error:
                how = self.end()
                said.seek(0)
                last = said.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise SpooflabError(
                    f"the decoder's process does not start: it ended {how}: {last or error}",
                    wanted=" ".join(command),
                    next_step="spooflab doctor",
                ) from error

    def ask(self, request: Mapping[str, Any], file: int, seconds: float, most_bytes: int) -> Reply:
        ends = time.monotonic() + seconds
        arrays: list[npt.NDArray[np.uint8]] = []
        filled = 0

        self.link.settimeout(seconds)
        send_request(self.link, request, file)
        while True:
            kind, length = receive_head(self.link, ends)
            if kind == ROWS:
                held = arrays[-1].data.cast("B") if arrays else memoryview(b"")
                if length > len(held) - filled:
                    raise WireClosed("more rows than its array has")
                receive_into(self.link, held[filled : filled + length], ends)
                filled += length
                continue
            if arrays and filled != arrays[-1].nbytes and kind in (ARRAY, END):
                raise WireClosed("fewer rows than its array has")
            value = receive_json(self.link, length, ends)
            if kind == ARRAY:
                arrays.append(_empty(value, most_bytes))
                filled = 0
            elif kind == END and isinstance(value, dict):
                return Reply(value, arrays)
            elif kind in (REFUSED, ERROR):
                raise _as_error(kind, value)
            else:
                raise WireClosed(f"a message of kind {kind!r}")

    def peak_mib(self) -> float:
        with suppress(OSError, StopIteration):
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii", errors="replace")
            return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
        return 0.0

    def end(self) -> str:
        """End the process; say how it ended, where it had not to be made to."""
        self.link.close()
        try:
            status = self.process.wait(timeout=0.5)  # one that waits for a request ends now; a dead one has
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "and had to be killed"
        if status < 0:
            return f"by {signal.Signals(-status).name}"
        return f"with status {status}"

    def forget(self) -> None:
        self.link.close()
        self.process.returncode = 0  # it is another process's child: not waited for, and no warning


def _as_error(kind: bytes, value: Any) -> SkipSample | SpooflabError:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise WireClosed("an error that is no list of texts")
    if kind == REFUSED and len(value) == 2 and value[0] in REASONS:
        return SkipSample(value[0], value[1])
    if kind == ERROR and len(value) == 4:
        error = ConfigError if value[0] == "ConfigError" else SpooflabError
        return error(value[1], wanted=value[2], next_step=value[3])
    raise WireClosed("an error of a form that is not known")


def _empty(shape: Any, most_bytes: int) -> npt.NDArray[np.uint8]:
    whole = isinstance(shape, list) and 0 < len(shape) <= 4 and all(type(side) is int and side > 0 for side in shape)
    if not whole or math.prod(shape) > most_bytes:
        raise WireClosed(f"an array of shape {shape}, at most {most_bytes} bytes")
    return np.empty(shape, np.uint8)


def _in_memory() -> BinaryIO:
    """Return an empty file without a name, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("spooflab"), "w+b")
    return tempfile.TemporaryFile("w+b")


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    roots = [
        str(Path(__file__).parent.parent),
        *filter(os.path.isabs, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
    ]
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    # Blocks above this size go back to the system when they are freed: the next picture finds all of the memory.
    one["MALLOC_MMAP_THRESHOLD_"], one["MALLOC_TRIM_THRESHOLD_"] = str(8 << 20), str(16 << 20)
    return {**kept, **one, "PYTHONPATH": os.pathsep.join(roots), "PYTHONDONTWRITEBYTECODE": "1"}


_ALL: "weakref.WeakSet[BoundedDecoder]" = weakref.WeakSet()
_SHARED: dict[str, BoundedDecoder] = {}
_SHARED_LOCK = threading.Lock()


def _close_all() -> None:
    for decoder in list(_ALL):
        decoder.close()


def _after_fork() -> None:
    global _SHARED_LOCK
    _SHARED_LOCK = threading.Lock()
    for decoder in list(_ALL):
        decoder._forget()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
