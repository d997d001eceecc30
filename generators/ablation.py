"""Physical effects that can be switched off one by one, so that a study can tell which of them a detector learns.

An attack names its `EFFECTS`; the ones that are off travel with its parameters as bits, so a record replays them.
Drawing does not depend on them: with one seed, the picture with an effect and the one without differ by it alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from spooflab.errors import ConfigError


def ablation(species: str, effects: Sequence[str], ablate: Sequence[str], batch_size: int) -> Tensor:
    """Return (B,) int64 bits of the effects that are off.

    Args:
        species: for the message.
        effects: every effect that the attack can switch off; the order is part of its records, so only append.
        ablate: those to switch off.
        batch_size: B.

    Raises:
        ConfigError: an effect that the attack does not have.
    """
    strange = sorted(set(ablate) - set(effects))
    if strange:
        raise ConfigError(
            f"attack {species}: it has no effect {', '.join(strange)} to switch off",
            wanted=f"some of {', '.join(effects) or '(none)'}",
        )
    bits = sum(1 << effects.index(name) for name in set(ablate))
    return torch.full((batch_size,), bits, dtype=torch.int64)


def is_off(ablated: Tensor, effects: Sequence[str], name: str) -> bool:
    """Return whether `name` is switched off in a batch of one."""
    return bool(int(ablated[0]) >> effects.index(name) & 1)


def names_off(ablated: Tensor, effects: Sequence[str]) -> tuple[str, ...]:
    """Return the effects that are off in a batch of one, in the attack's order."""
    return tuple(name for name in effects if is_off(ablated, effects, name))
