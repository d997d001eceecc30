"""Columns of an index as strings, and the values that a protocol may hold out, which need not be columns."""

import re

import numpy as np
import pyarrow as pa

from spooflab.errors import DataError
from spooflab.experiments.scores import IntArray, StrArray

_MERGED = re.compile(r"([A-Za-z][A-Za-z0-9_]*)-(?=[A-Za-z])")
DATA_SET = "data_set"
"""A column that is none: the name that `spooflab merge` gave a picture's data set, else its `face_source`."""


def column(index: pa.Table, name: str) -> StrArray:
    """Return an index column as strings, missing values empty.

    Raises:
        DataError: the index has no such column.
    """
    if name not in index.column_names:
        raise DataError(f"index without column {name!r}", wanted=f"{name} among {', '.join(index.column_names)}")
    values = ["" if value is None else str(value) for value in index.column(name).to_pylist()]
    return np.asarray(values, dtype=np.str_)


def texts(index: pa.Table, name: str) -> list[str]:
    """Return a column of long texts as a list: an array of strings gives each the room of the longest."""
    return [value or "" for value in index.column(name).to_pylist()]


def domains(index: pa.Table, by: tuple[str, ...]) -> StrArray:
    """Return each row's domain: the values of one column, or of several joined by ` x `.

    A row that lacks one of the values is in no domain: its name is empty.

    Raises:
        DataError: the index has no such column.
    """
    columns = [data_sets(index) if name == DATA_SET else column(index, name) for name in by]
    joined = [" x ".join(values) if all(values) else "" for values in zip(*(c.tolist() for c in columns), strict=True)]
    return np.asarray(joined, dtype=np.str_)


def data_sets(index: pa.Table) -> StrArray:
    """Return the name of each row's data set: keys of merged ones begin with it, a dash and a letter."""
    keys, sources = column(index, "key").tolist(), column(index, "face_source").tolist()
    found = map(_MERGED.match, keys)
    named = [source if match is None else match[1] for match, source in zip(found, sources, strict=True)]
    return np.asarray(named, dtype=np.str_)


def by_key(index: pa.Table) -> tuple[pa.Table, IntArray]:
    """Sort an index by key, so that the order of its shards means nothing; also return each row's old position."""
    order = np.argsort(column(index, "key"), kind="stable").astype(np.int64)
    return index.take(pa.array(order)), order
