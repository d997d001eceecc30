"""The few operations that a store asks of the place where it lies."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol

from spooflab.local_files import LocalFiles
from spooflab.location import Location, StoreUrl, location_of


class StoreFiles(Protocol):
    """Files by name, with `/` between folder and file: `shards/shard-00000.json`.

    Reading, writing and removing raise `DataError` for what is missing, refused or not a regular file, and
    `StoreUnreachable` where the place itself does not answer; `write_once`, `write` and `begin` raise `OSError` of a
    local disk, which `refusals` explains.

    Attributes:
        place: folder or URL.
        remote: an object store: objects appear whole, but nothing is renamed, and every look is a request.
    """

    remote: ClassVar[bool]

    @property
    def place(self) -> Location:
        """Folder or URL."""
        ...

    def begin(self, folders: Sequence[str]) -> None:
        """Make the place ready for a new store; refuse one that cannot hold it."""
        ...

    def reopen(self, folders: Sequence[str]) -> None:
        """Make the place ready for a store that it holds; refuse links in place of folders."""
        ...

    def check_folder(self, folder: str) -> None:
        """Raise `DataError` unless `folder` is one, and not a link."""
        ...

    def path(self, name: str) -> Location:
        """Return a file's own path or URL."""
        ...

    def note(self, shard: int, generation: int) -> Path:
        """Return the file of this machine in which a shard's holder notes what it makes."""
        ...

    def exists(self, name: str) -> bool:
        """Return whether a file has that name."""
        ...

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, in order; none where there is no such folder. One look, whatever the number."""
        ...

    def sizes(self, folder: str) -> dict[str, int]:
        """Return bytes by name in a folder, in order of names."""
        ...

    def size(self, name: str) -> int | None:
        """Return a file's bytes, None where there is none."""
        ...

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        ...

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """Return the content of many small files, in order."""
        ...

    def open(self, name: str, size: int | None = None) -> AbstractContextManager[BinaryIO]:
        """Open a file to read parts of it; its size, where it is known, spares a request."""
        ...

    def write_once(self, name: str, data: bytes) -> bool:
        """Write a file, whole, if the name is free; of several writers one is told True."""
        ...

    def write(self, name: str, data: bytes, *, aside: str, ready: Callable[[], None]) -> None:
        """Write a file, whole, in place of what has that name.

        Args:
            name: its name.
            data: its content.
            aside: name for the unfinished file, where there is one.
            ready: called once that is written, before it gets its name; may raise.
        """
        ...

    def touch(self, name: str, data: bytes) -> None:
        """Renew a file's time; quiet if it is gone. `data` is its content."""
        ...

    def silent_s(self, name: str) -> float | None:
        """Return the seconds since a file was written or touched, by the place's own clock; None if it is gone."""
        ...

    def remove(self, names: Sequence[str]) -> list[str]:
        """Remove files of one folder; return those that were there."""
        ...

    def refusals(self, what: str) -> AbstractContextManager[None]:
        """Turn a disk's refusals to write into a `DataError` that says what to do."""
        ...


def files_at(where: str | Location) -> StoreFiles:
    """Return the operations on a folder or URL.

    Raises:
        ConfigError: an unfit URL, or a package that is missing for it.
    """
    place = location_of(where)
    if isinstance(place, StoreUrl):
        from spooflab.object_files import ObjectFiles

        return ObjectFiles.at(place)
    return LocalFiles(place)
