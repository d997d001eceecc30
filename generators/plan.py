"""The plan: which face, attack and device each sample gets, decided by names alone before anything is rendered."""

import hashlib
import json
from array import array
from collections import Counter
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


class Plan:
    """All samples in order, cut into shards.

    Of each sample only its species, its source and its turn there are kept, in a few bytes; the rest is worked out when
    it is asked for, so that a process that makes a few shards of a plan of millions holds no more than it needs.
    Made by `make_plan`.
    """

    def __init__(self, config: GenerationConfig, refs: Mapping[str, Sequence[FaceRef]], devices: Sequence[str]) -> None:
        self.shard_size, self._seed, self._devices = config.shard_size, config.seed, devices
        self._faces = _grouped(config, refs)
        self._by_group: dict[str, list[PlannedFace]] = {}
        for face in (f for group in self._faces.values() for f in group):
            self._by_group.setdefault(face.group, []).append(face)
        self._kinds, self._kind_of, self._turns = _walk(config, tuple(refs))
        self._orders = {
            (species, source): torch.randperm(
                len(self._faces[source]), generator=generator(config.seed, "order", species, source)
            )
            for species, source in self._kinds
        }

    def __len__(self) -> int:
        return len(self._turns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and (self.shard_size, self.specs) == (other.shard_size, other.specs)

    __hash__ = None  # type: ignore[assignment]  # as of any value that is compared by what it holds

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-len(self) // self.shard_size)

    @property
    def specs(self) -> tuple[SampleSpec, ...]:
        """All samples at once: for small plans."""
        return tuple(map(self.spec, range(len(self))))

    def counts(self) -> dict[str, int]:
        """Return how many samples there are of each species, bona fide first."""
        counts = dict.fromkeys((species for species, _ in self._kinds), 0)
        for kind, times in Counter(self._kind_of).items():
            counts[self._kinds[kind][0]] += times
        return counts

    def shard(self, number: int) -> tuple[SampleSpec, ...]:
        """Return the samples of one shard."""
        first = number * self.shard_size
        return tuple(map(self.spec, range(first, min(first + self.shard_size, len(self)))))

    def spec(self, index: int) -> SampleSpec:
        """Return one sample, by its position."""
        species, source = self._kinds[self._kind_of[index]]
        members, order = self._faces[source], self._orders[species, source]
        face = members[int(order[self._turns[index] % len(members)])]
        draw = generator(self._seed, "plan", index)
        device = _device(self._devices, draw)
        others = [f for f in self._by_group[face.group] if f.subject_id != face.subject_id]
        donor = others[int(torch.randint(len(others), (1,), generator=draw))] if others else None
        return SampleSpec(index, f"s{index:08d}", species, face, donor, device, seed(self._seed, "sample", index))


def make_plan(config: GenerationConfig, refs: Mapping[str, Sequence[FaceRef]], device_ids: Sequence[str]) -> Plan:
    """Lay out `config.n` samples.

    Species follow their shares as evenly as possible at every prefix. Each species walks through its own seeded
    permutation of the faces of a source, so subjects are covered evenly; device and donor are drawn per sample.

    Args:
        config: the data set's configuration.
        refs: faces by source name, one entry for each of `config.faces`, in their order.
        device_ids: devices to draw from.
    """
    return Plan(config, refs, device_ids)


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


def _walk(config: GenerationConfig, sources: Sequence[str]) -> "tuple[list[tuple[str, str]], array[int], array[int]]":
    """Return the pairs of species and source, and for each sample which pair it is of and its place among these."""
    all_species = ("bonafide", *config.attacks)
    species_of = _interleave({"bonafide": config.bonafide_share, **_even(config.attacks, 1 - config.bonafide_share)})
    total = sum(f.share for f in config.faces)
    source_of = {
        s: _interleave({name: f.share / total for name, f in zip(sources, config.faces, strict=True)}, offset=i)
        for i, s in enumerate(all_species)
    }
    kinds = [(species, source) for species in all_species for source in sources]
    number = {kind: place for place, kind in enumerate(kinds)}
    kind_of, turns, met = array("I"), array("I"), [0] * len(kinds)
    for _ in range(config.n):
        species = next(species_of)
        kind = number[species, next(source_of[species])]
        kind_of.append(kind)
        turns.append(met[kind])
        met[kind] += 1
    return kinds, kind_of, turns


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
