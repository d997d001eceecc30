"""`spooflab ingest`: read a real data set into a store, and say what is wrong with it."""

import json as json_module
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from spooflab.config import parse_config


def ingest(
    name: tyro.conf.Positional[str],
    path: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    licence: str,
    consent: str,
    frames: int = 8,
    size: int = 256,
    crop: Literal["face", "frame"] = "face",
    margin: float = 0.3,
    faces: Literal["given_or_network", "given", "network"] = "given_or_network",
    limit: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    workers: int = 1,
    resume: bool = False,
    json: bool = False,
) -> int:
    """Read a real data set, in its official layout, into a store with checks, a data card and a list of faults.

    Args:
        name: the data set (`spooflab list datasets`, docs/readers.md).
        path: its root folder; nothing is written there.
        out: folder of the store.
        licence: the data set's licence, as its owner states it.
        consent: on what basis its people agreed, such as "signed forms, as its authors report"; "none: rendered
            people" for a synthetic one.
        frames: pictures taken of each clip, evenly spaced.
        size: side of the stored pictures in pixels.
        crop: a square around the face, or the whole frame.
        margin: margin of the square on each side, in parts of the face.
        faces: box from the data set's annotation, from the shipped face network, or from it where none is given.
        limit: only the first so many clips or pictures, for a trial.
        workers: processes; the bytes do not depend on it.
        resume: go on with an interrupted run of the same command.
        json: print the summary as JSON on stdout.
    """
    from spooflab.experiments.ingest.card import figures
    from spooflab.experiments.ingest.config import IngestConfig
    from spooflab.experiments.ingest.run import Listing
    from spooflab.experiments.ingest.run import ingest as run
    from spooflab.shard_runs import ShardDone

    given: dict[str, Any] = {"reader": name, "root": str(path), "licence": licence, "frames": frames}
    given |= {"consent": consent, "size": size, "crop": crop, "margin": margin, "faces": faces, "limit": limit}
    config = parse_config(given, IngestConfig, origin="command line")
    console = Console(stderr=True, soft_wrap=True)
    started = time.monotonic()
    columns = (TextColumn("shards"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def begun(listing: Listing) -> None:
            shards = len(listing.shards) - 1
            progress.update(task, total=shards)
            console.print(f"{len(listing.items)} clips or pictures, {len(listing.broken)} misfits, {shards} shards")

        def tell(done: ShardDone) -> None:
            progress.advance(task)
            console.print(f"shard {done.shard} ✓ {done.rows} rows, {done.skips} skipped  sha256 {done.sha256[:12]}")

        summary, findings = run(config, out, workers=workers, resume=resume, begun=begun, progress=tell)
    seconds = time.monotonic() - started
    console.print(
        f"{summary.rows} rows, {summary.skips} skipped, {summary.committed}/{summary.shards} shards in {seconds:.0f} s."
    )
    result: dict[str, Any] = {"out": str(out), "complete": findings is not None, **summary.__dict__}
    if findings is None:
        console.print("Continue: the same command with --resume")
    else:
        result |= figures(findings)
        leaks = sum(1 for leak in findings.leaks if leak.shared)
        console.print(
            f"{len(findings.broken)} broken, {len(findings.clusters)} clusters of duplicates, "
            f"{len(findings.label_conflicts)} label conflicts, {leaks} leaks. Read {out}/README.md"
        )
    if json:
        sys.stdout.write(json_module.dumps(result) + "\n")
    return 0 if findings is not None else 1
