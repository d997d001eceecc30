"""Where a data set lies: a folder of this machine, or a prefix of an object store that fsspec can reach, by its URL."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from spooflab.errors import ConfigError

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.DOTALL)
_MANGLED = re.compile(r"([a-z][a-z0-9+.-]+):/[^/]")
_LOCAL = ("file", "local")


@dataclass(frozen=True)
class StoreUrl:
    """A place in an object store, such as `s3://bucket/faces`; made by `location_of`.

    Attributes:
        url: without a slash at its end, and without credentials: these belong into the environment.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Self:
        return type(self)(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """Last part of the URL."""
        return self.url.rpartition("/")[2]

    def absolute(self) -> Self:
        """Return itself: a URL means the same from everywhere."""
        return self


Location = Path | StoreUrl
"""A folder, or the URL of a prefix in an object store."""


def location_of(where: str | Path | StoreUrl) -> Location:
    """Read a path or URL; `file://` URLs are folders of this machine, with all that these guarantee.

    Raises:
        ConfigError: a URL with credentials, a query or a chain of file systems, without a name, or with `..` in it.
    """
    if isinstance(where, StoreUrl):
        return where
    match = _URL.fullmatch(str(where).rpartition("::")[2] if "://" in str(where) else str(where))
    if match is None:
        if isinstance(where, Path) and _MANGLED.match(str(where)):
            raise ConfigError(
                f"{where}: a URL that was read as a path",
                wanted="a folder of this machine: no URL is taken here",
                next_step="copy the data set to or from a folder, such as by `aws s3 sync`; it is read there as it is",
            )
        return Path(where)
    scheme, rest = match.groups()
    if "@" in rest or any(sign in rest for sign in "?#") or "::" in str(where):
        # The rest is not repeated: it may be a secret.
        raise ConfigError(
            f"a {scheme}:// URL with a user, a password, a query, a fragment or a chain of file systems",
            wanted=f"{scheme}://NAME/PREFIX alone",
            next_step="give credentials and endpoint by the environment (AWS_PROFILE, AWS_ENDPOINT_URL …) "
            "or fsspec's configuration",
        )
    if scheme in _LOCAL:
        if not rest.startswith("/"):
            raise ConfigError(f"{where}: not an absolute path", wanted=f"{scheme}:///path/of/the/folder")
        return Path(rest)
    parts = rest.rstrip("/").split("/")
    if not all(parts) or {".", ".."}.intersection(parts):
        raise ConfigError(f"{where}: a part of it is empty, '.' or '..'", wanted=f"{scheme}://NAME/PREFIX")
    return StoreUrl(f"{scheme}://{'/'.join(parts)}")


def name_of(where: Location) -> str:
    """Return the last part of a place's name, for people.

    >>> name_of(StoreUrl("s3://bucket/faces"))
    'faces'
    """
    return where.name if isinstance(where, StoreUrl) else where.resolve().name
