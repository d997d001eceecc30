"""The answer first: which algorithm generalises best, by how much, and how sure that is."""

from dataclasses import asdict
from typing import Any

import numpy as np

from spooflab.experiments.calibration_study import calibration_study
from spooflab.experiments.cost_study import cost_study
from spooflab.experiments.power import power_study
from spooflab.experiments.results import Cell, Results
from spooflab.experiments.scores import FloatArray
from spooflab.experiments.settings import best_by_setting, settings_sentence
from spooflab.experiments.statistics import (
    LEVEL,
    Judged,
    compare_pairs,
    exact_bounds,
    friedman,
    needs_exact,
    reach_sentence,
)
from spooflab.experiments.threshold_transfer import threshold_transfer
from spooflab.experiments.two_way import Resampled, critical_value, resample

Matrix = dict[str, dict[str, dict[str, Any] | None]]


def summarise(results: Results) -> dict[str, Any]:
    """Return the study's answer, comparisons and matrix as JSON-ready values; the answer is the first key."""
    metric, replicates = results.metric, results.replicates
    complete = complete_folds(results)
    matrix = fold_matrix(results)
    ranking, differences, samples = compare(results)
    table = np.array([[_value(matrix, fold, label) for label in results.algorithms] for fold in complete])
    over_folds = _over_folds(table, results.algorithms) if complete else {}
    counts = {s: sum(c.status == s for c in results.cells) for s in ("done", "failed", "missing")}
    return {
        "answer": answer(results, ranking, differences, complete),
        "certainty": certainty(results, ranking, differences, over_folds, complete),
        "verdict": _verdict(ranking, differences),
        "metric": metric,
        "best": ranking[0]["algorithm"] if ranking else None,
        "settings": results.settings,
        "best_by_setting": best_by_setting(results, ranking),
        "ranking": ranking,
        "differences": differences,
        "power": power_study(samples, differences, len(complete)),
        "over_folds": over_folds,
        "folds_compared": complete,
        "folds_left_out": [fold for fold in results.folds if fold not in complete],
        "matrix": matrix,
        "calibration": calibration_study(results, complete),
        "costs": cost_study(results, complete),
        "threshold_transfer": threshold_transfer(results, complete),
        "runs": counts | {"total": len(results.cells)},
        "failures": [_failure(cell) for cell in results.cells if cell.status == "failed"],
        "missing": [f"{c.label} · {c.fold} · seed {c.seed}" for c in results.cells if c.status == "missing"],
        "code_versions": sorted({c.record["code_version"] for c in results.done()}),
        "bootstrap": {"replicates": replicates, "clusters": "subject_id, training seed", "level": LEVEL},
    }


Ranked = tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Resampled]]


def compare(results: Results) -> Ranked:
    """Return the ranking over complete folds, every other algorithm's difference from the first, and what they rest on.

    All three are empty where no fold is finished for every algorithm.
    """
    complete = complete_folds(results)
    if not complete:
        return [], [], {}
    columns = {label: _judged(results, label, complete) for label in results.algorithms}
    samples = resample(columns, results.metric, replicates=results.replicates)
    ranking = _ranking(results, complete, samples)
    return ranking, _differences(ranking, samples), samples


def complete_folds(results: Results) -> list[str]:
    """Return the folds in which every algorithm finished every seed with a figure: those that can be compared."""
    return [
        fold
        for fold in results.folds
        if all(
            cell.status == "done" and cell.judged is not None
            for label in results.algorithms
            for cell in results.at(label, fold)
        )
    ]


def fold_matrix(results: Results) -> Matrix:
    """Return fold → algorithm → mean over seeds with its interval and oracle, None where nothing is finished."""
    return {
        fold: {label: _entry(results, results.at(label, fold)) for label in results.algorithms}
        for fold in results.folds
    }


def _entry(results: Results, cells: list[Cell]) -> dict[str, Any] | None:
    metric = results.metric
    done = [cell for cell in cells if cell.status == "done" and cell.judged is not None]
    judged = [cell.judged for cell in done if cell.judged is not None]
    if not judged:
        return None
    values = [float(getattr(cell.metrics, metric)) for cell in done]
    bounds = resample({"": judged}, metric, replicates=results.replicates)[""].interval()
    method = "bootstrap"
    if bounds is None or any(needs_exact(cell.scores, cell.threshold, metric) for cell in judged):
        exact = [exact_bounds(cell.scores, cell.threshold, metric) for cell in judged]
        bounds, method = (
            (float(np.mean([e[0] for e in exact])), float(np.mean([e[1] for e in exact]))),
            "clopper-pearson",
        )
    metrics = [cell.metrics for cell in done]
    return {
        "value": float(np.mean(values)),
        "low": bounds[0],
        "high": bounds[1],
        "interval": method,
        "spread": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "oracle": float(np.mean([getattr(m, f"oracle_{metric}") for m in metrics])),
        "gap": float(np.mean([getattr(m, f"gap_{metric}") for m in metrics])),
        **{n: _mean([getattr(m, n) for m in metrics]) for n in ("apcer", "bpcer", "hter", "acer", "auc", "eer")},
        **{n: _mean([getattr(m, n) for m in metrics]) for n in ("bpcer10", "bpcer20", "bpcer100", "tpr_at_fpr1")},
        "threshold": _mean([m.threshold for m in metrics]),
        "bonafide": metrics[0].counts["bonafide"],
        "attack": metrics[0].counts["attack"],
        "subjects": metrics[0].counts["subjects"],
        "seeds": [cell.seed for cell in done],
        "unfinished": len(cells) - len(done),
    }


def _judged(results: Results, label: str, folds: list[str]) -> list[Judged]:
    cells = [cell.judged for fold in folds for cell in results.at(label, fold)]
    return [cell for cell in cells if cell is not None]


def _ranking(results: Results, folds: list[str], samples: dict[str, Resampled]) -> list[dict[str, Any]]:
    """Algorithms by their mean over the complete folds, best first."""
    rows = []
    for label in results.algorithms:
        cells = [cell for fold in folds for cell in results.at(label, fold)]
        bounds = samples[label].interval()
        by_seed = [
            np.mean([getattr(cell.metrics, results.metric) for cell in cells if cell.seed == seed])
            for seed in results.seeds
        ]
        rows.append(
            {
                "algorithm": label,
                "setting": results.settings[label],
                "mean": float(np.mean([getattr(cell.metrics, results.metric) for cell in cells])),
                "low": bounds[0] if bounds else None,
                "high": bounds[1] if bounds else None,
                "seed_spread": float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None,
                "oracle": float(np.mean([getattr(cell.metrics, f"oracle_{results.metric}") for cell in cells])),
                "auc": _mean([cell.metrics.auc for cell in cells]),
            }
        )
    return sorted(rows, key=lambda row: (row["mean"], row["algorithm"]))


def _differences(ranking: list[dict[str, Any]], samples: dict[str, Resampled]) -> list[dict[str, Any]]:
    """Every other algorithm minus the best, paired, with intervals that hold for all pairs of algorithms together.

    All pairs, not those with the best alone: which one is best was read from the same data.
    """
    critical = critical_value([samples[row["algorithm"]] for row in ranking])
    out = []
    for row in ranking[1:]:
        difference = samples[row["algorithm"]] - samples[ranking[0]["algorithm"]]
        parts = difference.parts
        low = high = None
        if parts is not None:
            half = (critical or 0.0) * parts.error
            low, high = difference.mean - half, difference.mean + half
        out.append(
            {
                "algorithm": row["algorithm"],
                "minus": ranking[0]["algorithm"],
                "difference": row["mean"] - ranking[0]["mean"],
                "low": low if low is None else max(low, -1.0),
                "high": high if high is None else min(high, 1.0),
                "level": LEVEL,
                "critical": critical,
                "pairs": len(ranking) * (len(ranking) - 1) // 2,
                "sure": low is not None and critical is not None and low > 0,
                "same_setting": row["setting"] == ranking[0]["setting"],
            }
        )
    return out


def _over_folds(table: FloatArray, names: list[str]) -> dict[str, Any]:
    pairs = compare_pairs(table, names)
    return {
        "folds": len(table),
        "friedman": asdict(friedman(table, names)),
        "pairs": [asdict(pair) for pair in pairs],
        "reach": reach_sentence(len(table), len(pairs)) if pairs else "",
    }


def answer(results: Results, ranking: list[dict[str, Any]], differences: list[dict[str, Any]], folds: list[str]) -> str:
    """Say in one sentence what the study found, claiming no more than the intervals allow."""
    metric = results.metric.upper()
    kind = _verdict(ranking, differences)
    if kind == "none":
        return "No fold is finished for every algorithm yet, so there is no answer."
    top = ranking[0]
    over = f"over {len(folds)} unseen {unseen(results, len(folds))}"
    if kind == "single":
        return f"{top['algorithm']} reaches a mean {metric} of {percent(top['mean'])} {over}."
    lead = f"{points(differences[0]['difference'])} below {differences[0]['algorithm']}"
    if kind == "best":
        verb = "generalises best" if top["setting"] in ("generalisation", "") else "does best"
        return f"{top['algorithm']} {verb}: mean {metric} {percent(top['mean'])} {over}, {lead}."
    beaten = [d["algorithm"] for d in differences if d["sure"]]
    level = [d["algorithm"] for d in differences if not d["sure"]]
    if kind == "ahead":
        return (
            f"{top['algorithm']} has the lowest mean {metric}, {percent(top['mean'])} {over}: surely better than "
            f"{_list(beaten, 'and')}, not told apart from {_list(level, 'or')}."
        )
    return (
        f"No algorithm is surely best: {top['algorithm']} has the lowest mean {metric}, {percent(top['mean'])} {over}, "
        f"but is not told apart from {_list(level, 'or')}."
    )


def certainty(
    results: Results,
    ranking: list[dict[str, Any]],
    differences: list[dict[str, Any]],
    over_folds: dict[str, Any],
    folds: list[str],
) -> list[str]:
    """Say how sure the answer is, one plain sentence per reason to believe or doubt it."""
    out = [sentence] if (sentence := settings_sentence(results, ranking)) else []
    if ranking and differences:
        top, gap = ranking[0]["algorithm"], differences[0]
        subjects = len({s for c in results.done() if c.fold in folds for s in c.test.subject.tolist()})
        together = f" for all {gap['pairs']} pairs together" if gap["pairs"] > 1 else ""
        method = f"{100 * gap['level']:.4g} % interval{together}, paired over {subjects} test subjects"
        if len(results.seeds) > 1:
            method += f" and {len(results.seeds)} training seeds"
        if gap["low"] is not None:
            bounds = f"{signed(gap['low'])} to {signed(gap['high'])} points"
            out.append(f"{top}'s lead over {gap['algorithm']}: {points(gap['difference'])} ({bounds}; {method}).")
        clearest = min(over_folds["pairs"], key=lambda pair: pair["p"], default=None)
        if "cannot" in over_folds["reach"]:
            out.append(f"Counted by folds alone, {over_folds['reach']}")
        elif clearest is not None:
            better, worse = clearest["first"], clearest["second"]
            if clearest["difference"] > 0:
                better, worse = worse, better
            out.append(
                f"Counted by folds alone, the clearest difference is {better} below {worse}: signed-rank p "
                f"{clearest['p_holm']:.2g} after Holm's adjustment."
            )
    if ranking and len(results.seeds) == 1:
        out.append(
            "One training seed: how much another training run would differ is not in these intervals, so a difference "
            "is one between these trained networks, not yet between algorithms."
        )
    elif ranking and ranking[0]["seed_spread"] is not None:
        spread = max(row["seed_spread"] for row in ranking)
        out.append(f"Between training seeds an algorithm's mean varies by up to {points(spread)} (standard deviation).")
    unfinished = [cell for cell in results.cells if cell.status != "done"]
    if unfinished:
        gone = len(results.folds) - len(folds)
        verb = "fold is" if gone == 1 else "folds are"
        left = f"; {gone} {verb} left out of the comparison" if gone and folds else ""
        out.append(f"{len(unfinished)} of {len(results.cells)} runs are not finished{left}.")
    return out


def unseen(results: Results, count: int = 2) -> str:
    """Name what the protocol holds out, for `count` of them."""
    protocol = results.study.get("config", {}).get("protocol", {})
    names = {
        "species": ("attack type", "attack types"),
        "family": ("attack family", "attack families"),
        "device_profile": ("capture device", "capture devices"),
        "device_id": ("device unit", "device units"),
        "instrument_id": ("instrument", "instruments"),
        "leave_one_attack_and_device_out": ("attack and device", "attacks with devices"),
        "leave_one_domain_out": ("domain", "domains"),
        "cross_dataset": ("data set", "data sets"),
        "synthetic_to_real": ("synthetic share", "synthetic shares"),
        "random_subjects": ("set of subjects", "sets of subjects"),
    }
    by, name = protocol.get("by", ""), protocol.get("name", "")
    return names.get(by if isinstance(by, str) and by in names else name, ("fold", "folds"))[count != 1]


def percent(value: float | None, digits: int = 1) -> str:
    """Format a rate, an absent one as a dash.

    >>> percent(0.0456)
    '4.6 %'
    """
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def signed(value: float) -> str:
    """Format a difference of rates in points, with a typographic minus.

    >>> signed(-0.012)
    '−1.2'
    """
    return f"{100 * value:.1f}".replace("-", "−")


def points(value: float) -> str:
    """Format a difference of rates in percentage points.

    >>> points(0.031)
    '3.1 points'
    """
    return f"{signed(value)} points"


def _verdict(ranking: list[dict[str, Any]], differences: list[dict[str, Any]]) -> str:
    """`none`, `single`, `best` (surely ahead of all others), `ahead` (of some), or `tie` (of none)."""
    if not ranking:
        return "none"
    if not differences:
        return "single"
    sure = [d["sure"] for d in differences]
    return "best" if all(sure) else "ahead" if any(sure) else "tie"


def _list(names: list[str], word: str, most: int = 5, letters: int = 80) -> str:
    """Join names; of more than `most`, or of long ones, the first three at most and how many others.

    >>> _list(list("abcdefg"), "or")
    'a, b, c or 4 others'
    """
    if len(names) > most or sum(map(len, names)) > letters:
        kept = next((k for k in (3, 2) if k + 1 < len(names) and sum(map(len, names[:k])) <= letters // 2), 1)
        if kept + 1 < len(names):
            names = [*names[:kept], f"{len(names) - kept} others"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def _mean(values: list[float | None]) -> float | None:
    kept = [value for value in values if value is not None]
    return float(np.mean(kept)) if kept else None


def _value(matrix: Matrix, fold: str, label: str) -> float:
    entry = matrix[fold][label]
    return float("nan") if entry is None else float(entry["value"])


def _failure(cell: Cell) -> dict[str, Any]:
    return {
        "run": cell.run,
        "cell": f"{cell.label} · {cell.fold} · seed {cell.seed}",
        "reason": cell.record.get("reason", ""),
        "retry": cell.record.get("retry", ""),
    }
