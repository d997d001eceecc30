"""The gradient of one objective over a step's micro-batches, and of some modules alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from spooflab.adapters.batch import Batch

if TYPE_CHECKING:
    from spooflab.adapters.algorithm import Engine


def accumulate(
    batches: Sequence[Batch], engine: Engine, objective: Callable[[dict[str, Tensor]], Tensor]
) -> dict[str, Tensor]:
    """Add the gradient of the mean over micro-batches of `objective`, a scalar made of what `update` returned.

    Returns:
        The mean of each part that `update` returned, detached. The optimiser's step is the caller's.
    """
    total: dict[str, Tensor] = {}
    for i, batch in enumerate(batches):
        losses = engine.losses(batch)
        engine.backward(objective(losses) / len(batches), last=i == len(batches) - 1)
        for name, value in losses.items():
            share = value.detach() / len(batches)
            total[name] = total[name] + share if name in total else share
    return total


def forget_gradients(*modules: nn.Module | None) -> None:
    """Take the gradients of modules away, so that the next optimiser step leaves these as they are."""
    # None, not 0: the optimiser would still decay and move by its moments.
    for module in modules:
        if module is not None:
            module.zero_grad(set_to_none=True)
