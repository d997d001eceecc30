"""Where settings are searched, and which ones are tried next: a function of the seed and of what was told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from spooflab.errors import ConfigError
from spooflab.experiments.search_config import Range, SearchSettings
from spooflab.experiments.study_config import AlgorithmConfig
from spooflab.seeds import seed as named_seed

Params = dict[str, float | int]
"""`lr` and other training settings by their name, an algorithm's own as `hparams.NAME`."""


@dataclass(frozen=True)
class Space:
    """What is searched for one column.

    Attributes:
        ranges: name → distribution, in order of name.
        default: the setting that the file and the algorithm name, which is trial 0.
    """

    ranges: dict[str, BaseDistribution]
    default: Params


def search_space(algorithm: AlgorithmConfig, settings: dict[str, Any], search: SearchSettings) -> Space:
    """Return the ranges of one column: common ones and the algorithm's `SEARCH`, less what the file fixes for it.

    A hyper-parameter whose default is a whole number is searched over whole numbers.

    Args:
        algorithm: the column; what its `train` and `hparams` name stays as it is.
        settings: all its training settings.
        search: the search's own ranges.

    Raises:
        ConfigError: a range of something unknown or not a number, or nothing to search.
    """
    from spooflab.adapters import ALGORITHMS
    from spooflab.adapters.train_config import hyperparameters

    kind = ALGORITHMS[algorithm.name]
    own = {**kind.SEARCH, **search.ranges.get(algorithm.name, {})}
    known = {**{f"hparams.{n}": v for n, v in hyperparameters(kind).items()}, **settings}
    known |= {f"hparams.{name}": value for name, value in settings["hparams"].items()}
    fixed = {*algorithm.train, *(f"hparams.{name}" for name in algorithm.hparams)}
    if settings["accumulate"] > 1:
        fixed.add("batch_size")  # it must divide into micro-batches
    wanted = {**search.common, **{f"hparams.{name}": tuple(value) for name, value in own.items()}}
    ranges: dict[str, BaseDistribution] = {}
    for name in sorted(set(wanted) - fixed):
        default = known.get(name)
        if isinstance(default, bool) or not isinstance(default, int | float):
            raise ConfigError(
                f"search: {algorithm.title} has no number {name!r} to search",
                wanted=f"some of {', '.join(n for n, v in known.items() if type(v) in (int, float))}",
            )
        ranges[name] = _distribution(wanted[name], whole=isinstance(default, int))  # type: ignore[arg-type]
    if not ranges:
        raise ConfigError(f"search: the file fixes every setting of {algorithm.title}", wanted="one or more to search")
    return Space(ranges, {name: known[name] for name in ranges})


def _distribution(wanted: Range, *, whole: bool) -> BaseDistribution:
    low, high, scale = wanted
    if whole:
        return IntDistribution(round(low), round(high), log=scale == "log")
    return FloatDistribution(low, high, log=scale == "log")


def propose(
    space: Space,
    search: SearchSettings,
    names: Sequence[str | int],
    told: Sequence[tuple[Params, float | None]],
    count: int,
) -> list[Params]:
    """Return the next `count` settings to try.

    A new Optuna study is told everything anew, so the answer is a function of the arguments: a search that was
    stopped goes on as if it had not been, and more proposals begin with the fewer.

    Args:
        space: where to search.
        search: its sampler and seed.
        names: what names the draws besides the search's seed.
        told: settings tried so far, in order, and their figure, to be made small; None where training failed.
        count: how many.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    root = named_seed(search.seed, "search", *names) % 2**32
    sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=root)
    if search.sampler == "tpe":
        # Settings that are still running count as bad, so that those of one round differ.
        sampler = optuna.samplers.TPESampler(seed=root, n_startup_trials=search.startup, constant_liar=True)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    for params, value in told:
        state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
        inside = {name: _inside(params[name], space.ranges[name]) for name in space.ranges}
        study.add_trial(optuna.trial.create_trial(params=inside, distributions=space.ranges, value=value, state=state))
    return [dict(study.ask(space.ranges).params) for _ in range(count)]


def _inside(value: float, distribution: Any) -> float | int:
    """Move a default that lies outside of its range (a penalty of 0, on a log scale) to the range's end."""
    inside: float | int = min(max(value, distribution.low), distribution.high)
    return inside
