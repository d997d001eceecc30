"""Which of a training's weights are kept: those that one figure likes best, or those of a step chosen beforehand."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class Selection:
    """The history of source-dev figures, and the weights of the best evaluation so far.

    Args:
        monitor: the figure that decides, such as `eer` or `loss`; the loss decides among equals.
        step: the evaluation whose weights are kept whatever the figures say, or the last before it; None lets them.

    Attributes:
        history: one row per evaluation: `step`, `eer`, `loss`, and what else was looked at.
        best_step: step of the weights kept.
        dev: their figures.
        stale: evaluations since.
        weights: a copy on the CPU.
    """

    def __init__(self, monitor: str, step: int | None = None) -> None:
        self.monitor, self.step = monitor, step
        self.history: list[dict[str, float]] = []
        self.best_step, self.stale = 0, 0
        self.dev: dict[str, float] = {}
        self.weights: dict[str, Tensor] = {}

    def consider(self, step: int, figures: Mapping[str, float], weights: Mapping[str, Tensor]) -> None:
        """Add an evaluation, and copy its weights if none was better."""
        self.history.append({"step": float(step), **figures})
        best = min(self.history, key=self._rank)
        self.stale = 0 if best is self.history[-1] else self.stale + 1
        if best is self.history[-1]:
            self.take(step, figures, weights)

    def take(self, step: int, figures: Mapping[str, float], weights: Mapping[str, Tensor]) -> None:
        """Keep a copy of these weights, whatever was better."""
        self.best_step, self.dev = step, {"step": float(step), **figures}
        self.weights = {name: t.detach().cpu().clone() for name, t in weights.items()}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps as JSON; it keeps `weights` as tensors."""
        return {"history": self.history, "best_step": self.best_step, "dev": self.dev, "stale": self.stale}

    def restore(self, weights: dict[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on from `weights` and what `state` returned."""
        self.weights = weights
        self.history, self.best_step = state["history"], state["best_step"]
        self.dev, self.stale = state["dev"], state["stale"]

    def _rank(self, row: dict[str, float]) -> tuple[float, float]:
        if self.step is not None:
            return (abs(row["step"] - self.step), 0.0)
        # A small dev set reaches EER 0 early and often; the loss decides among equals.
        return (row[self.monitor], row["loss"])
