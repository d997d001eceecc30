"""What a data set holds, in numbers: counts, parameter ranges, balance, bytes, what was skipped and why."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import pyarrow as pa

from spooflab.experiments.data_sets.balance import Imbalance, balance_warnings
from spooflab.experiments.data_sets.ranges import Range, RangeTally, physical_numbers
from spooflab.location import Location
from spooflab.sample import QC_FIGURES
from spooflab.store import Store, iter_rows

COUNTED = (
    *("label", "species", "family", "channel", "device_profile", "device_id", "instrument_id", "face_source"),
    *("digital_source_type", "generator", "licence", "code_version"),
)
"""Columns whose values are counted."""

_NEUTRAL = ("device_profile", "device_id", "face_source", "digital_source_type", "generator", "licence", "size")
"""Columns that should tell nothing of the label."""

_OPTIONAL = ("mask", "depth", "regions")
_COLUMNS = (
    *COUNTED,
    *("key", "subject_id", "subject_group", "source_id", "donor_id", "width", "height", "landmarks", "box", "params"),
    *("model_ids", "ablated"),
    *(f"qc_{name}" for name in QC_FIGURES),
    *(f"{name}.path" for name in _OPTIONAL),  # its nulls are the column's, and it holds no bytes to read
)


@dataclass(frozen=True)
class DataStats:
    """Everything that is counted; see `docs/datasets.md`.

    Attributes:
        shards, committed: planned and finished shards.
        rows: pictures.
        file_bytes: of the committed Parquet files.
        counts: pictures by column and value, sorted by value.
        sizes: pictures by `width x height`.
        models: pictures by trained model that had a part in them.
        ablated: pictures by effect that was switched off on purpose.
        splits: pictures by protocol, part and label, where the records name them (real data sets do).
        subjects, groups, sources: how many there are of each.
        per_subject: fewest, median and most pictures of a subject.
        without: pictures that lack `mask`, `depth`, `regions`, `landmarks` or `box`.
        skips: planned samples that could not be made, by reason and species; `qc_…` are rejects of quality control.
        attack_ranges: drawn numbers and facts of each species.
        device_ranges: drawn numbers of each device profile.
        qc_ranges: quality figures of each species.
        warnings: what is out of balance.
    """

    shards: int
    committed: int
    rows: int
    file_bytes: int
    counts: dict[str, dict[str, int]]
    sizes: dict[str, int]
    models: dict[str, int]
    ablated: dict[str, int]
    splits: dict[str, dict[str, dict[str, int]]]
    subjects: int
    groups: int
    sources: int
    per_subject: tuple[int, float, int]
    without: dict[str, int]
    skips: dict[str, dict[str, int]]
    attack_ranges: dict[str, dict[str, Range]]
    device_ranges: dict[str, dict[str, Range]]
    qc_ranges: dict[str, dict[str, Range]]
    warnings: tuple[Imbalance, ...]

    @property
    def skipped(self) -> int:
        """Planned samples that could not be made."""
        return sum(sum(by.values()) for by in self.skips.values())

    @property
    def qc_rejects(self) -> int:
        """Of these, how many were made and failed quality control."""
        return sum(sum(by.values()) for reason, by in self.skips.items() if reason.startswith("qc_"))

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {**asdict(self), "skipped": self.skipped, "qc_rejects": self.qc_rejects}


def measure(root: Location, *, partial: bool = True) -> DataStats:
    """Count a data set; no picture is read.

    Memory grows with the names of people, devices and instruments, and with the parameters of a species; not with the
    number of pictures.

    Args:
        root: folder or URL of the store.
        partial: count what is committed where shards are still missing.

    Raises:
        DataError: no store, missing shards, or damage.
    """
    store = Store.open(root)
    tally = _Tally()
    for table in iter_rows(root, _COLUMNS, partial=partial):
        tally.add(table)
    skips: dict[str, Counter[str]] = defaultdict(Counter)
    records = store.committed()
    for record in records:
        for skip in record.skips:
            skips[skip.reason][skip.species] += 1
    size = store.stored_bytes()
    return tally.finish(store.shards, len(records), size, {reason: _sorted(by) for reason, by in sorted(skips.items())})


class _Tally:
    def __init__(self) -> None:
        self.rows = 0
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in COUNTED}
        self.sizes, self.models, self.ablated = Counter[str](), Counter[str](), Counter[str]()
        self.splits: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        self.people, self.groups, self.sources = Counter[str](), set[str](), set[str]()
        self.without: Counter[str] = Counter(dict.fromkeys((*_OPTIONAL, "landmarks", "box"), 0))
        self.by_label: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in _NEUTRAL}
        self.attack, self.device, self.quality = RangeTally(), RangeTally(), RangeTally()

    def add(self, table: pa.Table) -> None:
        for row in table.to_pylist():
            row["size"] = f"{row['width']} x {row['height']}"
            self._count(row)
            self._measure(row)

    def _count(self, row: Mapping[str, Any]) -> None:
        self.rows += 1
        for name, counter in self.counts.items():
            counter[row[name]] += 1
        self.sizes[row["size"]] += 1
        self.models.update(row["model_ids"])
        self.ablated.update(row["ablated"])
        self.people[row["subject_id"]] += 1
        self.groups.add(row["subject_group"])
        self.sources.add(row["source_id"])
        for name in _OPTIONAL:
            self.without[name] += row[name] is None
        for name in ("landmarks", "box"):
            self.without[name] += not row[name]
        for name, crossed in self.by_label.items():
            crossed[row[name], row["label"]] += 1

    def _measure(self, row: Mapping[str, Any]) -> None:
        params, key = json.loads(row["params"]), row["key"]
        for protocol, part in params.get("splits", {}).items():
            self.splits[protocol][part][row["label"]] += 1
        if "attack" in params:  # a sample that was made; a real one has no parameters
            facts = physical_numbers(params.get("facts", {}), "facts")
            self.attack.add(row["species"], key, physical_numbers(params["attack"]) | facts)
            self.device.add(row["device_profile"], key, physical_numbers(params.get("device", {})))
        self.quality.add(row["species"], key, {name: row[f"qc_{name}"] for name in QC_FIGURES})

    def finish(self, shards: int, committed: int, size: int, skips: dict[str, dict[str, int]]) -> DataStats:
        attacks = {name: count for name, count in self.counts["species"].items() if name != "bonafide"}
        each = list(self.people.values()) or [0]
        parts = {
            protocol: {part: _sorted(by) for part, by in sorted(of.items())} for protocol, of in self.splits.items()
        }
        return DataStats(
            shards=shards,
            committed=committed,
            rows=self.rows,
            file_bytes=size,
            counts={name: _sorted(counter) for name, counter in self.counts.items()},
            sizes=_sorted(self.sizes),
            models=_sorted(self.models),
            ablated=_sorted(self.ablated),
            splits=dict(sorted(parts.items())),
            subjects=len(self.people),
            groups=len(self.groups),
            sources=len(self.sources),
            per_subject=(min(each), float(median(each)), max(each)),
            without=dict(self.without),
            skips=skips,
            attack_ranges=self.attack.ranges(),
            device_ranges=self.device.ranges(),
            qc_ranges=self.quality.ranges(),
            warnings=balance_warnings(self.counts["label"], attacks, self.by_label, len(self.people))
            if self.rows
            else (),
        )


def _sorted(counter: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counter.items()))
