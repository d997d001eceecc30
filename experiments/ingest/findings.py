"""What the finished store shows: counts, faults, duplicates, and what the parts of official protocols share."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pyarrow as pa

from spooflab.experiments.ingest.duplicates import Cluster, clusters_of
from spooflab.experiments.ingest.key import item_of
from spooflab.experiments.readers.item import Broken
from spooflab.store import Store, read_index


@dataclass(frozen=True)
class Row:
    """What the checks need of one stored picture."""

    key: str
    source: str
    label: str
    species: str
    own_class: str
    device: str
    people: tuple[str, ...]
    subject_known: bool
    path: str
    file_sha256: str
    image_sha256: str
    phash: int
    told_by: str
    splits: dict[str, str]


@dataclass(frozen=True)
class Leak:
    """How much of one kind two parts of a protocol share; `shared` 0 is what should be."""

    protocol: str
    parts: str
    what: str
    shared: int
    example: str = ""


@dataclass(frozen=True)
class Findings:
    """Everything that the card tells.

    Attributes:
        rows: stored pictures.
        broken: files that are not in the store, or not wholly, with reasons: misfits of the layout, then skips.
        clusters: duplicates, exact ones first.
        leaks: of every protocol, pair of parts and kind.
    """

    rows: tuple[Row, ...]
    broken: tuple[Broken, ...]
    clusters: tuple[Cluster, ...]
    leaks: tuple[Leak, ...]

    def counts(self, name: str) -> dict[str, int]:
        """Return how many pictures have each value of a field of `Row`, sorted."""
        return dict(sorted(Counter(str(getattr(row, name)) for row in self.rows).items()))

    def by_part(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return pictures by protocol, part and species."""
        found: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        for row in self.rows:
            for protocol, part in row.splits.items():
                found[protocol][part][row.species] += 1
        parts = ("train", "dev", "test")
        return {p: {q: dict(sorted(v[q].items())) for q in parts if q in v} for p, v in sorted(found.items())}

    @property
    def label_conflicts(self) -> tuple[Cluster, ...]:
        """Exact duplicates with two labels or species: one of the two is wrong."""
        return tuple(c for c in self.clusters if c.kind != "near" and (len(c.labels) > 1 or len(c.species) > 1))


def find(store: Store, names: Sequence[str], broken: Sequence[Broken], *, near: int) -> Findings:
    """Read a finished store's index and check it.

    Args:
        store: all shards committed.
        names: of the items, in order.
        broken: what the reader could not place.
        near: bits in which near-duplicates' hashes may differ.
    """
    rows = tuple(_rows(read_index(store.root)))
    skips = [Broken(names[item_of(s.key)], s.reason, s.detail) for record in store.committed() for s in record.skips]
    clusters = clusters_of(rows, near=near)
    return Findings(rows, (*broken, *skips), clusters, tuple(_leaks(rows, clusters)))


def _rows(index: pa.Table) -> list[Row]:
    names = ("key", "source_id", "label", "species", "device_id", "subject_id", "donor_id", "image_sha256", "params")
    found = []
    for values in index.select(list(names)).to_pylist():
        params: dict[str, Any] = json.loads(values["params"])
        known = params["facts"].get("subjects_known", 1) != 0
        found.append(
            Row(
                key=values["key"],
                source=values["source_id"],
                label=values["label"],
                species=values["species"],
                own_class=params["own_class"],
                device=values["device_id"],
                people=tuple(v for v in (values["subject_id"], values["donor_id"]) if v) if known else (),
                subject_known=known,
                path=params["path"],
                file_sha256=params["file_sha256"],
                image_sha256=values["image_sha256"],
                phash=int(params["phash"], 16),
                told_by=params["face"]["told_by"],
                splits=params["splits"],
            )
        )
    return found


def _leaks(rows: Sequence[Row], clusters: Sequence[Cluster]) -> list[Leak]:
    """Compare every two parts of every protocol by person, clip, file, stored picture and near-duplicate."""
    held: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    near = {key: f"cluster of {c.keys[0]}" for c in clusters if c.kind == "near" for key in c.keys}
    for row in rows:
        values = {
            "person": row.people,
            "clip": (row.source,),
            "file": (row.file_sha256,),
            "picture": (row.image_sha256,),
            "near-duplicate": (near[row.key],) if row.key in near else (),
        }
        for protocol, part in row.splits.items():
            for what, seen in values.items():
                held[protocol, part][what] |= set(seen)
    leaks = []
    for protocol in sorted({protocol for protocol, _ in held}):
        parts = [part for part in ("train", "dev", "test") if (protocol, part) in held]
        for left, right in combinations(parts, 2):
            for what in ("person", "clip", "file", "picture", "near-duplicate"):
                both = held[protocol, left][what] & held[protocol, right][what]
                leaks.append(Leak(protocol, f"{left} / {right}", what, len(both), min(both, default="")))
    return leaks
