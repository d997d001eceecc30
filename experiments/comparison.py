"""Two studies side by side: what differs in their set-up, and by how much their errors do, paired where it may be."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spooflab.errors import DataError
from spooflab.experiments.results import Cell, Results
from spooflab.experiments.statistics import LEVEL, Judged
from spooflab.experiments.summary import percent, points, signed
from spooflab.experiments.two_way import resample

PAIRED, SHARED, UNPAIRED = "paired", "paired on shared rows", "unpaired"


@dataclass(frozen=True)
class Match:
    """One algorithm and fold that both studies finished.

    Attributes:
        algorithm, fold: which.
        first, second: cells of the two studies, seed by seed.
        pairing: `paired` (the same test rows), `paired on shared rows`, or `unpaired`.
        shared, rows: test rows in common, and in either.
    """

    algorithm: str
    fold: str
    first: list[Judged]
    second: list[Judged]
    pairing: str
    shared: int
    rows: int


def compare_studies(first: Results, second: Results, *, require_pairs: bool = False) -> dict[str, Any]:
    """Return the comparison of two studies as JSON-ready values, the answer first. Differences are second − first.

    Cells are matched by the heading of their column and the name of their fold. Where the data set is the same, test
    rows are matched by key and the difference is resampled with the same people on both sides; otherwise each study's
    people are resampled by themselves, and the answer says so.

    Args:
        first, second: the studies.
        require_pairs: refuse anything that is not paired.

    Raises:
        DataError: other metrics, nothing in common, keys that mean other samples, or no pairs where they are required.
    """
    if first.metric != second.metric:
        raise DataError(
            f"one study compares by {first.metric.upper()}, the other by {second.metric.upper()}",
            wanted="the same metric in both",
            next_step="set `metric` in one configuration and run that study again: no training is repeated",
        )
    matches, left_out = _match(first, second)
    if require_pairs and (odd := [m for m in matches if m.pairing != PAIRED]):
        raise DataError(
            f"{odd[0].algorithm}, fold {odd[0].fold}: {odd[0].shared} of {odd[0].rows} test rows are in both studies",
            wanted="the same data set and the same test rows, which --paired asks for",
            next_step="leave --paired out to compare them as independent samples",
        )
    metric, replicates = first.metric, min(first.replicates, second.replicates)
    overall = _difference(matches, metric, replicates, LEVEL)
    names = list(dict.fromkeys(match.algorithm for match in matches))
    level = 1 - (1 - LEVEL) / len(names)
    columns = [
        {"algorithm": name} | _difference([m for m in matches if m.algorithm == name], metric, replicates, level)
        for name in names
    ]
    cells = [
        {"algorithm": m.algorithm, "fold": m.fold, "shared": m.shared, "rows": m.rows}
        | _difference([m], metric, replicates, LEVEL)
        for m in matches
    ]
    differs = differences_of_setup(first, second)
    same = not left_out and all(_same_scores(first, second, m) for m in matches)
    return {
        "answer": _answer(overall, same, differs, metric, matches, columns),
        "certainty": _certainty(first, second, matches, columns, level, left_out, same),
        "same": same,
        "metric": metric,
        "overall": overall,
        "columns": columns,
        "cells": cells,
        "differs": differs,
        "left_out": left_out,
        "bootstrap": {"replicates": replicates, "clusters": "subject_id, training seed", "level": LEVEL},
    }


def _match(first: Results, second: Results) -> tuple[list[Match], list[dict[str, str]]]:
    """Match cells by column and fold; what has no partner is listed with the reason."""
    same_data = _fingerprint(first) == _fingerprint(second) != ""
    held = [{fold["name"]: fold["held_out"] for fold in study.study.get("folds", [])} for study in (first, second)]
    matches: list[Match] = []
    left_out: list[dict[str, str]] = []
    labels = list(dict.fromkeys([*first.algorithms, *second.algorithms]))
    folds = list(dict.fromkeys([*first.folds, *second.folds]))
    for label in labels:
        for fold in folds:
            pair = [_finished(study.at(label, fold)) for study in (first, second)]
            reason = ""
            if not all(pair):
                absent = [name for name, cells in zip(("first", "second"), pair, strict=True) if not cells]
                reason = f"no finished run in the {' and the '.join(absent)} study"
            elif held[0].get(fold) != held[1].get(fold):
                reason = f"the fold holds out {held[0].get(fold)} in one study, {held[1].get(fold)} in the other"
            if not reason:
                match = _pair(label, fold, _same_seeds(*pair), same_data)
                if match is not None:
                    matches.append(match)
                    continue
                reason = "the shared test rows lack a class"
            left_out.append({"algorithm": label, "fold": fold, "reason": reason})
    if not matches:
        told = [f"columns {', '.join(s.algorithms)}; folds {', '.join(s.folds)}" for s in (first, second)]
        raise DataError(
            f"no algorithm and fold is finished in both studies: {told[0]} | {told[1]}",
            wanted="at least one column with the same heading and one fold with the same name",
            next_step="give matching columns the same `label`",
        )
    return matches, left_out


def _finished(cells: list[Cell]) -> list[Judged]:
    return [j for cell in cells if cell.status == "done" and (j := cell.judged) is not None]


def _same_seeds(first: list[Judged], second: list[Judged]) -> tuple[list[Judged], list[Judged]]:
    """Keep the training seeds that both have; where they share none, pair seeds in their order."""
    sides = [sorted(side, key=lambda j: j.seed) for side in (first, second)]
    common = {j.seed for j in first} & {j.seed for j in second}
    if common:
        sides = [[j for j in side if j.seed in common] for side in sides]
    else:
        sides = [[replace(j, seed=place) for place, j in enumerate(side)] for side in sides]
    size = min(map(len, sides))
    return sides[0][:size], sides[1][:size]


def _pair(label: str, fold: str, cells: tuple[list[Judged], list[Judged]], same_data: bool) -> Match | None:
    left, right = cells[0][0].scores, cells[1][0].scores
    keys = set(left.key.tolist()), set(right.key.tolist())
    shared, rows = len(keys[0] & keys[1]), len(keys[0] | keys[1])
    if not same_data or not shared:
        return Match(label, fold, *cells, UNPAIRED, shared if same_data else 0, rows)
    meaning = [
        {k: (s, p) for k, s, p in zip(x.key.tolist(), x.species.tolist(), x.subject.tolist(), strict=True)}
        for x in (left, right)
    ]
    for key in sorted(keys[0] & keys[1]):
        if meaning[0][key] != meaning[1][key]:
            raise DataError(
                f"{label}, fold {fold}: test row {key} is {' of '.join(meaning[0][key])} in one study and "
                f"{' of '.join(meaning[1][key])} in the other",
                wanted="keys that name the same samples, as the same data fingerprint promises",
                next_step="run one of the two studies again from its data",
            )
    if shared == rows:
        return Match(label, fold, *cells, PAIRED, shared, rows)
    kept = np.array(sorted(keys[0] & keys[1]))
    cut = [[replace(j, scores=j.scores.select(np.isin(j.scores.key, kept))) for j in some] for some in cells]
    if any(j.scores.attack.all() or not j.scores.attack.any() for some in cut for j in some):
        return None
    return Match(label, fold, cut[0], cut[1], SHARED, shared, rows)


def _difference(matches: Sequence[Match], metric: str, replicates: int, level: float) -> dict[str, Any]:
    """Means of both studies over these cells, and the interval of their difference."""
    from spooflab.experiments.metrics import rates_at

    sides = [[j for m in matches for j in getattr(m, side)] for side in ("first", "second")]
    means = [float(np.mean([rates_at(j.scores, j.threshold)[metric][0] for j in side])) for side in sides]
    paired = all(match.pairing != UNPAIRED for match in matches)
    bounds = _bounds(sides[0], sides[1], metric, replicates, level, paired)
    return {
        "first": means[0],
        "second": means[1],
        "difference": means[1] - means[0],
        "low": bounds[0] if bounds else None,
        "high": bounds[1] if bounds else None,
        "level": level,
        "sure": bool(bounds and (bounds[0] > 0 or bounds[1] < 0)),
        "pairing": next((m.pairing for m in matches if m.pairing != PAIRED), PAIRED) if paired else UNPAIRED,
        "cells": len(matches),
    }


def _bounds(
    first: list[Judged], second: list[Judged], metric: str, replicates: int, level: float, paired: bool
) -> tuple[float, float] | None:
    if paired:
        both = resample({"first": first, "second": second}, metric, replicates=replicates)
        return (both["second"] - both["first"]).interval(level, lowest=-1.0)
    # Seeds 0 and 1 draw the first study's people and trainings, 2 and 3 the second's: independent of each other.
    alone = [
        resample({"": side}, metric, replicates=replicates, seed=2 * place)[""]
        for place, side in enumerate((first, second))
    ]
    errors = [side.deviations() for side in alone]
    if not all(map(len, errors)):
        return None
    low, high = np.nanquantile(errors[1] - errors[0], [(1 - level) / 2, (1 + level) / 2])
    between = alone[1].mean - alone[0].mean
    return max(-1.0, float(between + low)), min(1.0, float(between + high))


def differences_of_setup(first: Results, second: Results) -> dict[str, list[dict[str, Any]]]:
    """Return what differs in configuration, protocol, data and code: part → lines with key and both values."""
    out: dict[str, list[dict[str, Any]]] = {}
    configs = [_named(study.study.get("config", {})) for study in (first, second)]
    protocols = [config.pop("protocol", {}) for config in configs]
    out["protocol"] = _unlike(protocols[0], protocols[1])
    out["configuration"] = _unlike(configs[0], configs[1])
    data = [study.study.get("data") or {} for study in (first, second)]
    out["data"] = _unlike(data[0], data[1])
    code = [
        {
            "spooflab": sorted({c.record["code_version"] for c in study.done()}),
            "torch": sorted({str(c.record.get("machine", {}).get("torch", "")) for c in study.done()}),
            "device": sorted({str(c.record.get("machine", {}).get("device", "")) for c in study.done()}),
        }
        for study in (first, second)
    ]
    out["code"] = _unlike(code[0], code[1])
    return {part: lines for part, lines in out.items() if lines}


_NOT_RESULTS = ("workers", "title", "data", "bootstrap", "cache")
"""Settings that change no score."""


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, (dict, list, str)) and not value)


def _named(config: dict[str, Any]) -> dict[str, Any]:
    """Algorithms by heading instead of by place, and without what changes no score."""
    out = {key: value for key, value in config.items() if key not in _NOT_RESULTS}
    columns = {}
    for entry in out.pop("algorithms", []):
        method = entry.get("test_time")  # absent from studies of older versions
        label = entry.get("label") or (f"{entry['name']} + {method}" if method else entry["name"])
        columns[label] = {key: value for key, value in entry.items() if key != "label"}
    return {**out, "algorithms": columns}


def _unlike(left: Any, right: Any, name: str = "") -> list[dict[str, Any]]:
    """Walk two JSON values and return the leaves that differ, None where one lacks it.

    A setting that one study lacks and the other leaves empty is no difference: older versions did not know it.
    """
    if left == right or (_empty(left) and _empty(right)):
        return []
    if isinstance(left, dict) and isinstance(right, dict):
        keys = list(dict.fromkeys([*left, *right]))
        return [x for k in keys for x in _unlike(left.get(k), right.get(k), f"{name}.{k}" if name else str(k))]
    return [{"key": name, "first": left, "second": right}]


def _fingerprint(study: Results) -> str:
    planned = (study.study.get("data") or {}).get("fingerprint")
    seen = {str(cell.record["identity"]["data"]) for cell in study.done()}
    return str(planned) if planned else seen.pop() if len(seen) == 1 else ""


def _same_scores(first: Results, second: Results, match: Match) -> bool:
    """Whether both studies gave every row of this cell, dev and test, the same score with every seed."""
    sides = []
    for study in (first, second):
        cells = [cell for cell in study.at(match.algorithm, match.fold) if cell.scores is not None]
        sides.append(
            {
                (cell.seed, key, split): score
                for cell in cells
                if cell.scores is not None
                for key, split, score in zip(
                    *(cell.scores.column(n).to_pylist() for n in ("key", "split", "score")), strict=True
                )
            }
        )
    # A row without a score is None or NaN in both: repr makes them equal.
    return {k: repr(v) for k, v in sides[0].items()} == {k: repr(v) for k, v in sides[1].items()}


def _answer(
    overall: dict[str, Any],
    same: bool,
    differs: dict[str, Any],
    metric: str,
    matches: list[Match],
    columns: list[dict[str, Any]],
) -> str:
    if same:
        but = (
            f" Their {', '.join(differs)} {'differs' if len(differs) == 1 else 'differ'} all the same."
            if differs
            else ""
        )
        return f"The same: every score of both studies is equal.{but}"
    folds = len({match.fold for match in matches})
    over = (
        f"over {len(columns)} shared algorithm{'s' * (len(columns) != 1)} and {folds} shared fold{'s' * (folds != 1)}"
    )
    figures = f"mean {metric.upper()} {percent(overall['second'])} against {percent(overall['first'])} {over}"
    away = points(abs(overall["difference"]))
    if overall["low"] is None:
        return f"The second study has {figures}; too few people for an interval, so nothing sure can be said."
    bounds = f"{signed(overall['low'])} to {signed(overall['high'])}"
    if overall["sure"]:
        word = "lower" if overall["difference"] < 0 else "higher"
        sentence = f"The second study's error is surely {word}: {figures}, {away} {word} (difference {bounds})."
    else:
        sentence = f"The two are not told apart: {figures} (difference {bounds} points)."
    return sentence + (" Not paired: the test rows are others." if overall["pairing"] == UNPAIRED else "")


def _certainty(
    first: Results,
    second: Results,
    matches: list[Match],
    columns: list[dict[str, Any]],
    level: float,
    left_out: list[dict[str, str]],
    same: bool,
) -> list[str]:
    """Say what the answer rests on, one plain sentence each."""
    if same:
        return [f"{len(matches)} cells (algorithm × fold) were compared, row by row."]
    out = []
    kinds = {kind: sum(m.pairing == kind for m in matches) for kind in (PAIRED, SHARED, UNPAIRED)}
    if kinds[PAIRED]:
        out.append(f"{kinds[PAIRED]} of {len(matches)} cells are paired: both studies judged the same test rows.")
    if kinds[SHARED]:
        out.append(
            f"{kinds[SHARED]} cells are compared on the test rows that both judged; the other rows are left out."
        )
    if kinds[UNPAIRED]:
        why = "data differ" if _fingerprint(first) != _fingerprint(second) else "test rows differ"
        out.append(
            f"{kinds[UNPAIRED]} cells are not paired, because their {why}: each study's people are resampled by "
            "themselves, and a difference is one of data and detectors together."
        )
    if len(columns) > 1:
        sure = [column for column in columns if column["sure"]]
        lower = [column["algorithm"] for column in sure if column["difference"] < 0]
        higher = [column["algorithm"] for column in sure if column["difference"] > 0]
        parts = [f"{', '.join(names)} surely {word}" for names, word in ((lower, "lower"), (higher, "higher")) if names]
        told = "; ".join(parts) or "no algorithm surely differs"
        out.append(
            f"One by one, in the second study: {told} ({100 * level:.4g} % intervals for {len(columns)} of them)."
        )
    seeds = [set(study.seeds) for study in (first, second)]
    if seeds[0] != seeds[1]:
        rule = "those in common are compared" if seeds[0] & seeds[1] else "none is shared, so they are paired in order"
        out.append(f"Training seeds are {sorted(seeds[0])} and {sorted(seeds[1])}: {rule}.")
    if max(len({j.seed for j in m.first}) for m in matches) == 1:
        out.append("One training seed: how much another training run would differ is not in these intervals.")
    if left_out:
        out.append(f"{len(left_out)} cells have no partner and are left out.")
    return out
