"""What the trainer lends to `Algorithm.step`: precision, processes, clipping, and a guard against infinite numbers."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.batch import Batch
from spooflab.adapters.finite_guard import not_finite
from spooflab.adapters.train_config import TrainConfig


class LentEngine:
    """The `Engine` of one training.

    Args:
        accelerator: wraps model and optimiser.
        model: in training mode, on the accelerator's device.
        optimizer: of the model's parameters.
        config: says precision and the norm to clip at.
        target_keys: names of the target set's images, where there is one.

    Attributes:
        wrapped: the model as data parallelism and mixed precision call it.
    """

    def __init__(
        self,
        accelerator: Any,
        model: Algorithm,
        optimizer: torch.optim.Optimizer,
        config: TrainConfig,
        target_keys: Sequence[str] | None,
    ) -> None:
        self.accelerator, self.config, self.target_keys = accelerator, config, target_keys
        self.parameters = list(model.parameters())
        self.wrapped, self.stepper = accelerator.prepare(model, optimizer)
        self._step, self._micro = 0, list[Batch]()
        self._seen: list[Tensor] = []

    def begin(self, step: int, micro: list[Batch]) -> None:
        """Say which step comes, and of what batches, for the guard's message."""
        self._step, self._micro = step, micro

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Run `update` under the training's precision and processes."""
        losses: dict[str, Tensor] = self.wrapped(batch)
        self._seen.append(losses["loss"].detach())
        return losses

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        """Add the loss's gradients; processes reduce them after the last."""
        with nullcontext() if last else self.accelerator.no_sync(self.wrapped):
            self.accelerator.backward(loss)

    def optimise(self) -> None:
        """Clip, step, clear.

        Raises:
            NotFiniteError: a loss or the gradient's norm is infinite or none.
        """
        # As accelerate clips, without its look at every gradient for kinds that are not made here.
        self.accelerator.unscale_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm)
        witness = torch.stack(self._seen).sum()
        # fp16 gradients overflow by design now and then: the scaler skips that step and lowers its scale.
        if not math.isfinite(float(witness if self.config.precision == "fp16" else witness + norm)):
            raise not_finite(self._step, self._seen, float(norm), self._micro, self.target_keys)
        self.stepper.step()
        self.stepper.zero_grad()
        self._seen.clear()
