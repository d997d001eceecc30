"""Calibration of a study's algorithms on dev and test rows, with intervals that resample subjects and trainings."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from spooflab.experiments.calibration import calibration, class_balance, equal_mass_bins, is_likelihood
from spooflab.experiments.results import Cell, Results
from spooflab.experiments.scores import FloatArray, IntArray, ScoreSet, StrArray
from spooflab.experiments.statistics import clopper_pearson, cluster_draws, percentile, widened
from spooflab.experiments.two_way import Resampled

CURVE_BINS = 10
_FIGURES = ("ece", "floor", "debiased", "brier", "reliability", "resolution", "uncertainty", "within")


def calibration_study(results: Results, folds: list[str]) -> dict[str, Any]:
    """Return algorithm → its calibration on dev and on test rows, and on the test rows of each species and device.

    Figures are means over folds and seeds; an algorithm whose scores are no likelihoods has a `reason` instead.

    Args:
        results: the study's cells.
        folds: those that every algorithm has finished.
    """
    return {label: _of_algorithm(results, label, folds) for label in results.algorithms} if folds else {}


def _of_algorithm(results: Results, label: str, folds: list[str]) -> dict[str, Any]:
    cells = [cell for fold in folds for cell in results.at(label, fold)]
    tests, devs = [cell.test for cell in cells], [cell.dev for cell in cells]
    if not all(is_likelihood(rows) for rows in (*tests, *devs)):
        return {"reason": "its scores are not all within 0 and 1, so they state no likelihood"}
    samples = resampled_calibration(tests, [cell.seed for cell in cells], results.replicates)
    return {
        "test": _means(tests) | {f"{name}_interval": found.interval() for name, found in samples.items()},
        "dev": _means(devs),
        "by_species": _by((name, _with_bonafide(rows, name)) for rows in tests for name in rows.attack_species),
        "by_device": _by(part for cell in cells for part in _devices(cell)),
        "curve": {"test": reliability_curve(tests, results.replicates), "dev": reliability_curve(devs)},
    }


def _means(sets: Sequence[ScoreSet]) -> dict[str, float | None]:
    found = [asdict(one) for rows in sets if (one := calibration(rows)) is not None]
    return {name: float(np.mean([one[name] for one in found])) if found else None for name in _FIGURES}


def _by(parts: Iterable[tuple[str, ScoreSet]]) -> dict[str, dict[str, float | None]]:
    """Return name → mean calibration error over the parts of that name."""
    groups: dict[str, list[ScoreSet]] = {}
    for name, rows in parts:
        groups.setdefault(name, []).append(rows)
    figures = {name: _means(sets) for name, sets in sorted(groups.items())}
    return {name: {key: found[key] for key in ("ece", "floor", "debiased")} for name, found in figures.items()}


def _with_bonafide(rows: ScoreSet, species: str) -> ScoreSet:
    return rows.select(~rows.attack | (rows.species == species))


def _devices(cell: Cell) -> list[tuple[str, ScoreSet]]:
    device = cell.test_devices
    return [(name, cell.test.select(device == name)) for name in np.unique(device).tolist()]


def resampled_calibration(sets: Sequence[ScoreSet], seeds: Sequence[int], replicates: int) -> dict[str, Resampled]:
    """Resample the subjects of `ece` and `brier`, each a mean over the sets of one training seed.

    Bins stay those of all rows; both classes weigh ½ in every resample.

    Args:
        sets: test rows of each fold and seed.
        seeds: training seed of each.
        replicates: resamples of subjects.
    """
    subjects = np.unique(np.concatenate([rows.subject for rows in sets]))
    draws = cluster_draws(len(subjects), replicates, 0)
    lines = np.concatenate([np.ones((1, len(subjects)), dtype=np.int64), draws])
    order = sorted(set(seeds))
    total = {name: np.zeros((len(order), len(lines))) for name in ("ece", "brier")}
    for rows, seed in zip(sets, seeds, strict=True):
        for name, values in _recounted(rows, subjects, lines).items():
            total[name][order.index(seed)] += values / seeds.count(seed)
    return {name: Resampled(sums[:, 0], sums[:, 1:], len(subjects)) for name, sums in total.items()}


def _recounted(rows: ScoreSet, subjects: StrArray, lines: IntArray) -> dict[str, FloatArray]:
    """Return `ece` and `brier` of each line of draws; NaN where a class is missing."""
    kept = rows.select(~np.isnan(rows.score))
    member = np.searchsorted(subjects, kept.subject)
    genuine = (~kept.attack).astype(np.float64)
    bins = equal_mass_bins(kept.score, genuine, class_balance(kept.attack))
    cell = member * len(bins.rows) + bins.member
    shape = (len(subjects), len(bins.rows))

    def drawn(values: FloatArray) -> FloatArray:
        sums: FloatArray = lines.astype(np.float64) @ np.bincount(cell, values, minlength=shape[0] * shape[1]).reshape(
            shape
        )
        return sums

    gap, brier = np.zeros((len(lines), shape[1])), np.zeros(len(lines))
    for side in (genuine, 1 - genuine):
        size = drawn(side).sum(axis=1)
        half = np.divide(0.5, size, out=np.full(len(lines), np.nan), where=size > 0)
        gap += half[:, None] * drawn(side * (genuine - kept.score))
        brier += half * drawn(side * (genuine - kept.score) ** 2).sum(axis=1)
    return {"ece": np.abs(gap).sum(axis=1), "brier": brier}


def reliability_curve(sets: Sequence[ScoreSet], replicates: int = 0, bins: int = CURVE_BINS) -> list[dict[str, Any]]:
    """Return the bins of a reliability diagram over the rows of all sets, lowest scores first.

    Each has `stated` (mean score), `seen` (share of bona fide, classes weighing ½), `rows`, and with `replicates` the
    bounds `low` and `high` of `seen`: subjects resampled; exact (Clopper–Pearson over distinct pictures) where all rows
    are of one class or one person, which resampling is blind to.
    """
    kept = [rows.select(~np.isnan(rows.score)) for rows in sets]
    joined = {
        name: np.concatenate([getattr(rows, name) for rows in kept]) for name in ("score", "attack", "subject", "key")
    }
    genuine = (~joined["attack"]).astype(np.float64)
    weight = class_balance(joined["attack"])
    found = equal_mass_bins(joined["score"], genuine, weight, bins)
    out: list[dict[str, Any]] = [
        {"stated": float(stated), "seen": float(seen), "rows": int(rows)}
        for stated, seen, rows in zip(found.stated, found.seen, found.rows, strict=True)
    ]
    if not replicates:
        return out
    subjects, member = np.unique(joined["subject"], return_inverse=True)
    draws = cluster_draws(max(1, len(subjects)), replicates, 0)
    for place, entry in enumerate(out):
        inside = found.member == place
        clusters = len(np.unique(member[inside]))
        one_class = not 0 < genuine[inside].sum() < inside.sum()
        if clusters < 2 or one_class:
            bounds = _exact(genuine[inside], joined["key"][inside], weight, joined["attack"])
        else:
            mass = np.bincount(member[inside], weight[inside], minlength=len(subjects))
            right = np.bincount(member[inside], (weight * genuine)[inside], minlength=len(subjects))
            size = draws @ mass
            share = np.divide(draws @ right, size, out=np.full(replicates, np.nan), where=size > 0)
            bounds = percentile(widened(share, clusters)) or (0.0, 1.0)
        entry["low"], entry["high"] = bounds
    return out


def _exact(genuine: FloatArray, key: StrArray, weight: FloatArray, attack: Any) -> tuple[float, float]:
    """Exact bounds of a bin's share of bona fide, each picture counted once, turned into that of balanced classes."""
    _, first = np.unique(key, return_index=True)
    bounds = clopper_pearson(int(genuine[first].sum()), len(first))
    bonafide = float(weight[~attack][0]) if (~attack).any() else 1.0
    attacks = float(weight[attack][0]) if attack.any() else 1.0
    low, high = (p * bonafide / (p * bonafide + (1 - p) * attacks) for p in bounds)
    return low, high
