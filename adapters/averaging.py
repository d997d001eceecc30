"""Averages of the weights along a training: exponential (EMA), and dense over the valley of the dev loss (SWAD).

Neither changes the training; each only watches it, so any algorithm can be averaged. A trainer

1. calls `add(model.state_dict())` after every optimiser step;
2. for SWAD, calls `evaluated(loss)` with the source-dev loss of the *plain* weights after every evaluation, and may
   stop once `finished`;
3. at the end loads `average()`, lets batch norm take its statistics anew from training images
   (`torch.optim.swa_utils.update_bn(images, model.backbone)`: a mean of statistics is not those of the mean weights),
   and scores source-dev;
4. writes `tensors()` (safetensors) and `state()` (JSON) into each checkpoint, and gives them to `restore`.

The paper's learning rate is constant. Under a decaying one the late weights differ little, and so do their averages.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spooflab.adapters.domain_terms import check_range
from spooflab.errors import ConfigError, DataError

Weights = Mapping[str, Tensor]
"""A state dict. Floating-point tensors are averaged; counters and flags keep their latest value."""


class Ema:
    """Exponential moving average: w̄ ← decay · w̄ + (1 − decay) · w, beginning with the first w.

    Args:
        decay: in [0, 1). An average over about 1 / (1 − decay) steps: keep that well below the training's length.
    """

    def __init__(self, *, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"ema: decay {decay}", wanted="a value in [0, 1)")
        self.decay = decay
        self._average: dict[str, Tensor] = {}

    def add(self, weights: Weights) -> None:
        """Take in the weights after one optimiser step."""
        if self._average:
            _approach(self._average, weights, 1 - self.decay)
        else:
            self._average = _copied(weights)

    def average(self) -> dict[str, Tensor]:
        """Return a copy of the average.

        Raises:
            DataError: nothing was added.
        """
        if not self._average:
            raise DataError("ema: no weights to average", wanted="`add` after each optimiser step")
        return _copied(self._average)

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps as tensors."""
        return dict(self._average)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps as JSON."""
        return {"decay": self.decay}

    def restore(self, tensors: Weights, state: Mapping[str, Any]) -> None:
        """Go on from what `tensors` and `state` returned.

        Raises:
            ConfigError: the checkpoint is of another decay.
        """
        _check_same("ema", self.state(), state)
        self._average = _copied(tensors)


class Valley(NamedTuple):
    """Where SWAD averages, as positions of evaluations, both included.

    Attributes:
        start: first, or None before the loss has converged.
        end: last, or None while the valley goes on.
        threshold: loss above which it is left; NaN before it starts.
    """

    start: int | None
    end: int | None
    threshold: float


def loss_valley(
    losses: Sequence[float], *, optimum_patience: int = 3, overfit_patience: int = 6, tolerance: float = 1.3
) -> Valley:
    """Find the valley in a history of dev losses (Cha et al. 2021, algorithm 1).

    It starts at the first loss that none of the `optimum_patience` − 1 losses after it undercuts, and its threshold is
    the mean of these, itself included, times `tolerance`. It ends before the first `overfit_patience` losses in a
    row that are all above the threshold.
    """
    for last in range(optimum_patience - 1, len(losses)):
        window = losses[last - optimum_patience + 1 : last + 1]
        if window[0] <= min(window):
            break
    else:
        return Valley(None, None, math.nan)
    threshold = tolerance * sum(window) / optimum_patience
    # The evaluation that starts the valley does not end it.
    for now in range(max(last + 1, overfit_patience - 1), len(losses)):
        if min(losses[now - overfit_patience + 1 : now + 1]) > threshold:
            return Valley(last - optimum_patience + 1, now - overfit_patience, threshold)
    return Valley(last - optimum_patience + 1, None, threshold)


class Swad:
    """Stochastic weight averaging, densely, and aware of overfitting (SWAD, Cha et al. 2021).

    Weights of every optimiser step are averaged, from where the dev loss stops falling to where it has risen for good
    (`loss_valley`). Steps between two evaluations are one segment, which is in or out as a whole by the loss at its
    end, as in the authors' code; where every step is evaluated this is the paper's algorithm 1 to the letter. A
    segment weighs as many steps as it has. Two things follow the paper where the authors' code does otherwise: no
    segment counts twice, and segments above the threshold at the end of the training, too few to end the valley, stay
    in. One follows the code: a loss that never converges gives the last segment's average (the paper: that of all
    steps, the first included).

    No more averages are held than the larger patience, and two.

    Args:
        optimum_patience: N_s, evaluations.
        overfit_patience: N_e, evaluations.
        tolerance: r ≥ 1; the paper has 1.3 (1.2 for VLCS).

    Attributes:
        losses: of the evaluations so far.
    """

    def __init__(self, *, optimum_patience: int = 3, overfit_patience: int = 6, tolerance: float = 1.3) -> None:
        check_range(
            "swad", 1, optimum_patience=optimum_patience, overfit_patience=overfit_patience, tolerance=tolerance
        )
        self.optimum_patience, self.overfit_patience, self.tolerance = optimum_patience, overfit_patience, tolerance
        self.losses: list[float] = []
        self._inside = _Mean()  # of the segments that are in for good
        self._open = _Mean()  # of the steps since the last evaluation
        self._undecided: list[_Mean] = []  # of the last evaluations

    @property
    def valley(self) -> Valley:
        """Where the average begins and ends, so far."""
        return loss_valley(
            self.losses,
            optimum_patience=self.optimum_patience,
            overfit_patience=self.overfit_patience,
            tolerance=self.tolerance,
        )

    @property
    def finished(self) -> bool:
        """Whether the valley has ended: later weights change nothing."""
        return self.valley.end is not None

    def add(self, weights: Weights) -> None:
        """Take in the weights after one optimiser step."""
        if not self.finished:
            self._open.add(_Mean(_copied(weights), 1))

    def evaluated(self, loss: float) -> None:
        """Take in the source-dev loss of the weights last added.

        Raises:
            DataError: the loss is not finite, or no weights were added since the last one.
        """
        if self.finished:
            return
        if not math.isfinite(loss) or not self._open.count:
            raise DataError(f"swad: dev loss {loss} after {self._open.count} steps", wanted="finite, after ≥ 1 step")
        self.losses.append(loss)
        self._undecided.append(self._open)
        self._open = _Mean()
        self._decide()

    def average(self) -> dict[str, Tensor]:
        """Return the average over the valley, or over the last segment where the loss has not converged.

        Raises:
            DataError: nothing was evaluated.
        """
        if not self.losses:
            raise DataError("swad: no weights to average", wanted="`add` and `evaluated`")
        if self.valley.start is None:
            return _copied(self._undecided[-1].weights)
        total = _Mean(_copied(self._inside.weights), self._inside.count)
        for segment in self._undecided:
            total.add(segment)
        return _copied(total.weights)

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps as tensors."""
        return {f"{i}/{name}": t for i, mean in enumerate(self._means()) for name, t in mean.weights.items()}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps as JSON."""
        return {**self._settings(), "losses": self.losses, "counts": [mean.count for mean in self._means()]}

    def restore(self, tensors: Weights, state: Mapping[str, Any]) -> None:
        """Go on from what `tensors` and `state` returned.

        Raises:
            ConfigError: the checkpoint is of other settings.
        """
        _check_same("swad", self._settings(), state)
        means = [_Mean({}, count) for count in state["counts"]]
        for key, tensor in tensors.items():
            place, name = key.split("/", 1)
            means[int(place)].weights[name] = tensor.clone()
        self.losses = list(state["losses"])
        self._inside, self._open, *self._undecided = means

    def _decide(self) -> None:
        """Move segments in for good, or drop them, as soon as no later loss can change that."""
        valley, last = self.valley, len(self.losses) - 1
        if valley.start is None:
            # The next evaluation can start the valley this many evaluations ago at most.
            del self._undecided[: 1 - self.optimum_patience]
            return
        if valley.end is not None:
            sure = valley.end
        else:
            # An end yet to come lies after each loss in the valley, and at most the patience behind the next loss.
            low = max(i for i, loss in enumerate(self.losses) if loss <= valley.threshold)
            sure = max(low, last + 1 - self.overfit_patience)
        for _ in range(sure - (last - len(self._undecided))):
            self._inside.add(self._undecided.pop(0))
        if valley.end is not None:
            self._undecided.clear()

    def _means(self) -> list["_Mean"]:
        return [self._inside, self._open, *self._undecided]

    def _settings(self) -> dict[str, Any]:
        names = ("optimum_patience", "overfit_patience", "tolerance")
        return {name: getattr(self, name) for name in names}


@dataclass
class _Mean:
    """The mean of the weights of `count` steps."""

    weights: dict[str, Tensor]
    count: int

    def __init__(self, weights: dict[str, Tensor] | None = None, count: int = 0) -> None:
        self.weights, self.count = weights or {}, count

    def add(self, other: "_Mean") -> None:
        self.count += other.count
        if self.weights:
            _approach(self.weights, other.weights, other.count / self.count)
        else:
            self.weights = _copied(other.weights)


@torch.no_grad()
def _approach(average: dict[str, Tensor], weights: Weights, share: float) -> None:
    """Move `average` by `share` of the way to `weights`, in place."""
    for name, tensor in average.items():
        if tensor.is_floating_point():
            tensor.lerp_(weights[name].to(tensor), share)
        else:
            tensor.copy_(weights[name])


def _copied(weights: Weights) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


def _check_same(name: str, own: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    other = {key: found.get(key) for key in own}
    if other != dict(own):
        raise ConfigError(f"{name}: the checkpoint has {other}", wanted=str(dict(own)))
