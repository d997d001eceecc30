"""Choose hyper-parameters on the sources alone: trials per algorithm and fold, each a run folder of its own.

A search keeps no state but its run folders. What is tried is a function of the seed and of the figures of earlier
rounds, so the same command goes on where it stopped, with the same trials for any number of processes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from spooflab.errors import ConfigError, DataError, SpooflabError
from spooflab.experiments.executors import Executor, Task, chosen_executor, within
from spooflab.experiments.fold import Fold
from spooflab.experiments.metrics import evaluate
from spooflab.experiments.protocols import column
from spooflab.experiments.run import failure_record, run_cell, score_set
from spooflab.experiments.run_folder import RunFolder
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.scores import ScoreSet
from spooflab.experiments.search_config import SearchConfig
from spooflab.experiments.search_space import Params, Space, propose, search_space
from spooflab.experiments.study import Plan, plan_study, train_settings
from spooflab.experiments.training import drop_images


@dataclass
class Trial:
    """One setting of one algorithm on one fold.

    Attributes:
        number: 0 is the default setting.
        params: what was drawn.
        runs: one training, or one per training domain that was left out.
        status: `done`, `failed` (training cannot be done so: a result), or `missing`.
        figure: what chooses, to be made small: an error rate of source images.
        loss: class-balanced log loss of the same images; breaks ties.
        seconds: of training.
        reason: why it failed.
    """

    number: int
    params: Params
    runs: tuple[RunSpec, ...]
    status: str = "missing"
    figure: float | None = None
    loss: float | None = None
    seconds: float = 0.0
    reason: str = ""


@dataclass
class Lane:
    """The search of one algorithm's settings on one fold.

    Attributes:
        label: heading of the first column with this training.
        columns: all columns with it: those that differ in their test-time method alone are searched once.
        setting: what the algorithm may see.
        fold: whose sources are searched on.
        space: where.
        specs: the default setting's runs, to be filled with other settings.
        settings: the default setting.
        problem: why this fold cannot be searched, or what stopped it.
        trials: in order.
    """

    label: str
    columns: tuple[str, ...]
    setting: str
    fold: str
    space: Space
    specs: tuple[RunSpec, ...]
    settings: dict[str, Any]
    problem: str = ""
    trials: list[Trial] = field(default_factory=list)

    @property
    def best(self) -> Trial | None:
        """The trial of lowest figure, ties to the lower loss, then to the earlier; None where none is done."""
        done = [trial for trial in self.trials if trial.status == "done"]
        return min(done, key=_order, default=None)

    @property
    def told(self) -> list[tuple[Params, float | None]]:
        """Settings and ranks of the trials that ended: a sampler that goes by order breaks ties as the choice does."""
        order = sorted((t for t in self.trials if t.status == "done"), key=_order)
        rank = {trial.number: float(place) for place, trial in enumerate(order)}
        return [(trial.params, rank.get(trial.number)) for trial in self.trials]


def _order(trial: Trial) -> tuple[float, float, int]:
    assert trial.figure is not None
    assert trial.loss is not None
    return trial.figure, trial.loss, trial.number


def plan_search(
    config: SearchConfig, *, data: Path | None, index: pa.Table, cache: Path | None = None
) -> tuple[Plan, list[Lane]]:
    """Cut the data as the study will, and lay out one lane per algorithm and fold. No lane holds a test row.

    Arguments are those of `plan_study`.

    Raises:
        ConfigError: unknown settings, nothing to search, or an algorithm that source-dev cannot choose for.
        DataError: a fold leaks, or the data cannot be cut.
    """
    plan = plan_study(config, data=data, index=index, cache=cache)
    columns: dict[str, list[str]] = {}
    for algorithm in config.algorithms:
        key = json.dumps(train_settings(config, algorithm.title), sort_keys=True)
        columns.setdefault(key, []).append(algorithm.title)
    lanes = []
    for fold in plan.folds:
        for titles in columns.values():
            run = next(run for run in plan.runs if run.label == titles[0] and run.fold == fold.name).base
            lanes.append(_lane(config, plan, fold, tuple(titles), run))
    return plan, lanes


def _lane(config: SearchConfig, plan: Plan, fold: Fold, titles: tuple[str, ...], run: RunSpec) -> Lane:
    algorithm = next(a for a in config.algorithms if a.title == titles[0])
    blank = replace(run, label=titles[0], seed=config.search.seed, test=(), oracle=False)
    if run.setting == "adaptation" and config.search.selection == "dev":
        raise ConfigError(
            f"search: {titles[0]} adapts to a target, and source-dev holds none: it would choose by chance",
            wanted="selection: leave_one_domain_out, where each training domain is adapted to in turn",
        )
    specs: tuple[RunSpec, ...] = (blank,)
    problem = _lacking(plan.index, blank)
    if config.search.selection == "leave_one_domain_out" and not problem:
        specs, problem = _without_each_domain(plan.index, blank)
    space = search_space(algorithm, run.train_config, config.search)
    return Lane(titles[0], titles, run.setting, fold.name, space, specs, run.train_config, problem)


def _without_each_domain(index: pa.Table, blank: RunSpec) -> tuple[tuple[RunSpec, ...], str]:
    """One run per training domain: trained and given its threshold without it, judged on its dev rows."""
    place = {key: row for row, key in enumerate(column(index, "key").tolist())}
    parts = [column(index, name) for name in blank.train_config["domain_by"]]
    domain = {key: " / ".join(str(part[row]) for part in parts) for key, row in place.items()}
    names = sorted({domain[key] for key in blank.train})
    if len(names) < 2:
        return (blank,), f"fold {blank.fold}: one training domain, and none is left without it"
    specs = []
    for name in names:
        specs.append(
            replace(
                blank,
                fold=f"{blank.fold}, sources without {name}",
                held_out=(*blank.held_out, name),
                train=tuple(key for key in blank.train if domain[key] != name),
                dev=tuple(key for key in blank.dev if domain[key] != name),
                test=tuple(key for key in blank.dev if domain[key] == name),
            )
        )
    problem = next((found for spec in specs if (found := _lacking(index, spec, judged=True))), "")
    return tuple(specs), problem


def _lacking(index: pa.Table, spec: RunSpec, *, judged: bool = False) -> str:
    label = dict(zip(column(index, "key").tolist(), column(index, "label").tolist(), strict=True))
    for part, keys in (("train", spec.train), ("dev", spec.dev), *((("left-out", spec.test),) if judged else ())):
        missing = {"bonafide", "attack"} - {label[key] for key in keys}
        if missing:
            return f"fold {spec.fold}: {len(keys)} {part} rows hold no {' and no '.join(sorted(missing))}"
    return ""


def run_search(
    config: SearchConfig,
    lanes: list[Lane],
    out: Path,
    *,
    command: str,
    workers: int | None = None,
    executor: Executor | None = None,
    task: Task = run_cell,
    progress: Callable[[RunSpec, str | None], None] | None = None,
) -> None:
    """Try settings round by round until every lane has its trials; results are left in the lanes.

    A training that refuses its setting or diverges (an error of ours) is a result: the trial failed. Anything else (a
    dead process, no memory, another launcher) stops its lane, and the same command goes on there.

    Args:
        config: the search.
        lanes: from `plan_search`.
        out: folder of the search, trainings under `runs/`.
        command: shell command that repeats it, for messages.
        workers: cells at once; None takes the configuration's.
        executor: where runs are made; None takes the configuration's.
        task: what does one run; other processes must be able to import it, unless there are none.
        progress: told of each run, and why it failed if it did.
    """
    executor = executor or chosen_executor(config.executor, config.workers, workers=workers)
    search = config.search
    size = search.round if search.sampler == "tpe" else search.trials
    for number, first in enumerate(range(0, search.trials, size)):
        open_ = [lane for lane in lanes if not lane.problem]
        for lane in open_:
            _draw(lane, config, number, min(size, search.trials - first))
        runs = {run.run_id: run for lane in open_ for trial in lane.trials[first:] for run in trial.runs}
        errors: dict[str, BaseException] = {}

        def report(run: RunSpec, error: BaseException | None, errors: dict[str, BaseException] = errors) -> None:
            if error is not None:
                errors[run.run_id] = error
                RunFolder(out / "runs" / run.run_id).fail(failure_record(run, error, command))
            if progress:
                progress(run, None if error is None else str(error).split("\n")[0])

        pending = [run for name, run in runs.items() if not RunFolder(out / "runs" / name).done]
        executor.run(pending, within(config.run_minutes, task, executor), out, report)
        for lane in open_:
            for trial in lane.trials[first:]:
                _take(lane, trial, config, out, errors)
    drop_images(out)


def _draw(lane: Lane, config: SearchConfig, number: int, count: int) -> None:
    """Add a round's trials to a lane; the very first is the default setting."""
    first = len(lane.trials)
    drawn = [] if first else [lane.space.default]
    algorithm = str(lane.settings["algorithm"])
    drawn += propose(lane.space, config.search, (algorithm, lane.fold, number), lane.told, count - len(drawn))
    for place, params in enumerate(drawn, start=first):
        settings = lane.settings if place == 0 else with_params(lane.settings, params)
        label = f"{lane.label}, trial {place}"
        runs = tuple(replace(spec, label=label, train_config=settings) for spec in lane.specs)
        lane.trials.append(Trial(place, params, runs))


def with_params(settings: dict[str, Any], params: Params) -> dict[str, Any]:
    """Return training settings with what was drawn in place of their own."""
    own = {name.removeprefix("hparams."): v for name, v in params.items() if name.startswith("hparams.")}
    common = {name: value for name, value in params.items() if not name.startswith("hparams.")}
    return {**settings, **common, "hparams": {**settings["hparams"], **own}}


def _take(lane: Lane, trial: Trial, config: SearchConfig, out: Path, errors: dict[str, BaseException]) -> None:
    """Read a trial's figures from its run folders, or what it failed of."""
    found = [errors[run.run_id] for run in trial.runs if run.run_id in errors]
    if found:
        trial.reason = str(found[0]).split("\n")[0]
        if all(isinstance(error, SpooflabError) for error in found):
            trial.status = "failed"
        else:
            lane.problem = lane.problem or f"stopped at trial {trial.number}: {trial.reason}"
        return
    figures, losses = [], []
    for run in trial.runs:
        record, scores, _ = RunFolder(out / "runs" / run.run_id).read()
        try:
            figure, loss = source_figures(scores, config)
        except DataError as error:  # scores that are no numbers
            trial.status, trial.reason = "failed", error.seen
            return
        figures.append(figure)
        losses.append(loss)
        trial.seconds += float(record["seconds"])
    trial.status, trial.figure, trial.loss = "done", float(np.mean(figures)), float(np.mean(losses))


def source_figures(scores: pa.Table, config: SearchConfig) -> tuple[float, float]:
    """Return what chooses, and the log loss that breaks ties, from a run's scores of source images.

    On source-dev: its equal error rate. Leaving a domain out: the study's metric on that domain's dev rows, at the
    threshold of the other domains' dev rows.

    Raises:
        DataError: scores that give no figure.
    """
    from spooflab.adapters.dev_figures import dev_figures

    dev, other = score_set(scores, "dev"), score_set(scores, "test")
    if config.search.selection == "dev":
        figures = dev_figures(dev.score, _genuine(dev))
        return figures["eer"], figures["loss"]
    value = getattr(evaluate(other, dev=dev), config.metric)
    if value is None:
        raise DataError("a left-out domain gives no figure", wanted="both classes in its dev rows")
    return float(value), dev_figures(other.score, _genuine(other))["loss"]


def _genuine(scores: ScoreSet) -> Any:
    return (~scores.attack).astype(np.int64)
