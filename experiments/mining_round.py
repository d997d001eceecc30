"""One round's renders, mined or drawn at random, each judged by the detector that is to be taught."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from spooflab.adapters.mining import (
    Ledger,
    Region,
    Render,
    SearchSettings,
    Space,
    Trial,
    prior_point,
    region_of,
    search,
)
from spooflab.experiments.mining_config import RoundConfig
from spooflab.experiments.mining_detector import Detector
from spooflab.experiments.mining_maker import LabMaker
from spooflab.seeds import seed as named_seed


@dataclass(frozen=True)
class Judged:
    """One render of a round: phase, the detector's log-odds before it learns from the render, whether it was wrong.

    Attributes:
        phase: `start`, `search`, `draw`, `counterpart` or `bonafide`; `prior` in the control.
    """

    render: Render
    phase: str
    log_odds: float | None
    fooled: bool
    crowding: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the line of `trials.jsonl`."""
        rest = {k: v for k, v in asdict(replace(self, render=None)).items() if k != "render"}  # type: ignore[arg-type]
        return {"key": self.render.key, "species": self.render.point.species, "refused": self.render.refused, **rest}


def mined_round(
    maker: LabMaker, detector: Detector, config: RoundConfig, folder: Path, *, name: str, start: Region, seed: int
) -> tuple[list[Judged], Region]:
    """Search attacks, draw from what was found, search bona fide faces; return all renders and the region.

    Args:
        maker: training's subjects and devices.
        detector: of the round before.
        config: budget and search.
        folder: of the round's ledgers.
        name: first part of the keys.
        start: where the first trials come from.
        seed: names every draw.
    """
    attacks = [species for species in maker.species if species != "bonafide"]
    settings = SearchSettings(startup=config.startup, trials=config.trials, diversity=config.diversity)
    spaces = {species: maker.space(species) for species in maker.species}
    attack_spaces = {species: spaces[species] for species in attacks}
    found = search(
        maker,
        detector.judge,
        Ledger(folder / "search", f"{name}-search"),
        settings,
        species=attacks,
        spaces=spaces,
        threshold=detector.threshold,
        start=start,
        seed=named_seed(seed, "search"),
    )
    region = region_of(found, share=config.best_share, floor=config.floor, width=config.width, freed=config.freed)
    renders = [_judged_trial(trial, "start" if i < config.startup else "search") for i, trial in enumerate(found)]
    drawn = drawn_from(
        region, maker, attack_spaces, Ledger(folder / "draw", f"{name}-draw"), config.attacks - config.trials, seed
    )
    renders += [judge(detector, render, "draw") for render in drawn]
    paired = round(config.counterparts * config.bonafide)
    ledger = Ledger(folder / "counterpart", f"{name}-counterpart")
    renders += [
        judge(detector, render, "counterpart")
        for render in drawn_from(region, maker, attack_spaces, ledger, paired, seed, bonafide=True)
    ]
    if searched := config.bonafide - paired:
        settings = replace(settings, startup=max(1, searched // 3), trials=searched)
        rejected = search(
            maker,
            detector.judge,
            Ledger(folder / "bonafide", f"{name}-bonafide"),
            settings,
            species=("bonafide",),
            spaces=spaces,
            threshold=detector.threshold,
            start=Region(()),
            seed=named_seed(seed, "bonafide"),
        )
        renders += [_judged_trial(trial, "bonafide") for trial in rejected]
    return renders, region


def random_round(
    maker: LabMaker, detector: Detector, config: RoundConfig, folder: Path, *, name: str, seed: int
) -> list[Judged]:
    """Draw as many attacks and bona fide faces from the prior as a mined round renders."""
    attacks = [species for species in maker.species if species != "bonafide"]
    ledger = Ledger(folder / "prior", f"{name}-prior")
    kinds = [attacks] * config.attacks + [["bonafide"]] * config.bonafide
    points = [prior_point(kind, maker.devices, named_seed(seed, "prior", i)) for i, kind in enumerate(kinds)]
    return [judge(detector, ledger.render(maker, point), "prior") for point in points]


def drawn_from(
    region: Region,
    maker: LabMaker,
    spaces: dict[str, Space],
    ledger: Ledger,
    count: int,
    seed: int,
    *,
    bonafide: bool = False,
) -> list[Render]:
    """Render `count` draws of the region; a device that the maker lacks becomes another unit of its profile.

    With `bonafide`, the draws' devices and shots photograph bona fide faces: what was found is attacks in some light,
    at some noise and sharpness; a detector that sees bona fides in the same need not learn these as signs of attack.
    """
    renders = []
    for number in range(count):
        point = region.draw(spaces, maker.devices, named_seed(seed, "counterpart" if bonafide else "draw", number))
        if bonafide:
            point = replace(point, species="bonafide", attack=())
        renders.append(ledger.render(maker, replace(point, device=_own_unit(point.device, maker.devices))))
    return renders


def judge(detector: Detector, render: Render, phase: str) -> Judged:
    """Judge a render; a refused one fools nobody."""
    if render.image is None:
        return Judged(render, phase, None, False)
    odds, _ = detector.judge(render.image)
    accepted = odds >= detector.threshold
    return Judged(render, phase, odds, accepted != (render.point.species == "bonafide"))


def _judged_trial(trial: Trial, phase: str) -> Judged:
    odds = None if trial.render.image is None else trial.log_odds
    return Judged(trial.render, phase, odds, trial.fooled, trial.crowding)


def _own_unit(device: str, devices: Sequence[str]) -> str:
    if device in devices:
        return device
    profile, _, number = device.rpartition("/u")
    units = [name for name in devices if name.rpartition("/u")[0] == profile]
    return units[int(number) % len(units)]
