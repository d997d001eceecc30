"""Farthest-first selection: each next sample is the one that is farthest from all that are chosen.

Source: Gonzalez, Clustering to minimize the maximum intercluster distance, Theor. Comput. Sci. 38 (1985): in any
metric, no sample is then more than twice as far from the nearest chosen one as under the best choice of as many. No
algorithm of polynomial time guarantees less (Hochbaum & Shmoys 1985), unless P = NP. Chosen in this order, every prefix
of the selection has the same guarantee for its own size.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spooflab.errors import DataError

FromRow = Callable[[int], NDArray[np.float64]]
"""Squared distances (N,) of all N samples to one of them."""

NameT = TypeVar("NameT")


def farthest_first(count: int, squared: FromRow, *, first: int, size: int) -> tuple[list[int], NDArray[np.float64]]:
    """Choose `count` of `size` samples; return them in order of choice, and each sample's squared distance to them.

    Ties go to the sample that comes first. Time: `count` calls of `squared`; memory: two numbers a sample.

    Args:
        count: 1 … `size`.
        squared: squared distances in a metric.
        first: sample to begin with; the guarantee holds for any.
        size: number of samples.
    """
    chosen, nearest = [first], squared(first)
    open_ = np.ones(size, dtype=bool)
    open_[first] = False
    while len(chosen) < count:
        place = int(np.where(open_, nearest, -1.0).argmax())
        chosen.append(place)
        open_[place] = False
        np.minimum(nearest, squared(place), out=nearest)
    return chosen, nearest


def quotas(sizes: Mapping[NameT, int], count: int) -> dict[NameT, int]:
    """Share `count` among strata as evenly as their sizes allow; what is left over goes to the first in order.

    Raises:
        DataError: fewer samples than wanted, or fewer wanted than there are strata.
    """
    total = sum(sizes.values())
    if count > total:
        raise DataError(f"{count} of {total} pictures wanted", wanted=f"at most {total}")
    if count < len(sizes):
        raise DataError(
            f"{count} pictures for {len(sizes)} strata",
            wanted="one or more of each",
            next_step="choose a larger --n, or fewer columns to --stratify by",
        )
    given, left = dict.fromkeys(sizes, 0), count
    while left:
        hungry = [name for name in sizes if given[name] < sizes[name]]
        share = max(1, left // len(hungry))
        for name in hungry:
            more = min(share, sizes[name] - given[name], left)
            given[name] += more
            left -= more
    return given


def rows_by(columns: Sequence[Sequence[str]], size: int) -> dict[tuple[str, ...], NDArray[np.int64]]:
    """Return the rows of each stratum, strata sorted; one stratum of all rows where there are no columns."""
    if not columns:
        return {(): np.arange(size)}
    held: dict[tuple[str, ...], list[int]] = {}
    for row, values in enumerate(zip(*columns, strict=True)):
        held.setdefault(values, []).append(row)
    return {name: np.array(held[name]) for name in sorted(held)}
