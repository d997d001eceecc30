"""What penalties over training domains share: who is present, mean risks, annealing, checks of settings."""

import math

import torch
from torch import Tensor

from spooflab.errors import ConfigError

ANNEAL_RANGE = (2e-4, 1.0, "log")
"""DomainBed draws 10^U(0, 4) of its 5 000 steps; past the last step is the same as never."""


def domain_rows(domain: Tensor, *, least: int = 1) -> tuple[list[int], list[Tensor]]:
    """Return the domains with at least `least` rows in `domain` (B,), ascending, and the rows (n,) of each."""
    present, counts = torch.unique(domain, return_counts=True)
    numbers = present[counts >= least].tolist()
    return numbers, [torch.nonzero(domain == number)[:, 0] for number in numbers]


def domain_risks(losses: Tensor, domain: Tensor) -> tuple[Tensor, Tensor]:
    """Return the domains present (D',), ascending, and the mean of each one's `losses` (B,) → (D',)."""
    present, slot, counts = torch.unique(domain, return_inverse=True, return_counts=True)
    return present, losses.new_zeros(len(present)).index_add(0, slot, losses) / counts


def penalty_weight(weight: float, *, anneal: float, progress: float, early: float) -> float:
    """Return the factor of a penalty: `early`, or `weight` if that is less, until `anneal` of the training is done."""
    return weight if progress >= anneal else min(early, weight)


def wide(values: Tensor) -> Tensor:
    """Return `values` as float32 or, where they are, float64: a bf16 mean has three digits, a variance none."""
    return values if values.dtype == torch.float64 else values.float()


def check_several_domains(name: str, num_domains: int) -> None:
    """Refuse one training domain, with which the algorithm would be ERM under another name.

    Raises:
        ConfigError: fewer than two.
    """
    if num_domains < 2:
        raise ConfigError(
            f"{name}: {num_domains} training domain",
            wanted="at least 2: with one, the algorithm is ERM",
            next_step="choose another domain_by (device_id, instrument_id, …), add data, or train erm",
        )


def check_range(name: str, low: float, high: float = math.inf, **values: float) -> None:
    """Refuse values outside [low, high], infinite or not a number.

    Raises:
        ConfigError: names the first.
    """
    for key, value in values.items():
        if not (low <= value <= high and math.isfinite(value)):
            wanted = f"a finite value ≥ {low:g}" if high == math.inf else f"a value in [{low:g}, {high:g}]"
            raise ConfigError(f"{name}: {key} {value}", wanted=wanted)
