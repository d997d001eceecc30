"""`spooflab study`: train and judge every algorithm on every fold, and report."""

import json as json_module
import sys
from pathlib import Path
from typing import Any, Literal

import tyro

from spooflab.cli.repeating import repeating_command

ExecutorName = Literal["local", "ray", "slurm"]


def study(
    config: tyro.conf.Positional[Path],
    /,
    out: Path,
    *,
    dry_run: bool = False,
    json: bool = False,
    data: Path | None = None,
    executor: ExecutorName | None = None,
    workers: int | None = None,
) -> int:
    """Run a study (algorithms × folds × seeds); the same command resumes it and tries failed cells again.

    Args:
        config: YAML file of the study.
        out: folder of the study: `runs/`, `results.parquet`, `summary.json`, `report.html`.
        dry_run: print the grid and an estimate; train nothing.
        json: print the summary (or the plan) as JSON.
        data: folder of the data set, instead of the one in the file.
        executor: where cells run, instead of the one in the file (a section of the file still counts).
        workers: cells at once, instead of the number in the file; 0 runs them in this process.

    Returns:
        0 when every cell is done, 1 when any is not.
    """
    from spooflab.config import load_config
    from spooflab.errors import ConfigError
    from spooflab.experiments.executors import chosen_executor
    from spooflab.experiments.study import data_folder, plan_study
    from spooflab.experiments.study_config import StudyConfig
    from spooflab.store import read_index

    if workers is not None and workers < 0:
        raise ConfigError(f"--workers {workers}", wanted="0 or more")
    settings = load_config(config, StudyConfig)
    chosen = chosen_executor(settings.executor, settings.workers, name=executor, workers=workers)
    plan = plan_study(settings, data=data, index=read_index(data_folder(settings, data)))
    if dry_run:
        return _show_plan(plan, out, as_json=json)
    command = repeating_command("study", config, out, data=data, executor=executor, workers=workers)
    return _run(plan, out, command, chosen, as_json=json)


def _show_plan(plan: Any, out: Path, *, as_json: bool) -> int:
    from spooflab.experiments.run_folder import RunFolder
    from spooflab.experiments.study import estimate_seconds

    seconds, basis = estimate_seconds(plan, out)
    cached = sum(RunFolder(out / "runs" / run.run_id).done for run in plan.runs)
    config = plan.config
    folds = [
        {"fold": f.name, "held_out": list(f.held_out), **{p: len(r) for p, r in f.parts.items()}, "note": f.note}
        for f in plan.folds
    ]
    plain: dict[str, Any] = {
        "runs": len(plan.runs),
        "cached": cached,
        "algorithms": [a.title for a in config.algorithms],
        "settings": {run.label: run.setting for run in plan.runs},
        "folds": folds,
        "seeds": list(config.seeds),
        "estimate_seconds": round(seconds),
        "estimate_basis": basis,
    }
    if as_json:
        sys.stdout.write(json_module.dumps(plain) + "\n")
        return 0
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("held out", "train", "dev", "test", "note")
    for fold in folds:
        table.add_row(fold["fold"], *(f"{fold[p]:,}" for p in ("train", "dev", "test")), fold["note"])
    console.print(table)
    console.print(
        f"{len(plan.runs)} runs = {len(config.algorithms)} algorithms × {len(folds)} folds × {len(config.seeds)} seeds"
        f" · about {duration(seconds)} here · {cached} cached",
        highlight=False,
    )
    told = [f"{name} ({setting.replace('_', ' ')})" for name, setting in plain["settings"].items()]
    console.print(f"algorithms: {', '.join(told)}", highlight=False)
    console.print(f"estimate: {basis}; no leak in any fold", highlight=False, style="dim")
    return 0


def _run(plan: Any, out: Path, command: str, executor: Any, *, as_json: bool) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from spooflab.cli.report import print_summary
    from spooflab.experiments.report import write_report
    from spooflab.experiments.study import run_study

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as bar:
            cached = sum((out / "runs" / run.run_id / "done").is_file() for run in plan.runs)
            task = bar.add_task("runs", total=len(plan.runs), completed=cached)

            def told(run: Any, problem: str | None) -> None:
                mark = "[green]✓[/]" if problem is None else f"[red]✗ {problem}[/]"
                bar.console.print(f"{run.name} {mark}", highlight=False)
                bar.advance(task)

            outcome = run_study(plan, out, command=command, executor=executor, progress=told)
    except KeyboardInterrupt:
        done = sum((out / "runs" / run.run_id / "done").is_file() for run in plan.runs)
        console.print(f"stopped safely: {done}/{len(plan.runs)} runs done. Continue: {command}", highlight=False)
        return 130
    summary = write_report(out)
    print_summary(summary, out, as_json=as_json)
    return outcome.exit_code


def duration(seconds: float) -> str:
    """Format seconds as a person says them.

    >>> duration(7200)
    '2.0 h'
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
