"""Merge stores: shard by shard, so that memory holds one shard; the order of the parts decides names and duplicates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from spooflab.errors import DataError
from spooflab.experiments.data_sets.merging.parts import Part, open_parts
from spooflab.experiments.data_sets.merging.people import Names, People, names_of
from spooflab.experiments.data_sets.merging.survey import Survey, refuse_twice, survey
from spooflab.lease import Lease
from spooflab.location import Location
from spooflab.provenance import code_facts
from spooflab.records import CommitRecord, content_sha256
from spooflab.sample import Sample, Skip
from spooflab.shard_runs import ShardDone, Summary, commit_shard, summarise
from spooflab.store import Store

Duplicates = Literal["error", "skip"]
DUPLICATE = "duplicate"
"""Reason of the skip record that a picture leaves which came before."""


@dataclass(frozen=True)
class Merged:
    """What a merge left behind.

    Attributes:
        summary: of the merged store.
        parts: pictures by part, before duplicates are kept out.
        duplicates: pictures kept out.
        shared: subjects whom two parts name alike.
        without: pictures without mask, depth or regions, by part: these cells are empty.
    """

    summary: Summary
    parts: dict[str, int]
    duplicates: int
    shared: list[str]
    without: dict[str, dict[str, int]]


def merge(
    roots: Sequence[Location],
    out: Location,
    *,
    names: Sequence[str] = (),
    duplicates: Duplicates = "error",
    people: People = "apart",
    resume: bool = False,
    progress: Callable[[ShardDone], None] | None = None,
) -> Merged:
    """Make one store of several finished ones.

    Args:
        roots: their folders or URLs; the order decides the order of rows, and which of two equal pictures is kept.
        out: the merged store's folder or URL; must be empty or absent unless `resume`.
        names: of the parts, as prefix of keys; those of the folders by default.
        duplicates: refuse equal pictures, or keep the first and record the others as skipped.
        people: whether equal names in two parts are one person; see `Names`.
        resume: go on with an interrupted merge of the same parts.
        progress: called after each commit.

    Raises:
        ConfigError: unfit names.
        DataError: damage, missing shards, pictures that come twice, an `out` that is taken, or other parts on resuming.
    """
    parts = open_parts(roots, names)
    found = survey(parts)
    if duplicates == "error":
        refuse_twice(found)
    renamed, work = names_of(found, people), _work(parts)
    plan = _plan(parts, duplicates, people, found)
    store = Store.open(out, plan=plan) if resume else Store.create(out, plan=plan, shards=len(work))
    for shard in store.pending():
        part, record = work[shard]
        done = commit_shard(out, shard, lambda lease, p=part, r=record: _make(p, r, renamed, found.twice, lease))  # type: ignore[misc]
        if done is not None and progress is not None:
            progress(done)
    return Merged(summarise(store), found.rows, len(found.twice), found.shared, found.without)


def _work(parts: Sequence[Part]) -> list[tuple[Part, CommitRecord]]:
    return [(part, record) for part in parts for record in part.store.committed()]


def _plan(parts: Sequence[Part], duplicates: Duplicates, people: People, found: Survey) -> dict[str, Any]:
    """Return the merged store's plan: the plans of all parts, and a hash of what they hold."""
    told = [
        {
            "name": part.name,
            "fingerprint": part.store.fingerprint,
            "rows": found.rows[part.name],
            "content_sha256": content_sha256(part.store.committed()),
            "plan": part.store.plan,
        }
        for part in parts
    ]
    return {"kind": "merge", "parts": told, "duplicates": duplicates, "people": people, "code": code_facts()}


def _make(
    part: Part, record: CommitRecord, names: Names, twice: Mapping[str, str], lease: Lease
) -> tuple[list[Sample], list[Skip]]:
    samples, skips = list[Sample](), [_skip(part, names, skip) for skip in record.skips]
    with part.store.open_shard(record) as file:
        for group in range(file.num_row_groups):
            lease.renew()
            for row in file.read_row_group(group).to_pylist():
                sample = _renamed(part, names, Sample.from_row(row))
                if (before := twice.get(sample.key)) is None:
                    samples.append(sample)
                else:
                    detail = f"the same picture as {before}"
                    skips.append(
                        Skip(sample.key, sample.species, DUPLICATE, detail, sample.face_source, sample.subject_id)
                    )
    if len(samples) + len(skips) != record.rows + len(record.skips):
        raise DataError(
            f"{part.store.root}: shard {record.shard} does not hold the {record.rows} rows committed",
            wanted="an unaltered data set",
            next_step=f"spooflab verify {part.store.root}",
        )
    return samples, skips


def _renamed(part: Part, names: Names, sample: Sample) -> Sample:
    return replace(sample, key=part.key(sample.key), **names.of(part, sample))


def _skip(part: Part, names: Names, skip: Skip) -> Skip:
    return replace(skip, key=part.key(skip.key), subject_id=names.person(part, skip.subject_id))
