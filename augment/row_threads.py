"""Rows of a batch worked on by several threads, for libraries that release the interpreter's lock."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

_Row = TypeVar("_Row")
_Result = TypeVar("_Result")


def map_rows(work: Callable[[_Row], _Result], rows: Iterable[_Row]) -> list[_Result]:
    """Return `work(row)` for each row, in order, on at most `torch.get_num_threads()` threads.

    The threads end with the call: none is left behind that a later fork would lose.
    """
    items = list(rows)
    threads = min(torch.get_num_threads(), len(items))
    if threads < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))
