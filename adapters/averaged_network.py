"""Averaged weights of a training as a network that can be scored, saved and resumed."""

import copy
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.averaging import Ema, Swad
from spooflab.adapters.batch import Batch
from spooflab.adapters.batch_statistics import gathers_statistics, renew_statistics
from spooflab.adapters.frozen_part import fed_with_maps
from spooflab.adapters.train_config import AveragingConfig


class AveragedNetwork:
    """An average that watches a model, and a second model that takes the averaged weights on when they are asked for.

    Args:
        config: of a kind that averages.
        model: what is watched, in training mode; copied once.

    Attributes:
        average: what is kept of the weights.
    """

    def __init__(self, config: AveragingConfig, model: Algorithm) -> None:
        self.average: Ema | Swad
        if config.kind == "ema":
            self.average = Ema(decay=config.decay)
        else:
            self.average = Swad(
                optimum_patience=config.optimum_patience,
                overfit_patience=config.overfit_patience,
                tolerance=config.tolerance,
            )
        self._twin = copy.deepcopy(model)
        self.wants_batches = gathers_statistics(self._twin)

    @property
    def finished(self) -> bool:
        """Whether later weights change nothing."""
        return isinstance(self.average, Swad) and self.average.finished

    def network(self, batches: Iterable[Batch], *, cached: bool = False) -> Algorithm:
        """Return the averaged network, in training mode and good until the next call.

        Args:
            batches: what batch norm, where there is one (`wants_batches`), takes its statistics from.
            cached: whether these hold maps of the backbone's frozen part.
        """
        self._twin.load_state_dict(self.average.average())
        if self.wants_batches:
            with fed_with_maps(self._twin) if cached else nullcontext():
                renew_statistics(self._twin, batches)
        return self._twin

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps as tensors."""
        return self.average.tensors()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps as JSON."""
        return self.average.state()

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any], device: torch.device) -> None:
        """Go on from what `tensors` and `state` returned, on the device of the weights that will be added."""
        self.average.restore({name: t.to(device) for name, t in tensors.items()}, state)
