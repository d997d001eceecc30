"""What the sections on calibration, costs, devices and power show, as plain values."""

from collections.abc import Sequence
from typing import Any

from spooflab.experiments.report.square_plots import cost_curve, device_rates, reliability


def calibration_view(summary: dict[str, Any], shown: Sequence[str]) -> dict[str, Any]:
    """Return a line and a diagram for each algorithm shown, and the errors by device and species."""
    found = _of(shown, summary["calibration"])
    told = {label: entry for label, entry in found.items() if "reason" not in entry}
    return {
        "lines": [
            {"label": label, "test": entry["test"], "dev": entry["dev"]}
            | {"svg": reliability(entry["curve"]["test"], entry["curve"]["dev"], label)}
            for label, entry in told.items()
        ],
        "left_out": {label: entry["reason"] for label, entry in found.items() if "reason" in entry},
        "groups": [
            _grouped(told, kind, heading) for kind, heading in (("by_device", "device"), ("by_species", "attack"))
        ],
    }


def _of(shown: Sequence[str], found: dict[str, Any]) -> dict[str, Any]:
    """Leave out the algorithms that a wide study's figures do not draw; summary.json has them all."""
    return {label: entry for label, entry in found.items() if label in shown}


def _grouped(told: dict[str, Any], kind: str, heading: str) -> dict[str, Any]:
    names = sorted({name for entry in told.values() for name in entry[kind]})
    rows = [{"name": name, "entries": [entry[kind].get(name) for entry in told.values()]} for name in names]
    return {"heading": heading, "columns": list(told), "rows": rows}


def costs_view(summary: dict[str, Any], shown: Sequence[str]) -> dict[str, Any]:
    """Return a table for each share of attacks, cheapest first, and a cost curve for each algorithm shown."""
    found = summary["costs"]
    if not found:
        return {}
    curves = dict(found["curves"])
    stake = curves.pop("stake")
    marks = [prior["stake"] for prior in found["priors"]]
    tables = []
    for prior in found["priors"]:
        rows = [{"label": label, **losses} for label, losses in _of(shown, prior["losses"]).items()]
        tables.append({**prior, "rows": sorted(rows, key=lambda row: (row["dev_cost"], row["label"]))})
    return {
        **{name: found[name] for name in ("cost_false_accept", "cost_false_reject", "currency", "named", "per")},
        "tables": tables,
        "figures": [{"label": n, "svg": cost_curve(stake, lines, marks, n)} for n, lines in _of(shown, curves).items()],
    }


def transfer_view(summary: dict[str, Any], shown: Sequence[str]) -> dict[str, Any]:
    """Return a figure and rows by device for each algorithm shown."""
    metric = summary["metric"]
    lines = []
    for label, devices in _of(shown, summary["threshold_transfer"]).items():
        if devices:
            rows = [{"device": n, "value": d[metric], "oracle": d[f"oracle_{metric}"], **d} for n, d in devices.items()]
            lines.append({"label": label, "svg": device_rates(devices, metric, label), "rows": rows})
    return {"lines": lines, "metric": metric.upper()}


def power_view(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the sentence, a line for each comparison, and a table of subjects by difference and seeds."""
    found = summary["power"]
    if not found:
        return {}
    differences = list(dict.fromkeys(entry["difference"] for entry in found["needed"]))
    seeds = list(dict.fromkeys(entry["seeds"] for entry in found["needed"]))
    need = {(entry["difference"], entry["seeds"]): entry["subjects"] for entry in found["needed"]}
    comparisons = [
        entry | {"share": entry["seed_variance"] / (entry["subject_variance"] + entry["seed_variance"])}
        for entry in found["comparisons"]
    ]
    return {
        **{name: found[name] for name in ("sentence", "critical", "subjects", "seeds", "folds")},
        "best": summary["best"],
        "comparisons": comparisons,
        "columns": seeds,
        "rows": [{"difference": d, "subjects": [need[d, s] for s in seeds]} for d in differences],
    }
