"""`spooflab search`: choose every algorithm's hyper-parameters on the sources alone."""

import json as json_module
import sys
from pathlib import Path
from typing import Any, Literal

import tyro

from spooflab.cli.repeating import repeating_command

ExecutorName = Literal["local", "ray", "slurm"]


def search(
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
    """Try settings of every algorithm on every fold's sources and choose; the same command goes on where it stopped.

    Writes the study that runs what was chosen: `spooflab study OUT/study.yaml --out OUT/study`. Once that has run,
    this command also tells how far the figures that chose are from the test rows'.

    Args:
        config: YAML file of a study, with a `search` section.
        out: folder of the search: `runs/`, `trials.parquet`, `search.json`, `study.yaml`.
        dry_run: print what would be searched; train nothing.
        json: print the summary (or the plan) as JSON.
        data: folder of the data set, instead of the one in the file.
        executor: where trainings run, instead of the one in the file (a section of the file still counts).
        workers: trainings at once, instead of the number in the file; 0 runs them in this process.

    Returns:
        0 when every search is finished, 1 when any is not.
    """
    from spooflab.config import load_config
    from spooflab.errors import ConfigError
    from spooflab.experiments.executors import chosen_executor
    from spooflab.experiments.search import plan_search
    from spooflab.experiments.search_config import SearchConfig
    from spooflab.experiments.study import data_folder
    from spooflab.store import read_index

    if workers is not None and workers < 0:
        raise ConfigError(f"--workers {workers}", wanted="0 or more")
    settings = load_config(config, SearchConfig)
    index = read_index(data_folder(settings, data))
    _, lanes = plan_search(settings, data=data, index=index, cache=None if dry_run else out / "checks")
    if dry_run:
        return _show(settings, lanes, as_json=json)
    command = repeating_command("search", config, out, data=data, executor=executor, workers=workers)
    chosen = chosen_executor(settings.executor, settings.workers, name=executor, workers=workers)
    return _run(settings, lanes, out, command, data, chosen, as_json=json)


def _show(config: Any, lanes: list[Any], *, as_json: bool) -> int:
    plain = [
        {
            "algorithm": lane.label,
            "setting": lane.setting,
            "fold": lane.fold,
            "trainings": config.search.trials * len(lane.specs),
            "ranges": {name: [d.low, d.high, "log" if d.log else "linear"] for name, d in lane.space.ranges.items()},
            "problem": lane.problem,
        }
        for lane in lanes
    ]
    if as_json:
        sys.stdout.write(json_module.dumps(plain) + "\n")
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("algorithm", "held out", "trainings", "ranges")
    for row in plain:
        ranges = ", ".join(f"{name} {low:.3g}–{high:.3g}" for name, (low, high, _) in row["ranges"].items())
        table.add_row(row["algorithm"], row["fold"], str(row["trainings"]), row["problem"] or ranges)
    Console().print(table)
    return 0


def _run(
    config: Any, lanes: list[Any], out: Path, command: str, data: Path | None, executor: Any, *, as_json: bool
) -> int:
    from rich.console import Console

    from spooflab.experiments.search import run_search
    from spooflab.experiments.search_report import source_to_test, write_search

    console = Console(stderr=True)

    def told(run: Any, problem: str | None) -> None:
        console.print(f"{run.name} {'✓' if problem is None else f'✗ {problem}'}", highlight=False, markup=False)

    try:
        run_search(config, lanes, out, command=command, executor=executor, progress=told)
    except KeyboardInterrupt:
        console.print(f"stopped safely. Continue: {command}", highlight=False, markup=False)
        return 130
    summary = write_search(config, lanes, out, command)
    gaps = source_to_test(summary, out / "study")
    if as_json:
        sys.stdout.write(json_module.dumps(summary | {"source_to_test": gaps}) + "\n")
    else:
        _tell(summary, gaps, out, data)
    return 1 if summary["unfinished"] else 0


def _tell(summary: dict[str, Any], gaps: list[dict[str, Any]], out: Path, data: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from spooflab.experiments.summary import percent, points

    console = Console(soft_wrap=True)
    console.print(summary["answer"], style="bold", highlight=False)
    table = Table("algorithm", "held out", "default", "chosen", "trial", "failed", "settings")
    for lane in summary["lanes"]:
        best = lane["chosen"]
        settings = (
            ", ".join(f"{name} {value:.3g}" for name, value in best["params"].items()) if best else lane["problem"]
        )
        table.add_row(
            *(lane["algorithm"], lane["fold"], percent(lane["default_figure"])),
            *((percent(best["figure"]), str(best["trial"])) if best else ("–", "–")),
            *(str(lane["trials"]["failed"]), settings),
        )
    console.print(table)
    for line in summary["unfinished"]:
        console.print(f"  {line}", style="red", highlight=False, markup=False)
    for gap in gaps:
        told = f"{gap['algorithm']} · {gap['fold']}: sources {percent(gap['source'])}, test {percent(gap['test'])}"
        console.print(f"{told} ({points(gap['gap'])} more)", highlight=False, markup=False)
    judge = repeating_command("study", out / "study.yaml", out / "study", data=data)
    console.print(f"Judge what was chosen: {judge}", highlight=False, markup=False)
