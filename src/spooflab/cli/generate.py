"""`spooflab generate`: make a data set, or go on with one."""

import json as json_module
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from spooflab.cli.place import Place
from spooflab.config import load_yaml, parse_config
from spooflab.errors import ConfigError, DataError


def generate(
    config: tyro.conf.Positional[Path | None] = None,
    /,
    *,
    out: Place,
    faces: str | None = None,
    licence: str | None = None,
    consent: str | None = None,
    n: int | None = None,
    seed: int | None = None,
    attacks: tuple[str, ...] | None = None,
    devices: tuple[str, ...] | None = None,
    workers: int = 1,
    resume: bool = False,
    shard: str | None = None,
    executor: Literal["local", "ray"] = "local",
    ray_address: str | None = None,
    gpus: float = 0.0,
    max_hours: float | None = None,
    max_gb: float | None = None,
    metrics: Path | None = None,
    dry_run: bool = False,
    probe: int = 12,
    json: bool = False,
) -> int:
    """Make a data set of bona fide and attack samples.

    Args:
        config: YAML file with the keys of GenerationConfig; options below override it.
        out: folder of the data set, or a URL of fsspec such as s3://bucket/prefix (extra `s3`; credentials and endpoint
            from the environment).
        faces: `procedural`, or a folder of photographs (with landmarks.csv beside them, where there is one).
        licence: the photographs' licence; with `--faces FOLDER`.
        consent: on what basis the people in them agreed, such as "signed forms, study 12"; with `--faces FOLDER`.
        n: number of samples.
        seed: root seed.
        attacks: species to make (`spooflab list attacks`).
        devices: device profiles (`spooflab list devices`).
        workers: processes; the bytes do not depend on it. Two or more are watched: one that dies or hangs is replaced,
            and a sample that did so three times in a row is skipped with the reason `process_died` or `hung`.
        resume: go on with an interrupted run; with no other option, of the plan that lies in `out`.
        shard: `i/n`, to make every n-th shard from the i-th on: several launchers, on one machine or many, fill `out`.
        executor: `local` processes, or `ray` tasks (extra `ray`), as many at once as `--workers`.
        ray_address: of a running Ray cluster whose machines share `out`; without it, Ray runs on this machine alone.
        gpus: share of a GPU that each Ray task asks for.
        max_hours: begin no shard that would probably end later than so many hours from now.
        max_gb: begin no shard that would probably bring the data set over so many gigabytes.
        metrics: file that a line of JSON is appended to for each shard.
        dry_run: make `--probe` samples, write nothing, and say how long all would take and how large it would be.
        probe: samples that a dry run makes.
        json: print the summary as JSON on stdout.

    The exit status is 0 when all is made, 1 when shards are left, 3 when all is made but for samples that killed or
    hung their process.
    """
    from spooflab.budget import Budget
    from spooflab.generators.config import GenerationConfig
    from spooflab.generators.price import price
    from spooflab.generators.run import generate as run
    from spooflab.part import Part
    from spooflab.run_metrics import RunMetrics
    from spooflab.shard_runs import GIVEN_UP, ShardDone
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
    if dry_run:
        told = price(parsed, workers=workers, probe=probe)
        console.print(told.sentence(workers))
        if json:
            sys.stdout.write(json_module.dumps(told.to_json()) + "\n")
        return 0
    part = Part.parse(shard) if shard is not None else None
    budget = Budget(max_hours, max_gb)
    pending = Store.open(out).pending() if resume else range(-(-parsed.n // parsed.shard_size))
    own = len((part or Part()).of(pending))
    console.print(f"{parsed.n} samples: bonafide + {len(parsed.attacks)} attacks, {own} shards, {workers} worker(s)")
    meter = RunMetrics(own, metrics)
    columns = (TextColumn("shards"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=own)

        def tell(done: ShardDone) -> None:
            progress.advance(task)
            now = meter.count(done)
            console.print(
                f"shard {done.shard} ✓ {done.rows} rows, {done.skips} skipped  sha256 {done.sha256[:12]}"
                f"  {now['rows_per_s']:.3g} rows/s, {now['eta_s']:.0f} s left"
            )

        summary = run(
            parsed,
            out,
            workers=workers,
            resume=resume,
            part=part,
            budget=budget,
            executor=executor,
            ray_address=ray_address,
            gpus=gpus,
            progress=tell,
        )
    store = Store.open(out)
    left = len((part or Part()).of(store.pending()))
    if left and (reason := budget.refusal(0)):
        console.print(f"Stopped at the limit of {reason}.")
    told_rows = f"{summary.rows} rows, {summary.skips} skipped, {summary.committed}/{summary.shards} shards"
    following = f"Check: spooflab verify {out}" if not left else f"Continue: spooflab generate --out {out} --resume"
    console.print(f"{told_rows} after {meter.figures()['elapsed_s']:.0f} s. {following}")
    if summary.given_up:
        counts = Counter(skip.reason for record in store.committed() for skip in record.skips)
        for reason in (name for name in GIVEN_UP if counts[name]):
            console.print(f"{counts[reason]} sample(s) given up, {reason}: {GIVEN_UP[reason]}.")
    if json:
        complete = summary.committed == summary.shards
        result = {"out": str(out), "complete": complete, **summary.__dict__, **meter.figures()}
        sys.stdout.write(json_module.dumps(result) + "\n")
    return 1 if left else 3 if summary.given_up else 0


def _planned(plan: dict[str, Any], out: Place) -> dict[str, Any]:
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
