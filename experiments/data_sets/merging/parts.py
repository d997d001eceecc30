"""The parts of a merged data set, and the names that keep them apart."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from spooflab.errors import ConfigError
from spooflab.location import Location, name_of
from spooflab.store import Store

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,23}")


@dataclass(frozen=True)
class Part:
    """One data set that is merged.

    Attributes:
        name: unique among the parts; a letter first and no `-`, so that a key's first `-` before a letter ends it.
        store: the data set.
    """

    name: str
    store: Store

    def key(self, key: str) -> str:
        """Return a sample's key in the merged data set."""
        return f"{self.name}-{key}"


def open_parts(roots: Sequence[Location], names: Sequence[str]) -> tuple[Part, ...]:
    """Open the parts, in the order given; names are those of the folders where none are given.

    Raises:
        ConfigError: fewer than two parts, or names that are unfit, too few or not unique.
        DataError: a folder holds no store.
    """
    if len(roots) < 2:
        raise ConfigError(f"{len(roots)} data set(s) to merge", wanted="two or more")
    given = list(names) or [name_of(root) for root in roots]
    if len(given) != len(roots):
        raise ConfigError(f"{len(given)} names for {len(roots)} data sets", wanted="one name for each")
    unfit = [name for name in given if not _NAME.fullmatch(name)]
    if unfit or len(set(given)) != len(given):
        raise ConfigError(
            f"names of the parts: {', '.join(given)}",
            wanted="different names of 1 to 24 letters, digits or '_', a letter first",
            next_step="name them with --names, in the order of the data sets",
        )
    return tuple(Part(name, Store.open(root)) for name, root in zip(given, roots, strict=True))
