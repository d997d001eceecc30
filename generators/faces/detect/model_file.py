"""A model file that the user names: read once, known by its digest."""

import hashlib
from pathlib import Path

from spooflab.errors import ConfigError


def read_model(path: Path | str | None, kind: str, suffix: str, sha256: str | None) -> tuple[Path, str]:
    """Return the file and its SHA-256.

    Args:
        path: as configured.
        kind: what it should be, for the error.
        suffix: how such files end, for the error.
        sha256: refuse a file with another digest.

    Raises:
        ConfigError: no path, no such file, another digest.
    """
    wanted = f"the path of {kind} ({suffix})"
    if path is None:
        raise ConfigError(f"detector: no model file for {kind}", wanted=wanted, next_step="set `model:`")
    where = Path(path)
    try:
        found = hashlib.sha256(where.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"model {where}: {error.strerror or error}", wanted=wanted) from error
    if sha256 is not None and found != sha256:
        raise ConfigError(f"model {where}: SHA-256 {found[:12]}…", wanted=f"the file {sha256[:12]}… of the record")
    return where, found
