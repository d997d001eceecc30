"""The data card and the lists beside it: `README.md`, `broken.csv`, `duplicates.csv`, `ingest.json`."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

from spooflab.atomic import write_over
from spooflab.experiments.data_sets.markdown import cell, table
from spooflab.experiments.ingest.config import IngestConfig
from spooflab.experiments.ingest.findings import Findings
from spooflab.provenance import GENERATOR

_SHOWN = 20


def write_card(out: Path, config: IngestConfig, listing_sha256: str, findings: Findings) -> None:
    """Write the four files into the store's folder; each is whole or as before."""
    write_over(out / "README.md", card(config, findings).encode())
    write_over(out / "broken.csv", _csv(("path", "reason", "detail"), (asdict(b) for b in findings.broken)))
    rows = (
        {name: " ".join(value) if isinstance(value, tuple) else value for name, value in asdict(c).items()}
        for c in findings.clusters
    )
    write_over(out / "duplicates.csv", _csv(("kind", "keys", "sources", "labels", "species", "straddles"), rows))
    summary = {
        "config": config.model_dump(mode="json"),
        "listing_sha256": listing_sha256,
        "generator": GENERATOR,
        **figures(findings),
    }
    write_over(out / "ingest.json", json.dumps(summary, indent=1, sort_keys=True).encode() + b"\n")


def figures(findings: Findings) -> dict[str, Any]:
    """Return counts as JSON-ready values."""
    return {
        "pictures": len(findings.rows),
        "clips": len({row.source for row in findings.rows}),
        "people": len({person for row in findings.rows for person in row.people}),
        "people_known": all(row.subject_known for row in findings.rows),
        "species": findings.counts("species"),
        "own_classes": findings.counts("own_class"),
        "devices": findings.counts("device"),
        "faces_told_by": findings.counts("told_by"),
        "protocols": findings.by_part(),
        "broken": dict(sorted(Counter(entry.reason for entry in findings.broken).items())),
        "duplicates": dict(sorted(Counter(cluster.kind for cluster in findings.clusters).items())),
        "label_conflicts": [asdict(cluster) for cluster in findings.label_conflicts],
        "leaks": [asdict(leak) for leak in findings.leaks if leak.shared],
        "leaks_looked_for": len(findings.leaks),
    }


def card(config: IngestConfig, findings: Findings) -> str:
    """Return the data card as Markdown."""
    told = figures(findings)
    people = f"{told['people']} people" if told["people_known"] else f"{told['people']} people named, others unknown"
    crop = f"a square around the face, margin {config.margin:g}" if config.crop == "face" else "the whole frame"
    lines = [
        f"# {config.reader}",
        "",
        f"{told['pictures']} pictures of {told['clips']} clips, {people}. Licence: {config.licence}.",
        "",
        f"Read from `{config.root}` by {GENERATOR}. Up to {config.frames} frames of each clip, at the middles of equal",
        f"spans of it; stored: {crop}, {config.size} pixels. These are pictures of real people: the licence and the",
        "consent that they were taken under bind whoever uses this copy.",
        "",
        f"Consent, as stated by whoever read the data set: {cell(config.consent)}",
        *_table("Species", "species", told["species"]),
        *_table("Classes of the data set", "class", told["own_classes"]),
        *_table("Devices", "device", told["devices"]),
        *_table("Where the face's box comes from", "told by", told["faces_told_by"]),
        *_protocols(told["protocols"]),
        *_leaks(findings),
        *_duplicates(findings),
        *_broken(findings),
    ]
    return "\n".join(lines) + "\n"


def _table(title: str, name: str, counts: Mapping[str, int]) -> list[str]:
    return ["", f"## {title}", "", *table((name, "pictures"), counts.items())]


def _protocols(protocols: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[str]:
    if not protocols:
        return ["", "## Official protocols", "", "None: the data set's lists are missing, or it has none."]
    rows = []
    for protocol, parts in protocols.items():
        for part, counts in parts.items():
            genuine = counts.get("bonafide", 0)
            species = ", ".join(name for name in counts if name != "bonafide")
            rows.append((protocol, part, genuine, sum(counts.values()) - genuine, species))
    return ["", "## Official protocols", "", *table(("protocol", "part", "bona fide", "attacks", "species"), rows)]


def _leaks(findings: Findings) -> list[str]:
    lines = ["", "## What parts of a protocol share", ""]
    shared = [leak for leak in findings.leaks if leak.shared]
    if not findings.leaks:
        return [*lines, "Nothing to compare."]
    if not all(row.subject_known for row in findings.rows):
        lines += ["Some names tell no person, so people in two parts would go unnoticed.", ""]
    if not shared:
        return [*lines, "Nothing: no person, clip, file, picture or near-duplicate is in two parts of a protocol."]
    rows = [(k.protocol, k.parts, k.what, k.shared, k.example) for k in shared]
    return lines + table(("protocol", "parts", "what", "shared", "for example"), rows)


def _duplicates(findings: Findings) -> list[str]:
    lines = ["", "## Duplicates", ""]
    if not findings.clusters:
        return [*lines, "None between clips."]
    counts = Counter(cluster.kind for cluster in findings.clusters)
    lines.append(
        f"Clusters over two or more clips: {counts['file']} of equal files, {counts['picture']} of equal pictures, "
        f"{counts['near']} near (to be looked at: one person in one session looks alike). `duplicates.csv` lists them."
    )
    if findings.label_conflicts:
        lines += [
            "",
            f"**{len(findings.label_conflicts)} equal pictures have two labels or species**; one is wrong:",
            "",
        ]
        lines += [
            f"- {', '.join(map(cell, c.sources[:4]))}: {', '.join(c.species)}"
            for c in findings.label_conflicts[:_SHOWN]
        ]
    return lines


def _broken(findings: Findings) -> list[str]:
    lines = ["", "## What is broken or left out", ""]
    if not findings.broken:
        return [*lines, "Nothing: every file fits the layout and could be read."]
    counts = Counter(entry.reason for entry in findings.broken)
    lines += ["`broken.csv` lists each.", "", "| reason | count | for example |", "|---|---:|---|"]
    for reason, count in sorted(counts.items()):
        example = next(entry for entry in findings.broken if entry.reason == reason)
        lines.append(f"| {reason} | {count} | {cell(example.path)}: {cell(example.detail)} |")
    return lines


def _csv(names: tuple[str, ...], rows: Iterable[Mapping[str, Any]]) -> bytes:
    out = StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode(errors="backslashreplace")
