"""Files that are whole or absent: write aside, flush to disk, publish under the final name; never follow a link."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from spooflab.errors import DataError

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def write_aside(path: Path, data: bytes) -> None:
    """Write a new file and flush it to disk; a file that fails half-way is removed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def replace(source: Path, final: Path) -> None:
    """Rename `source` to `final` in one step and flush the folder's entry to disk."""
    os.replace(source, final)
    fsync_folder(final.parent)


def write_over(final: Path, data: bytes) -> None:
    """Write `data` aside, flush it to disk, and give it the name `final`: a reader sees the old file or the new one."""
    aside = final.with_name(f".{final.name}.{secrets.token_hex(8)}")
    write_aside(aside, data)
    replace(aside, final)


def publish_once(source: Path, final: Path) -> bool:
    """Give `source` the name `final` if nothing has that name yet; say whether this call did it.

    Of several processes one succeeds. `source` is gone afterwards either way.
    """
    try:
        try:
            os.link(source, final, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A file system without hard links: nearly as good, two processes in the same instant could both win.
            if final.exists():
                return False
            os.rename(source, final)
    except FileExistsError:
        return False
    finally:
        with suppress(OSError):
            source.unlink()
    fsync_folder(final.parent)
    return True


def write_once(folder: Path, final: Path, data: bytes) -> bool:
    """Write `data` aside in `folder` and publish it as `final` if that name is free; say whether it was."""
    aside = folder / f"{final.name}.{secrets.token_hex(8)}"
    write_aside(aside, data)
    return publish_once(aside, final)


def fsync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power cut (where the system can)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems know no fsync on folders
        if error.errno not in (errno.EINVAL, *_NO_LINKS):
            raise
    finally:
        os.close(descriptor)


def plain_folder(path: Path) -> Path:
    """Return `path` if it is a real folder.

    Raises:
        DataError: it is missing, a link, or something else.
    """
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", wanted="a folder") from error
    if not stat.S_ISDIR(mode):
        raise DataError(f"{path} is {'a link' if stat.S_ISLNK(mode) else 'not a folder'}", wanted="a folder itself")
    return path


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file to read; a link, a device or a pipe under that name is refused.

    Raises:
        DataError: the file is missing, not regular, or cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        what = "is a link" if error.errno == errno.ELOOP else str(error.strerror)
        raise DataError(f"{path}: {what}", wanted="a regular file") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DataError(f"{path} is not a regular file", wanted="a regular file")
        yield file


def read_plain(path: Path) -> bytes:
    """Return the content of a regular file, as `open_plain` opens it."""
    with open_plain(path) as file:
        return file.read()


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn the operating system's refusals to write into a `DataError` that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        wanted = "free space" if full else "a folder that this user may write"
        raise DataError(
            f"{what}: {reason}",
            wanted=wanted,
            next_step="nothing partial was published; mend it and run the same command again with --resume",
        ) from error
