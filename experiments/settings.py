"""What each column of a study was allowed to see, and what may be said when columns saw different things."""

from typing import Any

from spooflab.experiments.results import Results

WORDS = {
    "generalisation": "generalisation",
    "adaptation": "adaptation",
    "test_time": "test time",
    "": "setting unknown",
}
"""Setting → how reports call it."""

SEEN = {
    "generalisation": "saw images of the sources alone",
    "adaptation": "trained on the unlabelled test images as well",
    "test_time": "adapted to the unlabelled test images while scoring them",
    "": "saw what its run did not record",
}
"""Setting → what a column of it saw."""


def by_setting(results: Results) -> dict[str, list[str]]:
    """Return setting → columns, both in order."""
    found: dict[str, list[str]] = {}
    for setting in WORDS:
        columns = [label for label in results.algorithms if results.settings[label] == setting]
        if columns:
            found[setting] = columns
    return found


def best_by_setting(results: Results, ranking: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return setting → its first row of a ranking: algorithm and mean."""
    out: dict[str, dict[str, Any]] = {}
    for row in ranking:
        out.setdefault(results.settings[row["algorithm"]], {"algorithm": row["algorithm"], "mean": row["mean"]})
    return out


def settings_sentence(results: Results, ranking: list[dict[str, Any]] | None = None) -> str:
    """Say that columns of different settings are different tasks; empty where all are of one.

    Many columns of a setting are counted, and the best of it in the ranking is named. The sentence stands with every
    ranking: a column that saw the test images has had help that others had not.
    """
    groups = by_setting(results)
    if len(groups) < 2:
        return ""
    best = best_by_setting(results, ranking or [])
    parts = [f"{_columns(columns, best.get(setting))} {SEEN[setting]}" for setting, columns in groups.items()]
    return f"Not the same task: {'; '.join(parts)}. A difference between settings is not one between algorithms."


def _columns(names: list[str], best: dict[str, Any] | None, most: int = 5) -> str:
    if len(names) <= most:
        return ", ".join(names)
    lead = f" (lowest: {best['algorithm']}, {100 * best['mean']:.1f} %)" if best else ""
    return f"{len(names)} columns{lead}"
