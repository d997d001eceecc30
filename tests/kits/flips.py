"""Bits that flip and files that are cut off in a finished store, one at a time."""

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from faults import Outcome
from small_samples import sample_fields

from spooflab.errors import DataError
from spooflab.sample import Sample, Skip
from spooflab.store import Store
from spooflab.verify import Problem

ROWS = 34
"""Of the first shard: more than one row group."""


def finished(root: Path) -> Store:
    store = Store.create(root, {"seed": 1}, shards=3)
    for shard, rows in enumerate((ROWS, 3, 0)):
        lease = store.claim(shard)
        assert lease is not None
        with lease:
            samples = [Sample.create(**sample_fields(shard * 100 + row, size=16)) for row in range(rows)]
            store.commit(lease, samples, [Skip(f"skip{shard}", "print_a4", "too_small")])
    return store


def damaged(data: bytes, rng: random.Random) -> tuple[bytes, int]:
    """Flip one bit in four of five cases, else cut the end off; return the place too."""
    if rng.random() < 0.8:
        place = rng.randrange(len(data))
        return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :], place
    place = rng.randrange(len(data.rstrip()))  # a line's end more or less says nothing else
    return data[:place], place


def flips(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Damage a file of a store; `verify` must find it, name its shard, and the row where it lies in a page."""
    store = finished(folder / "data")
    paths = [*sorted((store.root / "shards").iterdir()), store.root / "plan.json"]
    weights = [max(1, path.stat().st_size // 1000) for path in paths]  # most in pictures, some in records
    silent = survived = in_pages = headers = cuts = 0
    for _ in range(count):
        path = rng.choices(paths, weights)[0]
        good = path.read_bytes()
        bad, place = damaged(good, rng)
        cuts += len(bad) < len(good)
        pages = page_bytes(path) if path.suffix == ".parquet" else range(0)
        path.write_bytes(bad)
        told = found_in(store, path)
        silent += told is None
        named = any(problem.row is not None and problem.key for problem in told or ())
        in_page = place in pages and len(bad) == len(good)
        idle = in_page and all(problem.detail.endswith("every page reads") for problem in told or ())
        survived += told is not None and (named or idle or not in_page)
        in_pages, headers = in_pages + in_page, headers + idle
        path.write_bytes(good)
    assert store.verify().problems == ()
    named_rows = f"{in_pages - headers} of {in_pages} flips in pages name row and key"
    also = f"{cuts} cuts; {named_rows}, {headers} left rows as they were"
    return Outcome(count, survived, silently_wrong=silent, also=also)


def found_in(store: Store, path: Path) -> list[Problem] | None:
    """Return what `verify` says of damage to a file, None if it misses it or names another shard."""
    if path.name == "plan.json":
        try:
            return [] if Store.open(store.root, store.plan).fingerprint == store.fingerprint else None
        except DataError:
            return []
    found: list[Any] = [p for p in store.verify().problems if p.kind == "corrupt"]
    return found if found and {p.shard for p in found} == {int(path.stem[-5:])} else None


def page_bytes(path: Path) -> range:
    """Return where the pages of a shard lie in its file."""
    meta = pq.ParquetFile(path).metadata
    chunks = [
        meta.row_group(g).column(c) for g in range(meta.num_row_groups) for c in range(meta.row_group(g).num_columns)
    ]
    # A chunk's size counts from its dictionary, where it has one.
    ends = [
        (c.dictionary_page_offset if c.has_dictionary_page else c.data_page_offset) + c.total_compressed_size
        for c in chunks
    ]
    return range(4, max(ends, default=4))
