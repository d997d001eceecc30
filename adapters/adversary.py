"""What domain-adversarial algorithms share: the discriminator's shape, the reversal's schedule."""

import math
from typing import Literal, get_args

from torch import nn

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


def check_adversary(algorithm: str, schedule: str, weight: float, hidden: int) -> None:
    """Raise `ConfigError` unless the settings that adversarial algorithms share are usable."""
    if schedule not in get_args(Schedule):
        raise ConfigError(f"{algorithm}: schedule {schedule!r}", wanted=f"one of {', '.join(get_args(Schedule))}")
    if weight < 0 or hidden < 1:
        raise ConfigError(f"{algorithm}: weight {weight}, hidden {hidden}", wanted="weight ≥ 0, hidden ≥ 1")
