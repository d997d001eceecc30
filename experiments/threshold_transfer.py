"""Whether one threshold serves every device: dev's threshold on each device's test rows, beside the device's own.

A device's own threshold is read off its test rows (their equal-error point), so whatever is judged at it is an oracle.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spooflab.experiments.metrics import rates_at
from spooflab.experiments.operating_point import equal_error_point
from spooflab.experiments.results import Cell, Results
from spooflab.experiments.scores import ScoreSet, StrArray
from spooflab.experiments.statistics import Judged, exact_bounds, needs_exact
from spooflab.experiments.two_way import resample


@dataclass(frozen=True)
class OnDevice:
    """Rows of one device, judged at dev's threshold and at their own.

    Attributes:
        honest: at the threshold that dev fixed.
        own: at the rows' own equal-error point.
    """

    honest: Judged
    own: Judged


def on_devices(rows: ScoreSet, device: StrArray, threshold: float, seed: int = 0) -> dict[str, OnDevice]:
    """Split rows by device; those that hold one class only, which have no threshold of their own, are left out.

    Args:
        rows: test rows.
        device: (N,) device of each.
        threshold: fixed on dev.
        seed: of the training.
    """
    out = {}
    for name in np.unique(device).tolist():
        part = rows.select(device == name)
        point = equal_error_point(part)
        if point is not None:
            out[name] = OnDevice(Judged(part, threshold, seed), Judged(part, point.threshold, seed))
    return out


def threshold_transfer(results: Results, folds: list[str]) -> dict[str, Any]:
    """Return algorithm → device → rates at dev's threshold, at the device's own, and the gap.

    Figures are means over folds and seeds. Intervals resample subjects and trainings with both thresholds fixed:
    `interval` is of the study's metric at dev's threshold, `gap_interval` of what the device's own would have saved. A
    device of which some cell has one class alone is judged over the others.

    Args:
        results: the study's cells.
        folds: those that every algorithm has finished.
    """
    return {
        label: _of_algorithm([c for fold in folds for c in results.at(label, fold)], results.metric, results.replicates)
        for label in results.algorithms
        if folds
    }


def _of_algorithm(cells: Iterable[Cell], metric: str, replicates: int) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[OnDevice]] = {}
    for cell in cells:
        judged = cell.judged
        assert judged is not None
        for name, found in on_devices(cell.test, cell.test_devices, judged.threshold, cell.seed).items():
            groups.setdefault(name, []).append(found)
    return {name: _figures(found, metric, replicates) for name, found in sorted(groups.items())}


def _figures(found: list[OnDevice], metric: str, replicates: int) -> dict[str, Any]:
    honest, own = [one.honest for one in found], [one.own for one in found]
    samples = resample({"honest": honest, "own": own}, metric, replicates=replicates)
    exact = any(needs_exact(one.scores, one.threshold, metric) for one in honest)
    bounds = samples["honest"].interval()
    if exact or bounds is None:
        each = [exact_bounds(one.scores, one.threshold, metric) for one in honest]
        bounds = float(np.mean([low for low, _ in each])), float(np.mean([high for _, high in each]))
    gap = samples["honest"] - samples["own"]
    return {
        "apcer": _mean(honest, "apcer"),
        "bpcer": _mean(honest, "bpcer"),
        metric: samples["honest"].mean,
        "interval": bounds,
        "exact": exact,
        "threshold": float(np.mean([one.threshold for one in honest])),
        "oracle_threshold": float(np.mean([one.threshold for one in own])),
        f"oracle_{metric}": samples["own"].mean,
        "oracle_apcer": _mean(own, "apcer"),
        "oracle_bpcer": _mean(own, "bpcer"),
        "gap": gap.mean,
        "gap_interval": gap.interval(lowest=-1.0),
        "bonafide": max(int((~one.scores.attack).sum()) for one in honest),
        "attack": max(int(one.scores.attack.sum()) for one in honest),
    }


def _mean(judged: list[Judged], name: str) -> float:
    return float(np.mean([rates_at(one.scores, one.threshold)[name][0] for one in judged]))
