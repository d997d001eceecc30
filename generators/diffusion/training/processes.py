"""One process or several: who goes first, who writes, and which part of a batch is whose."""

from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from spooflab.errors import ConfigError

_PATIENCE = timedelta(days=7)
"""How long processes wait for the first one, which may render examples for days before anything is learnt."""


def processes() -> Any:
    """Return accelerate's `PartialState`: alone, or one of those that `torchrun` or `accelerate launch` started.

    Without an accelerator they talk over gloo, which has to be asked for: left to itself, accelerate would take each of
    them for one that is alone.
    """
    from accelerate import PartialState

    return PartialState(cpu=no_accelerator(), timeout=_PATIENCE)


def no_accelerator() -> bool:
    """Return whether this machine computes on its processors."""
    return not getattr(torch, "accelerator", torch.cuda).is_available()


def share(batch: dict[str, Tensor], rank: int, world: int) -> dict[str, Tensor]:
    """Return a process's part of a batch, every `world`th row; gradients are averaged over equal parts."""
    return {name: value[rank::world] for name, value in batch.items()}


def check_batch(batch: int, world: int, stage: str) -> None:
    """Check that a batch can be dealt out evenly.

    Raises:
        ConfigError: it cannot: means over unequal parts are not the mean over the batch.
    """
    if batch % world:
        raise ConfigError(f"{stage}: batch {batch} over {world} processes", wanted=f"a multiple of {world}")
