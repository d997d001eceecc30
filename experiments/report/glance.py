"""The three figures at the top of the page: which algorithm, by how much, how sure."""

from typing import Any

from spooflab.experiments.results import Results
from spooflab.experiments.summary import percent, points, signed, unseen


def glance(results: Results, summary: dict[str, Any]) -> list[dict[str, str]]:
    """Return label, value and remark of each figure; nothing where the study has no answer yet."""
    if not summary["ranking"]:
        return []
    top, differences = summary["ranking"][0], summary["differences"]
    bounds = "" if top["low"] is None else f", 95 %: {percent(top['low'])} to {percent(top['high'])}"
    out = [
        {
            "label": "Which" if differences else "What",
            "value": top["algorithm"],
            "note": f"mean {results.metric.upper()} {percent(top['mean'])}{bounds}",
        }
    ]
    if not differences:
        return out
    gap = differences[0]
    bounds = (
        "" if gap["low"] is None else f", {100 * gap['level']:.4g} %: {signed(gap['low'])} to {signed(gap['high'])}"
    )
    out.append(
        {
            "label": "By how much",
            "value": points(gap["difference"]),
            "note": f"below {gap['algorithm']}, the next{bounds}",
        }
    )
    folds, seeds = summary["folds_compared"], len(results.seeds)
    people = len({s for c in results.done() if c.fold in folds for s in c.test.subject.tolist()})
    base = f"{people} test people, {len(folds)} unseen {unseen(results, len(folds))}, {seeds} training seed"
    told = f"surely ahead of {_of(sum(d['sure'] for d in differences), len(differences))}"
    out.append({"label": "How sure", "value": told, "note": base + "s" * (seeds != 1)})
    return out


def _of(part: int, whole: int) -> str:
    """Say how many of the others.

    >>> _of(2, 3), _of(3, 3), _of(0, 1)
    ('2 of 3 others', 'all 3 others', 'no other')
    """
    if part == 0:
        return "no other"
    if part == whole:
        return f"all {whole} others" if whole > 1 else "the other"
    return f"{part} of {whole} others"
