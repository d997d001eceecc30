"""How long one picture and one batch take on this machine: told with the machine, never promised."""

import os
import platform
import time
from typing import Any

import numpy as np

from spooflab.experiments.export.runtime import Pictures, Runtime

BATCHES = (1, 32)
_WARM_UP, _ROUNDS, _MOST_SECONDS, _FEWEST = 3, 50, 10.0, 5


def measure_latency(runtime: Runtime, pictures: Pictures, *, threads: int) -> dict[str, Any]:
    """Return median and 95th percentile of the wall time of a call, in milliseconds, for 1 and for 32 pictures.

    Rounds end at 50, or after ten seconds and five rounds.

    Args:
        runtime: what is timed; decoding and resizing are not in it.
        pictures: (N, S, S, 3) uint8, repeated as needed.
        threads: that the runtime was given, for the record.
    """
    told: dict[str, Any] = {"machine": machine(), "threads": threads, "load_average": _load(), "batches": []}
    for batch in BATCHES:
        shown = pictures[np.arange(batch) % len(pictures)]
        for _ in range(_WARM_UP):
            runtime(shown)
        seconds: list[float] = []
        while len(seconds) < _ROUNDS and (sum(seconds) < _MOST_SECONDS or len(seconds) < _FEWEST):
            started = time.perf_counter()
            runtime(shown)
            seconds.append(time.perf_counter() - started)
        median, p95 = (round(1000 * float(np.quantile(seconds, share)), 3) for share in (0.5, 0.95))
        told["batches"].append({"pictures": batch, "rounds": len(seconds), "median_ms": median, "p95_ms": p95})
    return told


def machine() -> str:
    """Return the processor's name and how many cores there are."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), name)
    except OSError:  # another system than Linux
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
