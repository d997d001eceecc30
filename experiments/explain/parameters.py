"""The recorded physics of attacks as a table of numbers, and which of its columns move together."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from spooflab.errors import DataError
from spooflab.experiments.protocols import column
from spooflab.experiments.recorded_physics import recorded_physics
from spooflab.experiments.scores import FloatArray

TOGETHER = 0.7
"""|Spearman| from which two parameters are taken as one cause: permuting one alone would leave its twin to tell."""

_PARTS = ("attack", "device", "facts", "attacked_share")
_LONGEST = 9
"""Longest list that is read, a 3 × 3 matrix: longer ones are codes of a shape or a field, and no one parameter."""
_PROFILE = "device_profile"
"""A label, not a parameter: which model of camera it was. Each of its values is a column."""


@dataclass(frozen=True)
class Parameters:
    """Physical parameters of N attacks.

    Attributes:
        names: dotted name of each column, unit in it; a value of a label as `device_profile=dslr`.
        values: (N, P), NaN where a parameter is not recorded.
    """

    names: tuple[str, ...]
    values: FloatArray

    @property
    def causes(self) -> tuple[str, ...]:
        """What each column is a part of: itself, or the label that it is a value of."""
        return tuple(name.partition("=")[0] for name in self.names)


def read_parameters(rows: pa.Table, least_known: float = 0.5) -> Parameters:
    """Read the parameters of an index's rows: those that vary, and are known for a share `least_known` or more.

    Drawn parameters of the attack and the camera, the figures that follow from them, and of the shown face what its
    source recorded of its looks. Seeds, long lists, quality figures and everything about files are left out.

    Raises:
        DataError: a row's `params` is not a JSON object.
    """
    found = [
        _physics(key, text) for key, text in zip(*(column(rows, c).tolist() for c in ("key", "params")), strict=True)
    ]
    names = sorted({name for row in found for name in row})
    values = np.array([[row.get(name, np.nan) for name in names] for row in found]).reshape(len(found), len(names))
    profile = column(rows, _PROFILE)
    labels = sorted(set(profile.tolist()))
    names += [f"{_PROFILE}={label}" for label in labels]
    table = np.column_stack([values, *((profile == label).astype(float) for label in labels)])
    kept = [place for place in range(len(names)) if _tells(table[:, place], least_known)]
    return Parameters(tuple(names[place] for place in kept), table[:, kept])


def _physics(key: str, text: str) -> dict[str, float]:
    try:
        record: Any = json.loads(text or "{}")
    except ValueError as error:
        raise DataError(
            f"sample {key}: params are not JSON: {error}", wanted="the object that its maker stored"
        ) from error
    if not isinstance(record, dict):
        raise DataError(f"sample {key}: params are a {type(record).__name__}", wanted="a JSON object")
    target = (record.get("faces") or {}).get("target") or {}
    parts = {name: record[name] for name in _PARTS if isinstance(record.get(name), dict)}
    found = recorded_physics(**parts, face=target.get("physics") or {})
    length = Counter(_stem(name) for name in found)
    return {name: value for name, value in found.items() if length[_stem(name)] <= _LONGEST}


def _stem(name: str) -> str:
    return name.rstrip(".0123456789")


def _tells(values: FloatArray, least_known: float) -> bool:
    known = values[np.isfinite(values)]
    return len(known) >= max(2.0, least_known * len(values)) and float(np.ptp(known)) > 0


def correlated_groups(parameters: Parameters, together: float = TOGETHER) -> list[list[int]]:
    """Return the columns in groups that move together, by average linkage of 1 − |Spearman|.

    Values of one label are always one group. Unknown values take the column's middle rank.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    count = len(parameters.names)
    if count < 2:
        return [[place] for place in range(count)]
    apart = 1 - np.abs(rank_correlations(parameters.values))
    causes = np.array(parameters.causes)
    apart[causes[:, None] == causes[None]] = 0
    np.fill_diagonal(apart, 0)
    number = fcluster(linkage(squareform(np.clip(apart, 0, 1), checks=False), "average"), 1 - together, "distance")
    groups: dict[int, list[int]] = {}
    for place, group in enumerate(number.tolist()):
        groups.setdefault(group, []).append(place)
    return sorted(groups.values())


def rank_correlations(values: FloatArray) -> FloatArray:
    """Return (P, P) Spearman correlations of columns (N, P); unknown values take the middle rank."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=0, nan_policy="omit")
    centred = ranks - np.nanmean(ranks, axis=0)
    centred[~np.isfinite(centred)] = 0
    norms = np.sqrt((centred**2).sum(0))
    scaled = centred / np.where(norms > 0, norms, 1)
    found: FloatArray = scaled.T @ scaled
    return found


def spokesman(names: Sequence[str]) -> str:
    """Return the name that stands for a group: its derived figure if it has one, else the shortest.

    >>> spokesman(["attack.panel", "facts.panel_ppi"])
    'facts.panel_ppi'
    """
    return min(names, key=lambda name: (not name.startswith("facts."), len(name), name))
