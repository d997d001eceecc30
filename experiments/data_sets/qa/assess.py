"""Everything that is asked of a data set's quality, measured in two passes: its records, then its pictures."""

import heapq
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from spooflab.experiments.data_sets.priors import DRAWS, priors_of
from spooflab.experiments.data_sets.qa.duplicates import Duplicates, find_duplicates
from spooflab.experiments.data_sets.qa.fingerprints import Names, fingerprints
from spooflab.experiments.data_sets.qa.limits import Limits
from spooflab.experiments.data_sets.qa.parameters import SURE, Fit, fit_parameters, tallies
from spooflab.experiments.data_sets.qa.rejects import Rejects, rejects
from spooflab.experiments.data_sets.qa.vision import Vision, look
from spooflab.experiments.data_sets.ranges import physical_numbers
from spooflab.experiments.data_sets.stats import DataStats, measure
from spooflab.store import Store, iter_rows

WORST = {"qc_mean_luma": -1, "qc_clipped": 1, "qc_sharpness": -1}
"""Figures whose worst pictures are shown, and on which side the worst lie."""
SHOWN = 6
_SHA_BYTES = 16
_COLUMNS = ("key", "label", "species", "device_profile", "subject_group", "image_sha256", "params", *WORST)


@dataclass(frozen=True)
class Finding:
    """One thing that a limit forbids.

    Attributes:
        code: name of the limit.
        detail: one sentence with the figures.
    """

    code: str
    detail: str


@dataclass(frozen=True)
class Quality:
    """What was found.

    Attributes:
        fingerprint: of the plan.
        stats: what `spooflab stats` counts.
        crossed: pictures by (label, species, device model).
        rejects: samples left out by (reason, species, device model).
        fits: drawn parameters against their priors.
        unknown: why priors are not known.
        duplicates: pictures that come twice.
        vision: what cleanvision found; None where it was not asked.
        worst: keys and values of the pictures with the worst quality figures.
        limits: what was allowed.
        findings: what exceeds it.
    """

    fingerprint: str
    stats: DataStats
    crossed: dict[tuple[str, str, str], int]
    rejects: Rejects
    fits: list[Fit]
    unknown: tuple[str, ...]
    duplicates: Duplicates
    vision: Vision | None
    worst: dict[str, list[tuple[str, float]]]
    limits: Limits
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing exceeds the limits."""
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """Return everything but what `spooflab stats --json` gives, as JSON-ready values."""
        return {
            "passed": self.passed,
            "findings": [asdict(finding) for finding in self.findings],
            "limits": asdict(self.limits),
            "plan_fingerprint": self.fingerprint,
            "pictures": self.stats.rows,
            "skipped": self.stats.skipped,
            "balance_warnings": [asdict(warning) for warning in self.stats.warnings],
            "classes": _listed(("label", "species", "device_profile"), self.crossed),
            "left_out": _listed(("reason", "species", "device_profile"), self.rejects),
            "duplicates": asdict(self.duplicates),
            "parameters": [asdict(fit) for fit in self.fits],
            "priors_unknown": list(self.unknown),
            "cleanvision": None if self.vision is None else asdict(self.vision),
            "worst": self.worst,
        }


def assess(root: Path, limits: Limits, *, cleanvision: bool = False, draws: int = DRAWS) -> Quality:
    """Measure a data set; one that is not finished as far as it goes.

    Memory: about 100 bytes for each picture, some hundred kilobytes for each species, and one row group. A temporary
    file takes 1 KB for each picture.

    Args:
        root: folder of the store.
        limits: what passes.
        cleanvision: let cleanvision look at every picture, too; it needs the extra `qa`.
        draws: of each prior.

    Raises:
        ConfigError: cleanvision is wanted and not installed.
        DataError: no store, or damage.
    """
    store, stats = Store.open(root), measure(root)
    vision = look(root, stats.rows) if cleanvision else None  # first, so that a missing extra is told at once
    priors = priors_of(store.plan, draws=draws)
    attack, device = tallies(priors)
    seen = _Records()
    for table in iter_rows(root, _COLUMNS, partial=True):
        seen.add(table)
        for row in table.select(("species", "device_profile", "params")).to_pylist():
            params = json.loads(row["params"])
            if "attack" in params:
                attack.add(row["species"], physical_numbers(params["attack"]))
                device.add(row["device_profile"], physical_numbers(params.get("device", {})))
    names = seen.names()
    with fingerprints(root, stats.rows) as found:
        duplicates = find_duplicates(names, found)
    left_out, fits = rejects(store.plan, store.committed()), fit_parameters(attack, device)
    findings = (
        *_duplicated(duplicates, limits),
        *_rejected(stats, limits),
        *_drifted(fits, limits),
        *_spoilt(vision, limits),
        *_unbalanced(stats, limits),
    )
    return Quality(
        store.fingerprint, stats, dict(sorted(seen.crossed.items())), left_out, fits, priors.unknown, duplicates,
        vision, seen.worst(), limits, findings,
    )  # fmt: skip


class _Records:
    """What is kept of the records, in order."""

    def __init__(self) -> None:
        self.crossed = Counter[tuple[str, str, str]]()
        self._keys: list[pa.ChunkedArray] = []
        self._groups: dict[str, int] = {}
        self._group: list[np.ndarray] = []
        self._sha: list[np.ndarray] = []
        self._worst: dict[str, list[tuple[float, str]]] = {name: [] for name in WORST}

    def add(self, table: pa.Table) -> None:
        self._keys.append(table.column("key"))
        groups = [self._groups.setdefault(g, len(self._groups)) for g in table.column("subject_group").to_pylist()]
        self._group.append(np.array(groups, dtype=np.int32))
        held = b"".join(bytes.fromhex(text)[:_SHA_BYTES] for text in table.column("image_sha256").to_pylist())
        self._sha.append(np.frombuffer(held, dtype=np.uint8).reshape(-1, _SHA_BYTES))
        crossed = (table.column(name).to_pylist() for name in ("label", "species", "device_profile"))
        self.crossed.update(zip(*crossed, strict=True))
        for name, side in WORST.items():
            values = zip(table.column(name).to_pylist(), table.column("key").to_pylist(), strict=True)
            entries = [*self._worst[name], *((side * value, key) for value, key in values if value is not None)]
            self._worst[name] = heapq.nsmallest(SHOWN, entries, key=lambda entry: (-entry[0], entry[1]))

    def names(self) -> Names:
        chunks = [chunk for keys in self._keys for chunk in keys.chunks]
        keys = pa.concat_arrays(chunks) if chunks else pa.array([], pa.string())
        group = np.concatenate([np.zeros(0, np.int32), *self._group])
        return Names(keys, group, np.concatenate([np.zeros((0, _SHA_BYTES), np.uint8), *self._sha]))

    def worst(self) -> dict[str, list[tuple[str, float]]]:
        return {
            name: [(key, round(WORST[name] * value, 4)) for value, key in held] for name, held in self._worst.items()
        }


def _duplicated(found: Duplicates, limits: Limits) -> list[Finding]:
    told = []
    if found.exact > limits.duplicates:
        key, before = found.exact_pairs[0]
        told.append(Finding("duplicates", f"{found.exact} pictures equal an earlier one; the first: {key} is {before}"))
    if found.near > limits.near:
        pair = found.near_pairs[0]
        told.append(
            Finding(
                "near",
                f"{found.near} pairs of different people are one picture to the eye; the most alike: {pair.left} and "
                f"{pair.right} (correlation {pair.correlation:.4f})",
            )
        )
    return told


def _rejected(stats: DataStats, limits: Limits) -> list[Finding]:
    refused = Counter[str]()
    for reason, by in stats.skips.items():
        if reason.startswith("qc_"):
            refused.update(by)
    told = []
    for species, count in sorted(refused.items()):
        planned = count + stats.counts["species"].get(species, 0)
        if count > limits.rejects * planned:
            told.append(
                Finding("rejects", f"quality control refused {count} of {planned} {species} ({count / planned:.0%})")
            )
    return told


def _drifted(fits: list[Fit], limits: Limits) -> list[Finding]:
    told = []
    moved = sorted((f for f in fits if f.ks > limits.drift and f.p < SURE), key=lambda f: -f.ks)
    if moved:
        worst = moved[0]
        told.append(
            Finding(
                "drift",
                f"{len(moved)} parameters are not distributed as their prior; the farthest: {worst.name} of "
                f"{worst.group} (distance {worst.ks:.2f})",
            )
        )
    holes = [(fit, part) for fit in fits for part in fit.holes]
    if len(holes) > limits.holes:
        fit, part = holes[0]
        told.append(
            Finding(
                "holes",
                f"{len(holes)} parts of parameters' ranges are empty; the first: {fit.name} of {fit.group}, {part}",
            )
        )
    return told


def _spoilt(vision: Vision | None, limits: Limits) -> list[Finding]:
    if vision is None or limits.spoilt is None or vision.spoilt <= limits.spoilt * vision.pictures:
        return []
    kinds = ", ".join(f"{name} {count}" for name, count in vision.counts.items() if count)
    return [Finding("spoilt", f"cleanvision finds fault with {vision.spoilt} of {vision.pictures} pictures: {kinds}")]


def _unbalanced(stats: DataStats, limits: Limits) -> list[Finding]:
    if limits.warnings is None or len(stats.warnings) <= limits.warnings:
        return []
    first = stats.warnings[0]
    return [
        Finding("warnings", f"{len(stats.warnings)} warnings of balance; the first: {first.column}: {first.detail}")
    ]


def _listed(head: tuple[str, ...], counts: Mapping[tuple[str, str, str], int]) -> list[dict[str, Any]]:
    return [{**dict(zip(head, place, strict=True)), "count": count} for place, count in counts.items()]
