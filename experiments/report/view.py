"""Everything that the page shows, as plain values: the template only lays it out."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import yaml

import spooflab
from spooflab.experiments.protocols import column
from spooflab.experiments.report.curves import Bounds, Curve, det, roc
from spooflab.experiments.report.explain import explain_view
from spooflab.experiments.report.focus import FEW, column_inks, shown_columns
from spooflab.experiments.report.glance import glance
from spooflab.experiments.report.heat_table import Head, HeatCell, HeatTables, entry_cell, heat_tables, rate_cell
from spooflab.experiments.report.palette import ATTACK, BONAFIDE, Ink, heat_stops
from spooflab.experiments.report.plots import critical_difference, histogram
from spooflab.experiments.report.ratio_curve import ratio_curve_view
from spooflab.experiments.report.statistics_view import calibration_view, costs_view, power_view, transfer_view
from spooflab.experiments.report.tables import ResultTable
from spooflab.experiments.report.worst import worst_cards
from spooflab.experiments.results import Cell, Results, row_interval
from spooflab.experiments.settings import SEEN, WORDS, by_setting
from spooflab.experiments.statistics import Friedman, Judged
from spooflab.experiments.summary import unseen
from spooflab.spoken import duration

_SHEET = 12
_PAIRS_LISTED = 28
_RUNS_LISTED = 400
"""Of more runs the page lists none: they would be most of its weight."""


def build_view(
    results: Results,
    summary: dict[str, Any],
    rows: list[dict[str, Any]],
    tables: Sequence[ResultTable] = (),
    show: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the template's variables.

    Args:
        results: the study's cells.
        summary: from `summarise`.
        rows: of `results_table`.
        tables: that stand beside the page.
        show: columns that the figures of a wide study draw besides the best and the baseline.
    """
    study = results.study
    shown = shown_columns(results, summary, show)
    ink = column_inks(results, shown)
    heads = _heads(results, summary)
    return {
        "title": study.get("config", {}).get("title") or f"Generalisation to unseen {unseen(results)}",
        "summary": summary,
        "metric": results.metric.upper(),
        "unseen": unseen(results, 1),
        "unseen_many": unseen(results),
        "algorithms": results.algorithms,
        "shown": shown,
        "settings_of": _setting_words(results),
        "groups": [(WORDS[setting], SEEN[setting], names) for setting, names in by_setting(results).items() if setting],
        "inks": ink,
        "classes": {"bona fide": BONAFIDE, "attack": ATTACK},
        "glance": glance(results, summary),
        "ranking": _ranking(summary, shown),
        "matrix": _matrix(results, summary, heads, shown),
        "fold_notes": [(fold["name"], fold["note"]) for fold in study.get("folds", []) if fold["note"]],
        "heat_stops": heat_stops(),
        "figures": _figures(results, summary, rows, shown, ink),
        "histograms": _histograms(results, shown),
        "worst": _worst(results, shown),
        "species": _species(results, heads, shown),
        "devices": _devices(results, heads, shown),
        "ratio_curve": ratio_curve_view(results, summary),
        "oracle_selection": _oracle_selection(results),
        "explain": explain_view(results),
        "over_folds": summary["over_folds"],
        "pairs": _pairs(summary),
        "cd": _cd(summary),
        "rows": rows,
        "study": study,
        "data": study.get("data"),
        "yes_no": {"True": "yes", "False": "no"},
        "leaks": _leaks(study),
        "damaged": results.damaged,
        "machines": sorted({_machine(cell) for cell in results.done()}),
        "version": spooflab.__version__,
        "training": _settings(results),
        "bands": sorted(_banded(results, summary)),
        "runs_done": len(results.done()),
        "runs_listed": _RUNS_LISTED,
        "hours": duration(sum(float(row["seconds"] or 0) for row in rows)),
        "configuration": yaml.safe_dump(study["config"], sort_keys=False, allow_unicode=True) if study else "",
        "tables": [table.view() for table in tables],
        "calibration": calibration_view(summary, shown),
        "costs": costs_view(summary, shown),
        "transfer": transfer_view(summary, shown),
        "power": power_view(summary),
    }


def _setting_words(results: Results) -> dict[str, str]:
    """Column → its setting in words; nothing where no run recorded one."""
    told = any(results.settings.values())
    return {label: WORDS[setting] if told else "" for label, setting in results.settings.items()}


def _heads(results: Results, summary: dict[str, Any]) -> list[Head]:
    """Headings of the columns; of many, in the order of the ranking, so that tables read from the best down."""
    names = results.algorithms
    if len(names) > FEW:
        ranked = [row["algorithm"] for row in summary["ranking"]]
        names = [*ranked, *(name for name in names if name not in ranked)]
    words = _setting_words(results)
    return [Head(name, words[name]) for name in names]


_RANKED = 12
"""Lines of the ranking that are shown at once; with a few more than that, all are."""


def _ranking(summary: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    """Bars on a common axis that starts at 0 and ends on a round figure above the highest bound."""
    rows = summary["ranking"]
    top = max([row["high"] if row["high"] is not None else row["mean"] for row in rows], default=1.0)
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2) if top / s <= 6)
    end = step * max(1, int(np.ceil(top / step - 1e-9)))
    ticks = [step * i for i in range(round(end / step) + 1)]
    first = len(rows) if len(rows) <= _RANKED + 3 else _RANKED
    folded = [row for row in rows[first:] if row["algorithm"] not in shown]
    return {"rows": [row for row in rows if row not in folded], "folded": folded, "end": end, "ticks": ticks}


def _matrix(results: Results, summary: dict[str, Any], heads: list[Head], shown: list[str]) -> HeatTables:
    matrix = summary["matrix"]
    folds = []
    for fold, entries in matrix.items():
        first = next((entry for entry in entries.values() if entry), None)
        folds.append(Head(fold, f"{first['attack']:,} attacks, {first['subjects']} people" if first else ""))

    def cell(fold: str, label: str) -> HeatCell:
        return entry_cell(matrix[fold][label], [c.status for c in results.at(label, fold)])

    rows = {row["algorithm"]: row for row in summary["ranking"]}
    best = summary["best"] if len(rows) > 1 else None

    def mean(label: str) -> HeatCell:
        row = rows.get(label)
        if row is None:
            return HeatCell(None, missing="missing")
        return HeatCell(row["mean"], row["low"], row["high"], best=label == best)

    return heat_tables("held out", folds, heads, cell, shown, mean if rows and len(folds) > 1 else None)


def _judged(cells: list[Cell]) -> list[tuple[Cell, Judged]]:
    return [(cell, judged) for cell in cells if cell.status == "done" and (judged := cell.judged) is not None]


def _figures(
    results: Results, summary: dict[str, Any], rows: list[dict[str, Any]], shown: list[str], ink: dict[str, Ink]
) -> list[dict[str, Any]]:
    """Curves of each fold; every seed is a line of its algorithm's colour, the best and the baseline have a band."""
    by_run = {row["run"]: row for row in rows}
    banded = _banded(results, summary)
    seeds = None if len(results.algorithms) <= FEW else 1  # further seeds of many columns hide each other
    out = []
    for fold in results.folds:
        curves = []
        for label in shown:
            for place, (cell, judged) in enumerate(_judged(results.at(label, fold))[:seeds]):
                row, first = by_run[cell.run], place == 0
                curves.append(
                    Curve(
                        label,
                        judged.scores,
                        judged.threshold,
                        ink[label],
                        faint=not first,
                        apcer=_bounds(row, "apcer"),
                        bpcer=_bounds(row, "bpcer"),
                        band=first and label in banded,
                    )
                )
        if curves:
            aucs = [(c.name, e["auc"]) for c in curves if not c.faint and (e := summary["matrix"][fold][c.name])]
            out.append({"fold": fold, "det": det(curves, fold), "roc": roc(curves, fold), "aucs": aucs})
    return out


def _banded(results: Results, summary: dict[str, Any]) -> set[str]:
    """Columns whose curves have a band: the best and the baseline, the study's first column."""
    return {summary["best"] or results.algorithms[0], results.algorithms[0]}


def _bounds(row: dict[str, Any], name: str) -> Bounds | None:
    interval = row_interval(row, name)
    return (interval.low, interval.high) if interval else None


def _histograms(results: Results, shown: list[str]) -> list[dict[str, Any]]:
    """One row of panels per fold; the first finished seed of each algorithm stands for it."""
    out = []
    for fold in results.folds:
        panels = []
        for label in shown:
            for cell, judged in _judged(results.at(label, fold))[:1]:
                panels.append(
                    {
                        "label": label,
                        "svg": histogram(judged.scores, judged.threshold, f"{fold}, {label}"),
                        "apcer": cell.metrics.apcer,
                        "bpcer": cell.metrics.bpcer,
                    }
                )
        if panels:
            out.append({"fold": fold, "panels": panels})
    return out


def _worst(results: Results, shown: list[str]) -> dict[str, Any]:
    done = results.done()
    sheets = []
    for fold in results.folds:
        cards = worst_cards([cell for cell in done if cell.fold == fold], "attack accepted", named=shown)
        sheets.append({"fold": fold, "cards": cards})
    return {
        "attacks": [sheet for sheet in sheets if sheet["cards"]],
        "clean": [s["fold"] for s in sheets if not s["cards"] and any(c.fold == s["fold"] for c in done)],
        "bonafide": worst_cards(done, "bona fide rejected", _SHEET, named=shown),
    }


Parts = dict[str, dict[str, list[Judged]]]


def _species(results: Results, heads: list[Head], shown: list[str]) -> HeatTables:
    """APCER of each attack species: mean over the folds that test it and over seeds."""
    parts: Parts = {}
    counts: dict[str, int] = {}
    for cell, judged in _judged(results.done()):
        scores = judged.scores
        for name in scores.attack_species:
            rows = scores.select(scores.attack & (scores.species == name))
            parts.setdefault(name, {}).setdefault(cell.label, []).append(Judged(rows, judged.threshold, judged.seed))
            counts[name] = max(counts.get(name, 0), len(rows))
    items = [Head(name, f"{counts[name]:,} images a fold") for name in sorted(parts)]
    return heat_tables("species", items, heads, _rates(parts, "apcer:{}", results.replicates), shown)


def _devices(results: Results, heads: list[Head], shown: list[str]) -> HeatTables:
    """BPCER of each device's bona fide test rows: mean over folds and seeds."""
    parts: Parts = {}
    counts: dict[str, int] = {}
    for cell, judged in _judged(results.done()):
        assert cell.scores is not None
        test = cell.scores.filter(_is_test(cell))
        device, genuine = column(test, "device"), column(test, "label") == "bonafide"
        for name in np.unique(device[genuine]).tolist():
            rows = judged.scores.select(genuine & (device == name))
            parts.setdefault(name, {}).setdefault(cell.label, []).append(Judged(rows, judged.threshold, judged.seed))
            counts[name] = max(counts.get(name, 0), len(rows))
    items = [Head(name, f"{counts[name]:,} images a fold") for name in sorted(parts)]
    return heat_tables("device", items, heads, _rates(parts, "bpcer", results.replicates), shown)


def _rates(parts: Parts, figure: str, replicates: int) -> Callable[[str, str], HeatCell]:
    def cell(item: str, label: str) -> HeatCell:
        judged = parts[item].get(label)
        return rate_cell(judged, figure.format(item), replicates) if judged else HeatCell(None, missing="missing")

    return cell


def _is_test(cell: Cell) -> Any:
    import pyarrow as pa

    assert cell.scores is not None
    return pa.array(column(cell.scores, "split") == "test")


def _pairs(summary: dict[str, Any]) -> dict[str, Any]:
    """Pairs of algorithms in order; of many, those with the smallest p."""
    pairs = summary["over_folds"].get("pairs", [])
    if len(pairs) <= _PAIRS_LISTED:
        return {"shown": pairs, "hidden": 0}
    ordered = sorted(pairs, key=lambda pair: (pair["p"], -abs(pair["difference"])))
    return {"shown": ordered[:_PAIRS_LISTED], "hidden": len(pairs) - _PAIRS_LISTED}


def _cd(summary: dict[str, Any]) -> Any:
    found = summary["over_folds"].get("friedman")
    return critical_difference(Friedman(**found)) if found and found["critical_difference"] else None


def _oracle_selection(results: Results) -> list[dict[str, Any]]:
    """One line per fold and column whose trainings noted test figures: means over seeds."""
    out = []
    for fold in results.folds:
        for label in results.algorithms:
            told = [
                cell.record["oracle_selection"] for cell in results.at(label, fold) if "oracle_selection" in cell.record
            ]
            if told and all(entry["gap"] is not None for entry in told):
                means = {name: float(np.mean([entry[name] for entry in told])) for name in ("chosen_eer", "eer", "gap")}
                out.append({"fold": fold, "label": label, **means})
    return out


_LEAK_NAMES = {"source": "source faces", "image": "pictures, to the byte", "held out": "held-out values"}


def _leaks(study: dict[str, Any]) -> list[dict[str, Any]]:
    """One line per kind of value over all folds: how much was compared, the most that any fold shares.

    A pair of parts that no fold could compare, because the data do not tell, has `shared` None.
    """
    out: dict[str, dict[str, Any]] = {}
    for fold in study.get("folds", []):
        for check in fold["leaks"]:
            what = check["what"]
            line = out.setdefault(
                what, {"what": _LEAK_NAMES.get(what, f"{what}s"), "checked": 0, "unrecorded": 0, "pairs": {}}
            )
            line["checked"] += check["checked"]
            line["unrecorded"] = max(line["unrecorded"], check.get("unrecorded", 0))
            pair = line["pairs"].setdefault(check["parts"], {"shared": check["shared"], "required": True})
            told = [count for count in (pair["shared"], check["shared"]) if count is not None]
            # One fold that cannot tell leaves the whole line unproven, unless another shows a leak.
            pair["shared"] = max(told) if told and (len(told) == 2 or max(told)) else None
            pair["required"] = pair["required"] and check["required"]
    return list(out.values())


def _machine(cell: Cell) -> str:
    machine = cell.record.get("machine", {})
    if not machine:
        return "unknown machine"
    threads = machine["threads"]
    return (
        f"{machine['system']}, {machine['cores']} cores, {machine['device']}, "
        f"{threads} thread{'s' * (threads != 1)} a run, torch {machine['torch']}"
    )


def _settings(results: Results) -> list[dict[str, Any]]:
    """Training settings of each algorithm; those shared by all once, under no name."""
    seen: dict[str, dict[str, list[Any]]] = {}
    for cell in results.done():
        for name, value in _flat(cell.record["identity"]["train_config"]):
            values = seen.setdefault(cell.label, {}).setdefault(name, [])
            if value not in values:
                values.append(value)
    # More than one value: chosen fold by fold.
    found = {
        label: {name: values[0] if len(values) == 1 else " | ".join(map(str, values)) for name, values in own.items()}
        for label, own in seen.items()
    }
    if not found:
        return []
    first = next(iter(found.values()))
    shared = {k: v for k, v in first.items() if all(other.get(k) == v for other in found.values())}
    lines = [{"label": "all", "settings": shared}] if len(found) > 1 else []
    own = [{"label": n, "settings": {k: v for k, v in s.items() if k not in shared}} for n, s in found.items()]
    return lines + (own if len(found) > 1 else [{"label": next(iter(found)), "settings": first}])


def _flat(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            out += _flat(value, f"{prefix}{name}.")
        elif value not in (None, {}):
            out.append((prefix + name, ", ".join(map(str, value)) if isinstance(value, list) else value))
    return out
