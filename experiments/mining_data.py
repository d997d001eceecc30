"""The sets of a mining experiment: subjects and camera units dealt once, sets drawn from the prior."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from spooflab.adapters.mining import Ledger, Render, prior_point
from spooflab.errors import ConfigError
from spooflab.experiments.mining_config import MiningConfig
from spooflab.experiments.mining_maker import LabMaker
from spooflab.generators.lab import Lab
from spooflab.generators.plan import PlannedFace
from spooflab.seeds import generator
from spooflab.seeds import seed as named_seed

PARTS = ("train", "dev", "test")


@dataclass(frozen=True)
class Makers:
    """One lab seen three ways: no subject is in two of them, and no camera unit of training is tested on.

    Attributes:
        train, dev, test: makers; source-dev has training's units.
        profiles: device profiles, the training domains, in order.
    """

    train: LabMaker
    dev: LabMaker
    test: LabMaker
    profiles: tuple[str, ...]


def build_makers(config: MiningConfig) -> Makers:
    """Open the lab and deal subjects and units.

    Raises:
        ConfigError: too few subjects, or a lab that cannot be opened.
    """
    units = config.generation.units_per_device
    lab = Lab(config.generation.model_copy(update={"units_per_device": 2 * units}))
    faces = {part: list[PlannedFace]() for part in PARTS}
    people = sorted({(source, ref.subject_id) for source, refs in lab.refs().items() for ref in refs})
    part_of = _dealt(people, config)
    for source, refs in lab.refs().items():
        for ref in refs:
            part = part_of[source, ref.subject_id]
            faces[part].append(PlannedFace(source, ref, part))
    trained = [name for name in lab.device_ids if int(name.rpartition("/u")[2]) < units]
    tested = [name for name in lab.device_ids if name not in trained]
    make = partial(LabMaker, lab, size=config.training.size)
    return Makers(
        train=make(faces["train"], trained),
        dev=make(faces["dev"], trained),
        test=make(faces["test"], tested),
        profiles=tuple(sorted({name.split("/")[0] for name in lab.device_ids})),
    )


def prior_set(
    maker: LabMaker, ledger: Ledger, count: int, seed: int, *, species: Sequence[str] | None = None
) -> list[Render]:
    """Render `count` samples of the prior: every second one bona fide, or all of `species`."""
    attacks = [name for name in maker.species if name != "bonafide"]
    for number in range(len(ledger.renders), count):
        kinds = species or (["bonafide"] if number % 2 else attacks)
        ledger.render(maker, prior_point(kinds, maker.devices, named_seed(seed, number)))
    return ledger.renders[:count]


def _dealt(people: Sequence[tuple[str, str]], config: MiningConfig) -> dict[tuple[str, str], str]:
    """Deal people to the parts by their shares, each part two at least: a donor is another subject."""
    order = torch.randperm(len(people), generator=generator(config.generation.seed, "mining", "subjects")).tolist()
    ends = [round(len(people) * sum(config.shares[: i + 1])) for i in range(len(PARTS))]
    starts = [0, *ends[:-1]]
    if min(end - start for start, end in zip(starts, ends, strict=True)) < 2:
        raise ConfigError(
            f"{len(people)} subjects in shares {list(config.shares)}", wanted="two subjects at least in each part"
        )
    spans = zip(PARTS, starts, ends, strict=True)
    return {people[order[i]]: part for part, start, end in spans for i in range(start, end)}
