"""The benchmark's table: every algorithm's figures over the folds, and what surely separates it from the baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spooflab.experiments.results import Results
from spooflab.experiments.scores import FloatArray
from spooflab.experiments.statistics import Judged, holm
from spooflab.experiments.summary import complete_folds, percent, signed, unseen
from spooflab.experiments.two_way import resample

REPLICATES = 10_000
"""So many that the smallest p outlives Holm's factor for a hundred comparisons."""
LEVEL = 0.05


@dataclass(frozen=True)
class Row:
    """One algorithm over all folds and seeds.

    Attributes:
        algorithm, setting: its name, and what it may see.
        acer, hter, auc: means.
        low, high: bounds of the study's metric.
        difference: of the study's metric, to the baseline's: negative is better. None for the baseline.
        bounds: of the difference.
        p: two-sided, adjusted by Holm for all algorithms of the table.
    """

    algorithm: str
    setting: str
    acer: float
    hter: float
    auc: float
    low: float
    high: float
    difference: float | None = None
    bounds: tuple[float, float] | None = None
    p: float | None = None

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or nothing where the two are not told apart."""
        if self.p is None or self.difference is None or self.p >= LEVEL:
            return ""
        return "better" if self.difference < 0 else "worse"


def benchmark_rows(results: Results, settings: Mapping[str, str], baseline: str) -> list[Row]:
    """Return the algorithms' rows, best mean of the study's metric first, over the folds that all have finished.

    Intervals and p come from one drawing of test subjects and training seeds (`two_way`; paired: all algorithms meet
    the same draws). The folds are not resampled: what is said holds for these attacks or devices.

    Args:
        results: a study's cells.
        settings: of each algorithm.
        baseline: whom the others are compared with.
    """
    folds = complete_folds(results)
    if not folds:
        return []
    cells = {name: [c for fold in folds for c in results.at(name, fold)] for name in results.algorithms}
    judged: dict[str, list[Judged]] = {
        name: [cell.judged for cell in some if cell.judged is not None] for name, some in cells.items()
    }
    samples = resample(judged, results.metric, replicates=REPLICATES)
    against = {name: samples[name] - samples[baseline] for name in results.algorithms if name != baseline}
    p_values = [two_sided(difference.mean + difference.deviations()) for difference in against.values()]
    adjusted = dict(zip(against, holm(p_values), strict=True))

    def mean(name: str, figure: str) -> float:
        return float(np.mean([getattr(cell.metrics, figure) for cell in cells[name]]))

    rows = []
    for name in results.algorithms:
        apart, bounds = name in adjusted, samples[name].interval() or (np.nan, np.nan)
        rows.append(
            Row(
                name,
                settings[name],
                acer=mean(name, "acer"),
                hter=mean(name, "hter"),
                auc=mean(name, "auc"),
                low=bounds[0],
                high=bounds[1],
                difference=mean(name, results.metric) - mean(baseline, results.metric) if apart else None,
                bounds=against[name].interval(lowest=-1.0) if apart else None,
                p=adjusted.get(name),
            )
        )
    return sorted(rows, key=lambda row: (getattr(row, results.metric), row.algorithm))


def two_sided(differences: FloatArray) -> float:
    """Return twice the smaller share of resampled differences on either side of 0; never 0 itself.

    >>> two_sided(np.array([0.1, 0.2, 0.3]))
    0.5
    """
    defined = differences[~np.isnan(differences)]
    beyond = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(defined) + 1))


def benchmark_table(rows: Sequence[Row], metric: str, baseline: str) -> str:
    """Return the rows as a Markdown table, one part for each setting."""
    others = "HTER" if metric == "acer" else "ACER"
    lines = [
        f"| algorithm | setting | {metric.upper()}, % (95 % interval) | {others}, % | AUC, % "
        f"| against {baseline}, points (95 % interval) | p (Holm) | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        value, other = (row.acer, row.hter) if metric == "acer" else (row.hter, row.acer)
        against = "" if row.difference is None else signed(row.difference)
        if row.bounds is not None:
            against += f" ({signed(row.bounds[0])} to {signed(row.bounds[1])})"
        p = "" if row.p is None else f"{row.p:.3f}" if row.p >= 0.001 else "< 0.001"
        figures = f"{100 * value:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f}) | {100 * other:.1f}"
        lines.append(
            f"| `{row.algorithm}` | {row.setting} | {figures} | {100 * row.auc:.1f} | {against} | {p} | {row.verdict} |"
        )
    return "\n".join(lines) + "\n"


def benchmark_words(results: Results, rows: Sequence[Row], baseline: str) -> str:
    """Say what is and what is not better than the baseline, in plain words."""
    base = next(row for row in rows if row.algorithm == baseline)
    value = percent(getattr(base, results.metric))
    folds = len(complete_folds(results))
    out = [
        f"{len(rows) - 1} algorithms against `{baseline}`, over {folds} unseen {unseen(results, folds)} and "
        f"{len(results.seeds)} seeds; `{baseline}` has a mean {results.metric.upper()} of {value}."
    ]
    for setting in dict.fromkeys(row.setting for row in rows):
        some = [row for row in rows if row.setting == setting and row.algorithm != baseline]
        groups = {word: [f"`{r.algorithm}`" for r in some if r.verdict == word] for word in ("better", "worse", "")}
        told = "; ".join(
            f"{words} than `{baseline}`: {', '.join(groups[kind]) or 'none'}"
            for kind, words in (("better", "surely better"), ("worse", "surely worse"))
        )
        out.append(f"{setting.capitalize()}: {told}; not told apart from it: {len(groups[''])} of {len(some)}.")
    left = [fold for fold in results.folds if fold not in complete_folds(results)]
    if left:
        out.append(f"Not finished, and left out: {', '.join(left)}.")
    return "\n".join(out) + "\n"
