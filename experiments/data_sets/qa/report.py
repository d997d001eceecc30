"""The report of a data set's quality: JSON, Markdown, one HTML file, and a contact sheet of the worst pictures."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spooflab.atomic import disk_errors, write_over
from spooflab.experiments.data_sets.contact_sheets import jpeg_of, name_tile, small_tile
from spooflab.experiments.data_sets.page import Block, Picture, Points, Rows, Section, Text, html, markdown
from spooflab.experiments.data_sets.qa.assess import SHOWN, Quality
from spooflab.experiments.data_sets.qa.parameters import SURE, Fit
from spooflab.experiments.data_sets.stats_sections import lead
from spooflab.generators.sheet import contact_sheet
from spooflab.provenance import joined_source_type
from spooflab.source_mark import mark_source
from spooflab.store import iter_images

SHEET = "qa_pictures/worst.jpg"
_MOST_ROWS = 40
_FIGURES = {"qc_mean_luma": "darkest", "qc_clipped": "most clipped", "qc_sharpness": "least sharp"}


def write_report(root: Path, found: Quality, out: Path) -> list[Path]:
    """Write `qa.json`, `qa.md`, `qa.html` and the sheet; each is whole or as before. Returns their paths.

    Raises:
        DataError: damage, or a folder that cannot be written.
    """
    sheet = worst_sheet(root, found)
    title, told = f"Quality of {root.resolve().name}", lead(found.stats)
    sections = report_sections(found, sheet)
    text = json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    files = {
        "qa.md": markdown(title, told, sections).encode(),
        "qa.html": html(title, told, sections).encode(),
        "qa.json": text.encode(),
        **({} if sheet is None else {SHEET: sheet}),
    }
    with disk_errors(f"{out}: the report cannot be written"):
        (out / SHEET).parent.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_over(out / name, data)
    return [out / name for name in files]


def worst_sheet(root: Path, found: Quality) -> bytes | None:
    """Return a marked JPEG with a row for each kind of trouble; None for a data set without pictures."""
    rows = {kind: entries for kind, entries in _shown(found) if entries}
    keys = {key for entries in rows.values() for key, _ in entries}
    if not keys:
        return None
    tiles = {key: small_tile(png) for key, png in iter_images(root, keys, partial=True)}
    laid: list[tuple[str, NDArray[np.uint8]]] = []
    for kind, entries in rows.items():
        laid += [("", name_tile(kind)), *((f"{key} {told}", tiles[key]) for key, told in entries)]
        laid += [("", name_tile(""))] * (SHOWN - len(entries))
    # Of all pictures' types, not of those shown: a sheet may say too much of itself, and never too little.
    return mark_source(
        jpeg_of(contact_sheet(laid, columns=1 + SHOWN)), joined_source_type(found.stats.counts["digital_source_type"])
    )


def report_sections(found: Quality, sheet: bytes | None) -> list[Section]:
    """Return the report's sections, in order."""
    sections = [
        Section("Result", _result(found)),
        Section("Duplicates", _duplicates(found)),
        Section("Left out", _left_out(found)),
        Section("Classes, species and devices", _balance(found)),
        Section("Parameters against their priors", _parameters(found)),
    ]
    if found.vision is not None:
        sections.append(Section("Spoilt pictures", _vision(found)))
    if sheet is not None:
        told = "The worst pictures: near-duplicates side by side, then by figures of quality control, then by issues."
        sections.append(Section("Worst pictures", (Picture(SHEET, told, sheet),)))
    return sections


def _shown(found: Quality) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    pairs = found.duplicates.near_pairs[: SHOWN // 2]
    yield "near_duplicates", [(key, f"{p.correlation:.3f}") for p in pairs for key in (p.left, p.right)]
    for name, told in _FIGURES.items():
        yield told.replace(" ", "_"), [(key, f"{value:.3g}") for key, value in found.worst[name]]
    if found.vision is not None:
        for issue, entries in found.vision.worst.items():
            yield issue, [(key, f"{score:.2f}") for key, score in entries[:SHOWN]]


def _result(found: Quality) -> tuple[Block, ...]:
    if found.passed:
        return (Text("Passed: nothing exceeds the limits."), _limits(found))
    points = tuple(f"{finding.detail} ({finding.code})" for finding in found.findings)
    return (Text(f"Failed: {len(points)} findings."), Points(points), _limits(found))


def _limits(found: Quality) -> Block:
    limits = found.limits
    rows = (
        ("duplicates", limits.duplicates, "pictures equal to an earlier one"),
        ("near", limits.near, "pairs of near-duplicates of different people"),
        ("rejects", limits.rejects, "share of a species that quality control refused"),
        ("drift", limits.drift, "distance of a parameter from its prior"),
        ("holes", limits.holes, "empty parts of parameters' ranges"),
        ("spoilt", "not judged" if limits.spoilt is None else limits.spoilt, "share of pictures with an issue"),
        ("warnings", "not judged" if limits.warnings is None else limits.warnings, "warnings of balance"),
    )
    return Rows(("limit", "most", "of what"), rows, "Limits")


def _duplicates(found: Quality) -> tuple[Block, ...]:
    held = found.duplicates
    blocks: list[Block] = [
        Text(
            f"{held.exact:,} pictures equal an earlier one to the byte. {held.near:,} pairs of different people's "
            f"groups are one picture to the eye. {held.alike_in_group:,} pictures look like an earlier one of their "
            "own group."
        )
    ]
    if held.exact_pairs:
        blocks.append(Rows(("picture", "equals"), held.exact_pairs[:_MOST_ROWS]))
    if held.near_pairs:
        rows = tuple((p.left, p.right, p.bits, p.correlation) for p in held.near_pairs[:_MOST_ROWS])
        blocks.append(Rows(("picture", "and", "bits apart", "correlation"), rows))
    return tuple(blocks)


def _left_out(found: Quality) -> tuple[Block, ...]:
    if not found.rejects:
        return (Text("Nothing was left out."),)
    made, out = Counter[str](), Counter[str]()
    for (_, species, _), count in found.crossed.items():
        made[species] += count
    for (_, species, _), count in found.rejects.items():
        out[species] += count
    shares = tuple(
        (species, made[species], count, count / (made[species] + count))
        for species, count in sorted(out.items(), key=lambda entry: (-entry[1], entry[0]))
    )
    rows = tuple(
        (*place, count) for place, count in sorted(found.rejects.items(), key=lambda entry: (-entry[1], entry[0]))
    )
    told = f"{found.stats.skipped:,} planned samples are missing; reasons qc_… are rejects of quality control."
    return (
        Text(told),
        Rows(("species", "pictures", "left out", "share"), shares),
        Rows(("reason", "species", "device model", "samples"), rows[:200], "By reason, species, device"),
    )


def _balance(found: Quality) -> tuple[Block, ...]:
    devices = sorted({device for _, _, device in found.crossed})
    table: dict[tuple[str, str], Counter[str]] = {}
    for (label, species, device), count in found.crossed.items():
        table.setdefault((label, species), Counter())[device] += count
    rows: list[tuple[str | int | float, ...]] = [
        (label, species, *(by[device] for device in devices), by.total()) for (label, species), by in table.items()
    ]
    blocks: list[Block] = [Rows(("label", "species", *devices, "all"), tuple(rows))]
    if found.stats.warnings:
        blocks.append(Points(tuple(f"{w.column}: {w.detail} ({w.code})" for w in found.stats.warnings)))
    return tuple(blocks)


def _parameters(found: Quality) -> tuple[Block, ...]:
    blocks: list[Block] = []
    if found.unknown:
        blocks.append(Points(tuple(f"Prior not known: {why}" for why in found.unknown)))
    if not found.fits:
        return (*blocks, Text("No recorded parameter has a known prior."))
    full = sum(fit.bins == fit.of for fit in found.fits)
    moved = sum(fit.p < SURE for fit in found.fits)
    blocks.append(
        Text(
            f"{len(found.fits):,} parameters of known prior: {full:,} have values in every tenth of their range; "
            f"{moved:,} are surely distributed otherwise (Kolmogorov-Smirnov, p < {SURE:g} after Holm)."
        )
    )
    far = sorted(found.fits, key=lambda fit: (fit.p >= SURE, -fit.ks, fit.group, fit.name))[:_MOST_ROWS]
    blocks.append(_fits(far, f"Farthest from their priors ({len(far)})"))
    lacking = sorted((fit for fit in found.fits if fit.empty), key=lambda fit: (-len(fit.holes), fit.bins / fit.of))
    if lacking:
        rows = tuple(
            (fit.group, fit.name, fit.samples, f"{fit.bins} of {fit.of}", "; ".join(fit.empty))
            for fit in lacking[:_MOST_ROWS]
        )
        head = ("species or device", "parameter", "samples", "tenths with a value", "empty")
        blocks.append(Rows(head, rows, f"Empty parts of ranges ({len(lacking)})"))
    return tuple(blocks)


def _fits(fits: list[Fit], folded: str) -> Block:
    rows = tuple((f.group, f.name, f.samples, f.ks, f.p, f"{f.bins} of {f.of}", f.outside) for f in fits)
    head = ("species or device", "parameter", "samples", "distance", "p", "tenths with a value", "outside")
    return Rows(head, rows, folded)


def _vision(found: Quality) -> tuple[Block, ...]:
    vision = found.vision
    if vision is None:
        return ()
    told = f"cleanvision {vision.version} finds fault with {vision.spoilt:,} of {vision.pictures:,} pictures."
    rows = tuple(
        (issue, count, ", ".join(k for k, _ in vision.worst[issue][:3])) for issue, count in vision.counts.items()
    )
    return (Text(told), Rows(("issue", "pictures", "worst"), rows))
