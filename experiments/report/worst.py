"""Contact sheets of the worst errors: the samples that fooled most detectors, with their physics."""

import base64
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spooflab.experiments.results import Cell

SHOWN = 6


@dataclass
class _Mistake:
    row: dict[str, Any]
    scores: dict[str, list[float]]
    wrong_by: dict[str, int]

    @property
    def wrong(self) -> int:
        return sum(self.wrong_by.values())


def worst_cards(
    cells: Iterable[Cell], error: str, shown: int = SHOWN, named: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """Return the samples that most runs got wrong, then those wrong by the most.

    Args:
        cells: finished runs that judged the same rows.
        error: `attack accepted` or `bona fide rejected`.
        shown: cards at most.
        named: algorithms whose scores a card lists; the others are counted. None lists all.
    """
    cells = [cell for cell in cells if cell.worst is not None and cell.metrics.threshold is not None]
    mistakes: dict[str, _Mistake] = {}
    for cell in cells:
        assert cell.worst is not None
        for row in cell.worst.to_pylist():
            if row["error"] == error:
                mistakes.setdefault(row["key"], _Mistake(row, {}, {}))
    for cell in cells:
        threshold = cell.metrics.threshold
        assert threshold is not None
        place = {key: i for i, key in enumerate(cell.test.key.tolist())}
        for key, mistake in mistakes.items():
            if key in place:
                score = float(cell.test.score[place[key]])
                mistake.scores.setdefault(cell.label, []).append(score)
                accepted = np.isnan(score) or score >= threshold if error == "attack accepted" else score >= threshold
                wrong = int(accepted == (error == "attack accepted"))
                mistake.wrong_by[cell.label] = mistake.wrong_by.get(cell.label, 0) + wrong
    sign = -1 if error == "attack accepted" else 1
    order = sorted(mistakes.items(), key=lambda item: (-item[1].wrong, sign * _mean(item[1]), item[0]))
    judged = {key: sum(len(v) for v in m.scores.values()) for key, m in order}
    return [_card(key, mistake, judged[key], named) for key, mistake in order[:shown]]


def _mean(mistake: _Mistake) -> float:
    values = [v for scores in mistake.scores.values() for v in scores if not np.isnan(v)]
    return float(np.mean(values)) if values else 0.0


def _card(key: str, mistake: _Mistake, judged: int, named: Collection[str] | None) -> dict[str, Any]:
    row = mistake.row
    mostly = {label: mistake.wrong_by[label] * 2 > len(values) for label, values in mistake.scores.items()}
    others = [wrong for label, wrong in mostly.items() if named is not None and label not in named]
    facts = json.loads(row["facts"] or "{}")
    return {
        "key": key,
        "species": row["species"],
        "device": row["device"],
        "instrument": row["instrument"] or "",
        "wrong": mistake.wrong,
        "judged": judged,
        "scores": [
            {"label": label, "score": _figure(float(np.mean(values))), "wrong": mostly[label]}
            for label, values in mistake.scores.items()
            if named is None or label in named
        ],
        "others": {"count": len(others), "wrong": sum(others)},
        "facts": [_fact(name, value) for name, value in facts.items()],
        "image": "data:image/jpeg;base64," + base64.b64encode(row["thumbnail"]).decode() if row["thumbnail"] else "",
    }


def _figure(score: float) -> str:
    return "no score" if np.isnan(score) else f"{score:.2f}"


_UNITS = {"mm": " mm", "um": " µm", "deg": "°", "px": " px", "ms": " ms", "hz": " Hz", "nits": " cd/m²", "ppi": " ppi"}


def _fact(name: str, value: float) -> tuple[str, str]:
    """Split `distance_mm` 412.3 into `distance` and `412 mm`.

    >>> _fact("lattice_cycles_per_px", 0.4567)
    ('lattice cycles/px', '0.457')
    """
    shown = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    stem, _, unit = name.rpartition("_")
    if unit in _UNITS and stem and not stem.endswith("_per"):
        name, shown = stem, shown + _UNITS[unit]
    return name.rpartition(".")[2].replace("_per_", "/").replace("_", " "), shown
