"""Write a small data set again with faults planted: other pictures, labels, names or records for some keys."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from spooflab.sample import Sample
from spooflab.store import Store
from spooflab.taxonomy import species_of


def replant(root: Path, out: Path, changes: Mapping[str, Mapping[str, Any]]) -> Path:
    """Copy a store with `changes` to the fields of some samples; what follows from these follows."""
    samples = []
    rows = [row for path in sorted(root.glob("shards/*.parquet")) for row in pq.read_table(path).to_pylist()]
    for sample in map(Sample.from_row, rows):
        own = dict(changes.get(sample.key, {}))
        if "image" in own:
            own["image_sha256"] = hashlib.sha256(own["image"]).hexdigest()
        if "species" in own:
            own |= labels(sample, own["species"])
        samples.append(dataclasses.replace(sample, **own))
    store = Store.create(out, {"made": "by a test"}, shards=1)
    lease = store.claim(0)
    assert lease is not None
    with lease:
        store.commit(lease, samples)
    return out


def labels(sample: Sample, species: str) -> dict[str, Any]:
    """Return the fields that a species decides."""
    kind = species_of(species)
    claimed, attacker = kind.identities(sample.subject_id, sample.donor_id)
    fields = {name: getattr(kind, name) for name in ("label", "channel", "goal", "family", "tree", "artefact")}
    return fields | {"chain": tuple(species.split("+")), "claimed_id": claimed, "attacker_id": attacker}
