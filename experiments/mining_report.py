"""The report of a mining run: one self-contained page, and the figures behind it as `summary.json`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

import spooflab
from spooflab.atomic import write_over
from spooflab.experiments.mining import ARMS
from spooflab.experiments.mining_physics import Effect, effects, paired_difference
from spooflab.experiments.mining_records import Record, read_records, read_results
from spooflab.experiments.report.palette import inks

_HERE = Path(__file__).parent
_STYLE = _HERE / "report" / "report.css"
FIGURES = (
    ("hard", "eer", "EER, hard attacks"),
    ("hard", "apcer", "hard attacks accepted"),
    ("test", "eer", "EER, random attacks"),
    ("test", "apcer", "random attacks accepted"),
    ("test", "bpcer", "bona fides rejected"),
    ("hard_bonafide", "bpcer", "hard bona fides rejected"),
)
"""Set, figure and heading: lower is better in all. The first is what the answer is about."""
SHOWN_FIELDS, SHOWN_CARDS = 8, 6
_PHASES = {
    "prior": "drawn at random",
    "prior bona fide": "bona fide at random",
    "start": "search: drawn at random",
    "search": "search: led",
    "draw": "drawn from the region",
    "counterpart": "bona fide, as the found attacks are photographed",
    "bonafide": "bona fide, searched",
}


def write_mining_report(out: Path) -> dict[str, Any]:
    """Write `summary.json` and `report.html` of a finished run, and return the summary.

    Raises:
        DataError: the run is not finished.
    """
    results = read_results(out)
    records = read_records(out, results)
    summary = summarise(results)
    write_over(out / "summary.json", (json.dumps(summary, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())
    write_over(out / "report.html", _render(results, records, summary).encode())
    return summary


def summarise(results: dict[str, Any]) -> dict[str, Any]:
    """Return means over seeds of the last round and paired differences between arms, by `set.figure`."""
    last = results["config"]["rounds"]
    values = {
        f"{part}.{figure}": {arm: _column(results, arm, last, part, figure) for arm in ARMS}
        for part, figure, _ in FIGURES
    }
    pairs = (("mined", "random"), ("mined", "erm"), ("random", "erm"))
    table = {
        name: {
            "mean": {arm: float(np.mean(column)) for arm, column in by_arm.items()},
            "difference": {f"{a}-{b}": paired_difference(by_arm[a], by_arm[b]) for a, b in pairs},
        }
        for name, by_arm in values.items()
    }
    return {"figures": table, "answer": _answer(table), "seeds": len(results["config"]["seeds"]), "rounds": last}


def _answer(table: dict[str, Any]) -> str:
    part, figure, _ = FIGURES[0]
    entry = table[f"{part}.{figure}"]
    apart = entry["difference"]["mined-random"]
    points = f"{abs(100 * apart['mean']):.1f} points"
    if apart["low"] is None or apart["low"] <= 0 <= apart["high"]:
        how = f"is not told apart from random drawing ({_signed(apart)})"
    else:
        how = f"{'beats' if apart['high'] < 0 else 'is worse than'} random drawing by {points} ({_signed(apart)})"
    return f"On attacks that are hard for other detectors, mining {how} at the same number of renders."


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _signed(entry: dict[str, float | None]) -> str:
    mean = entry["mean"]
    assert mean is not None
    if entry["low"] is None or entry["high"] is None:
        return f"{100 * mean:+.1f}, one seed"
    return f"{100 * mean:+.1f}; {100 * entry['low']:+.1f} to {100 * entry['high']:+.1f}"


def _column(results: dict[str, Any], arm: str, number: int, part: str, figure: str) -> list[float]:
    rows = [row for row in results["rounds"] if row["arm"] == arm and row["round"] == number]
    return [row[part][figure] for row in sorted(rows, key=lambda row: row["seed"])]


def _render(results: dict[str, Any], records: Sequence[Record], summary: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(points=_points, signed=_signed, field=field_name, number=_number)
    config = results["config"]
    species = [*config["generation"]["attacks"], "bonafide"]
    return environment.get_template("mining_report.html.j2").render(
        # Our own style sheet is the one text that goes in as it is; everything from data is escaped.
        css=Markup(_STYLE.read_text(encoding="utf-8")),  # noqa: S704  # a file of this package
        title=config["title"] or "Generator in the loop",
        version=spooflab.__version__,
        results=results,
        config=config,
        summary=summary,
        arms=ARMS,
        inks=inks(list(ARMS)),
        figures=[{"key": f"{p}.{f}", "heading": h, "svg": _curve(results, p, f, h)} for p, f, h in FIGURES],
        budget=_budget(results),
        acceptance=_learnt(results),
        hardest=_by_species_and_device(records),
        physics=[{"species": name, "rows": _shown(effects(records, name))} for name in species],
        sheets=_sheets(records, config),
    )


def _curve(results: dict[str, Any], part: str, figure: str, heading: str) -> Markup:
    """Draw a figure over the rounds: a thick line for each arm's mean, thin ones for its seeds."""
    rounds = results["config"]["rounds"]
    start = {arm: _column(results, "erm", 1, part, figure) for arm in ARMS}
    lines = {
        arm: np.array([start[arm]] + [_column(results, arm, n, part, figure) for n in range(1, rounds + 1)])
        for arm in ARMS
    }
    top = max(0.02, float(max(values.max() for values in lines.values()))) * 1.08
    width, height, left, bottom = 300, 190, 38, 26
    ink = inks(list(ARMS))

    def at(n: int, value: float) -> str:
        x = left + (width - left - 10) * n / rounds
        return f"{x:.1f},{8 + (height - bottom - 8) * (1 - value / top):.1f}"

    parts = []
    step = next(s for s in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if top / s <= 6)
    for tick in np.arange(0, top, step):
        y = at(0, float(tick)).split(",")[1]
        parts.append(
            f'<line x1="{left}" x2="{width - 10}" y1="{y}" y2="{y}" stroke="#e3e1db"/>'
            f'<text x="{left - 5}" y="{float(y) + 4}" text-anchor="end" font-size="11" fill="#5c5f66">'
            f"{100 * tick:.3g}</text>"
        )
    for n in range(rounds + 1):
        x = at(n, 0).split(",")[0]
        parts.append(
            f'<text x="{x}" y="{height - 8}" text-anchor="middle" font-size="11" fill="#5c5f66">'
            f"{'base' if n == 0 else n}</text>"
        )
    for arm, values in lines.items():
        colour, dash = ink[arm].colour, f' stroke-dasharray="{ink[arm].dash}"' if ink[arm].dash else ""
        for seed in range(values.shape[1]):
            points = " ".join(at(n, float(v)) for n, v in enumerate(values[:, seed]))
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" opacity=".22"/>')
        points = " ".join(at(n, float(v)) for n, v in enumerate(values.mean(1)))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.4"{dash}/>')
    label = f"{heading}, per cent, over rounds"
    return Markup(f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{{}}">').format(label) + Markup(  # noqa: S704
        "".join(parts) + "</svg>"
    )


def _budget(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Renders, refusals and how often the detector was fooled: by arm, round and phase, over seeds."""
    lines: dict[tuple[str, int, str], dict[str, Any]] = {}
    for row in results["rounds"]:
        for phase, count in row["spent"].items():
            key = (row["arm"], row["round"], phase)
            line = lines.setdefault(
                key, {"arm": key[0], "round": key[1], "phase": _PHASES[phase], "renders": 0, "refused": 0, "fooled": 0}
            )
            for name in ("renders", "refused", "fooled"):
                line[name] += count[name]
    return [line | {"rate": line["fooled"] / max(1, line["renders"] - line["refused"])} for line in lines.values()]


def _learnt(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Acceptance before and after each training, of what an arm was taught and of the found region on new faces."""
    lines = []
    for arm in ARMS:
        for number in range(1, results["config"]["rounds"] + 1):
            rows = [r for r in results["rounds"] if r["arm"] == arm and r["round"] == number]
            line: dict[str, Any] = {"arm": arm, "round": number}
            for part in ("new", "found"):
                known = [row[part] for row in rows if row[part]]
                for when in ("before", "after"):
                    line[f"{part}_{when}"] = float(np.mean([k[when] for k in known])) if known else None
            lines.append(line)
    return lines


def _by_species_and_device(records: Sequence[Record]) -> dict[str, Any]:
    """How often the prior's draws fooled, and how the found region's draws spread, by species and device profile."""
    rows = [r for r in records if r.made]
    species = sorted({r.species for r in rows})
    profiles = sorted({r.line["point"]["device"].split("/")[0] for r in rows})
    cells = []
    for name in species:
        line = []
        for profile in profiles:
            here = [r for r in rows if r.species == name and r.line["point"]["device"].split("/")[0] == profile]
            prior = [r.trial["fooled"] for r in here if r.trial["phase"] in ("prior", "start")]
            led = sum(r.trial["phase"] in ("search", "draw") for r in here)
            line.append({"rate": float(np.mean(prior)) if prior else None, "prior": len(prior), "led": led})
        cells.append({"species": name, "cells": line})
    return {"profiles": profiles, "rows": cells}


def _shown(found: Sequence[Effect]) -> list[dict[str, Any]]:
    """The strongest sure effects; a field that says what a stronger one says (one cause) is left out by its stem."""
    out: list[dict[str, Any]] = []
    seen: set[str] = set()
    for effect in found:
        stem = effect.field.rstrip(".0123456789")
        if effect.p < 0.05 and stem not in seen and len(out) < SHOWN_FIELDS:
            seen.add(stem)
            out.append(vars(effect))
    return out


def _sheets(records: Sequence[Record], config: dict[str, Any]) -> list[dict[str, Any]]:
    """The strongest attacks of each round, mined and control, of the first seed."""
    sheets = []
    for number in range(1, config["rounds"] + 1):
        for arm in ("mined", "random"):
            rows = [
                r
                for r in records
                if r.seed == config["seeds"][0]
                and r.round == number
                and r.arm == arm
                and r.made
                and r.species != "bonafide"
            ]
            rows.sort(key=lambda r: (-r.trial["log_odds"], r.trial["key"]))
            sheets.append({"round": number, "arm": arm, "cards": [_card(r) for r in rows[:SHOWN_CARDS]]})
    return sheets


def _card(record: Record) -> dict[str, Any]:
    facts = {n: v for n, v in record.physics.items() if n.startswith("facts.")}
    lux = record.physics.get("device.lux")
    shown = [field_name(name) + f" {value:.3g}" for name, value in list(facts.items())[:5]]
    return {
        "image": record.image,
        "species": record.species,
        "device": record.line["point"]["device"],
        "instrument": record.line["record"]["instrument"],
        "odds": record.trial["log_odds"],
        "fooled": record.trial["fooled"],
        "facts": shown + ([f"scene {lux:.3g} lux"] if lux is not None else []),
    }


def field_name(name: str) -> str:
    """Say a dotted field in words; the unit stays in it.

    >>> field_name("attack.scene.key_radius_deg")
    'attack: scene key radius deg'
    """
    first, _, rest = name.partition(".")
    words = rest.replace(".", " ").replace("_", " ")
    return words if first == "facts" else f"{first}: {words}"
