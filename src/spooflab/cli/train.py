"""`spooflab train`: one algorithm, one data set, one model."""

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from spooflab.adapters.train_job import TrainJob


def train(
    config: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    data: Path | None = None,
    find_lr: bool = False,
    json: bool = False,
) -> int:
    """Train one model, or go on where it stopped: the same command resumes.

    Args:
        config: YAML file with the keys of TrainJob.
        out: folder of the model, its log and its checkpoints.
        data: folder that `spooflab generate` wrote; overrides the config's `data`.
        find_lr: do not train: try rising learning rates on the first batches, and write lr_finder.json and .csv.
        json: print the result as JSON on stdout.
    """
    from spooflab.adapters.train_job import TrainJob
    from spooflab.adapters.train_job import train as run
    from spooflab.config import load_config
    from spooflab.errors import ConfigError

    job = load_config(config, TrainJob)
    store = data or job.data
    if store is None:
        raise ConfigError(f"{config}: no data", wanted="the folder of a data set", next_step="add --data DIR")
    console = Console(stderr=True, soft_wrap=True)
    if find_lr:
        return _find_lr(job, store, out, console, json=json)
    console.print(
        f"{job.training.algorithm} on {store}, {job.training.steps} steps of {job.training.batch_size} images"
    )
    columns = (TextColumn("steps"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as progress:
        task = progress.add_task("", total=job.training.steps, note="")

        def tell(done: int, total: int, figures: dict[str, float]) -> None:
            dev = f", dev EER {100 * figures['dev_eer']:.1f} %" if "dev_eer" in figures else ""
            progress.update(task, completed=done, total=total, note=f"loss {figures['loss']:.3f}{dev}")

        result = run(job, store, out, progress=tell)
    best = result.dev
    why = " (source-dev ended it)" if result.stopped_early else ""
    console.print(
        f"{result.steps} steps{why} in {result.seconds:.0f} s; best at {result.best_step}: "
        f"dev EER {100 * best['eer']:.2f} %, loss {best['loss']:.3f}. Model: {out / 'model.safetensors'}"
    )
    if json:
        summary = {
            "out": str(out),
            "algorithm": job.training.algorithm,
            "steps": result.steps,
            "stopped_early": result.stopped_early,
            "best_step": result.best_step,
            "dev": {"eer": best["eer"], "loss": best["loss"]},
            "seconds": round(result.seconds, 3),
        }
        sys.stdout.write(json_module.dumps(summary) + "\n")
    return 0


def _find_lr(job: "TrainJob", store: Path, out: Path, console: Console, *, json: bool) -> int:
    from spooflab.adapters.lr_finder import find_rate, write_curve
    from spooflab.adapters.train_job import load_sets

    console.print(f"{job.training.algorithm} on {store}: learning rates from low to high")
    curve = find_rate(job.training, **load_sets(job, store), seed=job.seed)
    write_curve(curve, out)
    table = Table("learning rate", "loss", "smoothed", box=None, pad_edge=False)
    every = max(1, len(curve.rates) // 20)
    for rate, loss, smoothed in list(zip(curve.rates, curve.losses, curve.smoothed, strict=True))[::every]:
        table.add_row(f"{rate:.2e}", f"{loss:.4f}", f"{smoothed:.4f}")
    console.print(table)
    if curve.diverged_at is not None:
        console.print(f"The loss diverged at {curve.diverged_at:.2e}.")
    if curve.suggestion is None:
        console.print("The loss fell nowhere: no suggestion.")
    else:
        console.print(
            f"The loss fell fastest at {curve.suggestion:.2e}: train at that, a third and a tenth of it. "
            f"The config has {job.training.lr:.2e}. All rates: {out / 'lr_finder.csv'}"
        )
    if json:
        summary = {"out": str(out), "suggestion": curve.suggestion, "diverged_at": curve.diverged_at}
        sys.stdout.write(json_module.dumps(summary) + "\n")
    return 0
