"""Paths that a stranger's list names: they must stay under the root that was given, wherever their links lead."""

from pathlib import Path, PurePosixPath

from spooflab.errors import SkipSample


def confined_file(root: Path, relative: str, *, max_bytes: int) -> Path:
    """Return the real path of a regular file that lies under `root` once all links are followed.

    Raises:
        SkipSample: `path_escape`, `unreadable` or `file_too_large`. Details name no folder of this machine.
        OSError: the system says so, such as FileNotFoundError where there is no such file.
    """
    pure = PurePosixPath(relative)
    if pure.is_absolute() or ".." in pure.parts or "\0" in relative:
        raise SkipSample("path_escape", f"{relative!r} is not a path under its root")
    base = root.resolve()
    try:
        real = (base / relative).resolve(strict=True)
    except RuntimeError as error:  # before Python 3.13
        raise SkipSample("unreadable", f"{relative}: a loop of links") from error
    if not real.is_relative_to(base):
        raise SkipSample("path_escape", f"{relative!r} leads out of its root")
    if not real.is_file():
        raise SkipSample("unreadable", f"{relative}: not a regular file")
    size = real.stat().st_size
    if size > max_bytes:
        raise SkipSample("file_too_large", f"{relative}: {size} bytes, at most {max_bytes}")
    return real
