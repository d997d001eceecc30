"""Everything that the page shows, as plain values: the template only lays it out."""

from typing import Any

import numpy as np

import spooflab
from spooflab.experiments.protocols import column
from spooflab.experiments.report.palette import ATTACK, BONAFIDE, heat, heat_stops, inks
from spooflab.experiments.report.plots import Curve, critical_difference, det, histogram
from spooflab.experiments.report.statistics_view import calibration_view, costs_view, power_view, transfer_view
from spooflab.experiments.report.worst import worst_cards
from spooflab.experiments.results import Cell, Results
from spooflab.experiments.settings import SEEN, WORDS, by_setting
from spooflab.experiments.statistics import (
    Friedman,
    Judged,
    clopper_pearson,
    needs_exact,
    rate_errors,
)
from spooflab.experiments.summary import unseen
from spooflab.experiments.two_way import resample

_SHEET = 12


def build_view(results: Results, summary: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the template's variables.

    Args:
        results: the study's cells.
        summary: from `summarise`.
        rows: of `results_table`.
    """
    study = results.study
    return {
        "title": study.get("config", {}).get("title") or f"Generalisation to unseen {unseen(results)}",
        "summary": summary,
        "metric": results.metric.upper(),
        "unseen": unseen(results, 1),
        "unseen_many": unseen(results),
        "algorithms": results.algorithms,
        "settings_of": {label: WORDS[setting] for label, setting in results.settings.items()},
        "groups": [(WORDS[setting], SEEN[setting], names) for setting, names in by_setting(results).items()],
        "inks": inks(results.algorithms),
        "classes": {"bona fide": BONAFIDE, "attack": ATTACK},
        "ranking": _ranking(summary),
        "matrix": _matrix(results, summary),
        "means": _means(results, summary),
        "heat_stops": heat_stops(),
        "figures": _figures(results),
        "histograms": _histograms(results),
        "worst": _worst(results),
        "devices": _devices(results),
        "over_folds": summary["over_folds"],
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
        "calibration": calibration_view(summary),
        "costs": costs_view(summary),
        "transfer": transfer_view(summary),
        "power": power_view(summary),
    }


def _ranking(summary: dict[str, Any]) -> dict[str, Any]:
    """Bars on a common axis that starts at 0 and ends on a round figure above the highest bound."""
    rows = summary["ranking"]
    top = max([row["high"] if row["high"] is not None else row["mean"] for row in rows], default=1.0)
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2) if top / s <= 6)
    end = step * max(1, int(np.ceil(top / step - 1e-9)))
    ticks = [step * i for i in range(round(end / step) + 1)]
    return {"rows": rows, "end": end, "ticks": ticks}


def _matrix(results: Results, summary: dict[str, Any]) -> list[dict[str, Any]]:
    notes = {fold["name"]: fold["note"] for fold in results.study.get("folds", [])}
    lines = []
    for fold, entries in summary["matrix"].items():
        cells = []
        for label, entry in entries.items():
            states = [cell.status for cell in results.at(label, fold)]
            background, text = heat(entry["value"]) if entry else ("", "")
            missing = "failed" if "failed" in states else "missing" if "missing" in states else "no figure"
            cells.append({"entry": entry, "background": background, "text": text, "missing": missing})
        known = [c["entry"]["value"] for c in cells if c["entry"]]
        best = min(known) if len(known) > 1 else None
        for cell in cells:
            cell["best"] = bool(cell["entry"] and best is not None and cell["entry"]["value"] == best)
        first = next((entry for entry in entries.values() if entry), None)
        lines.append({"fold": fold, "cells": cells, "note": notes.get(fold, ""), "counts": first})
    return lines


def _means(results: Results, summary: dict[str, Any]) -> list[dict[str, Any] | None]:
    """Last line of the matrix: the ranking's means in the order of the columns."""
    rows = {row["algorithm"]: row for row in summary["ranking"]}
    best = summary["best"] if len(rows) > 1 else None
    out: list[dict[str, Any] | None] = []
    for label in results.algorithms:
        row = rows.get(label)
        background, text = heat(row["mean"]) if row else ("", "")
        out.append({**row, "background": background, "text": text, "best": label == best} if row else None)
    return out


def _judged(cells: list[Cell]) -> list[tuple[Cell, Judged]]:
    return [(cell, judged) for cell in cells if cell.status == "done" and (judged := cell.judged) is not None]


def _figures(results: Results) -> list[dict[str, Any]]:
    """One DET figure per fold; every seed is a line of its algorithm's colour."""
    ink = inks(results.algorithms)
    out = []
    for fold in results.folds:
        curves = [
            Curve(label, judged.scores, judged.threshold, ink[label], faint=place > 0)
            for label in results.algorithms
            for place, (_, judged) in enumerate(_judged(results.at(label, fold)))
        ]
        if curves:
            out.append({"fold": fold, "svg": det(curves, fold)})
    return out


def _histograms(results: Results) -> list[dict[str, Any]]:
    """One row of panels per fold; the first finished seed of each algorithm stands for it."""
    out = []
    for fold in results.folds:
        panels = []
        for label in results.algorithms:
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


def _worst(results: Results) -> dict[str, Any]:
    done = results.done()
    sheets = []
    for fold in results.folds:
        cards = worst_cards([cell for cell in done if cell.fold == fold], "attack accepted")
        sheets.append({"fold": fold, "cards": cards})
    return {
        "attacks": [sheet for sheet in sheets if sheet["cards"]],
        "clean": [s["fold"] for s in sheets if not s["cards"] and any(c.fold == s["fold"] for c in done)],
        "bonafide": worst_cards(done, "bona fide rejected", _SHEET),
    }


def _devices(results: Results) -> list[dict[str, Any]]:
    """BPCER of each device's bona fide test rows: mean over folds and seeds, subjects resampled."""
    by_device: dict[str, dict[str, list[Judged]]] = {}
    counts: dict[str, int] = {}
    for cell, judged in _judged(results.done()):
        assert cell.scores is not None
        test = cell.scores.filter(_is_test(cell))
        device, genuine = column(test, "device"), column(test, "label") == "bonafide"
        for name in np.unique(device[genuine]).tolist():
            rows = judged.scores.select(genuine & (device == name))
            by_device.setdefault(name, {}).setdefault(cell.label, []).append(
                Judged(rows, judged.threshold, judged.seed)
            )
            counts[name] = max(counts.get(name, 0), len(rows))
    out = []
    for name in sorted(by_device):
        entries: list[dict[str, Any] | None] = []
        for label in results.algorithms:
            judged_rows = by_device[name].get(label)
            entries.append(_rate(judged_rows, results.replicates) if judged_rows else None)
        out.append({"device": name, "images": counts[name], "entries": entries})
    return out


def _is_test(cell: Cell) -> Any:
    import pyarrow as pa

    assert cell.scores is not None
    return pa.array(column(cell.scores, "split") == "test")


def _rate(judged: list[Judged], replicates: int) -> dict[str, Any]:
    from spooflab.experiments.metrics import rates_at

    value = float(np.mean([rates_at(j.scores, j.threshold)["bpcer"][0] for j in judged]))
    bounds = resample({"": judged}, "bpcer", replicates=replicates)[""].interval()
    exact = bounds is None or any(needs_exact(j.scores, j.threshold, "bpcer") for j in judged[:1])
    if exact:  # nothing to resample: the images of one fold, taken as independent
        bounds = clopper_pearson(*rate_errors(judged[0].scores, judged[0].threshold)[0])
    background, text = heat(value)
    return {"value": value, "bounds": bounds, "exact": exact, "background": background, "text": text}


def _cd(summary: dict[str, Any]) -> Any:
    found = summary["over_folds"].get("friedman")
    return critical_difference(Friedman(**found)) if found and found["critical_difference"] else None


_LEAK_NAMES = {"person": "people (subjects and donors)", "source": "source faces", "held out": "held-out values"}


def _leaks(study: dict[str, Any]) -> list[dict[str, Any]]:
    """One line per kind of value over all folds: how much was compared, the most that any fold shares."""
    out: dict[str, dict[str, Any]] = {}
    for fold in study.get("folds", []):
        for check in fold["leaks"]:
            what = check["what"]
            line = out.setdefault(what, {"what": _LEAK_NAMES.get(what, f"{what}s"), "checked": 0, "pairs": {}})
            line["checked"] += check["checked"]
            pair = line["pairs"].setdefault(check["parts"], {"shared": 0, "required": True})
            pair["shared"] = max(pair["shared"], check["shared"])
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
