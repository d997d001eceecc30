"""A folder that is whole or absent: filled beside its place, and given its name in one step."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spooflab.atomic import disk_errors, fsync_folder, plain_folder
from spooflab.errors import DataError


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; without an error it becomes `out`, after everything is flushed to disk.

    A killed process leaves `.NAME.unfinished` beside `out`, which the next one empties; nothing else ever has the name.

    Args:
        out: must not exist; parents are made.

    Raises:
        DataError: `out` exists, another process fills it now, or the disk refuses.
    """
    _refuse_existing(out)
    aside = out.with_name(f".{out.name}.unfinished")
    with disk_errors(f"{out}: cannot be written"):
        out.parent.mkdir(parents=True, exist_ok=True)
        aside.mkdir(exist_ok=True)
        plain_folder(aside)
        held = os.open(aside, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _lock(held, aside)
        with disk_errors(f"{out}: cannot be written"):
            try:
                _clear(aside)
                yield aside
                os.sync()
                _refuse_existing(out)
                os.rename(aside, out)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise
            fsync_folder(out.parent)
    finally:
        os.close(held)


def _lock(held: int, aside: Path) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        same = aside.stat(follow_symlinks=False).st_ino == os.fstat(held).st_ino
    except (BlockingIOError, FileNotFoundError):
        same = False
    if not same:  # another process holds it, or has just finished it and given it its name
        raise DataError(f"{aside}: another process works in it", wanted="one process for each --out")


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _refuse_existing(out: Path) -> None:
    if os.path.lexists(out):
        raise DataError(f"{out} exists", wanted="a name that is free", next_step="choose another --out")
