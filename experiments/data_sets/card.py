"""The data card: Markdown, one HTML file, Croissant metadata, contact sheets and figures; same data, same bytes."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from spooflab.atomic import disk_errors, write_over
from spooflab.experiments.data_sets.contact_sheets import Sheet, contact_sheets
from spooflab.experiments.data_sets.croissant import Published, croissant, licences
from spooflab.experiments.data_sets.lineage import Lineage, lineage_of
from spooflab.experiments.data_sets.page import Block, Code, Picture, Points, Rows, Section, Text, html, markdown
from spooflab.experiments.data_sets.statements import BIASES, LIMITS, MISUSE, USES
from spooflab.experiments.data_sets.stats import DataStats, measure
from spooflab.experiments.data_sets.stats_sections import lead, statistics
from spooflab.location import Location, StoreUrl, location_of
from spooflab.provenance import is_synthetic
from spooflab.store import Store

PICTURES = "card_pictures"


def write_card(root: Location, out: Path, told: Published, *, seed: int = 0) -> list[Path]:
    """Write the card's files into `out`; each is whole or as before. Returns their paths.

    Args:
        root: folder or URL of the store; all shards committed.
        out: may be the store's own folder.
        told: what only the owner can tell.
        seed: chooses the pictures of the contact sheets.

    Raises:
        DataError: no store, missing shards, damage, or a folder that cannot be written.
    """
    stats, lineage = measure(root, partial=False), lineage_of(root)
    location_of(out)  # a URL holds no files that replace others
    store = Store.open(root)
    records, sheets = store.committed(), contact_sheets(root, seed=seed)
    held = {record.shard: store.shard_file(record) for record in records}
    sections = card_sections(told, stats, lineage, sheets)
    told_of = lead(stats)
    metadata = croissant(told, told_of, stats, lineage, records, held, _from(out, root))
    files = {
        "card.md": markdown(told.name, told_of, sections).encode(),
        "card.html": html(told.name, told_of, sections).encode(),
        "croissant.json": _json(metadata),
        "stats.json": _json(stats.to_json()),
        **{f"{PICTURES}/{sheet.name}.jpg": sheet.jpeg for sheet in sheets},
        **{name: text.encode() for name, text in lineage.configs.items()},
    }
    with disk_errors(f"{out}: the card cannot be written"):
        (out / PICTURES).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_over(out / name, data)
    return [out / name for name in files]


def _from(out: Path, root: Location) -> str:
    """Return the path from the card to the data set, with a slash at its end, or its URL."""
    if isinstance(root, StoreUrl):
        return f"{root}/"
    relative = Path(os.path.relpath(root.resolve(), out.resolve())).as_posix()
    return "" if relative == "." else f"{relative}/"


def card_sections(told: Published, stats: DataStats, lineage: Lineage, sheets: Sequence[Sheet]) -> list[Section]:
    """Return the card's sections, in order."""
    return [
        Section(
            "Use",
            (Text("For:"), Points(USES), Text("Not for:"), Points(MISUSE), Text("Limits:"), Points(LIMITS + BIASES)),
        ),
        Section("People, consent and licences", _people(told, stats, lineage)),
        Section("Synthetic media", _synthetic(stats)),
        Section("Pictures", tuple(Picture(f"{PICTURES}/{s.name}.jpg", s.caption, s.jpeg) for s in sheets)),
        *statistics(stats),
        Section("Provenance", _provenance(stats, lineage)),
        Section("Files", (_files(told),)),
    ]


def _people(told: Published, stats: DataStats, lineage: Lineage) -> tuple[Block, ...]:
    rows = tuple((s.part or "-", s.what, "yes" if s.people else "no", s.licence, s.consent) for s in lineage.sources)
    blocks: list[Block] = []
    if any(source.people for source in lineage.sources):
        blocks.append(
            Text(
                "Real people are shown. Licence and consent bind whoever uses a copy; the column subject_id finds a "
                "person's pictures, should they have to be deleted."
            )
        )
    elif lineage.sources:
        blocks.append(Text("No real person is shown: all faces were rendered."))
    else:
        blocks.append(Text("The plan does not tell where the faces come from, nor what consent they were taken under."))
    if rows:
        blocks.append(Rows(("part", "faces", "real people", "licence", "consent, as stated by the maker"), rows))
    blocks.append(Text(f"Licences in the records: {', '.join(licences(stats)) or 'none'}."))
    if told.licence:
        blocks.append(Text(f"Handed on under: {told.licence}."))
    return tuple(blocks)


def _synthetic(stats: DataStats) -> tuple[Block, ...]:
    kinds = stats.counts["digital_source_type"]
    made = sum(count for kind, count in kinds.items() if is_synthetic(kind))
    share = made / stats.rows if stats.rows else 0.0
    told = (
        f"{made:,} of {stats.rows:,} pictures are synthetic media ({share:.1%}). The columns synthetic and "
        "digital_source_type say so of each; pictures that spooflab exports carry the same term as IPTC metadata "
        "in the file."
    )
    blocks: list[Block] = [Text(told), Rows(("IPTC digital source type", "pictures"), tuple(kinds.items()))]
    if stats.models:
        blocks.append(Rows(("trained model that had a part", "pictures"), tuple(stats.models.items())))
    return tuple(blocks)


def _provenance(stats: DataStats, lineage: Lineage) -> tuple[Block, ...]:
    code = ", ".join(f"{name} {version[:12]}" for name, version in lineage.code.items())
    versions = ", ".join(stats.counts["code_version"])
    blocks: list[Block] = [
        Text(f"Plan {lineage.fingerprint}."),
        Text(f"Made by {', '.join(stats.counts['generator']) or 'nothing'}; code {versions or 'unknown'}."),
    ]
    if code:
        blocks.append(Text(f"With: {code}."))
    if lineage.seed is not None:
        blocks.append(
            Text(f"Root seed {lineage.seed}; every sample's own seed follows from it and stands in its record.")
        )
    if lineage.parts:
        rows = tuple((name, part.kind, part.fingerprint[:12], part.command or "-") for name, part in lineage.parts)
        blocks.append(Rows(("part", "made by", "plan", "command"), rows))
    if lineage.command:
        blocks += [Text("To make it again, with the same code and libraries to the byte:"), Code(lineage.command)]
    if lineage.configs:
        blocks.append(Text(f"Beside this card, with every setting: {', '.join(lineage.configs)}."))
    blocks.append(Text("To prove that a copy is whole:"))
    return (*blocks, Code("spooflab verify FOLDER"))


def _files(told: Published) -> Block:
    points = [
        "shards/: the pictures with their records, as Parquet (docs/data_format.md of spooflab)",
        "plan.json: what the data set holds, fixed before the first picture",
        "croissant.json: Croissant 1.0 metadata of files and columns",
        "stats.json: every figure of this card",
    ]
    if told.missing:
        points.append(f"croissant.json lacks what the owner has not told: {', '.join(told.missing)}")
    return Points(tuple(points))


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
