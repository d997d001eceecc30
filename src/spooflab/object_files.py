"""A store's files in an object store, by any fsspec file system whose conditional creation holds.

Objects are written from memory by one call: an exception inside `with fs.open(…, "wb")` would publish half of one.
Listings are never taken from a cache. Credentials and endpoint come from the file system's own environment and
configuration alone.
"""

import hashlib
import io
import os
import secrets
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

from spooflab.errors import ConfigError, DataError, SpooflabError, StoreUnreachable
from spooflab.location import StoreUrl

CLOCK = "leases/clock"
"""Object that is written to read the store's clock; hosts' clocks differ."""
_CLOCK_S = 600.0
_WRITERS = 6
_CONFLICTS = ("ConditionalRequestConflict", "OperationAborted")
_CONFLICT_PAUSES_S = (0.2, 1.0, 3.0)
_IN_THIS_PROCESS = threading.Lock()


class ObjectFiles:
    """See `StoreFiles`; made by `at`.

    Attributes:
        place: URL.
        fs: the fsspec file system.
    """

    remote: ClassVar[bool] = True

    def __init__(self, place: StoreUrl, fs: Any, root: str) -> None:
        self.place, self.fs, self._root = place, fs, root.rstrip("/")
        self._clock: tuple[float, float] | None = None

    @classmethod
    def at(cls, place: StoreUrl) -> "ObjectFiles":
        """Find the file system of a URL.

        Raises:
            ConfigError: unknown, or its package is missing.
        """
        try:
            from fsspec.core import url_to_fs

            fs, root = url_to_fs(place.url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"{place}: {_first_line(error)}",
                wanted="a file system that fsspec knows, with its package installed",
                next_step="for s3:// pip install 'spooflab[s3]', for gs:// gcsfs, for az:// adlfs",
            ) from error
        return cls(place, fs, root)

    def begin(self, folders: Sequence[str]) -> None:
        """Prove that of several writers one creates an object, and that objects tell their time.

        Raises:
            DataError: the file system does not.
            StoreUnreachable: it does not answer.
        """
        probe = f"leases/probe.{secrets.token_hex(8)}"
        with ThreadPoolExecutor(_WRITERS) as pool:
            told = list(pool.map(lambda number: self._tried(probe, b"%d" % number), range(_WRITERS)))
        won = [number for number, error in enumerate(told) if error is None]
        # fsspec's own fallback looks first and writes then: two writers can both find the name free.
        fallback = not self.fs.async_impl and type(self.fs).pipe_file is _fallback()
        if len(won) == 1 and not fallback and self.read(probe) == b"%d" % won[0]:
            self.remove([probe])
            self._store_now()
            return
        with suppress(SpooflabError):
            self.remove([probe])
        failures = [error for error in told if error is not None and not isinstance(error, FileExistsError)]
        if not won and failures:
            raise self._refusal(failures[0], "cannot start a store") from failures[0]
        raise DataError(
            f"{self.place}: {len(won)} of {_WRITERS} writers created the same object, by {type(self.fs).__name__}",
            wanted="a file system in which exactly one does (fsspec's mode='create', such as S3's If-None-Match)",
            next_step="generate into a folder, and copy that",
        )

    def reopen(self, folders: Sequence[str]) -> None:
        """Do nothing: an object store knows no folders."""

    def check_folder(self, folder: str) -> None:
        """Do nothing: an object store knows neither folders nor links."""

    def path(self, name: str) -> StoreUrl:
        """Return an object's own URL."""
        return self.place / name

    def note(self, shard: int, generation: int) -> Path:
        """Return the file of this machine in which a shard's holder notes what it makes; a request each were too dear.

        Whoever watches a holder is on the same machine. Of two launchers here at one URL, the last to note counts.
        """
        return _notes() / hashlib.sha256(self.place.url.encode()).hexdigest()[:16] / f"shard-{shard:05d}.making"

    def exists(self, name: str) -> bool:
        """Return whether an object has that name; by reading a byte, since asking for it may list the folder too."""
        with self._asking(name):
            try:
                self.fs.cat_file(self._key(name), start=0, end=1)
            except FileNotFoundError:
                return False
        return True

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, in order."""
        return list(self.sizes(folder))

    def sizes(self, folder: str) -> dict[str, int]:
        """Return bytes by name in a folder."""
        key = self._key(folder)
        with self._asking(folder):
            self.fs.invalidate_cache(key)
            try:
                entries = self.fs.ls(key, detail=True)
            except FileNotFoundError:
                return {}
        paths = ((entry["name"].rstrip("/"), int(entry["size"] or 0)) for entry in entries)
        # Some tools mark a folder by an empty object of its own name.
        return dict(sorted((path.rpartition("/")[2], size) for path, size in paths if path != key))

    def size(self, name: str) -> int | None:
        """Return an object's bytes, None where there is none."""
        with self._asking(name):
            try:
                told = self.fs.info(self._key(name))
            except FileNotFoundError:
                return None
        return int(told["size"]) if told["type"] == "file" else None

    def read(self, name: str) -> bytes:
        """Return an object's content."""
        with self._asking(name):
            return bytes(self.fs.cat_file(self._key(name), start=0))

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """Return the content of many small objects, in order; many requests at once where the file system can."""
        if not names:
            return []
        with self._asking(names[0]):
            found = self.fs.cat_ranges([self._key(name) for name in names], 0, None, on_error="return")
        for name, data in zip(names, found, strict=True):
            if isinstance(data, BaseException):
                with self._asking(name):
                    raise data
        return [bytes(data) for data in found]

    @contextmanager
    def open(self, name: str, size: int | None = None) -> Iterator[BinaryIO]:
        """Open an object to read parts of it; each read is one request for those bytes."""
        size = self.size(name) if size is None else size
        if size is None:
            raise DataError(f"{self.path(name)}: missing", wanted="an object that is there")
        yield cast(BinaryIO, _Ranges(self, name, size))

    def part(self, name: str, start: int, end: int) -> bytes:
        """Return bytes `start` … `end` − 1 of an object."""
        with self._asking(name):
            return bytes(self.fs.cat_file(self._key(name), start=start, end=end))

    def write_once(self, name: str, data: bytes) -> bool:
        """Write an object if the name is free.

        A reply that is lost and asked for again can tell the winner False: whoever must know compares the content.
        """
        pauses = iter(_CONFLICT_PAUSES_S)
        while (error := self._tried(name, data)) is not None:
            if isinstance(error, FileExistsError):
                return False
            pause = next(pauses, None) if _code(error) in _CONFLICTS else None
            if pause is None:
                break
            time.sleep(pause)
        else:
            return True
        # Services word "it exists" differently; whether it does is asked of the store itself.
        with suppress(StoreUnreachable):
            if self.exists(name):
                return False
        raise self._refusal(error, f"{name} cannot be written") from error

    def write(self, name: str, data: bytes, *, aside: str, ready: Callable[[], None]) -> None:
        """Write an object in place of what has that name; nothing is written aside, and `ready` is not called."""
        with self._asking(name):
            self.fs.pipe_file(self._key(name), data)

    def touch(self, name: str, data: bytes) -> None:
        """Write an object again, which renews its time."""
        with self._asking(name):
            self.fs.pipe_file(self._key(name), data)

    def silent_s(self, name: str) -> float | None:
        """Return the seconds since an object was written, both told by the store's clock; None if it is gone."""
        with self._asking(name):
            try:
                written = self._written(name)
            except FileNotFoundError:
                return None
            return max(0.0, self._store_now() - written)

    def remove(self, names: Sequence[str]) -> list[str]:
        """Remove objects; return those that were there, where the file system tells."""
        gone = []
        for name in names:
            with self._asking(name), suppress(FileNotFoundError):
                self.fs.rm_file(self._key(name))
                gone.append(name)
        return gone

    def refusals(self, what: str) -> AbstractContextManager[None]:
        """Do nothing: each operation tells its own refusals."""
        return nullcontext()

    def _key(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _tried(self, name: str, data: bytes) -> Exception | None:
        """Create an object conditionally; return why it was not."""
        alone = _IN_THIS_PROCESS if _of_one_process(self.fs) else nullcontext()
        try:
            with alone:
                self.fs.pipe_file(self._key(name), data, mode="create")
        except Exception as error:
            return error
        return None

    def _written(self, name: str) -> float:
        """When an object was written, seconds since 1970 by the store's clock."""
        written = self.fs.modified(self._key(name))
        return float((written if written.tzinfo else written.replace(tzinfo=UTC)).timestamp())

    def _store_now(self) -> float:
        """Seconds since 1970 by the store's clock, to the second that it tells."""
        if self._clock is None or time.monotonic() - self._clock[1] > _CLOCK_S:
            with self._asking(CLOCK):
                self.fs.pipe_file(self._key(CLOCK), b"what time is it\n")
                here = time.monotonic()
                self._clock = (self._written(CLOCK), here)
        return self._clock[0] + time.monotonic() - self._clock[1]

    @contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        try:
            yield
        except SpooflabError:
            raise
        except Exception as error:
            raise self._refusal(error, name or "it") from error

    def _refusal(self, error: Exception, what: str) -> DataError:
        if isinstance(error, FileNotFoundError):
            return DataError(f"{self.place}: {what}: {_first_line(error)}", wanted="an object that is there")
        denied = isinstance(error, PermissionError)
        return StoreUnreachable(
            f"{self.place}: {what}: {type(error).__name__}: {_first_line(error)}",
            wanted="credentials that may do this" if denied else "a store that answers",
            next_step="nothing partial was published; when it answers, run the same command again with --resume",
        )


class _Ranges(io.RawIOBase):
    """An object as a file of which parts are read."""

    def __init__(self, files: ObjectFiles, name: str, size: int) -> None:
        self._files, self._name, self._size, self._at = files, name, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._size, self._at + size)
        data = self._files.part(self._name, self._at, end) if end > self._at else b""
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _fallback() -> object:
    from fsspec.spec import AbstractFileSystem

    return AbstractFileSystem.pipe_file


def _of_one_process(fs: object) -> bool:
    """Whether a file system lives in this process's memory: a lock then makes its look and its write one step."""
    from fsspec.implementations.memory import MemoryFileSystem

    return type(fs) is MemoryFileSystem


def _code(error: Exception) -> str:
    """Return the service's own word for an error, "" where there is none."""
    for cause in (error, error.__cause__):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [repr(error)])[0]


def _notes() -> Path:
    """Return this user's folder for notes; one that another user made is refused."""
    folder = Path(tempfile.gettempdir()) / f"spooflab-notes-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or (hasattr(os, "getuid") and about.st_uid != os.getuid()):
        raise DataError(
            f"{folder} is not a folder of this user", wanted="none, or one's own", next_step="remove it, or set TMPDIR"
        )
    return folder
