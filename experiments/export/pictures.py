"""What is to be scored: files, folders, globs and data sets, listed before anything runs and read one at a time."""

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spooflab.errors import DataError, SkipSample
from spooflab.experiments.export.facts_of_row import NOTHING, RowFacts
from spooflab.reader import iter_images, read_index

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
"""Files of a folder that are taken to be pictures; a file that is named itself is read whatever it is called."""

MOST_BYTES = 256 * 2**20
_MAGIC = "*?["


@dataclass(frozen=True)
class Listed:
    """Everything that was named, in order.

    Attributes:
        sources: files, and folders of data sets.
        count: how many pictures they hold.
        passed_over: how many files of folders were not taken for pictures.
        loose: whether any of them is a picture by itself, and not a row of a data set.
    """

    sources: tuple[Path, ...]
    count: int
    passed_over: int
    loose: bool


@dataclass(frozen=True)
class Picture:
    """One picture to come: its name, its file's content or why there is none, and what a data set says of it."""

    name: str
    data: bytes | SkipSample
    facts: RowFacts = NOTHING
    stored: bool = False


def list_pictures(given: Sequence[str]) -> Listed:
    """Find what the words of a command line name.

    Args:
        given: each a file, a folder (walked, in order of name, links to folders not followed), a glob pattern (`**`
            walks), or the folder of a data set that spooflab wrote.

    Raises:
        DataError: one names nothing.
    """
    sources: list[Path] = []
    count = passed_over = 0
    loose = False
    for word in given:
        for path in _expanded(word):
            if is_data_set(path):
                sources.append(path)
                count += read_index(path).num_rows
                continue
            found, others = _files(path)
            sources += found
            count, passed_over, loose = count + len(found), passed_over + others, loose or bool(found)
    if not count:
        raise DataError(
            f"no picture in {', '.join(given) or 'nothing'} ({passed_over} other files)",
            wanted=f"files, folders or globs of {', '.join(SUFFIXES)}, or the folder of a data set",
        )
    return Listed(tuple(sources), count, passed_over, loose)


def read_pictures(listed: Listed) -> Iterator[Picture]:
    """Read what was listed, one at a time; a file that cannot be read is a picture with a reason.

    Raises:
        DataError: a data set is damaged (`spooflab verify` says where).
    """
    for source in listed.sources:
        if is_data_set(source):
            yield from _stored(source)
        else:
            yield Picture(_told(source), _content(source))


def is_data_set(path: Path) -> bool:
    """Whether spooflab wrote a data set there."""
    return (path / "plan.json").is_file() and (path / "shards").is_dir()


def _expanded(word: str) -> list[Path]:
    path = Path(word)
    if os.path.lexists(path):
        return [path]
    found = sorted(glob.glob(word, recursive=True)) if any(sign in word for sign in _MAGIC) else []
    if not found:
        raise DataError(f"{word}: no such file", wanted="a picture, a folder, a glob pattern or a data set")
    return [Path(name) for name in found]


def _files(path: Path) -> tuple[list[Path], int]:
    """Return the pictures at a path, and how many other files a folder holds."""
    if not path.is_dir():
        return [path], 0
    found, others = [], 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES):
                found.append(Path(folder) / name)
            else:
                others += 1
    return found, others


def _content(path: Path) -> bytes | SkipSample:
    try:
        # Asked before opening: to open a pipe waits for who writes to it.
        told = path.stat()
        if not stat.S_ISREG(told.st_mode):
            return SkipSample("not_a_file", "neither a file nor a link to one")
        if told.st_size > MOST_BYTES:
            return SkipSample("file_too_large", f"{told.st_size} bytes, at most {MOST_BYTES} are read")
        return path.read_bytes()
    except OSError as error:
        return SkipSample("unreadable", error.strerror or str(error))


def _stored(root: Path) -> Iterator[Picture]:
    facts = {row["key"]: RowFacts.of(row) for row in read_index(root).to_pylist()}
    for key, data in iter_images(root):
        yield Picture(key, data, facts[key], stored=True)


def _told(path: Path) -> str:
    """Return a path as text that any encoding holds: names of files may be any bytes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
