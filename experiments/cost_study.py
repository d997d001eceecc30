"""Expected losses and cost curves of a study's algorithms, at thresholds from dev, from the score alone, and oracle."""

from typing import Any

import numpy as np

from spooflab.experiments.calibration import is_likelihood
from spooflab.experiments.cost_curves import Costs, Curve, cheapest_threshold, cost_points
from spooflab.experiments.metrics import rates_at
from spooflab.experiments.results import Cell, Results
from spooflab.experiments.scores import FloatArray, ScoreSet
from spooflab.experiments.statistics import Judged
from spooflab.experiments.two_way import Figure, resample

STAKES: FloatArray = np.linspace(0, 1, 51)
"""Where curves are drawn; nothing is chosen on this grid."""
PER = 1000
"""Losses are told per so many presentations."""


def cost_study(results: Results, folds: list[str]) -> dict[str, Any]:
    """Return the costs, a table of expected losses for each share of attacks, and each algorithm's cost curves.

    Of every algorithm and share of attacks, per 1000 presentations, mean over folds and seeds:

    - `dev_eer`: at the threshold that every other table judges, dev's equal-error point;
    - `dev_cost`: at the threshold of least expected cost on dev, with its interval;
    - `stated`: accepting where the score, taken at its word, says that it is cheaper (score ≥ x; Elkan 2001); None
      where scores are no likelihoods;
    - `oracle`: at the threshold of least cost on the test rows themselves, which nobody has.
    """
    if not folds:
        return {}
    costs = Costs.model_validate(results.study.get("config", {}).get("costs") or {})
    cells = {label: [c for fold in folds for c in results.at(label, fold)] for label in results.algorithms}
    return {
        "cost_false_accept": costs.cost_false_accept,
        "cost_false_reject": costs.cost_false_reject,
        "currency": costs.currency,
        "named": bool(results.study.get("config", {}).get("costs")),
        "per": PER,
        "priors": [_prior(costs, rate, cells, results.replicates) for rate in costs.attack_rates],
        "curves": {label: _curves(some) for label, some in cells.items()} | {"stake": STAKES.tolist()},
    }


def _prior(costs: Costs, attack_rate: float, cells: dict[str, list[Cell]], replicates: int) -> dict[str, Any]:
    def loss(rates: dict[str, FloatArray]) -> FloatArray:
        return PER * costs.loss(attack_rate, rates["far"], rates["bpcer"])

    stake = costs.stake(attack_rate)
    chosen = {label: [_by_dev(cell, stake) for cell in some] for label, some in cells.items()}
    samples = resample(chosen, loss, replicates=replicates)
    highest = PER * max(costs.cost_false_accept, costs.cost_false_reject)
    out = {}
    for label, some in cells.items():
        likely = all(is_likelihood(cell.test) for cell in some)
        out[label] = {
            "dev_cost": samples[label].mean,
            "interval": samples[label].interval(highest=highest),
            "dev_eer": _mean(loss, [judged for cell in some if (judged := cell.judged) is not None]),
            "stated": _mean(loss, [Judged(cell.test, stake) for cell in some]) if likely else None,
            "oracle": _mean(loss, [_by_test(cell, stake) for cell in some]),
        }
    accept_all, reject_all = attack_rate * costs.cost_false_accept, (1 - attack_rate) * costs.cost_false_reject
    trivial = PER * min(accept_all, reject_all)
    return {"attack_rate": attack_rate, "stake": stake, "trivial": trivial, "losses": out}


def _by_dev(cell: Cell, stake: float) -> Judged:
    return Judged(cell.test, _threshold(cell.dev, stake), cell.seed)


def _by_test(cell: Cell, stake: float) -> Judged:
    return Judged(cell.test, _threshold(cell.test, stake), cell.seed)


def _threshold(rows: ScoreSet, stake: float) -> float:
    found = cheapest_threshold(rows, stake)
    assert found is not None, "a cell of a finished fold has both classes"
    return found


def _mean(loss: Figure, judged: list[Judged]) -> float:
    return float(np.mean([loss(rates_at(one.scores, one.threshold))[0] for one in judged]))


def _curves(cells: list[Cell]) -> dict[str, list[float]]:
    """Return the normalised cost at each of `STAKES`, mean over folds and seeds, by where its threshold comes from."""
    lines: dict[str, list[FloatArray]] = {"dev_eer": [], "dev_cost": [], "oracle": []}
    for cell in cells:
        test, dev, judged = cost_points(cell.test), cost_points(cell.dev), cell.judged
        assert test is not None
        assert dev is not None
        assert judged is not None
        lines["dev_eer"].append(_cost_at(test, np.full(len(STAKES), judged.threshold)))
        lines["dev_cost"].append(_cost_at(test, np.array([dev.threshold[dev.cheapest(x)] for x in STAKES])))
        lines["oracle"].append(_cost_at(test, np.array([test.threshold[test.cheapest(x)] for x in STAKES])))
    return {name: np.mean(values, axis=0).tolist() for name, values in lines.items()}


def _cost_at(test: Curve, thresholds: FloatArray) -> FloatArray:
    """Return the test rows' cost at each of `STAKES` with a threshold for each.

    The rates at any threshold are those at the lowest candidate that is not below it.
    """
    place = np.minimum(np.searchsorted(test.threshold, thresholds), len(test.threshold) - 1)
    cost: FloatArray = STAKES * test.far[place] + (1 - STAKES) * test.bpcer[place]
    return cost
