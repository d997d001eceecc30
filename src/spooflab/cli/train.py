"""`spooflab train`: one algorithm, one data set, one model."""

import json as json_module
import sys
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def train(config: tyro.conf.Positional[Path], /, *, out: Path, data: Path | None = None, json: bool = False) -> int:
    """Train one model, or go on where it stopped: the same command resumes.

    Args:
        config: YAML file with the keys of TrainJob.
        out: folder of the model, its log and its checkpoints.
        data: folder that `spooflab generate` wrote; overrides the config's `data`.
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
    best = next(row for row in result.dev_history if row["step"] == result.best_step)
    why = " (patience ended it)" if result.stopped_early else ""
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
