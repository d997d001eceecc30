"""Files of a data set, in order, never outside of its root."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from spooflab.confined import confined_file
from spooflab.csv_text import csv_table
from spooflab.errors import DataError, SkipSample

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
VIDEOS = (".avi", ".mov", ".mp4", ".m4v", ".mkv", ".webm")
HDF5 = (".h5", ".hdf5")
MAX_TEXT_BYTES = 500_000_000
"""Largest list or annotation file that is read; the labels of CelebA-Spoof's training part are some 100 MB."""


def files(root: Path, suffixes: Iterable[str] = (), *, under: str = ".") -> Iterator[str]:
    """Yield the paths of regular files below `root/under` with one of the suffixes (all by default), sorted.

    Folders that are links and hidden names are passed over; links to files are yielded, and refused when they are
    read if they lead out of the root.
    """
    wanted = tuple(suffixes)
    base = root / under
    for folder, inner, names in os.walk(base):
        inner[:] = sorted(name for name in inner if not name.startswith(".") and not os.path.islink(f"{folder}/{name}"))
        for name in sorted(names):
            if not name.startswith(".") and (not wanted or name.lower().endswith(wanted)):
                yield (Path(folder) / name).relative_to(root).as_posix()


def folders(root: Path, under: str = ".") -> list[str]:
    """Return the names of the folders directly below `root/under`, sorted; links and hidden ones are passed over."""
    base = root / under
    if not base.is_dir():
        return []
    return sorted(p.name for p in base.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith("."))


def need(root: Path, *names: str, what: str) -> None:
    """Refuse a root that lacks all of `names`.

    Raises:
        DataError: no such folder, or none of the names is in it.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder", wanted=f"the root folder of {what}")
    if not any((root / name).exists() for name in names):
        seen = ", ".join(sorted(p.name for p in root.iterdir())[:6]) or "nothing"
        raise DataError(f"{root} holds {seen}", wanted=f"the root of {what}, with {' or '.join(names)} in it")


def confined(root: Path, relative: str, *, max_bytes: int) -> Path:
    """Return the real path of a regular file that lies under `root` once all links are followed.

    Raises:
        SkipSample: `path_escape`, `missing`, `unreadable` or `file_too_large`.
    """
    if "\\" in relative:
        raise SkipSample("path_escape", f"{relative!r} is not a path under its root")
    try:
        return confined_file(root, relative, max_bytes=max_bytes)
    except FileNotFoundError as error:
        raise SkipSample("missing", f"{relative}: no such file") from error
    except OSError as error:
        raise SkipSample("unreadable", f"{relative}: {error.strerror}") from error


def read_text(root: Path, relative: str) -> str:
    """Return the text of a list or annotation file under `root`.

    Raises:
        SkipSample: as `confined`, or `not_text`.
    """
    try:
        return confined(root, relative, max_bytes=MAX_TEXT_BYTES).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SkipSample("not_text", f"{relative}: {error}") from error
    except OSError as error:
        raise SkipSample("unreadable", f"{relative}: {error.strerror}") from error


def read_table(root: Path, relative: str) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and the rows of a CSV under `root`.

    Raises:
        DataError: the list cannot be read, or a row has other cells than columns; a reader cannot go on without it.
    """
    try:
        text = read_text(root, relative)
    except SkipSample as skip:
        raise DataError(f"{root / relative}: {skip.detail}", wanted="a CSV in UTF-8") from skip
    names, rows = csv_table(text, root / relative)
    return names, [row for _, row in rows]


def read_list(root: Path, relative: str) -> list[str]:
    """Return the lines of a list that are not empty, stripped.

    Raises:
        DataError: the list cannot be read; a reader cannot go on without it.
    """
    try:
        text = read_text(root, relative)
    except SkipSample as skip:
        raise DataError(f"{root / relative}: {skip.detail}", wanted="the data set's own list") from skip
    return [line.strip() for line in text.splitlines() if line.strip()]


def face_beside(root: Path, relative: str, suffix: str) -> str | None:
    """Return the path of the annotation file that lies beside a file, or None."""
    beside = PurePosixPath(relative).with_suffix(suffix).as_posix()
    return beside if (root / beside).is_file() else None
