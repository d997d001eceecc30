"""The plan: which face, attack and device each sample gets, decided by names alone before anything is rendered."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from spooflab.generators.config import GenerationConfig
from spooflab.generators.face import FaceRef
from spooflab.seeds import generator, seed


@dataclass(frozen=True)
class PlannedFace:
    """One reference with the name of its source and its subject's group."""

    source: str
    ref: FaceRef
    group: str

    @property
    def subject_id(self) -> str:
        """Subject, unique over all sources."""
        return f"{self.source}/{self.ref.subject_id}"

    @property
    def source_id(self) -> str:
        """Photograph or session, unique over all sources."""
        return f"{self.source}/{self.ref.source_id}"


@dataclass(frozen=True)
class SampleSpec:
    """What one sample will be.

    Attributes:
        index: position in the plan.
        key: name in the store; says nothing about the label.
        species: `bonafide` or an attack.
        face: whose face.
        donor: another subject of the same group, where there is one.
        device_id: profile and unit.
        seed: root of this sample's own generators.
    """

    index: int
    key: str
    species: str
    face: PlannedFace
    donor: PlannedFace | None
    device_id: str
    seed: int


@dataclass(frozen=True)
class Plan:
    """All samples in order, cut into shards."""

    specs: tuple[SampleSpec, ...]
    shard_size: int

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-len(self.specs) // self.shard_size)

    def shard(self, number: int) -> tuple[SampleSpec, ...]:
        """Return the samples of one shard."""
        return self.specs[number * self.shard_size : (number + 1) * self.shard_size]


def make_plan(config: GenerationConfig, refs: Mapping[str, Sequence[FaceRef]], device_ids: Sequence[str]) -> Plan:
    """Lay out `config.n` samples.

    Species follow their shares as evenly as possible at every prefix. Each species walks through its own seeded
    permutation of the faces of a source, so subjects are covered evenly; device and donor are drawn per sample.

    Args:
        config: the data set's configuration.
        refs: faces by source name, one entry for each of `config.faces`, in their order.
        device_ids: devices to draw from.
    """
    faces = _grouped(config, refs)
    by_group: dict[str, list[PlannedFace]] = {}
    for face in (f for group in faces.values() for f in group):
        by_group.setdefault(face.group, []).append(face)
    orders = {
        (species, source): torch.randperm(len(members), generator=generator(config.seed, "order", species, source))
        for species in ("bonafide", *config.attacks)
        for source, members in faces.items()
    }
    turns = dict.fromkeys(orders, 0)
    species_of = _interleave({"bonafide": config.bonafide_share, **_even(config.attacks, 1 - config.bonafide_share)})
    total = sum(f.share for f in config.faces)
    source_of = {
        s: _interleave({name: f.share / total for name, f in zip(refs, config.faces, strict=True)}, offset=i)
        for i, s in enumerate(("bonafide", *config.attacks))
    }
    specs = []
    for index in range(config.n):
        species = next(species_of)
        source = next(source_of[species])
        turn = turns[species, source]
        turns[species, source] = turn + 1
        members = faces[source]
        face = members[int(orders[species, source][turn % len(members)])]
        draw = generator(config.seed, "plan", index)
        device = _device(device_ids, draw)
        others = [f for f in by_group[face.group] if f.subject_id != face.subject_id]
        donor = others[int(torch.randint(len(others), (1,), generator=draw))] if others else None
        key = f"s{index:08d}"
        specs.append(SampleSpec(index, key, species, face, donor, device, seed(config.seed, "sample", index)))
    return Plan(tuple(specs), config.shard_size)


def planned_device(root: int, index: int, device_ids: Sequence[str]) -> str:
    """Return the device of one sample of a plan, without the plan: its record of a skipped sample does not name it.

    Args:
        root: the configuration's seed.
        index: position in the plan, which the key holds.
        device_ids: as in `make_plan`.
    """
    return _device(device_ids, generator(root, "plan", index))


def plan_record(
    config: GenerationConfig, refs: Mapping[str, Sequence[FaceRef]], code: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what must not change between the first run and a resumption, as JSON-ready values."""
    listing = [[name, r.subject_id, r.source_id, r.record] for name, rows in refs.items() for r in rows]
    digest = hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()
    return {"config": config.model_dump(mode="json"), "faces_sha256": digest, "code": dict(code)}


def _grouped(config: GenerationConfig, refs: Mapping[str, Sequence[FaceRef]]) -> dict[str, list[PlannedFace]]:
    """Deal all subjects of all sources into groups of `group_size`; a lonely remainder joins the last group."""
    subjects = sorted({(name, ref.subject_id) for name, rows in refs.items() for ref in rows})
    order = torch.randperm(len(subjects), generator=generator(config.seed, "groups")).tolist()
    count = max(1, len(subjects) // config.group_size)
    group = {subjects[s]: f"g{min(place // config.group_size, count - 1):06d}" for place, s in enumerate(order)}
    return {name: [PlannedFace(name, ref, group[name, ref.subject_id]) for ref in rows] for name, rows in refs.items()}


def _device(device_ids: Sequence[str], draw: torch.Generator) -> str:
    return device_ids[int(torch.randint(len(device_ids), (1,), generator=draw))]


def _even(names: Sequence[str], share: float) -> dict[str, float]:
    return {name: share / len(names) for name in names}


def _interleave(shares: Mapping[str, float], *, offset: int = 0) -> Iterator[str]:
    """Yield names without end so that every prefix is as near to `shares` as whole numbers allow."""
    due = {name: offset * share for name, share in shares.items()}
    due = {name: value - int(value) for name, value in due.items()}
    while True:
        for name, share in shares.items():
            due[name] += share
        best = max(due, key=lambda name: due[name])
        due[best] -= 1
        yield best
