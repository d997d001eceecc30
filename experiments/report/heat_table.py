"""A heat table: rates with their intervals, laid out so that the longer side runs down the page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spooflab.experiments.report.focus import FEW
from spooflab.experiments.report.palette import heat
from spooflab.experiments.statistics import Judged, clopper_pearson
from spooflab.experiments.two_way import resample


@dataclass(frozen=True)
class Head:
    """Heading of a line or column with a remark in small print."""

    name: str
    note: str = ""


@dataclass(frozen=True)
class HeatCell:
    """One rate; without a value, `missing` says why.

    Attributes:
        value: error rate, 0 to 1.
        low, high: its interval, where there is one.
        exact: whether the interval is an exact binomial one.
        best: whether it is the lowest of its item (fold, species, device).
        missing: what stands there instead of a value.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    exact: bool = False
    best: bool = False
    missing: str = ""

    @property
    def background(self) -> str:
        """Colour of the cell, darker for more errors."""
        return heat(self.value)[0] if self.value is not None else ""

    @property
    def text(self) -> str:
        """Colour of its text."""
        return heat(self.value)[1] if self.value is not None else ""


@dataclass(frozen=True)
class HeatTable:
    """Rows of cells under columns; `mean_row` or `mean_column` is set apart.

    Attributes:
        corner: heading of the headings.
        columns, rows: headings; each row with its cells.
        mean: which line is a mean: `row` (the last), `column` (the first), or none.
    """

    corner: str
    columns: list[Head]
    rows: list[tuple[Head, list[HeatCell]]]
    mean: str = ""


@dataclass(frozen=True)
class HeatTables:
    """What is shown at once, and the whole where that is only a part of it."""

    shown: HeatTable
    whole: HeatTable | None = None


def heat_tables(
    corner: str,
    items: Sequence[Head],
    algorithms: Sequence[Head],
    cell: Callable[[str, str], HeatCell],
    shown: Sequence[str],
    mean: Callable[[str], HeatCell] | None = None,
) -> HeatTables:
    """Lay out items (folds, species, devices) against algorithms.

    Few algorithms stand across, items down. Many stand down the page in the order given, items across and the mean
    first, since a page scrolls downwards more easily than sideways: once for the columns shown, once for all.

    Args:
        corner: heading of the items.
        items, algorithms: headings, in order.
        cell: item and algorithm → cell.
        shown: algorithms that are shown at once.
        mean: algorithm → its mean over items.
    """
    grid = {item.name: {head.name: cell(item.name, head.name) for head in algorithms} for item in items}
    for line in grid.values():
        known = [c.value for c in line.values() if c.value is not None]
        lowest = min(known) if len(known) > 1 else None
        for name, entry in line.items():
            line[name] = replace(entry, best=entry.value is not None and entry.value == lowest)
    if len(algorithms) <= FEW:
        rows = [(item, [grid[item.name][head.name] for head in algorithms]) for item in items]
        if mean is None:
            return HeatTables(HeatTable(corner, list(algorithms), rows))
        rows.append((Head("mean"), [mean(head.name) for head in algorithms]))
        return HeatTables(HeatTable(corner, list(algorithms), rows, "row"))

    def down(heads: Sequence[Head]) -> HeatTable:
        columns = [Head("mean"), *items] if mean else list(items)
        lines = [
            (head, [*([mean(head.name)] if mean else []), *(grid[item.name][head.name] for item in items)])
            for head in heads
        ]
        return HeatTable("algorithm", columns, lines, "column" if mean else "")

    return HeatTables(down([head for head in algorithms if head.name in shown]), down(algorithms))


def rate_cell(judged: list[Judged], figure: str, replicates: int) -> HeatCell:
    """Return one rate as the mean over cells, with its interval.

    Args:
        judged: rows of one column's cells, reduced to those the rate is counted on.
        figure: `bpcer`, or `apcer:SPECIES`.
        replicates: resamples of subjects (and training seeds).

    Where resampling is blind (every resample repeats the rate: it is 0 or 1, or rests on one subject), the exact
    binomial interval of one cell's rows stands instead; it takes rows as independent.
    """
    from spooflab.experiments.metrics import rates_at

    value = float(np.mean([rates_at(j.scores, j.threshold)[figure][0] for j in judged]))
    bounds = resample({"": judged}, figure, replicates=replicates)[""].interval()
    if bounds is None or bounds[0] == bounds[1]:
        rows = int((judged[0].scores.attack == (figure != "bpcer")).sum())
        return HeatCell(value, *clopper_pearson(round(value * rows), rows), exact=True)
    return HeatCell(value, *bounds)


def missing_cell(states: Sequence[str]) -> HeatCell:
    """Return the cell of runs that gave no figure, saying why."""
    word = "failed" if "failed" in states else "missing" if "missing" in states else "no figure"
    return HeatCell(None, missing=word)


def entry_cell(entry: dict[str, Any] | None, states: Sequence[str]) -> HeatCell:
    """Return the cell of one entry of the summary's matrix."""
    if entry is None:
        return missing_cell(states)
    return HeatCell(entry["value"], entry["low"], entry["high"], exact=entry["interval"] == "clopper-pearson")
