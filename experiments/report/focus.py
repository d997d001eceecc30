"""Which columns a wide study's figures show: nobody reads forty-five curves in one frame."""

from collections.abc import Sequence
from typing import Any

from spooflab.errors import ConfigError
from spooflab.experiments.report.palette import Ink, inks
from spooflab.experiments.results import Results

FEW = 8
"""Up to so many columns, everything is shown: each has a colour and a dash of its own."""
SHOWN = 6
_GREY = Ink("#8a8d94", "")


def shown_columns(results: Results, summary: dict[str, Any], chosen: Sequence[str] = ()) -> list[str]:
    """Return the columns that figures draw, in the study's order; all of them where there are few.

    Of many: those asked for, the best, the baseline (the study's first column), the best of each setting, and then
    the ranking from its top until `SHOWN` are found. Tables still hold every column, folded away.

    Raises:
        ConfigError: `chosen` names a column that the study does not have.
    """
    names = results.algorithms
    if unknown := [name for name in chosen if name not in names]:
        raise ConfigError(f"--show {' '.join(unknown)}", wanted=f"columns of the study: {', '.join(names)}")
    if len(names) <= FEW:
        return names
    ranked = [row["algorithm"] for row in summary["ranking"]]
    first = [best["algorithm"] for best in summary["best_by_setting"].values()]
    order = list(dict.fromkeys([*chosen, *ranked[:1], *names[:1], *first, *ranked, *names]))
    kept = set(order[: max(SHOWN, len(chosen))])
    return [name for name in names if name in kept]


def column_inks(results: Results, shown: list[str]) -> dict[str, Ink]:
    """Return each column's ink: own colours for those shown, grey for the rest."""
    return dict.fromkeys(results.algorithms, _GREY) | inks(shown)
