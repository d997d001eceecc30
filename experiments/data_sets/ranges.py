"""Ranges of physical parameters: least, middle and largest value, over a stream and in bounded memory."""

import hashlib
import heapq
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

KEPT = 512
"""Rows of each group that medians are taken of: all of them up to here, beyond it those of the least hash of their key,
so that the median does not depend on order. Its rank is then off by 2 % (one standard error)."""

LONGEST_VECTOR = 3
"""Vectors of more numbers are matrices and fields, which have no range of their own."""
_UNIT = re.compile(
    r"(^|_)(nm|um|mm|cm|px|deg|rad|ms|us|s|k|ev|lux|nits|hz|ppi|dpi|iso|um2|mm2|per_mm|per_px|fps|crf|gamma|mtf\w*)(\[\d\])?$"
)


@dataclass(frozen=True)
class Range:
    """One parameter of one group.

    Attributes:
        count: values seen; some parameters exist in some samples only.
        least, middle, largest: extremes are exact; the median is of at most `KEPT` rows.
    """

    count: int
    least: float
    middle: float
    largest: float


class RangeTally:
    """Takes the parameters of one sample after the other.

    Memory grows with groups and parameters, and not beyond `KEPT` rows of each group.
    """

    def __init__(self) -> None:
        self._extremes: dict[str, dict[str, tuple[int, float, float]]] = defaultdict(dict)
        self._kept: dict[str, list[tuple[int, dict[str, float]]]] = defaultdict(list)

    def add(self, group: str, key: str, values: Mapping[str, float]) -> None:
        """Take one sample's parameters; `key` decides whether its row is kept for the median."""
        seen = self._extremes[group]
        for name, value in values.items():
            count, least, largest = seen.get(name, (0, value, value))
            seen[name] = (count + 1, min(least, value), max(largest, value))
        rank = -int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
        rows = self._kept[group]
        if len(rows) < KEPT:
            heapq.heappush(rows, (rank, dict(values)))
        elif rank > rows[0][0]:
            heapq.heapreplace(rows, (rank, dict(values)))

    def ranges(self) -> dict[str, dict[str, Range]]:
        """Return the ranges by group and parameter, sorted; a parameter that no kept row has is left out."""
        found: dict[str, dict[str, Range]] = {}
        for group in sorted(self._extremes):
            values = defaultdict(list)
            for _, row in self._kept[group]:
                for name, value in row.items():
                    values[name].append(value)
            found[group] = {
                name: Range(count, least, float(median(values[name])), largest)
                for name, (count, least, largest) in sorted(self._extremes[group].items())
                if name in values
            }
        return found


def physical_numbers(params: Any, prefix: str = "") -> dict[str, float]:
    """Return the drawn real numbers of a part of a record, named by their place: `lamp.turn_deg`, `aim[0]`.

    Whole numbers are kinds, codes and seeds, and are left out; so are vectors of more than three numbers.
    """
    return dict(_numbers(params, prefix))


def has_unit(name: str) -> bool:
    """Return whether a parameter's name ends in a physical unit, or it is a derived physical fact."""
    return name.startswith("facts.") or _UNIT.search(name.rpartition(".")[2]) is not None


def _numbers(node: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(node, float):
        yield name, node
    elif isinstance(node, Mapping) and node.keys() == {"dtype", "value"}:
        if str(node["dtype"]).startswith("float"):
            yield from _values(node["value"], name)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _numbers(value, f"{name}.{key}" if name else str(key))


def _values(value: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, (int, float)):
        yield name, float(value)
    elif isinstance(value, list) and len(value) <= LONGEST_VECTOR:
        for place, entry in enumerate(value):
            if isinstance(entry, (int, float)):
                yield f"{name}[{place}]", float(entry)
