"""A store's files in a folder of this machine, or of a file system that it has mounted."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar

from spooflab.atomic import disk_errors, open_plain, plain_folder, read_plain, replace, write_aside
from spooflab.atomic import write_once as publish


@dataclass(frozen=True)
class LocalFiles:
    """See `StoreFiles`. Whole files by `spooflab.atomic`; links, pipes and devices are refused.

    Attributes:
        place: the folder.
    """

    place: Path
    remote: ClassVar[bool] = False

    def begin(self, folders: Sequence[str]) -> None:
        """Make the folders."""
        for folder in folders:
            (self.place / folder).mkdir(parents=True, exist_ok=True)
            plain_folder(self.place / folder)

    def reopen(self, folders: Sequence[str]) -> None:
        """Make folders that are missing, where they may be made: copies come without empty ones, or write-protected."""
        for folder in folders:
            with suppress(OSError):
                (self.place / folder).mkdir()
            if folder == "shards" or os.path.lexists(self.place / folder):
                plain_folder(self.place / folder)

    def check_folder(self, folder: str) -> None:
        """Raise `DataError` unless `folder` is one, and not a link."""
        plain_folder(self.place / folder)

    def path(self, name: str) -> Path:
        """Return a file's own path."""
        return self.place / name

    def note(self, shard: int, generation: int) -> Path:
        """Return the file in which a shard's holder notes what it makes; it lies aside."""
        return self.place / "aside" / f"shard-{shard:05d}.{generation:06d}.making"

    def exists(self, name: str) -> bool:
        """Return whether a file has that name."""
        return (self.place / name).exists()

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, in order."""
        try:
            return sorted(os.listdir(self.place / folder))
        except FileNotFoundError:
            return []

    def sizes(self, folder: str) -> dict[str, int]:
        """Return bytes by name in a folder, links themselves."""
        found: dict[str, int] = {}
        with suppress(FileNotFoundError), os.scandir(self.place / folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    found[entry.name] = entry.stat(follow_symlinks=False).st_size
        return dict(sorted(found.items()))

    def size(self, name: str) -> int | None:
        """Return a file's bytes, None where there is none."""
        try:
            return (self.place / name).lstat().st_size
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes:
        """Return a regular file's content."""
        return read_plain(self.place / name)

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """Return the content of many small files, in order."""
        return [self.read(name) for name in names]

    def open(self, name: str, size: int | None = None) -> AbstractContextManager[BinaryIO]:
        """Open a regular file to read parts of it."""
        return open_plain(self.place / name)

    def write_once(self, name: str, data: bytes) -> bool:
        """Write a file, whole and flushed to disk, if the name is free."""
        return publish(self.place / "aside", self.place / name, data)

    def write(self, name: str, data: bytes, *, aside: str, ready: Callable[[], None]) -> None:
        """Write a file aside, flush it to disk, rename it, and flush the folder."""
        unfinished = self.place / aside
        try:
            write_aside(unfinished, data)
            ready()
            replace(unfinished, self.place / name)
        finally:
            unfinished.unlink(missing_ok=True)

    def touch(self, name: str, data: bytes) -> None:
        """Renew a file's time; quiet if it is gone."""
        with suppress(FileNotFoundError):
            os.utime(self.place / name)

    def silent_s(self, name: str) -> float | None:
        """Return the seconds since a file was written or touched; None if it is gone."""
        try:
            return time.time() - (self.place / name).stat().st_mtime
        except FileNotFoundError:
            return None

    def remove(self, names: Sequence[str]) -> list[str]:
        """Remove files; return those that were there. One that a power cut brings back is removed again."""
        gone = []
        for name in names:
            with suppress(FileNotFoundError):
                (self.place / name).unlink()
                gone.append(name)
        return gone

    def refusals(self, what: str) -> AbstractContextManager[None]:
        """Turn the disk's refusals to write into a `DataError` that says what to do."""
        return disk_errors(what)
