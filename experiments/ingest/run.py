"""Ingest a data set: list it, make every pending shard, then check what lies there and write the card."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.experiments.ingest.card import write_card
from spooflab.experiments.ingest.config import IngestConfig
from spooflab.experiments.ingest.findings import Findings, find
from spooflab.experiments.ingest.make import Maker
from spooflab.experiments.readers.catalogue import reader_of
from spooflab.experiments.readers.item import Broken, RealItem
from spooflab.file_names import has_surrogates, name_refusal, shown_name
from spooflab.lease import Lease
from spooflab.location import Location
from spooflab.provenance import code_facts
from spooflab.records import canonical_json
from spooflab.sample import Sample, Skip
from spooflab.shard_pool import run_shards
from spooflab.shard_runs import GIVEN_UP, GivenUp, ShardDone, Summary, commit_shard, one_thread, summarise
from spooflab.store import Store


@dataclass(frozen=True)
class Listing:
    """What a reader found, cut into shards.

    Attributes:
        items: clips and pictures, in the reader's order.
        broken: files that do not fit the layout.
        shards: numbers of the first item of each shard, and of the end.
        sha256: of everything that the reader told, and of file sizes.
    """

    items: tuple[RealItem, ...]
    broken: tuple[Broken, ...]
    shards: tuple[int, ...]
    sha256: str


def list_data_set(config: IngestConfig) -> Listing:
    """Run the reader over the data set's names and lists; no pixel is read.

    Raises:
        ConfigError: no such reader.
        DataError: the folder is not that data set, or nothing in it fits.
    """
    root = Path(config.root)
    told = [_named(entry) for entry in reader_of(config.reader)(root)]
    items = tuple(entry for entry in told if isinstance(entry, RealItem))[: config.limit]
    broken = tuple(entry for entry in told if isinstance(entry, Broken))
    if not items:
        first = f"; the first of {len(broken)} misfits: {broken[0].path}: {broken[0].reason}" if broken else ""
        raise DataError(f"{root}: nothing fits the layout of {config.reader}{first}", wanted="see docs/readers.md")
    digest = hashlib.sha256()
    for item in items:
        digest.update(canonical_json({**item.to_record(), "bytes": _size(root, item)}) + b"\n")
    for entry in broken:
        digest.update(canonical_json([entry.path, entry.reason]) + b"\n")
    return Listing(items, broken, _cuts(items, config), digest.hexdigest())


def ingest(
    config: IngestConfig,
    out: Path,
    *,
    workers: int = 1,
    resume: bool = False,
    begun: Callable[[Listing], None] | None = None,
    progress: Callable[[ShardDone], None] | None = None,
) -> tuple[Summary, Findings | None]:
    """Make every shard that `out` lacks; when all are there, check them and write card, lists and findings.

    The bytes of a shard depend on data set, configuration and code alone, not on workers, order or interruptions.

    Args:
        config: what to read, and how.
        out: the store's folder; must be empty or absent unless `resume`.
        workers: processes; 1 works in this process.
        resume: continue a store that holds the same plan.
        begun: called once with what the reader found.
        progress: called after each commit, in this process.

    Returns:
        What is committed, and the findings, None while shards are missing.

    Raises:
        DataError: `out` holds something else, or data set, configuration or code differ from the stored plan.
        ConfigError: an unknown reader, or a package that is missing.
    """
    if workers < 1:
        raise ConfigError(f"workers: {workers}", wanted="a number of processes >= 1")
    _prepare.cache_clear()  # files may have changed since this process listed them
    listing, _ = _prepare(config.model_dump_json())
    if begun is not None:
        begun(listing)
    plan = _plan(config, listing)
    shards = len(listing.shards) - 1
    store = Store.open(out, plan=plan) if resume else Store.create(out, plan=plan, shards=shards)
    for done in run_shards(make_shard, config.model_dump_json(), out, store.pending(), workers):
        if done is not None and progress is not None:
            progress(done)
    summary = summarise(store)
    if summary.committed < summary.shards:
        return summary, None
    findings = find(store, [item.name for item in listing.items], listing.broken, near=config.near)
    write_card(out, config, listing.sha256, findings)
    return summary, findings


def make_shard(config_json: str, out: Location, shard: int, given_up: GivenUp) -> ShardDone | None:
    """Make and commit one shard; None where another process holds, has finished or has taken it over."""
    one_thread()
    listing, maker = _prepare(config_json)
    return commit_shard(out, shard, lambda lease: _make(listing, maker, shard, lease, given_up))


def _make(
    listing: Listing, maker: Maker, shard: int, lease: Lease, given_up: GivenUp
) -> tuple[list[Sample], list[Skip]]:
    samples, skips = list[Sample](), list[Skip]()
    for index in range(listing.shards[shard], listing.shards[shard + 1]):
        item = listing.items[index]
        lease.renew(str(index))
        if reason := given_up.get(str(index)):
            skips.append(maker.skip(index, 0, item, SkipSample(reason, GIVEN_UP[reason])))
            continue
        try:
            made, skipped = maker.make(index, item)
        except Exception as error:
            error.add_note(f"while reading {item.name}")
            raise
        samples += made
        skips += skipped
    return samples, skips


def _plan(config: IngestConfig, listing: Listing) -> dict[str, Any]:
    return {
        "kind": "ingest",
        "config": config.model_dump(mode="json"),
        "items": len(listing.items),
        "broken": len(listing.broken),
        "listing_sha256": listing.sha256,
        "code": code_facts(),
    }


@lru_cache(maxsize=1)
def _prepare(config_json: str) -> tuple[Listing, Maker]:
    config = IngestConfig.model_validate_json(config_json)
    return list_data_set(config), Maker(config)


def _named(entry: RealItem | Broken) -> RealItem | Broken:
    """Return what a reader told; an item whose names cannot be written down is broken, and shown by escapes."""
    if isinstance(entry, Broken):
        return Broken(shown_name(entry.path), entry.reason, shown_name(entry.detail))
    refusal = name_refusal(entry.path)
    texts = (entry.own_class, entry.subject, entry.device, entry.donor, entry.group, entry.instrument, entry.session)
    if refusal is None and any(map(has_surrogates, texts)):
        refusal = "a class, a person or a device whose name is not Unicode"
    return entry if refusal is None else Broken(shown_name(entry.path), "bad_name", refusal)


def _size(root: Path, item: RealItem) -> int:
    try:
        return -1 if item.kind == "frames" else (root / item.path).stat().st_size
    except (OSError, ValueError):  # ValueError: a path that holds a zero byte
        return -1  # the maker meets the same obstacle and gives the reason


def _cuts(items: tuple[RealItem, ...], config: IngestConfig) -> tuple[int, ...]:
    """Deal whole items to shards of about `shard_size` pictures."""
    cuts, held = [0], 0
    for number, item in enumerate(items):
        pictures = 1 if item.kind in ("image", "parquet") else config.frames
        if held and held + pictures > config.shard_size:
            cuts.append(number)
            held = 0
        held += pictures
    return (*cuts, len(items))
