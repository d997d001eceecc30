"""Proof that nothing leaks: what train, dev and test share, counted for every fold before it is run."""

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spooflab.errors import DataError
from spooflab.experiments.fold import Fold, chain_parts


@dataclass(frozen=True)
class LeakCheck:
    """How many values of one kind two parts of a fold share.

    Attributes:
        what: the kind of value (`person`, `source`, `image`, `held out`, …).
        parts: the two parts compared, or the one part searched for held-out values.
        shared: number of values in common; 0 proves disjointness.
        checked: number of values compared.
        required: False for values that this protocol lets parts share, which are only reported.
        example: one shared value, empty if none.
    """

    what: str
    parts: str
    shared: int
    checked: int
    required: bool
    example: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the check as JSON-ready values."""
        return asdict(self)


_KINDS = {
    "sample": ("key",),
    "person": ("subject_id", "donor_id"),
    "source": ("source_id",),
    "image": ("image_sha256",),
    "instrument": ("instrument_id",),
    "device unit": ("device_id",),
}
_ALWAYS = ("sample", "person", "source", "image")
_HELD_OUT_KIND = {"instrument_id": "instrument", "device_id": "device unit", "device_profile": "device unit"}


def check_leaks(index: pa.Table, fold: Fold) -> list[LeakCheck]:
    """Compare the parts of a fold by key, person (subject or donor), source, image bytes, and what is held out.

    Devices and instruments may be shared unless they are what the protocol holds out; how many are is reported.
    """
    checks: list[LeakCheck] = []
    strict = (*_ALWAYS, _HELD_OUT_KIND.get(fold.column, ""))
    for what, columns in _KINDS.items():
        present = [name for name in columns if name in index.column_names]
        values = {part: _distinct(index, present, rows) for part, rows in fold.parts.items()}
        for left, right in combinations(fold.parts, 2):
            # Train and dev are one domain: only what would carry identity from one to the other is forbidden there.
            required = what in (strict if right == "test" else _ALWAYS)
            both = values[left] & values[right]
            seen = len(values[left] | values[right])
            checks.append(LeakCheck(what, f"{left} / {right}", len(both), seen, required, min(both, default="")))
    for part in ("train", "dev"):
        found = _held_out(index, fold, fold.parts[part])
        checks.append(LeakCheck("held out", part, len(found), len(fold.held_out), True, min(found, default="")))
    return checks


def require_no_leak(index: pa.Table, fold: Fold) -> list[LeakCheck]:
    """Return the checks of a fold that does not leak.

    Raises:
        DataError: two parts share what must be apart; the first shared value of each kind is named.
    """
    checks = check_leaks(index, fold)
    leaks = [c for c in checks if c.required and c.shared]
    if leaks:
        told = "; ".join(f"{c.shared} shared {c.what} in {c.parts} (e.g. {c.example})" for c in leaks)
        raise DataError(
            f"fold {fold.name} leaks: {told}",
            wanted="parts that share no sample, person, source, image or held-out value",
            next_step="give subjects that serve as each other's donors, or share a source, one subject_group",
        )
    return checks


def _distinct(index: pa.Table, columns: list[str], rows: NDArray[np.int64]) -> set[str]:
    found: set[str] = set()
    for name in columns:
        found |= set(index.column(name).take(pa.array(rows)).unique().to_pylist())
    return {str(value) for value in found if value not in (None, "")}


def _held_out(index: pa.Table, fold: Fold, rows: NDArray[np.int64]) -> set[str]:
    """Held-out values among `rows`; a chain counts as each of its parts, unless only the chain itself is held out."""
    values = _distinct(index, [fold.column], rows)
    if fold.column == "species":
        values |= {part for value in values for part in chain_parts(value)}
    return values & set(fold.held_out)
