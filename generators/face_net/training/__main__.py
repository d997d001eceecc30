"""Make the weights: `python -m spooflab.generators.face_net.training --work FOLDER`.

Renders the people into `FOLDER/cache`, fits the network in `FOLDER`, and writes `network.safetensors`, which `ship`
turns into the file that the package holds. Every step can be stopped and started again.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
import tyro

from spooflab.generators.face_net.training.fit import Plan, fit
from spooflab.generators.face_net.training.render import Cache, fill_cache
from spooflab.generators.face_net.training.textures import read_textures

HELD_OUT = 10_000
"""Number of the first shard of people that are never trained on."""


@dataclass(frozen=True)
class Training:
    """Make the weights of the face network.

    Attributes:
        work: folder of the cache, the checkpoints and the log.
        stage: what to do; both by default.
        shards: how many shards of 32 people to render and train on.
        held_out_shards: how many shards of other people to judge on.
        cache: folder of the shards, by default `work/cache`.
        plan: how long and how fast.
    """

    work: Path
    stage: Literal["all", "render", "fit"] = "all"
    shards: int = 300
    held_out_shards: int = 4
    cache: Path | None = None
    plan: Plan = field(default_factory=Plan)


def main(training: Training) -> None:
    """Render, then fit."""
    torch.set_num_threads(1)
    training.work.mkdir(parents=True, exist_ok=True)
    folder = training.cache or training.work / "cache"
    shards, held = range(training.shards), range(HELD_OUT, HELD_OUT + training.held_out_shards)
    if training.stage != "fit":
        fill_cache(folder, held, training.plan.seed)
        fill_cache(folder, shards, training.plan.seed)
    if training.stage != "render":
        fit(training.work, Cache(folder, shards), Cache(folder, held), read_textures(training.plan.seed), training.plan)


if __name__ == "__main__":
    main(tyro.cli(Training))
