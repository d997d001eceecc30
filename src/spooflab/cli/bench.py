"""`spooflab bench`: images per second of ours and of named peers, in one run on this machine; and memory over time."""

import json as json_module
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from spooflab.errors import ConfigError

Suite = Literal["attacks", "faces", "augment", "train", "cache", "diffusion", "gpu", "study", "memory", "scale", "all"]


def bench(
    suite: tyro.conf.Positional[Suite] = "all",
    /,
    *,
    json: bool = False,
    threads: int = 1,
    malloc: Literal["keeps", "default"] = "keeps",
    samples: int | None = None,
    workers: int = 2,
    out: Path | None = None,
) -> int:
    """Measure speed against peers, one row per case; or whether cost and memory stay the same over many samples.

    Args:
        suite: which cases. `gpu` wants a CUDA device and says so where there is none. `memory` makes many samples of
            every species in one process and judges its growth; it takes half an hour or so and is not part of `all`.
            `study` runs a grid of 24 small runs on two processes and compares with the runs alone (a ratio of 0.95 is
            5 % of overhead); it takes minutes, wants two idle cores, and is not part of `all` either. `scale` makes
            data sets of up to `--samples` by the real command: cost per sample, memory, rate and resumption, and Ray
            against the local executor; it wants as many idle cores as `--workers`, and is not part of `all`.
        json: print rows as JSON lines: name, ours_per_s, peer, peer_per_s, ratio, threads, machine; `gpu` adds device,
            copy_gb_per_s, bandwidth_share. `memory` prints one line with its own fields.
        threads: torch threads for ours and the peer.
        malloc: `keeps` has glibc keep freed memory, as our workers do; `default` leaves it as training loops mostly
            have it, where large temporaries cost a page fault for each 4 KiB. For ours and the peers alike.
        samples: how many `memory` makes (10000; fewer than two thousand show caches that still fill), and `scale`
            (100000).
        workers: processes of `scale`.
        out: folder for the data sets and the report of `scale`; without it they are removed.

    Raises:
        ConfigError: no thread, no sample, or no worker.
    """
    if threads < 1 or workers < 1 or (samples is not None and samples < 1):
        raise ConfigError(f"bench: threads {threads}, samples {samples}, workers {workers}", wanted="1 or more of each")
    if suite == "scale":
        return _scale(samples or 100_000, workers, out, json=json)
    import torch

    from spooflab.allocator import keep_freed_memory

    torch.set_num_threads(threads)
    kept = malloc == "keeps" and keep_freed_memory()
    if suite == "memory":
        return _memory(samples or 10_000, json=json, threads=threads, kept=kept)
    return _speed(suite, json=json, threads=threads, kept=kept)


def _speed(suite: str, *, json: bool, threads: int, kept: bool) -> int:
    from spooflab.experiments.bench import SUITES
    from spooflab.experiments.bench.gpu import why_not

    errors = Console(stderr=True, soft_wrap=True)
    rows: list[dict[str, Any]] = []
    for name in [name for name in SUITES if name != "study"] if suite == "all" else [suite]:
        if name == "gpu" and (reason := why_not()) is not None:
            errors.print(f"gpu: not run: {reason}")
            continue
        errors.print(f"measuring {name} …")
        rows += [
            {"suite": name, **row, "threads": threads, "malloc_keeps": kept, "machine": _machine()}
            for row in SUITES[name](threads)
        ]
    if json:
        sys.stdout.writelines(json_module.dumps(row) + "\n" for row in rows)
    elif rows:
        _print_rows(rows, threads=threads, kept=kept)
    return 0


def _print_rows(rows: list[dict[str, Any]], *, threads: int, kept: bool) -> None:
    table = Table("case", "ours /s", "peer", "peer /s", "ratio", box=None, pad_edge=False)
    on_device = {str(row["device"]): row["copy_gb_per_s"] for row in rows if "device" in row}
    if on_device:
        table.add_column("of bandwidth, at least")
    for row in rows:
        peer = "–" if row["peer_per_s"] is None else f"{row['peer_per_s']:.1f}"
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}"
        cells = [f"{row['suite']} {row['name']}", f"{row['ours_per_s']:.1f}", row["peer"] or "–", peer, ratio]
        if on_device:
            share = row.get("bandwidth_share")
            cells.append("–" if share is None else f"{100 * share:.2f} %")
        table.add_row(*cells)
    console = Console()
    console.print(table)
    for device, copied in on_device.items():
        console.print(f"{device}, copies {copied:.0f} GB/s (read and written)")
    console.print(f"{threads} thread(s), malloc {_malloc(kept)}, {_machine()}")


def _memory(samples: int, *, json: bool, threads: int, kept: bool) -> int:
    from spooflab.experiments.bench.memory import OUTPUT_PX, SENSOR_PX, measure_memory

    errors = Console(stderr=True, soft_wrap=True)

    def progress(done: int, resident: float, in_use: float | None) -> None:
        heap = "" if in_use is None else f", {in_use:.1f} MB of heap in use"
        errors.print(f"{done} samples, {resident:.1f} MB resident{heap}")

    report = measure_memory(samples, progress=progress)
    if json:
        facts = {"suite": "memory", **report.to_json(), "threads": threads, "malloc_keeps": kept}
        sys.stdout.write(json_module.dumps({**facts, "machine": _machine()}) + "\n")
        return 0
    console = Console(soft_wrap=True)
    console.print(
        f"{report.samples} samples of {report.species} species ({report.skipped} refused), sensor {SENSOR_PX} px, "
        f"output {OUTPUT_PX} px, {report.seconds:.0f} s of processor time"
    )
    console.print(
        f"resident {report.start_mb:.0f} MB before, {report.warm_mb:.1f} MB after the first quarter, "
        f"{report.last_mb:.1f} MB at the end, never above {report.high_mb:.1f} MB"
    )
    verdict = "flat" if report.flat else "NOT flat"
    console.print(
        f"{verdict}: {report.slope_mb_per_1000:+.2f} MB per 1000 samples over the last three quarters "
        f"(flat: at most {report.flat_mb_per_1000:g})"
    )
    if report.in_use_slope_mb_per_1000 is not None:
        console.print(
            f"heap in use {report.in_use_mb:.1f} MB at the end, "
            f"{report.in_use_slope_mb_per_1000:+.2f} MB per 1000 samples"
        )
    console.print(f"{threads} thread(s), malloc {_malloc(kept)}, {_machine()}")
    return 0


def _scale(samples: int, workers: int, out: Path | None, *, json: bool) -> int:
    from spooflab.experiments.bench.scale import measure_scale
    from spooflab.experiments.bench.scale_figures import page

    errors = Console(stderr=True, soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        report = measure_scale(
            samples,
            Path(folder) / "scale" if out is None else out,
            workers=workers,
            machine=_machine(),
            told=lambda line: errors.print(line, highlight=False),
        )
    sys.stdout.write(json_module.dumps({"suite": "scale", **report}) + "\n" if json else page(report))
    return 0


def _malloc(kept: bool) -> str:
    return "keeps freed memory" if kept else "default"


def _machine() -> str:
    model = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {os.cpu_count()} cores"
