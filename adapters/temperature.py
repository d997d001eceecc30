"""Likelihoods that mean what they say: one temperature for the log-odds, fitted on source-dev."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.image_set import ImageSet
from spooflab.adapters.scoring import predict_log_odds
from spooflab.errors import DataError

HOTTEST = 100.0
"""Log-odds that tell nothing, or the wrong way round, are fitted best by an infinite temperature."""

_LARGEST_ODDS = 12.0
"""Where dev log-odds have one side to themselves, the best temperature is 0 and would make scores 0 and 1, with ties.
Sharpening stops where the largest dev log-odds reach this: float64 likelihoods of twice it still differ."""


def calibrate(model: Algorithm, dev: ImageSet, batch_size: int = 64) -> None:
    """Set `model.score_temperature` by the log-odds of source-dev. Ranking, and so the decision at dev's EER, stays.

    Where the class loss has stakes, errors weigh here as they do there: ½ stays the score at which both cost the same.
    """
    odds = predict_log_odds(model, dev, batch_size)
    weight = model.class_loss.weight.tolist()
    model.score_temperature = fit_temperature(
        odds, dev.labels.numpy(), attack_weight=weight[0], bonafide_weight=weight[1]
    )


def fit_temperature(
    odds: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    *,
    attack_weight: float = 1.0,
    bonafide_weight: float = 1.0,
) -> float:
    """Return the T > 0 under which sigmoid(odds / T) has the least negative log-likelihood (Guo et al. 2017).

    It is the mean of both classes' means, as in `dev_figures`, since batches are balanced as a rule and a dev set
    seldom is. The function is convex in 1 / T: its minimum is found by L-BFGS, or is an end of the range, min(1,
    largest |odds| / 12) to 100.

    Args:
        odds: (N,) log-odds of bona fide.
        labels: (N,) 1 = bona fide, 0 = attack.
        attack_weight, bonafide_weight: of the classes' means.

    Raises:
        DataError: a class is missing, or log-odds that are not finite.
    """
    if not np.isfinite(odds).all() or len(np.unique(labels)) < 2:
        raise DataError(
            f"{int((~np.isfinite(odds)).sum())} log-odds of {len(odds)} are not finite, classes {np.unique(labels)}",
            wanted="finite log-odds of both classes",
        )
    signed = torch.from_numpy(np.where(labels == 1, odds, -odds))
    weights = torch.from_numpy(np.where(labels == 1, bonafide_weight / (labels == 1).sum(), 0.0))
    weights = weights + torch.from_numpy(np.where(labels == 0, attack_weight / (labels == 0).sum(), 0.0))
    coldest = min(1.0, max(float(np.abs(odds).max()) / _LARGEST_ODDS, 1e-6))
    inverse = _least(lambda beta: -(weights * F.logsigmoid(beta * signed)).sum(), 1 / HOTTEST, 1 / coldest)
    return 1 / inverse


def _least(function: Callable[[Tensor], Tensor], low: float, high: float) -> float:
    """Return where a convex function of one variable is least within [low, high]."""

    def slope(at: float) -> float:
        x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        return float(torch.autograd.grad(function(x), x)[0])

    if slope(low) >= 0:
        return low
    if slope(high) <= 0:
        return high
    x = torch.tensor(min(max(1.0, low), high), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [x], max_iter=200, tolerance_grad=1e-12, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = function(x)
        torch.autograd.backward(value)
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]  # torch's own
    return min(max(float(x.detach()), low), high)
