"""`spooflab generate`: make a data set, or go on with one."""

import json as json_module
import sys
import time
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from spooflab.config import load_yaml, parse_config
from spooflab.errors import ConfigError, DataError


def generate(
    config: tyro.conf.Positional[Path | None] = None,
    /,
    *,
    out: Path,
    faces: str | None = None,
    licence: str | None = None,
    consent: str | None = None,
    n: int | None = None,
    seed: int | None = None,
    attacks: tuple[str, ...] | None = None,
    devices: tuple[str, ...] | None = None,
    workers: int = 1,
    resume: bool = False,
    json: bool = False,
) -> int:
    """Make a data set of bona fide and attack samples.

    Args:
        config: YAML file with the keys of GenerationConfig; options below override it.
        out: folder of the data set.
        faces: `procedural`, or a folder of photographs (with landmarks.csv beside them, where there is one).
        licence: the photographs' licence; with `--faces FOLDER`.
        consent: on what basis the people in them agreed, such as "signed forms, study 12"; with `--faces FOLDER`.
        n: number of samples.
        seed: root seed.
        attacks: species to make (`spooflab list attacks`).
        devices: device profiles (`spooflab list devices`).
        workers: processes; the bytes do not depend on it.
        resume: go on with an interrupted run; with no other option, of the plan that lies in `out`.
        json: print the summary as JSON on stdout.
    """
    from spooflab.generators.config import GenerationConfig
    from spooflab.generators.run import generate as run
    from spooflab.shard_runs import ShardDone
    from spooflab.store import Store

    given = {
        "n": n,
        "seed": seed,
        "attacks": attacks,
        "devices": devices,
        "faces": faces_entry(faces, licence, consent),
    }
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if resume and config is None:
        base, origin = _planned(Store.open(out).plan, out), f"{out}/plan.json"
    else:
        base, origin = ({}, "command line") if config is None else (load_yaml(config), str(config))
    parsed = parse_config({**base, **changes}, GenerationConfig, origin=origin)

    console = Console(stderr=True, soft_wrap=True)
    started = time.monotonic()
    shards = -(-parsed.n // parsed.shard_size)
    console.print(f"{parsed.n} samples: bonafide + {len(parsed.attacks)} attacks, {shards} shards, {workers} worker(s)")
    columns = (TextColumn("shards"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=shards)

        def tell(done: ShardDone) -> None:
            progress.advance(task)
            console.print(f"shard {done.shard} ✓ {done.rows} rows, {done.skips} skipped  sha256 {done.sha256[:12]}")

        summary = run(parsed, out, workers=workers, resume=resume, progress=tell)
    seconds = time.monotonic() - started
    complete = summary.committed == summary.shards
    told = (
        f"{summary.rows} rows, {summary.skips} skipped, {summary.committed}/{summary.shards} shards in {seconds:.0f} s."
    )
    following = f"Check: spooflab verify {out}" if complete else f"Continue: spooflab generate --out {out} --resume"
    console.print(f"{told} {following}")
    if json:
        result = {"out": str(out), "complete": complete, **summary.__dict__, "seconds": round(seconds, 3)}
        sys.stdout.write(json_module.dumps(result) + "\n")
    return 0 if complete else 1


def _planned(plan: dict[str, Any], out: Path) -> dict[str, Any]:
    """Return the configuration in a plan of `generate`; other commands have other plans."""
    if "kind" in plan or "config" not in plan:
        raise DataError(f"{out} was not made by generate", wanted="a data set that generate began")
    return dict(plan["config"])


def faces_entry(
    faces: str | None, licence: str | None = None, consent: str | None = None
) -> list[dict[str, Any]] | None:
    """Turn the `--faces` option into the configuration's entry; a sidecar beside the photographs is found.

    Raises:
        ConfigError: a licence or consent without a folder of photographs that it could speak of.
    """
    stated = {name: text for name, text in (("licence", licence), ("consent", consent)) if text is not None}
    if faces in (None, "procedural") and stated:
        raise ConfigError(
            f"--{' and --'.join(stated)} without --faces FOLDER",
            wanted="a folder of photographs that they speak of; in a configuration file they stand in its faces entry",
        )
    if faces is None:
        return None
    if faces == "procedural":
        return [{"kind": "procedural"}]
    root = Path(faces)
    sidecar = next((root / name for name in ("landmarks.csv", "landmarks.json") if (root / name).is_file()), None)
    has_folders = root.is_dir() and any(path.is_dir() for path in root.iterdir())
    return [
        {
            "kind": "folder",
            "root": str(root),
            "landmarks": None if sidecar is None else str(sidecar),
            "subjects": "folder" if has_folders and sidecar is None else "file",
            **stated,
        }
    ]
