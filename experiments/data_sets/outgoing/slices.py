"""A stream in slices, none of them held as a whole."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TypeVar

ItemT = TypeVar("ItemT")


def slices(items: Iterable[ItemT], size: int) -> Iterator[Iterator[ItemT]]:
    """Yield iterators over `size` items each; every one must be used up before the next is asked for."""
    stream = iter(items)
    for first in stream:
        yield chain((first,), islice(stream, size - 1))
