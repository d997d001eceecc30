"""Search for samples that a detector gets wrong: Optuna's estimators in primary sample space."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters.mining.ledger import Ledger, Render
from spooflab.adapters.mining.point import Coordinate, Maker, Point, Space
from spooflab.adapters.mining.region import Region
from spooflab.errors import ConfigError
from spooflab.seeds import generator
from spooflab.seeds import seed as named_seed

LIMIT = 12.0
"""Log-odds beyond ±12 (one error in 160 000) count as 12: a search is not to chase the network's overconfidence."""

_MOST_UNORDERED = 12
_BELOW_ONE = 1 - 2.0**-24

Judge = Callable[[Tensor], tuple[float, Tensor]]
"""From one image (3, S, S) uint8 to the detector's bona fide log-odds and its features (dim,)."""


@dataclass(frozen=True)
class Trial:
    """One sample of a search, judged.

    Attributes:
        render: what was made.
        log_odds: the detector's; NaN where the sample was refused.
        crowding: how near it lies to a fooling sample found before, in [0, 1].
        value: what the search was told, to be maximised.
        fooled: whether the detector got it wrong at its threshold.
    """

    render: Render
    log_odds: float
    crowding: float
    value: float
    fooled: bool


@dataclass(frozen=True)
class SearchSettings:
    """How one round is searched.

    Attributes:
        startup: trials drawn from the region of earlier rounds (or the prior) before the search takes over.
        trials: trials in all.
        diversity: λ: what a sample that lies on a found one loses, in log-odds.
        radius: h, feature distance over which a found sample repels; None takes half the median distance of the
            startup's samples.
    """

    startup: int
    trials: int
    diversity: float = 2.0
    radius: float | None = None


def search(
    maker: Maker,
    judge: Judge,
    ledger: Ledger,
    settings: SearchSettings,
    *,
    species: Sequence[str],
    spaces: Mapping[str, Space],
    threshold: float,
    start: Region,
    seed: int,
) -> list[Trial]:
    """Look for samples that the detector gets wrong, one at a time; each costs one render, refused ones as well.

    An attack is worth its bona fide log-odds ℓ, a bona fide sample -ℓ, both clamped to ±12, less λ c, with crowding
    c = max over the fooling samples found before of exp(-‖f - f_j‖² / 2h²) of unit features f. A refused sample is
    worth -12 - λ, the least there is.

    Each species has an estimator of its own (tree-structured Parzen, Bergstra et al. 2011), seeded anew for each trial
    by name, so that the same answers lead to the same questions: a search is resumed by repeating it over its ledger.
    Which species a trial has is drawn with odds in proportion to (fooling + 1) / (trials + 2): one estimator over all
    of them goes where most fooled, and in the next round elsewhere.

    Args:
        maker: makes the samples.
        judge: the detector.
        ledger: an empty one of this search, or that of an interrupted one.
        settings: see there.
        species: what may be made; all attacks, or bona fide alone.
        spaces: their cubes.
        threshold: log-odds from which the detector accepts.
        start: where the first trials come from.
        seed: names every draw.
    """
    sign = -1.0 if tuple(species) == ("bonafide",) else 1.0
    if sign > 0 and "bonafide" in species:
        raise ConfigError("a search for attacks and bona fide at once", wanted="one search for each")
    studies, trials = {name: _study() for name in species}, list[Trial]()
    found: list[Tensor] = []
    features: list[Tensor] = []
    radius = settings.radius
    for number in range(settings.trials):
        named = named_seed(seed, "trial", number)
        startup = number < settings.startup
        if startup:
            point = start.draw({name: spaces[name] for name in species}, maker.devices, named)
            asked = None
        else:
            if radius is None:
                radius = _median_distance(features) / 2
            kind = _next_species(trials, species, named)
            asked, point = _ask(studies[kind], spaces[kind], maker.devices, named)
        render = ledger.render(maker, point)
        log_odds, crowding, value, fooled = math.nan, 0.0, -LIMIT - settings.diversity, False
        if render.image is not None:
            log_odds, feature = judge(render.image)
            unit = F.normalize(feature.double(), dim=0)
            features.append(unit)
            if radius is not None and found:
                nearest = float((torch.stack(found) - unit).square().sum(1).min())
                crowding = math.exp(-nearest / (2 * radius**2))
            value = min(max(sign * log_odds, -LIMIT), LIMIT) - settings.diversity * crowding
            fooled = log_odds >= threshold if sign > 0 else log_odds < threshold
            if fooled:
                found.append(unit)
        if asked is not None:
            studies[point.species].tell(asked, value)
        elif render.image is not None:
            _tell_start(studies[point.species], spaces[point.species], maker.devices, render, value)
        trials.append(Trial(render, log_odds, crowding, value, fooled))
    return trials


def region_of(trials: Sequence[Trial], *, least: int = 8, share: float = 0.2, **settings: float) -> Region:
    """Return the region of the fooling trials, or of the best `share` where these are more (at least `least`).

    Args:
        trials: of one search.
        least: fewest points.
        share: of the trials.
        settings: `floor`, `width`, `freed` of `Region`.
    """
    made = [trial for trial in trials if trial.render.image is not None]
    order = sorted(range(len(made)), key=lambda i: (-made[i].value, i))
    count = max(sum(trial.fooled for trial in made), math.ceil(share * len(made)), least)
    points = [full_point(made[i].render) for i in order[:count]]
    return Region(tuple(points), **settings)


def full_point(render: Render) -> Point:
    """Return the render's point with the coordinates that its own seed drew filled in."""
    drawn = render.record.get("drawn", {})
    point = render.point
    return Point(point.species, point.device, point.seed, tuple(drawn["attack"]), tuple(drawn["shot"]))


def _study() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            "mining needs optuna", wanted="the extra `study`", next_step="pip install 'spooflab[study]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize")


def _next_species(trials: Sequence[Trial], species: Sequence[str], seed: int) -> str:
    """Draw a species with odds in proportion to (fooling + 1) / (trials + 2)."""
    counts = {name: [1.0, 2.0] for name in species}
    for trial in trials:
        counts[trial.render.point.species][0] += trial.fooled
        counts[trial.render.point.species][1] += 1
    odds = torch.tensor([won / tried for won, tried in counts.values()], dtype=torch.float64)
    return species[int(torch.multinomial(odds, 1, generator=generator(seed, "species")))]


def _ask(study: Any, space: Space, devices: Sequence[str], seed: int) -> tuple[Any, Point]:
    from optuna.samplers import TPESampler

    # What was told before is enough to start from; Optuna's own random start-up would waste renders.
    study.sampler = TPESampler(seed=seed % 2**32, n_startup_trials=1)
    trial = study.ask()
    device = trial.suggest_categorical("device", list(devices))
    cubes: dict[str, list[float]] = {"attack": [], "shot": []}
    for part, name, coordinate in _named(space):
        u = math.nan
        if _is_choice(coordinate):
            u = (
                int(trial.suggest_categorical(name, list(range(coordinate.axis.choices)))) + 0.5
            ) / coordinate.axis.choices
        elif coordinate.searched:
            u = min(float(trial.suggest_float(name, 0.0, 1.0)), _BELOW_ONE)
        cubes[part].append(u)
    return trial, Point(space.species, device, named_seed(seed, "sample"), tuple(cubes["attack"]), tuple(cubes["shot"]))


def _tell_start(study: Any, space: Space, devices: Sequence[str], render: Render, value: float) -> None:
    """Tell the study of a sample that it did not ask for, with the coordinates that the sample's seed drew."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution
    from optuna.trial import create_trial

    point = full_point(render)
    params: dict[str, Any] = {"device": point.device}
    distributions: dict[str, Any] = {"device": CategoricalDistribution(list(devices))}
    drawn = (*point.attack, *point.shot)
    for u, (_, name, coordinate) in zip(drawn, _named(space), strict=True):
        if _is_choice(coordinate):
            distributions[name] = CategoricalDistribution(list(range(coordinate.axis.choices)))
            params[name] = int(u * coordinate.axis.choices)
        elif coordinate.searched:
            distributions[name], params[name] = FloatDistribution(0.0, 1.0), u
    study.add_trial(create_trial(params=params, distributions=distributions, value=value))


def _named(space: Space) -> Iterator[tuple[str, str, Coordinate]]:
    """Yield the part, the name in the study and the coordinate of every axis."""
    for part, axes in (("attack", space.attack), ("shot", space.shot)):
        for place, coordinate in enumerate(axes):
            yield part, f"{part}/{place}", coordinate


def _is_choice(coordinate: Coordinate) -> bool:
    """Whether to search it as a choice without order; many values are an amount, such as a quality setting."""
    return coordinate.searched and 0 < coordinate.axis.choices <= _MOST_UNORDERED


def _median_distance(features: Sequence[Tensor]) -> float:
    """Return the median distance of all pairs (1 if there are none, or all are equal)."""
    if len(features) < 2:
        return 1.0
    distance = float(torch.pdist(torch.stack(list(features))).median())
    return distance or 1.0
