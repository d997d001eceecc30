"""`spooflab bench`: images per second of ours and of named peers, in one run on this machine."""

import json as json_module
import os
import platform
import sys
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

Suite = Literal["attacks", "faces", "augment", "train", "all"]


def bench(suite: tyro.conf.Positional[Suite] = "all", /, *, json: bool = False, threads: int = 1) -> int:
    """Measure speed against peers; one row per case.

    Args:
        suite: which cases.
        json: print rows as JSON lines: name, ours_per_s, peer, peer_per_s, ratio, threads, machine.
        threads: torch threads for ours and the peer.
    """
    import torch

    from spooflab.allocator import keep_freed_memory
    from spooflab.experiments.bench import SUITES

    torch.set_num_threads(threads)
    kept = keep_freed_memory()  # for ours and the peers alike
    names = list(SUITES) if suite == "all" else [suite]
    rows: list[dict[str, Any]] = []
    for name in names:
        Console(stderr=True).print(f"measuring {name} …")
        rows += [
            {"suite": name, **row, "threads": threads, "malloc_keeps": kept, "machine": _machine()}
            for row in SUITES[name](threads)
        ]
    if json:
        sys.stdout.writelines(json_module.dumps(row) + "\n" for row in rows)
        return 0
    table = Table("case", "ours /s", "peer", "peer /s", "ratio", box=None, pad_edge=False)
    for row in rows:
        peer = "–" if row["peer_per_s"] is None else f"{row['peer_per_s']:.1f}"
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}"
        table.add_row(f"{row['suite']} {row['name']}", f"{row['ours_per_s']:.1f}", row["peer"] or "–", peer, ratio)
    console = Console()
    console.print(table)
    malloc = "keeps freed memory" if kept else "default"
    console.print(f"{threads} thread(s), malloc {malloc}, {_machine()}")
    return 0


def _machine() -> str:
    model = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {os.cpu_count()} cores"
