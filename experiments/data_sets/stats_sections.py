"""The figures of a data set as sections of a page: what `stats` prints and the card contains."""

from collections.abc import Mapping

from spooflab.experiments.data_sets.page import Block, Points, Rows, Section, Text
from spooflab.experiments.data_sets.ranges import Range, has_unit
from spooflab.experiments.data_sets.stats import DataStats
from spooflab.taxonomy import species_of

_MOST_ROWS = 40


def lead(stats: DataStats) -> str:
    """Return the data set in one sentence."""
    labels = stats.counts["label"]
    attacks = sum(1 for name in stats.counts["species"] if name != "bonafide")
    told = (
        f"{stats.rows:,} pictures: {labels.get('bonafide', 0):,} bona fide, {labels.get('attack', 0):,} attacks of "
        f"{attacks} species; {stats.subjects:,} people, {len(stats.counts['device_profile'])} device models; "
        f"{stats.file_bytes / 1e6:.1f} MB."
    )
    missing = stats.shards - stats.committed
    return f"{told} Not finished: {missing} of {stats.shards} shards are missing." if missing else told


def statistics(stats: DataStats) -> list[Section]:
    """Return all figures, as sections."""
    return [
        Section("Balance", (_balance(stats),)),
        Section("Species", (_species(stats),)),
        Section("Devices and instruments", _devices(stats)),
        Section("People", _people(stats)),
        *_splits(stats),
        Section("Left out", _left_out(stats)),
        Section("Physical parameters", _parameters(stats)),
    ]


def _balance(stats: DataStats) -> Block:
    if not stats.rows:
        return Text("Empty.")
    if not stats.warnings:
        return Text("No class or species is rare, and device, source, licence and size tell nothing of the label.")
    return Points(tuple(f"{w.column}: {w.detail} ({w.code})" for w in stats.warnings))


def _species(stats: DataStats) -> Block:
    rows = []
    for name, count in stats.counts["species"].items():
        kind = species_of(name)
        skipped = sum(by.get(name, 0) for by in stats.skips.values())
        rows.append((name, kind.channel, kind.goal, count, count / stats.rows, skipped))
    return Rows(("species", "channel", "goal", "pictures", "share", "skipped"), tuple(rows))


def _devices(stats: DataStats) -> tuple[Block, ...]:
    profiles, units = stats.counts["device_profile"], stats.counts["device_id"]
    instruments = {name: count for name, count in stats.counts["instrument_id"].items() if name}
    sizes = ", ".join(f"{size} ({count:,})" for size, count in stats.sizes.items())
    return (
        Text(f"{len(profiles)} models, {len(units)} units; picture sizes in pixels: {sizes or 'none'}."),
        _counted("device model", profiles),
        Text(f"{len(instruments)} instruments (panels, papers, masks …)."),
        _counted("instrument", instruments, "Pictures of each instrument"),
    )


def _people(stats: DataStats) -> tuple[Block, ...]:
    fewest, middle, most = stats.per_subject
    return (
        Text(
            f"{stats.subjects:,} people in {stats.groups:,} groups, {stats.sources:,} sessions or photographs; of each "
            f"person {fewest} to {most} pictures, median {middle:g}. Split by group: donors come from the same group."
        ),
        _counted("face source", stats.counts["face_source"]),
    )


def _splits(stats: DataStats) -> list[Section]:
    rows = [
        (protocol, part, by.get("bonafide", 0), by.get("attack", 0))
        for protocol, parts in stats.splits.items()
        for part, by in parts.items()
    ]
    return [Section("Splits", (Rows(("protocol", "part", "bona fide", "attacks"), tuple(rows)),))] if rows else []


def _left_out(stats: DataStats) -> tuple[Block, ...]:
    without = ", ".join(f"{name} {count:,}" for name, count in stats.without.items() if count)
    blocks: list[Block] = [
        Text(f"Pictures that lack an optional part: {without}." if without else "Every picture has all optional parts.")
    ]
    if not stats.skips:
        return (*blocks, Text("Nothing was skipped."))
    rows = tuple((reason, sum(by.values()), ", ".join(by)) for reason, by in stats.skips.items())
    told = (
        f"{stats.skipped:,} planned samples could not be made, {stats.qc_rejects:,} of them rejects of quality control."
    )
    return (*blocks, Text(f"{told} None was replaced by another."), Rows(("reason", "samples", "species"), rows))


def _parameters(stats: DataStats) -> tuple[Block, ...]:
    head = ("parameter", "samples", "least", "median", "largest")
    told = Text(
        "Drawn numbers with a physical unit, and physical facts that follow; the other numbers are in stats.json."
    )
    tables = [
        Rows(head, rows, f"{what} {name} ({len(rows)})")
        for what, ranges in (("Species", stats.attack_ranges), ("Device", stats.device_ranges))
        for name, parameters in ranges.items()
        if (rows := _ranges(parameters))
    ]
    quality = [
        (name, figure, r.least, r.middle, r.largest)
        for name, figures in stats.qc_ranges.items()
        for figure, r in figures.items()
    ]
    shown = Rows(("species", "figure", *head[2:]), tuple(quality), f"Quality figures ({len(quality)})")
    return (told, *tables, shown)


def _ranges(parameters: Mapping[str, Range]) -> tuple[tuple[str | int | float, ...], ...]:
    return tuple((n, r.count, r.least, r.middle, r.largest) for n, r in parameters.items() if has_unit(n))


def _counted(name: str, counts: Mapping[str, int], folded: str = "") -> Block:
    most = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    rows: list[tuple[str | int, ...]] = list(most[:_MOST_ROWS])
    if len(most) > _MOST_ROWS:
        rows.append((f"{len(most) - _MOST_ROWS} more", sum(count for _, count in most[_MOST_ROWS:])))
    return Rows((name, "pictures"), tuple(rows), folded)
