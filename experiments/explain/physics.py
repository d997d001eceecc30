"""Which recorded physics goes with being accepted, asked of one algorithm's finished runs."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from spooflab.experiments.explain.importance import (
    Explained,
    explain_acceptance,
    mean_by_key,
    readiness_ranks,
)
from spooflab.experiments.explain.parameters import read_parameters
from spooflab.experiments.protocols import column
from spooflab.experiments.results import Results


def explain_physics(
    results: Results, label: str, index: pa.Table, *, fold: str | None, seed: int | None, root: int
) -> dict[str, Any]:
    """Ask for each species, over the folds that judged it, and over all: which recorded physics goes with passing.

    Args:
        results: the study.
        label: the algorithm; all its finished runs count, or those of one fold or training seed.
        index: the data set's rows.
        fold, seed: which runs; None takes all.
        root: seed of the forests and permutations.
    """
    cells = [c for c in results.done() if c.label == label and fold in (None, c.fold) and seed in (None, c.seed)]
    tests = [cell.test for cell in cells]
    keys, readiness = mean_by_key(
        [test.key[test.attack] for test in tests],
        [readiness_ranks(test.score[test.attack], test.species[test.attack]) for test in tests],
    )
    place = {key: row for row, key in enumerate(column(index, "key").tolist())}
    rows = index.take(pa.array([place[key] for key in keys.tolist()], type=pa.int64()))
    species = column(rows, "species")

    def explain(some: Any, least_known: float) -> dict[str, Any]:
        own = rows.take(pa.array(np.flatnonzero(some)))
        parameters = read_parameters(own, least_known)
        people, groups = column(own, "subject_id"), column(own, "subject_group")
        return _plain(explain_acceptance(parameters, readiness[some], people, groups, seed=root))

    names = sorted(set(species.tolist()))
    found = {name: explain(species == name, 0.5) for name in names}
    # Over all species only what every attack has: where a parameter is unknown would tell which species it was.
    every = explain(np.ones(len(keys), dtype=bool), 1.0) if len(names) > 1 else None
    return {
        "species": found,
        "all": every,
        "runs": sorted(cell.run for cell in cells),
        "folds": sorted({cell.fold for cell in cells}),
        "seeds": sorted({cell.seed for cell in cells}),
    }


_KEPT = 12


def _plain(found: Explained) -> dict[str, Any]:
    """JSON-ready, with the strongest rows alone: hundreds of parameters are noise by the page."""
    short = asdict(found)
    return short | {"importances": short["importances"][:_KEPT], "univariate": short["univariate"][:_KEPT]}
