"""Learning-rate range test: a short training at rates that rise step by step, and what its loss says about them."""

import csv
import io
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from spooflab.adapters.finite_guard import NotFiniteError
from spooflab.adapters.image_set import ImageSet
from spooflab.adapters.train_config import TrainConfig
from spooflab.adapters.trainer import open_run
from spooflab.atomic import write_over
from spooflab.errors import ConfigError


@dataclass(frozen=True)
class RateCurve:
    """Outcome of a range test.

    Attributes:
        rates: learning rate of each step made, rising.
        losses: loss of each step's batch, before the step.
        smoothed: exponential mean of `losses`.
        suggestion: the rate at which the smoothed loss falls fastest per octave of the rate, before its minimum; None
            where it never falls.
        diverged_at: rate of the first step whose loss is no longer finite or far above the best; None if none was.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float | None
    diverged_at: float | None


def rising_rates(lowest: float, highest: float, steps: int) -> list[float]:
    """Return `steps` rates from `lowest` to `highest`, each the same factor above the one before.

    Raises:
        ConfigError: they do not rise, or are too few for a curve.
    """
    if not 0 < lowest < highest or steps < 10:
        raise ConfigError(
            f"rates {lowest:g} to {highest:g} in {steps} steps", wanted="0 < lowest < highest, at least 10 steps"
        )
    return [lowest * (highest / lowest) ** (i / (steps - 1)) for i in range(steps)]


def range_test(
    step: Callable[[float], float], rates: Sequence[float], *, smoothing: float = 0.8, stop_at: float = 4.0
) -> RateCurve:
    """Make one step at each rate until the loss diverges (Smith 2017, § 3.3).

    Smith looks at the curve and takes the rates between which it improves; what is suggested here is the rate of
    steepest descent. That is a guide and no optimum: the loss lags behind rates that rise fast, so that a test of fewer
    steps suggests higher ones (on a quadratic of curvature λ, c / 2λ with c the growth of ln rate per step, while steps
    are stable up to 2 / λ). The smoothed loss is Σ βᵏ lₜ₋ₖ / Σ βᵏ, so that the first one is the first loss itself.

    Args:
        step: makes a step at a rate; returns the loss before it, not finite where it was none.
        rates: rising by a constant factor.
        smoothing: β in [0, 1).
        stop_at: the test ends where the smoothed loss has risen by this multiple of what it had fallen, or to this
            multiple of the least absolute loss: whichever is later.
    """
    losses: list[float] = []
    smoothed: list[float] = []
    total, diverged_at = 0.0, None
    for rate in rates:
        loss = step(rate)
        if not math.isfinite(loss):
            diverged_at = rate
            break
        losses.append(loss)
        total = smoothing * total + (1 - smoothing) * loss
        smoothed.append(total / (1 - smoothing ** len(losses)))
        low = min(smoothed)
        if smoothed[-1] > low + max((stop_at - 1) * abs(low), stop_at * (smoothed[0] - low)):
            diverged_at = rate
            break
    made = list(rates[: len(losses)])
    return RateCurve(made, losses, smoothed, steepest(made, smoothed), diverged_at)


def steepest(rates: Sequence[float], smoothed: Sequence[float]) -> float | None:
    """Return the rate at which the curve falls fastest, up to its minimum, or None where it does not fall.

    The slope at a step is that of the chord over two steps on either side: a single batch is not a slope.
    """
    if len(rates) < 5:
        return None
    lowest = min(range(len(smoothed)), key=smoothed.__getitem__)
    slopes = {i: smoothed[i + 2] - smoothed[i - 2] for i in range(2, min(lowest, len(rates) - 2))}
    best = min(slopes, key=slopes.__getitem__, default=None)
    return rates[best] if best is not None and slopes[best] < 0 else None


def find_rate(
    config: TrainConfig,
    *,
    train: ImageSet,
    dev: ImageSet,
    seed: int,
    target: ImageSet | None = None,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 200,
    smoothing: float = 0.8,
    progress: Callable[[int, int, float], None] | None = None,
) -> RateCurve:
    """Test rates with a training's own initial weights and first batches; nothing of it is written or changed.

    Weight decay, clipping and precision are the training's. AdamW's rate is tested as such: clipping hides divergence
    from it, so that the curve may rise gently where plain gradient descent would explode.

    Args:
        config, train, dev, seed, target: see `fit`.
        lowest: first rate.
        highest: last rate.
        steps: from one to the other; as many batches are drawn.
        smoothing: see `range_test`.
        progress: told (steps made, steps, loss).

    Raises:
        DataError: unusable sets.
        ConfigError: unusable settings.
    """
    rates = rising_rates(lowest, highest, steps)
    plain = config.model_copy(update={"tracker": "none", "steps": max(config.steps, steps)})
    with (
        tempfile.TemporaryDirectory() as nowhere,
        open_run(plain, train=train, dev=dev, seed=seed, out=Path(nowhere), target=target) as run,
    ):

        def step(rate: float) -> float:
            try:
                loss = float(run.step(rate)["loss"])
            except NotFiniteError:
                return math.nan
            run.done += 1
            if progress is not None:
                progress(run.done, steps, loss)
            return loss

        return range_test(step, rates, smoothing=smoothing)


def write_curve(curve: RateCurve, out: Path) -> None:
    """Write `out/lr_finder.json` (all of it) and `out/lr_finder.csv` (a row per step)."""
    out.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["lr", "loss", "smoothed"])
    writer.writerows(zip(curve.rates, curve.losses, curve.smoothed, strict=True))
    write_over(out / "lr_finder.csv", table.getvalue().encode())
    write_over(out / "lr_finder.json", json.dumps(asdict(curve), indent=1).encode())
