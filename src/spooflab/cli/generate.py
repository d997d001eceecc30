"""`spooflab generate`: make a data set, or go on with one."""

import json as json_module
import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from rich.console import Console

from spooflab.cli.interrupts import EXIT_INTERRUPTED, sigterm_as_interrupt
from spooflab.cli.place import Place
from spooflab.cli.repeating import repeating_command
from spooflab.config import load_yaml, parse_config
from spooflab.errors import ConfigError, DataError

if TYPE_CHECKING:
    from spooflab.generators.config import GenerationConfig
    from spooflab.generators.run import Begun
    from spooflab.part import Part
    from spooflab.run_metrics import RunMetrics
    from spooflab.shard_runs import ShardDone, Summary

EXIT_LEFT = 1
EXIT_GIVEN_UP = 3


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
    prometheus: int | None = None,
    dry_run: bool = False,
    probe: int = 12,
    json: bool = False,
) -> int:
    """Make a data set of bona fide and attack samples.

    Args:
        config: YAML file with the keys of GenerationConfig (`spooflab list configs`); options below override it, and
            are enough without one: rendered faces, seven attacks, five cameras.
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
        prometheus: port to serve the run's figures on, to this machine alone (extra `metrics`); 0 for any.
        dry_run: make `--probe` samples, write nothing, and say how long all would take and how large it would be.
        probe: samples that a dry run makes.
        json: print the summary as JSON on stdout.

    The exit status is 0 when all is made, 1 when shards are left, 3 when all is made but for samples that killed or
    hung their process (or when every single sample was skipped), 130 after Ctrl-C or SIGTERM.
    """
    from spooflab.budget import Budget
    from spooflab.cli.shard_lines import ShardLines
    from spooflab.generators.price import price
    from spooflab.generators.run import Begun
    from spooflab.generators.run import generate as run
    from spooflab.part import Part
    from spooflab.run_metrics import RunMetrics
    from spooflab.shard_runs import ShardDone
    from spooflab.store import Store

    given = {
        "n": n,
        "seed": seed,
        "attacks": attacks,
        "devices": devices,
        "faces": faces_entry(faces, licence, consent),
    }
    parsed = _settings(
        config, out if resume else None, {key: value for key, value in given.items() if value is not None}
    )

    console = Console(stderr=True, soft_wrap=True)
    if dry_run:
        told = price(parsed, workers=workers, probe=probe)
        console.print(told.sentence(workers), highlight=False)
        if json:
            sys.stdout.write(json_module.dumps(told.to_json()) + "\n")
        return 0
    part = Part() if shard is None else Part.parse(shard)
    budget = Budget(max_hours, max_gb)
    options: dict[str, object] = {"executor": None if executor == "local" else executor, "ray_address": ray_address}
    options |= {"shard": shard, "workers": workers if workers > 1 else None, "gpus": gpus or None}
    following = repeating_command("generate", None, out, **options, resume=True)
    meter = RunMetrics(0, metrics)
    with ShardLines(console) as lines, ExitStack() as stack, sigterm_as_interrupt():
        count = _served(stack, console, meter, prometheus)

        def begun(has: Begun) -> None:
            meter.begin(has.pending)
            lines.begin(_headline(has, workers), shards=has.shards, committed=has.shards - has.pending)

        def progress(done: ShardDone) -> None:
            count(done)
            lines.count(done, meter.count(done))

        try:
            summary = run(
                parsed,
                out,
                workers=workers,
                resume=resume,
                part=part if shard is not None else None,
                budget=budget,
                executor=executor,
                ray_address=ray_address,
                gpus=gpus,
                begun=begun,
                progress=progress,
            )
        except KeyboardInterrupt:
            if not Store.begun(out):  # nothing was begun that could go on
                raise
            shards, left = _progress_of(out, part)
            lines.stopped(following, shards=shards, left=left)
            return EXIT_INTERRUPTED
    _, left = _progress_of(out, part)
    if left and (reason := budget.refusal(0)):
        console.print(f"Stopped at the limit of {reason}.", highlight=False)
    for line in _ending(summary, meter.figures()["elapsed_s"], out, following if left else ""):
        console.print(line, highlight=False, markup=False)
    if json:
        complete = summary.committed == summary.shards
        result = {"out": str(out), "complete": complete, **summary.__dict__, **meter.figures()}
        sys.stdout.write(json_module.dumps(result) + "\n")
    return EXIT_LEFT if left else EXIT_GIVEN_UP if summary.given_up or not summary.rows else 0


def _settings(config: Path | None, resumed: Place | None, changes: dict[str, Any]) -> "GenerationConfig":
    """Read the file, or the plan of the data set that is resumed without one, or neither, and lay `changes` over it."""
    from spooflab.generators.config import GenerationConfig
    from spooflab.store import Store

    base: dict[str, Any] = {}
    origin = "command line"
    if config is not None:
        base, origin = load_yaml(config), str(config)
    elif resumed is not None:
        base, origin = _planned(Store.open(resumed).plan, resumed), f"{resumed}/plan.json"
    return parse_config({**base, **changes}, GenerationConfig, origin=origin)


def _progress_of(out: Place, part: "Part") -> tuple[int, int]:
    """Return how many shards are this launcher's, and how many of these the store has no commit of."""
    from spooflab.store import Store

    store = Store.open(out)
    return len(part.of(range(store.shards))), len(part.of(store.pending()))


def _served(stack: ExitStack, console: Console, meter: "RunMetrics", port: int | None) -> "Callable[[ShardDone], None]":
    """Serve the run's figures for as long as `stack` is open, where a port is given; return what counts for it."""
    if port is None:
        return lambda done: None
    from spooflab.run_prometheus import serve

    endpoint = stack.enter_context(serve(meter, port))
    console.print(f"metrics: {endpoint.url}", highlight=False)
    return endpoint.exporter.count


def _headline(has: "Begun", workers: int) -> str:
    from spooflab.cli.shard_lines import planned

    by = f", {workers} workers" if workers > 1 else ""
    done = f", {has.shards - has.pending} committed" if has.pending < has.shards else ""
    shards = f"{has.shards} shard{'s' * (has.shards != 1)}"
    return f"plan {has.fingerprint[:6]}: {planned(has.counts)}, {shards}{done}{by}"


def _ending(summary: "Summary", seconds: float, out: Place, following: str) -> list[str]:
    """Return the last lines: what there is, what there is not and why, and what to do next."""
    from spooflab.shard_runs import GIVEN_UP

    reasons = ", ".join(f"{count} {reason}" for reason, count in summary.reasons.items())
    skipped = f"{summary.skips} skipped ({reasons})" if reasons else "0 skipped"
    following = f"Continue: {following}" if following else f"Check: spooflab verify {shlex.quote(str(out))}"
    committed = f"{summary.committed}/{summary.shards} shards"
    lines = [f"{summary.rows} rows, {skipped}, {committed} after {seconds:.0f} s. {following}"]
    lines += [
        f"{summary.reasons[reason]} sample(s) given up, {reason}: {why}."
        for reason, why in GIVEN_UP.items()
        if reason in summary.reasons
    ]
    if not summary.rows and not summary.given_up and summary.committed == summary.shards:
        lines.append("Not one sample could be made.")
    return lines


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
