"""What every protocol is, and the few steps that all of them share."""

from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from spooflab.errors import ConfigError, DataError
from spooflab.experiments.fold import Fold, Held, chain_parts
from spooflab.experiments.scores import BoolArray, IntArray, StrArray


@runtime_checkable
class StudyProtocol(Protocol):
    """What every protocol is: a strict configuration that cuts an index into folds."""

    def folds(self, index: pa.Table) -> list[Fold]:
        """Return the folds in order of name."""
        ...


def fold_of(
    name: str,
    order: IntArray,
    parts: dict[str, BoolArray],
    *,
    column: str,
    held_out: tuple[str, ...] = (),
    note: str = "",
    also: tuple[Held, ...] = (),
) -> Fold:
    """Return the fold of three masks over an index sorted by key; `order` holds the rows' positions before that."""
    train, dev, test = (order[np.flatnonzero(parts[part])] for part in ("train", "dev", "test"))
    return Fold(name, train, dev, test, held_out, column, note, also)


def contains(species: StrArray, held: tuple[str, ...]) -> BoolArray:
    """Rows whose species is held out, or is a chain with a part that is."""
    names = np.unique(species).tolist()
    return np.isin(species, [name for name in names if {name, *chain_parts(name)} & set(held)])


def chosen(values: StrArray, only: tuple[str, ...], by: str, *, least: int = 2, key: str = "only") -> list[str]:
    """Return the distinct values that are not empty, or those of them that `only` names, in order.

    Raises:
        DataError: fewer than `least` are there.
        ConfigError: `only` names others.
    """
    present = sorted(set(np.unique(values).tolist()) - {""})
    if len(present) < least:
        raise DataError(f"{len(present)} values of {by}: {present}", wanted=f"{least} or more, to hold one out")
    unknown = sorted(set(only) - set(present))
    if unknown:
        raise ConfigError(
            f"protocol.{key}: {', '.join(unknown)} not in the data", wanted=f"some of {', '.join(present)}"
        )
    return [value for value in present if not only or value in only]
