"""The embedded benchmark: every algorithm on unseen attacks and on unseen devices, from nothing, with one command.

`python -m spooflab.experiments.embedded_benchmark OUT [--workers 2] [--into docs/benchmark.md]` makes the data set of
`configs/generation/benchmark.yaml`, runs `configs/studies/benchmark.yaml` once for each protocol, writes a report for
each, and `OUT/tables.md`. What is there is not made again; the same command goes on where it stopped.
"""

import re
import shlex
import shutil
import sys
import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, TypeVar

import tyro

from spooflab.atomic import write_over
from spooflab.config import Config, load_config
from spooflab.errors import ConfigError, SpooflabError
from spooflab.experiments.benchmark_table import benchmark_rows, benchmark_table, benchmark_words
from spooflab.experiments.executors import LocalExecutor
from spooflab.experiments.price import price_study
from spooflab.experiments.protocols import LeaveOneDeviceOut
from spooflab.experiments.results import load_results
from spooflab.experiments.study import Plan, plan_study, run_study
from spooflab.experiments.study_config import StudyConfig
from spooflab.spoken import duration
from spooflab.store import read_index

Settings = TypeVar("Settings", bound=Config)

BASELINE = "erm"
HALVES = ("attacks", "devices")


def main(
    out: tyro.conf.Positional[Path],
    /,
    *,
    workers: int = 2,
    algorithms: tuple[str, ...] = (),
    folds: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    dry_run: bool = False,
    keep_features: bool = False,
    into: Path | None = None,
) -> int:
    """Generate, train, judge and tabulate.

    Args:
        out: folder of it all: `data/`, `attacks/`, `devices/`, `tables.md`.
        workers: processes.
        algorithms: headings of the study file; none means all, and the baseline always is among them.
        folds: what is held out, of attacks and devices; none means each in turn.
        seeds: training seeds; none means those of the study file.
        dry_run: generate, then print what would run and how long it may take.
        keep_features: keep the cached maps, some gigabytes, when a half is done.
        into: Markdown file between whose markers the tables are written.

    Returns:
        0 when every cell is done, 1 when any is not.
    """
    if workers < 1:
        raise ConfigError(f"--workers {workers}", wanted="1 or more")
    data = make_data(out / "data", workers)
    index = read_index(data)
    plans = {half: plan_study(study(half, algorithms, folds, seeds, index), data=data, index=index) for half in HALVES}
    for half, plan in plans.items():
        price = price_study(plan, out / half, LocalExecutor(workers=workers))
        told = f"about {duration(price.seconds)} ({price.basis})"
        say(f"{half}: {len(plan.runs)} cells, {len(plan.folds)} folds; {told}")
    if dry_run:
        return 0
    failed = 0
    for half, plan in plans.items():
        failed += run_half(plan, out / half, workers, keep_features=keep_features)
    tables = {half: tabulate(out / half, plans[half]) for half in HALVES}
    write_over(out / "tables.md", "".join(f"## Unseen {h}\n\n{t}\n" for h, t in tables.items()).encode())
    if into is not None:
        for half, text in tables.items():
            replace_between_markers(into, half, text)
    say(f"{out / 'tables.md'}")
    return 1 if failed else 0


def make_data(folder: Path, workers: int) -> Path:
    """Make the data set, or go on with it; a whole one of this configuration is taken as it is, whatever made it."""
    from spooflab.generators.config import GenerationConfig
    from spooflab.generators.run import generate
    from spooflab.store import Store

    config = packaged("generation", GenerationConfig)
    begun = (folder / "plan.json").is_file()
    if begun:
        store = Store.open(folder)
        if not store.pending() and store.plan["config"] == config.model_dump(mode="json"):
            return folder
    started = time.monotonic()
    summary = generate(config, folder, workers=workers, resume=begun)
    say(f"data: {summary.rows} samples, {summary.skips} skipped ({time.monotonic() - started:.0f} s)")
    return folder


def study(
    half: str, algorithms: tuple[str, ...], folds: tuple[str, ...], seeds: tuple[int, ...], index: Any
) -> StudyConfig:
    """Return one half's study: the file's, with the protocol of this half and what the command line leaves of it."""
    config = packaged("studies", StudyConfig)
    protocol: Any = config.protocol
    if half == "devices":
        protocol = LeaveOneDeviceOut(split=protocol.split)
    names = {fold.name for fold in protocol.folds(index)}
    protocol = protocol.model_copy(update={"only": tuple(name for name in folds if name in names)})
    titles = [a.title for a in config.algorithms]
    unknown = sorted(set(algorithms) - set(titles))
    if unknown:
        raise ConfigError(f"--algorithms {' '.join(unknown)}", wanted=f"of {', '.join(titles)}")
    return config.model_copy(
        update={
            "protocol": protocol,
            "title": f"{config.title}: unseen {half}",
            # A device's test rows have too few of each species for the worst of them to mean much.
            "metric": "acer" if half == "attacks" else "hter",
            "algorithms": tuple(
                a for a in config.algorithms if not algorithms or a.title in algorithms or a.title == BASELINE
            ),
            "seeds": seeds or config.seeds,
        }
    )


def packaged(kind: str, schema: type[Settings]) -> Settings:
    """Load the benchmark's file of one kind from the package."""
    with as_file(files("spooflab.configs") / kind / "benchmark.yaml") as path:
        return load_config(path, schema)


def run_half(plan: Plan, out: Path, workers: int, *, keep_features: bool) -> int:
    """Run what is missing of one half and write its report; return how many cells failed."""
    from spooflab.experiments.report import write_report

    started, total = time.monotonic(), len(plan.runs)
    count = 0

    def told(run: Any, problem: str | None) -> None:
        nonlocal count
        count += 1
        say(f"[{count}/{total}, {time.monotonic() - started:.0f} s] {run.name}: {problem or 'done'}")

    words = ["python", "-m", "spooflab.experiments.embedded_benchmark", str(out.parent), "--workers", str(workers)]
    outcome = run_study(plan, out, command=shlex.join(words), workers=workers, progress=told)
    write_report(out)
    if not keep_features and not outcome.failed:
        shutil.rmtree(out / "features", ignore_errors=True)
    return outcome.failed


def tabulate(out: Path, plan: Plan) -> str:
    """Return one half's words and table."""
    results = load_results(out)
    settings = {run.label: run.setting for run in plan.runs}
    rows = benchmark_rows(results, settings, BASELINE)
    if not rows:
        return "No fold is finished for every algorithm yet.\n"
    return f"{benchmark_words(results, rows, BASELINE)}\n{benchmark_table(rows, results.metric, BASELINE)}"


def replace_between_markers(path: Path, name: str, text: str) -> None:
    """Put `text` between `<!-- name -->` and `<!-- /name -->` of a Markdown file.

    Raises:
        ConfigError: it does not have these markers, once each.
    """
    old = path.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(old)) != 1:
        raise ConfigError(f"{path}", wanted=f"{start} and {end}, once each")
    write_over(path, pattern.sub(lambda _match: f"{start}\n{text}{end}", old).encode())


def say(text: str) -> None:
    """Write a line for whoever watches."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    try:
        raise SystemExit(tyro.cli(main))
    except SpooflabError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None
