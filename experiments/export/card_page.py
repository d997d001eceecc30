"""The model card as a page: the same facts as the JSON, for people. Latency comes last, since it alone varies."""

from collections.abc import Mapping
from typing import Any

LATENCY_HEADING = "## Latency"


def card_page(card: Mapping[str, Any]) -> str:
    """Return the card as Markdown, up to the latency."""
    return "\n".join(
        [
            *_head(card),
            *_input(card),
            *_decision(card),
            *_training(card),
            *_judged(card),
            *_file(card),
            "## Limits\n",
            *(f"- {text}" for text in card["limits"]),
            "\n## Licence\n",
            f"Of the model: {card['licence']}.\n",
            *(f"- data: {name} ({count} rows)" for name, count in card["data"].get("licence", {}).items()),
            f"- backbone: {card['training']['backbone']['name']}\n",
        ]
    )


def latency_page(latency: Mapping[str, Any] | None) -> str:
    """Return the last section of the page."""
    if latency is None:
        return f"{LATENCY_HEADING}\n\nNot measured.\n"
    rows = [
        f"| {entry['pictures']} | {entry['median_ms']:g} ms | {entry['p95_ms']:g} ms | {entry['rounds']} |"
        for entry in latency["batches"]
    ]
    load = "" if latency["load_average"] is None else f", load average {latency['load_average']:g}"
    return "\n".join(
        [
            f"{LATENCY_HEADING}\n",
            f"On {latency['machine']}, {latency['runtime']}, {latency['threads']} thread"
            f"{'s' * (latency['threads'] != 1)}{load}; wall time of a call, decoding and resizing not included.\n",
            "| pictures | median | 95th percentile | rounds |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _head(card: Mapping[str, Any]) -> list[str]:
    model, training = card["model"], card["training"]
    held = f", {', '.join(card['held_out']['values'])} held out" if card["held_out"]["values"] else ""
    return [
        f"# {training['label']}{held}\n",
        f"{card['purpose']}\n",
        f"`{model['file']}`: {model['format']}, {model['precision']}, {model['bytes']:,} bytes, "
        f"sha256 `{model['sha256']}`.\n",
    ]


def _input(card: Mapping[str, Any]) -> list[str]:
    told = card["input"]
    shape = ", ".join(map(str, told["shape"]))
    return [
        "## Feeding it\n",
        f"- `{told['name']}`: {told['type']} ({shape}), {told['colour']}.",
        f"- Before the model: {told['before_the_model']}.",
        f"- Inside: {told['inside_the_model']}.",
        f"- Expected: {told['framing']}.",
        *(f"- Gives `{name}`: {text}." for name, text in card["output"].items()),
        "",
    ]


def _decision(card: Mapping[str, Any]) -> list[str]:
    told = card["decision"]
    rows = []
    for point in card["operating_points"]:
        # A target that is out of reach has no threshold and so no rates.
        rates = [_percent(point.get(name)) for name in ("dev_apcer", "dev_bpcer", "test_apcer", "test_bpcer")]
        goal = f"{point['target'].upper()} ≤ {point['at_most']:.0%}{'' if point['resolved'] else ' (too few rows)'}"
        rows.append(f"| {goal} | {_number(point['threshold'])} | {' | '.join(rates)} |")
    calibration = card["calibration"]
    return [
        "## Decision\n",
        f"Bona fide iff score ≥ **{told['threshold']!r}**: {told['chosen']} ({told['dev_bonafide']} bona fide, "
        f"{told['dev_attack']} attacks; EER {_percent(told['dev_eer'])}).\n",
        f"{calibration['words']} Expected calibration error on source-dev: {calibration['ece_before']:.4f} before, "
        f"{calibration['ece_after']:.4f} after the temperature {calibration['temperature']:g}.\n",
        "Other thresholds, chosen on source-dev (APCER is of the worst species):\n",
        "| target | threshold | dev APCER | dev BPCER | held-out APCER | held-out BPCER |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _training(card: Mapping[str, Any]) -> list[str]:
    training, data = card["training"], card["data"]
    return [
        "## Training\n",
        f"{training['algorithm']} ({training['setting']}), backbone {training['backbone']['name']}, seed "
        f"{training['seed']}, step {training['best_step']}, {training['rows']} images.\n",
        f"Data `{data['fingerprint'][:16]}`, by its {data['described_by']}: {data['rows']} rows, {data['subjects']} "
        f"subjects, {data['synthetic_share']:.0%} simulated.\n",
        f"- species: {', '.join(data['species_seen'])}",
        f"- devices: {', '.join(data['devices_seen'])}\n",
    ]


def _judged(card: Mapping[str, Any]) -> list[str]:
    told = card["held_out"]
    if told["figures"] is None:
        return ["## Held-out figures\n", "No rows were kept to judge it.\n"]
    counts = told["counts"]
    rows = []
    for name, entry in told["figures"].items():
        bounds = f"{_percent(entry['low'])} – {_percent(entry['high'])}" if "low" in entry else ""
        rows.append(f"| {name} | {_percent(entry['value'])} | {bounds} |")
    return [
        "## Held-out figures\n",
        f"This file's own scores of {counts['bonafide']} bona fide and {counts['attack']} attacks "
        f"({', '.join(told['values'])}), at the threshold above:\n",
        "| | value | 95 % interval |",
        "|---|---|---|",
        *rows,
        "",
        *(f"- {note}" for note in told["notes"]),
        *([""] if told["notes"] else []),
    ]


def _file(card: Mapping[str, Any]) -> list[str]:
    parity, small = card["parity"], card["int8"]
    lines = [
        "## Parity with PyTorch\n",
        f"Largest difference of a score {parity['score']:.1e} (at most {parity['tolerance']:g} was allowed) over "
        f"{parity['pictures']} source-dev pictures and {parity['synthetic']} made-up ones, in batches of "
        f"{', '.join(map(str, parity['batches']))}; of a log-odds {parity['log_odds']:.1e}. "
        f"{parity['dev_decisions_changed']} of {card['decision']['dev_bonafide'] + card['decision']['dev_attack']} "
        "source-dev decisions changed.\n",
    ]
    if small:
        lines += [
            "## 8 bits\n",
            f"{small['nodes']} convolutions and products in 8 bits ({small['way']}), {small['kept']} in float; ranges "
            f"from {small['calibration_rows']} pictures: {small['calibration']}. Parity above is of the float graph "
            "that was quantised.\n",
            "| AUC | float | 8 bits | lost |",
            "|---|---|---|---|",
            *(
                f"| {part} | {_percent(pair['float'])} | {_percent(pair['int8'])} | {100 * pair['lost']:.2f} points |"
                for part, pair in small["auc"].items()
            ),
            f"\nMean difference of a score {small['mean_score_difference']:.4f}, largest "
            f"{small['largest_score_difference']:.4f}.\n",
        ]
    return lines


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"


def _number(value: float | None) -> str:
    return "out of reach" if value is None else f"{value:.6g}"
