"""`spooflab mine`: generator in the loop, beside a random control, with a report."""

import json as json_module
import sys
from pathlib import Path

import tyro


def mine(
    config: tyro.conf.Positional[Path],
    /,
    out: Path,
    *,
    resume: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Search the physics of attacks and devices for what a detector gets wrong, learn from it, and compare.

    Args:
        config: YAML file of the experiment.
        out: folder of the run: renders, detectors, `results.json`, `summary.json`, `report.html`.
        resume: go on with an interrupted run; it ends with the same files.
        dry_run: print the budget; render nothing.
        json: print the summary (or the budget) as JSON.
    """
    import torch
    from rich.console import Console

    from spooflab.allocator import keep_freed_memory
    from spooflab.config import load_config
    from spooflab.experiments.mining import mine as run
    from spooflab.experiments.mining_config import MiningConfig
    from spooflab.experiments.mining_report import write_mining_report

    settings = load_config(config, MiningConfig)
    if dry_run:
        budget = {"renders": settings.renders, "trainings": settings.trainings, "steps": settings.training.steps}
        if json:
            sys.stdout.write(json_module.dumps(budget) + "\n")
        else:
            Console(soft_wrap=True).print(
                f"{budget['renders']:,} renders, {budget['trainings']} trainings of {budget['steps']} steps: "
                f"{len(settings.seeds)} seeds × 3 arms × {settings.rounds} rounds",
                highlight=False,
            )
        return 0
    torch.set_num_threads(1)  # the bytes of a run must not depend on the number of cores
    keep_freed_memory()
    console = Console(stderr=True, soft_wrap=True)
    run(settings, out, resume=resume, progress=lambda text: console.print(text, highlight=False, markup=False))
    summary = write_mining_report(out)
    if json:
        sys.stdout.write(json_module.dumps(summary) + "\n")
    else:
        Console(soft_wrap=True).print(f"{summary['answer']}\n{out / 'report.html'}", highlight=False)
    return 0
