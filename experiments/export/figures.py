"""What the card says of an exported file's own scores: threshold, calibration, operating points, held-out figures."""

from typing import Any

import numpy as np
import pyarrow as pa

from spooflab.errors import DataError
from spooflab.experiments.metrics import NAMES, det_points, evaluate, rates_at
from spooflab.experiments.operating_point import equal_error_point, missing_class
from spooflab.experiments.protocols import column
from spooflab.experiments.scores import FloatArray, ScoreSet
from spooflab.experiments.statistics import REPLICATES, intervals

TARGETS = (0.01, 0.05, 0.10)
"""Error rates for which a threshold is looked up on source-dev."""


def score_rows(rows: pa.Table, likelihood: FloatArray) -> ScoreSet:
    """Join scores with what the index says of their rows, ready to be counted."""
    return ScoreSet.build(
        likelihood,
        column(rows, "label") == "attack",
        species=column(rows, "species"),
        subject=column(rows, "subject_id"),
        key=column(rows, "key"),
    )


def decision(dev: ScoreSet) -> dict[str, Any]:
    """Return the threshold of source-dev's equal-error point with the rates there.

    Raises:
        DataError: source-dev gives none.
    """
    point = equal_error_point(dev)
    if point is None:
        raise DataError(f"source-dev gives no threshold: {missing_class(dev)}", wanted="both classes, with scores")
    return {
        "threshold": point.threshold,
        "chosen": "equal-error point of the source-dev rows, on this file's own scores; accepted iff score >= it",
        "dev_bpcer": point.bpcer,
        "dev_far": point.far,
        "dev_eer": point.eer,
        "dev_bonafide": int((~dev.attack).sum()),
        "dev_attack": int(dev.attack.sum()),
        "dev_auc": evaluate(dev).auc,
    }


def operating_points(dev: ScoreSet, test: ScoreSet | None) -> list[dict[str, Any]]:
    """Return thresholds by targets on source-dev, with the rates there and, where rows judge, the rates there.

    For a BPCER the highest threshold within it, for an APCER (worst species) the lowest; null where none is within.
    A target finer than one row of a class is marked: source-dev cannot tell such a rate from 0.
    """
    threshold, apcer, bpcer = det_points(dev)
    genuine = int((~dev.attack).sum())
    rarest = min(int((dev.species == name).sum()) for name in dev.attack_species)
    points = []
    for error, curve, count in (("bpcer", bpcer, genuine), ("apcer", apcer, rarest)):
        for target in TARGETS:
            within = np.flatnonzero(curve <= target + 1e-12)
            place = None if not within.size else int(within[-1] if error == "bpcer" else within[0])
            chosen = None if place is None else float(threshold[place])
            point: dict[str, Any] = {"target": error, "at_most": target, "threshold": chosen}
            if place is not None:
                point |= {"dev_apcer": float(apcer[place]), "dev_bpcer": float(bpcer[place])}
            point["resolved"] = count * target >= 1
            points.append(point | _test_rates(test, chosen))
    return points


def _test_rates(test: ScoreSet | None, threshold: float | None) -> dict[str, Any]:
    if test is None or threshold is None:
        return {}
    rates = rates_at(test, threshold)
    return {f"test_{name}": _plain(rates[name]) for name in ("apcer", "bpcer")}


def judged(test: ScoreSet, threshold: float, *, replicates: int = REPLICATES) -> dict[str, Any]:
    """Return every figure of the rows that judge, at the card's threshold, with 95 % intervals."""
    metrics = evaluate(test, threshold=threshold)
    told = metrics.to_json()
    found, notes = intervals(test, threshold, told, replicates=replicates)
    figures = {}
    for name in NAMES:
        figures[name] = {"value": told[name]}
        if name in found:
            figures[name] |= {"low": found[name].low, "high": found[name].high, "method": found[name].method}
    return {
        "figures": figures,
        "apcer_by_species": metrics.apcer_by_species,
        "counts": metrics.counts,
        "notes": [*metrics.notes, *notes],
    }


def _plain(values: FloatArray) -> float | None:
    return None if np.isnan(values[0]) else float(values[0])
