"""`spooflab study`: train and judge every algorithm on every fold, and report."""

import json as json_module
import sys
from pathlib import Path
from typing import Any, Literal

import tyro

from spooflab.cli.repeating import repeating_command
from spooflab.spoken import duration, size

ExecutorName = Literal["local", "ray", "slurm"]


def study(
    config: tyro.conf.Positional[Path],
    /,
    out: Path,
    *,
    dry_run: bool = False,
    probe: Literal["steps", "none"] = "steps",
    json: bool = False,
    data: Path | None = None,
    executor: ExecutorName | None = None,
    workers: int | None = None,
) -> int:
    """Run a study (algorithms × folds × seeds); the same command resumes it and tries failed cells again.

    Args:
        config: YAML file of the study.
        out: folder of the study: `runs/`, `results.parquet`, `summary.json`, `report.html`.
        dry_run: print the grid and what it takes, column by column; train nothing.
        probe: how a dry run knows: `steps` tries a few steps of each setting, some five seconds each and once for
            each machine; `none` guesses. Where a column has finished runs, they tell.
        json: print the summary (or the plan) as JSON.
        data: folder of the data set, instead of the one in the file.
        executor: where cells run, instead of the one in the file (a section of the file still counts).
        workers: cells at once, instead of the number in the file; 0 runs them in this process.

    Returns:
        0 when every cell is done, 1 when any is not.
    """
    from spooflab.config import load_config, load_yaml
    from spooflab.errors import ConfigError

    if workers is not None and workers < 0:
        raise ConfigError(f"--workers {workers}", wanted="0 or more")
    if not dry_run and _wants_processes(load_yaml(config), executor, workers):
        from spooflab.experiments.worker_server import start_early

        start_early()  # before our own imports, so that both load torch at the same time
    from spooflab.experiments.executors import chosen_executor
    from spooflab.experiments.study import data_folder, plan_study
    from spooflab.experiments.study_config import StudyConfig
    from spooflab.store import read_index

    settings = load_config(config, StudyConfig)
    chosen = chosen_executor(settings.executor, settings.workers, name=executor, workers=workers)
    index = read_index(data_folder(settings, data))
    plan = plan_study(settings, data=data, index=index, cache=None if dry_run else out / "checks")
    if dry_run:
        return _show_plan(plan, out, chosen, probe, as_json=json)
    command = repeating_command("study", config, out, data=data, executor=executor, workers=workers)
    return _run(plan, out, command, chosen, as_json=json)


def _wants_processes(file: dict[str, Any], executor: str | None, workers: int | None) -> bool:
    """Guess from the raw file whether cells will run in processes here; a wrong guess costs a little time."""
    section = file.get("executor") or {}
    named = section.get("name", "local") if isinstance(section, dict) else "local"
    return (executor or named) == "local" and (file.get("workers") if workers is None else workers) != 0


def _show_plan(plan: Any, out: Path, executor: Any, probe: str, *, as_json: bool) -> int:
    from rich.console import Console

    from spooflab.experiments.price import price_study
    from spooflab.experiments.probe import probe as measure
    from spooflab.experiments.run_folder import RunFolder

    done = {run.run_id for run in plan.runs if RunFolder(out / "runs" / run.run_id).done}
    finished = {run.label for run in plan.runs if run.run_id in done}
    unknown = [run for run in plan.runs if run.run_id not in done and run.label not in finished]
    measured = None
    if probe == "steps" and unknown:
        threads, errors = getattr(executor, "cpus_per_run", 1), Console(stderr=True)
        with errors.status("measuring …") as status:
            measured = measure(
                unknown, plan.index, out, threads=threads, told=lambda name: status.update(f"measuring {name} …")
            )
        for name, problem in measured.problems.items():
            errors.print(f"{name}: not measured: {problem}", style="red", highlight=False, markup=False)
    price = price_study(plan, out, executor, measured)
    config = plan.config
    folds = [
        {"fold": f.name, "held_out": list(f.unseen), **{p: len(r) for p, r in f.parts.items()}, "note": f.note}
        for f in plan.folds
    ]
    plain: dict[str, Any] = {
        "runs": len(plan.runs),
        "cached": len(done),
        "algorithms": [a.title for a in config.algorithms],
        "settings": {run.label: run.setting for run in plan.runs},
        "folds": folds,
        "seeds": list(config.seeds),
        "executor": executor.name,
        **price.to_json(),
    }
    if as_json:
        sys.stdout.write(json_module.dumps(plain) + "\n")
    else:
        _print_plan(plain)
    return 0


def _print_plan(plain: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console, folds = Console(), plain["folds"]
    table = Table("held out", "train", "dev", "test", "note")
    for fold in folds:
        table.add_row(fold["fold"], *(f"{fold[p]:,}" for p in ("train", "dev", "test")), fold["note"])
    console.print(table)
    if plain["columns"]:
        table = Table("to run", "runs", "each", "in all", "disk", "by")
        for name in ("runs", "each", "in all", "disk"):
            next(c for c in table.columns if c.header == name).justify = "right"
        for column in plain["columns"]:
            seconds, stored = column["seconds"], column["bytes"]
            disk = "?" if stored is None else size(column["runs"] * stored)
            times = (duration(seconds), duration(column["runs"] * seconds))
            table.add_row(column["label"], str(column["runs"]), *times, disk, column["basis"])
        console.print(table)
    console.print(
        f"{plain['runs']} runs = {len(plain['algorithms'])} algorithms × {len(folds)} folds × {len(plain['seeds'])} "
        f"seeds · about {duration(plain['estimate_seconds'])} with {plain['lanes']} at once ({plain['executor']}), "
        f"{size(plain['estimate_bytes'])} · {plain['cached']} cached",
        highlight=False,
        soft_wrap=True,
    )
    told = [f"{name} ({setting.replace('_', ' ')})" for name, setting in plain["settings"].items()]
    console.print(f"algorithms: {', '.join(told)}", highlight=False)
    console.print(f"estimate: by {plain['estimate_basis']}; no leak in any fold", highlight=False, style="dim")


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
