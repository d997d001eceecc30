"""What domain-adversarial algorithms share: the discriminator's shape, the reversal's schedule."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from torch import Tensor, nn

from spooflab.adapters.accumulate import accumulate, forget_gradients
from spooflab.adapters.algorithm import Algorithm, Engine
from spooflab.adapters.batch import Batch
from spooflab.errors import ConfigError

Schedule = Literal["constant", "ganin"]


def discriminator(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return an untrained network of two hidden layers from features to domain scores."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )


def reversal_weight(weight: float, schedule: Schedule, progress: float) -> float:
    """Return λ at `progress` p in [0, 1]: `weight`, or `weight` · (2 / (1 + exp(−10 p)) − 1) (Ganin et al. 2016)."""
    return weight if schedule == "constant" else weight * (2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0)


def train_adversary_alone(
    algorithm: Algorithm,
    adversary: nn.Module,
    objective: Callable[[dict[str, Tensor]], Tensor],
    batches: Sequence[Batch],
    engine: Engine,
    steps: int,
) -> None:
    """Make optimiser steps by `objective` that move the module `adversary` of an algorithm and nothing else."""
    others = [module for module in algorithm.children() if module is not adversary]
    for _ in range(steps):
        accumulate(batches, engine, objective)
        forget_gradients(*others)
        engine.optimise()


def check_adversary(algorithm: str, schedule: str, weight: float, hidden: int, d_steps: int = 1) -> None:
    """Raise `ConfigError` unless the settings that adversarial algorithms share are usable."""
    if schedule not in get_args(Schedule):
        raise ConfigError(f"{algorithm}: schedule {schedule!r}", wanted=f"one of {', '.join(get_args(Schedule))}")
    if weight < 0 or hidden < 1 or d_steps < 1:
        raise ConfigError(
            f"{algorithm}: weight {weight}, hidden {hidden}, d_steps {d_steps}",
            wanted="weight ≥ 0, hidden ≥ 1, d_steps ≥ 1",
        )
