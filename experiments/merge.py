"""Put several data sets into one store, for studies that train on one and test on another."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from spooflab.errors import ConfigError, DataError
from spooflab.experiments.index_columns import column
from spooflab.sample import Sample
from spooflab.shards import open_shard
from spooflab.store import Store, read_index

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Merged:
    """What a merge holds.

    Attributes:
        rows: pictures by data set.
        joined: subject groups that hold people of several data sets.
    """

    rows: dict[str, int]
    joined: int


def merge(
    parts: Mapping[str, Path], out: Path, *, resume: bool = False, progress: Callable[[int, int], None] | None = None
) -> Merged:
    """Copy the pictures of several stores into one; what a picture is called tells its data set.

    Keys and subject groups begin with the data set's name and a dot. People, photographs, instruments and devices keep
    their names: a person (or photograph) that occurs in two data sets is one person, and the groups are joined, so that
    no protocol parts them. The source stores are not changed.

    Args:
        parts: data sets by the name that they are given.
        out: folder of the new store, absent or empty unless `resume`.
        resume: go on with an interrupted merge of the same stores.
        progress: told after each shard how many are done, of how many.

    Raises:
        ConfigError: one data set, or a name that does not fit into keys.
        DataError: an unfinished store, or `out` holds something else.
    """
    if len(parts) < 2:
        raise ConfigError(f"{len(parts)} data sets to merge", wanted="two or more, as NAME=FOLDER")
    wrong = [name for name in parts if not _NAME.fullmatch(name)]
    if wrong:
        raise ConfigError(f"data set name {wrong[0]!r}", wanted="letters, digits, _ and -, 40 at most")
    indexes = {name: read_index(root) for name, root in parts.items()}
    groups, joined = _groups(indexes)
    stores = {name: Store.open(root) for name, root in parts.items()}
    sources = [(name, record.shard) for name, store in stores.items() for record in store.committed()]
    told = {name: {"plan": store.fingerprint, "rows": indexes[name].num_rows} for name, store in stores.items()}
    plan: dict[str, Any] = {"kind": "merge", "parts": told, "order": list(parts)}
    store = Store.open(out, plan=plan) if resume else Store.create(out, plan, shards=len(sources))
    for shard in store.pending():
        name, number = sources[shard]
        lease = store.claim(shard)
        if lease is None:
            continue
        with lease:
            record = next(r for r in stores[name].committed() if r.shard == number)
            skips = [replace(skip, key=f"{name}.{skip.key}") for skip in record.skips]
            store.commit(lease, _renamed(stores[name].root, name, number, groups), skips)
        if progress is not None:
            progress(shard + 1, len(sources))
    return Merged({name: index.num_rows for name, index in indexes.items()}, joined)


def _renamed(root: Path, name: str, shard: int, groups: Mapping[tuple[str, str], str]) -> list[Sample]:
    with open_shard(root / "shards" / f"shard-{shard:05d}.parquet") as file:
        rows = file.read().to_pylist()
    samples = []
    for row in rows:
        sample = Sample.from_row(row)
        if "." in sample.key:
            raise DataError(f"{root}: key {sample.key!r} has a dot, as those of merged data", wanted="a plain data set")
        group = groups[name, sample.subject_group]
        samples.append(replace(sample, key=f"{name}.{sample.key}", subject_group=group))
    return samples


def _groups(indexes: Mapping[str, pa.Table]) -> tuple[dict[tuple[str, str], str], int]:
    """Return the new name of each data set's groups, and how many join several data sets.

    Groups that share a subject, donor or photograph are one (union-find); it is called by its first member.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    holder: dict[tuple[str, str], tuple[str, str]] = {}
    for name, index in indexes.items():
        people = {kind: column(index, kind).tolist() for kind in ("subject_id", "donor_id", "source_id")}
        for row, group in enumerate(column(index, "subject_group").tolist()):
            node = (name, group)
            for kind, values in people.items():
                if values[row]:
                    what = ("photograph" if kind == "source_id" else "person", values[row])
                    first, second = sorted((root(holder.setdefault(what, node)), root(node)))
                    parent[second] = first
    found: dict[tuple[str, str], set[str]] = {}
    for node in list(parent):
        found.setdefault(root(node), set()).add(node[0])
    return {node: ".".join(root(node)) for node in list(parent)}, sum(len(names) > 1 for names in found.values())
