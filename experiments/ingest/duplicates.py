"""The same picture more than once: equal files, equal stored pictures, and nearly equal ones."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from spooflab.experiments.phash import near_pairs


class Picture(Protocol):
    """What is compared of a stored picture."""

    @property
    def key(self) -> str: ...  # noqa: D102 - the store's columns
    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def species(self) -> str: ...  # noqa: D102
    @property
    def file_sha256(self) -> str: ...  # noqa: D102
    @property
    def image_sha256(self) -> str: ...  # noqa: D102
    @property
    def phash(self) -> int: ...  # noqa: D102
    @property
    def splits(self) -> dict[str, str]: ...  # noqa: D102


@dataclass(frozen=True)
class Cluster:
    """Pictures of two or more clips that are the same, or nearly.

    Attributes:
        kind: `file` (the same bytes under two names), `picture` (the same stored pixels) or `near` (perceptual hashes
            differ in few bits, directly or over others). Near ones are to be looked at: faces of one person in one
            session are alike, and an attack shows the face that it copies.
        keys: samples, sorted.
        sources: clips, sorted.
        labels, species: distinct values, sorted; two in an exact cluster mean that one label is wrong.
        straddles: protocols of which two parts hold one of it each.
    """

    kind: Literal["file", "picture", "near"]
    keys: tuple[str, ...]
    sources: tuple[str, ...]
    labels: tuple[str, ...]
    species: tuple[str, ...]
    straddles: tuple[str, ...]


def clusters_of(rows: Sequence[Picture], *, near: int) -> tuple[Cluster, ...]:
    """Return the clusters that hold pictures of at least two clips; frames of one clip are alike by nature.

    Args:
        rows: stored pictures.
        near: most bits of 64 in which the hashes of near-duplicates differ.
    """
    found: list[Cluster] = []
    for kind, name in (("file", "file_sha256"), ("picture", "image_sha256")):
        groups: dict[str, list[Picture]] = defaultdict(list)
        for row in rows:
            if value := getattr(row, name):
                groups[value].append(row)
        found += [c for c in (_cluster(kind, group) for group in groups.values()) if c is not None]
    by_hash: dict[int, list[Picture]] = defaultdict(list)
    for row in rows:
        by_hash[row.phash].append(row)
    for hashes in _joined(sorted(by_hash), near):
        rows_near = [row for value in hashes for row in by_hash[value]]
        cluster = _cluster("near", rows_near)
        if cluster is not None and not _told(found, rows_near):
            found.append(cluster)
    order = {"file": 0, "picture": 1, "near": 2}
    return tuple(sorted(found, key=lambda c: (order[c.kind], c.keys)))


def _cluster(kind: str, group: Iterable[Picture]) -> Cluster | None:
    rows = sorted(group, key=lambda row: row.key)
    sources = sorted({row.source for row in rows})
    if len(sources) < 2:
        return None
    parts: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for protocol, part in row.splits.items():
            parts[protocol].add(part)
    return Cluster(
        kind,  # type: ignore[arg-type]  # one of the three, by the callers above
        tuple(row.key for row in rows),
        tuple(sources),
        tuple(sorted({row.label for row in rows})),
        tuple(sorted({row.species for row in rows})),
        tuple(sorted(protocol for protocol, seen in parts.items() if len(seen) > 1)),
    )


def _told(found: Sequence[Cluster], rows: Sequence[Picture]) -> bool:
    """Whether a cluster of equal pictures tells all that a cluster of near ones would."""
    keys = tuple(sorted(row.key for row in rows))
    return len({row.image_sha256 for row in rows}) == 1 and any(c.kind == "picture" and c.keys == keys for c in found)


def _joined(hashes: Sequence[int], near: int) -> list[list[int]]:
    """Group distinct hashes that are near each other, directly or over others (union-find)."""
    parent = list(range(len(hashes)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for left, right in near_pairs(hashes, near):
        a, b = sorted((root(left), root(right)))
        parent[b] = a
    groups: dict[int, list[int]] = defaultdict(list)
    for place, value in enumerate(hashes):
        groups[root(place)].append(value)
    return list(groups.values())
