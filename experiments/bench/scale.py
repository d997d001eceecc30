"""A data set of many small samples by the real commands: does its cost depend on how many there are?"""

import importlib.util
import json
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from spooflab.errors import ConfigError
from spooflab.experiments.bench.scale_figures import (
    cost_figures,
    executor_figures,
    memory_figures,
    page,
    rate_figures,
    resumption_figures,
)
from spooflab.experiments.bench.scale_runs import resumption_s, run_generate

LEAST_SAMPLES = 4_000
SHARES_DONE = (0.01, 0.5, 0.99)
ROUNDS = 3
COMPARED = (1_000, 5_000)
"""Samples of each run that executors are compared by: a twentieth of all, at least and at most so many."""


def measure_scale(
    samples: int, out: Path, *, workers: int, machine: str, told: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Make data sets of a hundredth, a tenth and all of `samples`, and write `scale.json` and `scale.md` into `out`.

    Then a run that is done in part is gone on with, several times for each share, and executors make the same work.

    Args:
        samples: of the largest data set.
        out: folder for data sets, metrics and the report; must not hold data sets yet.
        workers: processes of the large runs.
        machine: in words, for the report.
        told: gets a line now and then.

    Raises:
        ConfigError: too few samples to tell anything.
        DataError: a run failed.
    """
    if samples < LEAST_SAMPLES:
        raise ConfigError(f"bench scale: {samples} samples", wanted=f"at least {LEAST_SAMPLES}")
    if (out / "scale.json").exists():
        raise ConfigError(f"{out} holds a report", wanted="an empty or absent folder", next_step="choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    with as_file(files("spooflab.configs") / "generation" / "scale.yaml") as config:
        runs = {}
        for n in (samples // 100, samples // 10, samples):
            told(f"{n} samples …")
            runs[n] = run_generate(config, out / f"data-{n}", n, workers=workers, every_s=0.5 if n < 50_000 else 2.0)
        told("resumption …")
        seconds: dict[float, list[float]] = {share: [] for share in SHARES_DONE}
        for _ in range(ROUNDS):
            for share, times in seconds.items():
                times.append(resumption_s(out / f"data-{samples}", share, out / "resumed", workers=workers))
        report: dict[str, Any] = {
            "samples": samples,
            "workers": workers,
            "machine": machine,
            "cost": [cost_figures(run, workers=workers) for run in runs.values()],
            "memory": memory_figures(runs[samples]),
            "rate": rate_figures(runs[samples], workers=workers),
            "resumption": resumption_figures(seconds),
        }
        if importlib.util.find_spec("ray") is None:
            told("Ray is not installed: executors are not compared")
        else:
            report["executors"] = _compared(config, out, min(max(samples // 20, COMPARED[0]), COMPARED[1]), told)
    (out / "scale.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (out / "scale.md").write_text(page(report), encoding="utf-8")
    return report


def _compared(config: Path, out: Path, n: int, told: Callable[[str], None]) -> dict[str, Any]:
    rates = {}
    for executor in ("local", "ray"):
        for workers in (1, 2):
            told(f"{n} samples, executor {executor}, {workers} worker(s) …")
            run = run_generate(config, out / f"{executor}-{workers}", n, workers=workers, executor=executor)
            rates[executor, workers] = run.rate
    return executor_figures(rates)
