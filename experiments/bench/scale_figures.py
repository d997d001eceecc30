"""What is concluded from runs at scale: flat memory, steady rate, even resumption; and the page that says so."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from spooflab.errors import ConfigError
from spooflab.experiments.bench.scale_runs import Reading, ScaleRun

WARM_UP = 0.1
"""Share of a run in which caches fill, left out."""
FLAT = 0.05
STEADY = 0.95
EVEN = 0.1
"""Of the seconds of a resumption, by which they may differ with what is done."""
RAY_GAIN = 1.7
RAY_TO_LOCAL = 0.9
_PARTS = 10


def memory_figures(run: ScaleRun) -> dict[str, Any]:
    """Return the resident set of driver and workers after warm-up, as means over equal parts of the time.

    Flat is: every part's mean, of the driver and of the workers together, within ± `FLAT` of the mean of all.

    Raises:
        ConfigError: too few readings.
    """
    first, last = run.shards[0]["at"], run.shards[-1]["at"]
    begin = first + WARM_UP * (last - first)
    kept = [r for r in run.readings if begin <= r.at <= last]
    if len(kept) < 2 * _PARTS:
        raise ConfigError(f"{len(kept)} readings of memory after warm-up", wanted=f"{2 * _PARTS}: more samples")
    figures: dict[str, Any] = {"readings": len(kept)}
    for name in ("driver_mb", "workers_mb"):
        means = [float(part.mean()) for part in np.array_split([getattr(r, name) for r in kept], _PARTS)]
        middle = statistics.fmean(means)
        figures[name] = [round(m, 1) for m in means]
        figures[f"{name}_most"] = round(max(getattr(r, name) for r in kept), 1)
        figures[f"{name}_deviation"] = round(max(abs(m / middle - 1) for m in means), 4)
    figures["flat"] = max(figures["driver_mb_deviation"], figures["workers_mb_deviation"]) <= FLAT
    return figures


def rate_figures(run: ScaleRun, *, workers: int) -> dict[str, Any]:
    """Return the rate of the first tenth of the shards after warm-up and of the last, by wall and by processor time.

    The last shards, at which workers run out of work one by one, are left out. Processor time tells whether the work
    grew where other programs slowed the machine.

    Raises:
        ConfigError: too few shards.
    """
    ends = [line["at"] for line in run.shards][: len(run.shards) - workers]
    sizes = [line["rows"] + line["skips"] for line in run.shards]
    skipped, count = round(WARM_UP * len(ends)), max(1, len(ends) // 10)
    if len(ends) < 10 or skipped + 2 * count >= len(ends):
        raise ConfigError(f"{len(run.shards)} shards", wanted="a dozen or more: more samples")
    spent = _processor_time(run.readings)

    def rates(begin: int, end: int) -> tuple[float, float]:
        made = sum(sizes[begin + 1 : end + 1])
        return made / (ends[end] - ends[begin]), made / (spent(ends[end]) - spent(ends[begin]))

    first, last = rates(skipped, skipped + count), rates(len(ends) - 1 - count, len(ends) - 1)
    return {
        "shards": len(run.shards),
        "shards_compared": count,
        "first_per_s": round(first[0], 3),
        "last_per_s": round(last[0], 3),
        "last_to_first": round(last[0] / first[0], 4),
        "last_to_first_by_processor_time": round(last[1] / first[1], 4),
        "steady": last[0] / first[0] >= STEADY,
        "steady_by_processor_time": last[1] / first[1] >= STEADY,
    }


def cost_figures(run: ScaleRun, *, workers: int) -> dict[str, Any]:
    """Return what a sample cost: the command's wall time times its workers, and processor time."""
    samples = run.rows + run.skips
    return {
        "samples": samples,
        "skips": run.skips,
        "seconds": round(run.seconds, 2),
        "per_s": round(samples / run.seconds, 3),
        "first_shard_s": round(run.shards[0]["at"] - run.began, 2),
        "wall_ms": round(1e3 * workers * run.seconds / samples, 3),
        "processor_ms": round(1e3 * run.cpu_s / samples, 3),
    }


def resumption_figures(seconds: Mapping[float, Sequence[float]]) -> dict[str, Any]:
    """Return the median time to the first sample for each share that was done, and whether they are even."""
    medians = {share: statistics.median(times) for share, times in sorted(seconds.items())}
    spread = max(medians.values()) / min(medians.values()) - 1
    return {
        "seconds": {f"{100 * share:g} %": round(s, 3) for share, s in medians.items()},
        "rounds": min(map(len, seconds.values())),
        "spread": round(spread, 4),
        "even": spread <= EVEN,
    }


def executor_figures(rates: Mapping[tuple[str, int], float]) -> dict[str, Any]:
    """Return rates by executor and workers, and how Ray compares."""
    gain, to_local = rates["ray", 2] / rates["ray", 1], rates["ray", 2] / rates["local", 2]
    return {
        "per_s": {f"{name} {workers}": round(rate, 3) for (name, workers), rate in rates.items()},
        "ray_gain": round(gain, 3),
        "ray_to_local": round(to_local, 3),
        "ray_gains": gain >= RAY_GAIN,
        "ray_keeps_up": to_local >= RAY_TO_LOCAL,
    }


def page(report: Mapping[str, Any]) -> str:
    """Return the report as Markdown tables."""
    rows = ["| samples | wall time | samples/s | wall × workers, ms per sample | processor, ms per sample |"]
    rows += ["|---|---|---|---|---|"]
    rows += [
        f"| {c['samples']:,} | {c['seconds']:.0f} s | {c['per_s']:.1f} | {c['wall_ms']:.1f} | {c['processor_ms']:.1f} |"
        for c in report["cost"]
    ]
    memory, rate, again = report["memory"], report["rate"], report["resumption"]
    rows += ["", "| criterion | measured | |", "|---|---|---|"]

    def judged(name: str, text: str, holds: bool) -> None:
        rows.append(f"| {name} | {text} | {'holds' if holds else '**fails**'} |")

    for name in ("driver", "workers"):
        means, off = memory[f"{name}_mb"], memory[f"{name}_mb_deviation"]
        text = f"{min(means):.0f} … {max(means):.0f} MB, at most {100 * off:.1f} % from their mean"
        judged(f"memory of the {name} is flat (± {100 * FLAT:g} %)", text, off <= FLAT)
    text = (
        f"{100 * rate['last_to_first']:.1f} % ({100 * rate['last_to_first_by_processor_time']:.1f} % by processor time)"
    )
    judged(f"rate of the last tenth ≥ {100 * STEADY:g} % of the first", text, rate["steady"])
    text = ", ".join(f"{done} done: {seconds:.2f} s" for done, seconds in again["seconds"].items())
    judged("resumption does not depend on what is done", text, again["even"])
    if (ray := report.get("executors")) is not None:
        told = ", ".join(f"{name}: {value:.1f}/s" for name, value in ray["per_s"].items())
        judged(f"Ray with 2 workers ≥ {RAY_GAIN} × one", f"{ray['ray_gain']:.2f} × ({told})", ray["ray_gains"])
        judged("Ray within 10 % of the local executor", f"{ray['ray_to_local']:.2f} ×", ray["ray_keeps_up"])
    rows += ["", f"{report['workers']} workers, {report['machine']}."]
    return "\n".join(rows) + "\n"


def _processor_time(readings: Sequence[Reading]) -> Callable[[float], float]:
    """Return processor time as a function of the clock, straight between readings; it never falls."""
    at, spent = [r.at for r in readings], [r.cpu_s for r in readings]
    # A worker that was replaced takes its time along until its parent has waited for it.
    rising = list(np.maximum.accumulate(spent))
    assert all(a <= b for a, b in pairwise(at))
    return lambda when: float(np.interp(when, at, rising))
