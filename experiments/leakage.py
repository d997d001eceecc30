"""Proof that nothing leaks: what train, dev and test share, counted for every fold before it is run."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from spooflab.errors import DataError
from spooflab.experiments.fold import Fold, Held, chain_parts
from spooflab.experiments.index_columns import column, domains, texts
from spooflab.experiments.near_duplicates import NearPair
from spooflab.experiments.scores import BoolArray, IntArray
from spooflab.taxonomy import is_species, species_of


@dataclass(frozen=True)
class LeakCheck:
    """How many values of one kind two parts of a fold share.

    Attributes:
        what: the kind of value (`subject`, `donor`, `source`, `image`, `near-duplicate`, `held out`, …).
        parts: the two parts compared, or the one part searched for held-out values.
        shared: number of values in common; 0 proves disjointness; None says that the data do not tell.
        checked: number of values compared.
        required: False for values that this protocol lets parts share, which are only reported.
        example: one shared value, empty if none.
        keys: a sample of each part that has it.
        unrecorded: rows of these parts that ought to have a value, and whose record lacks it.
    """

    what: str
    parts: str
    shared: int | None
    checked: int
    required: bool
    example: str = ""
    keys: tuple[str, ...] = ()
    unrecorded: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the check as JSON-ready values."""
        return asdict(self)

    @property
    def told(self) -> str:
        """The leak in words."""
        names = self.parts.split(" / ")
        keys = ", ".join(f"{key} in {part}" for key, part in zip(self.keys, names, strict=False))
        return f"{self.shared} shared {self.what} in {self.parts} (e.g. {self.example}{': ' if keys else ''}{keys})"


@dataclass(frozen=True)
class _Seen:
    """Values of one part: the first key (in order of keys) of each, and how many rows lack one they ought to have."""

    first: dict[str, str]
    lacking: int
    due: int

    @property
    def untold(self) -> bool:
        return self.due > 0 and self.lacking == self.due


_COLUMNS = {
    "sample": "key",
    "subject": "subject_id",
    "donor": "donor_id",
    "source": "source_id",
    "image": "image_sha256",
    "instrument": "instrument_id",
    "device unit": "device_id",
    "device": "device_profile",
}
_UNKNOWN = re.compile(r'"subjects_known":\s*0\b')
_ALWAYS = ("sample", "subject", "donor", "source", "image", "near-duplicate")
_KIND_OF = {
    "instrument_id": ("instrument",),
    "device_id": ("device unit",),
    "device_profile": ("device unit", "device"),
}


def check_leaks(
    index: pa.Table, fold: Fold, *, near: Sequence[NearPair] | None = None, disjoint: Sequence[str] = ()
) -> list[LeakCheck]:
    """Compare the parts of a fold by sample, people, source, picture, instrument, device, and what is held out.

    Devices and instruments may be shared unless they are what the protocol holds out, or the study wants them
    disjoint; how many are is reported.

    Args:
        index: the data set's rows.
        fold: to be proven.
        near: near-duplicates of the data set, from `near_duplicates`; None says that nobody looked.
        disjoint: columns (`instrument_id`, `device_id`, `device_profile`) of which test may share no value.
    """
    single = [columns[0] for columns, _ in fold.holds_out if len(columns) == 1]
    strict = {kind for name in (*single, *disjoint) for kind in _KIND_OF.get(name, ())}
    facts = {what: _values(index, what) for what, name in _COLUMNS.items() if name in index.column_names}
    keys = column(index, "key")
    seen = {(what, part): look(fold.parts[part], keys) for what, look in facts.items() for part in fold.parts}
    checks: list[LeakCheck] = []
    for what in (*_COLUMNS, "near-duplicate"):
        for left, right in combinations(fold.parts, 2):
            # Train and dev are one domain: only what would carry identity from one to the other is forbidden there.
            required = what in _ALWAYS or (what in strict and right == "test")
            if what == "near-duplicate":
                checks.append(_near(near, keys, fold, left, right))
            elif what in facts:
                checks.append(_compare(what, seen, left, right, required))
    for part in ("train", "dev"):
        checks += [_held_out(index, held, fold.parts[part], part) for held in fold.holds_out]
    return checks


def require_no_leak(
    index: pa.Table, fold: Fold, *, near: Sequence[NearPair] | None = None, disjoint: Sequence[str] = ()
) -> list[LeakCheck]:
    """Return the checks of a fold that does not leak; arguments are those of `check_leaks`.

    Raises:
        DataError: two parts share what must be apart; the first shared value of each kind is named, with its keys.
    """
    checks = check_leaks(index, fold, near=near, disjoint=disjoint)
    leaks = [c for c in checks if c.required and c.shared]
    if leaks:
        raise DataError(
            f"fold {fold.name} leaks: {'; '.join(c.told for c in leaks)}",
            wanted="parts that share no sample, person, source, picture or held-out value",
            next_step="spooflab audit DATA --study FILE tells more; people who are each other's donors, or share a "
            "source or a picture, belong into one subject_group",
        )
    return checks


def _values(index: pa.Table, what: str) -> Callable[[IntArray, Any], _Seen]:
    """Return what looks up the values of a kind in rows."""
    values = column(index, _COLUMNS[what])
    due = _due(index, what)
    told = values != ""
    if what == "subject":
        told &= _subject_known(index)

    def look(rows: IntArray, keys: Any) -> _Seen:
        first: dict[str, str] = {}
        for value, key in zip(values[rows][told[rows]].tolist(), keys[rows][told[rows]].tolist(), strict=True):
            first[value] = min(key, first.get(value, key))
        return _Seen(first, int((due[rows] & ~told[rows]).sum()), int(due[rows].sum()))

    return look


def _due(index: pa.Table, what: str) -> BoolArray:
    """Rows that ought to have a value: donors where the species has one, instruments where something is shown."""
    if what not in ("donor", "instrument"):
        return np.ones(index.num_rows, dtype=np.bool_)
    species = column(index, "species")
    names = [name for name in np.unique(species).tolist() if is_species(name)]
    if what == "donor":
        return np.isin(species, [name for name in names if species_of(name).donor_role])
    return np.isin(species, [name for name in names if species_of(name).artefact != "none"])


def _subject_known(index: pa.Table) -> BoolArray:
    """Rows whose data set tells people apart: readers of others give each clip a name and note `subjects_known` 0."""
    if "params" not in index.column_names:
        return np.ones(index.num_rows, dtype=np.bool_)
    return np.asarray([_UNKNOWN.search(text) is None for text in texts(index, "params")], dtype=np.bool_)


def _compare(what: str, seen: dict[tuple[str, str], _Seen], left: str, right: str, required: bool) -> LeakCheck:
    a, b = seen[what, left], seen[what, right]
    mine, other = dict(a.first), dict(b.first)
    if what == "donor":  # a donor here who is a subject there is one person in both
        both = set(mine) & {*other, *seen["subject", right].first} | set(other) & {*mine, *seen["subject", left].first}
        mine, other = {**seen["subject", left].first, **mine}, {**seen["subject", right].first, **other}
        checked = len({*a.first, *b.first})
    else:
        both = set(mine) & set(other)
        checked = len({*mine, *other})
    unrecorded = a.lacking + b.lacking
    if a.untold or b.untold:
        return LeakCheck(what, f"{left} / {right}", None, checked, required, unrecorded=unrecorded)
    example = min(both, default="")
    keys = (mine[example], other[example]) if both else ()
    return LeakCheck(what, f"{left} / {right}", len(both), checked, required, example, keys, unrecorded)


def _near(near: Sequence[NearPair] | None, keys: Any, fold: Fold, left: str, right: str) -> LeakCheck:
    parts = f"{left} / {right}"
    rows = len(fold.parts[left]) + len(fold.parts[right])
    if near is None:
        return LeakCheck("near-duplicate", parts, None, 0, True, unrecorded=rows)
    here, there = (set(keys[fold.parts[part]].tolist()) for part in (left, right))
    found = []
    for pair in near:
        if pair.left in here and pair.right in there:
            found.append((pair.left, pair.right, pair))
        elif pair.right in here and pair.left in there:
            found.append((pair.right, pair.left, pair))
    example = f"correlation {found[0][2].correlation:.3f}" if found else ""
    return LeakCheck("near-duplicate", parts, len(found), rows, True, example, found[0][:2] if found else ())


def _held_out(index: pa.Table, held: Held, rows: IntArray, part: str) -> LeakCheck:
    """Look for held-out values; a chain counts as each of its parts, unless only the chain itself is held out."""
    columns, wanted = held
    values, keys = domains(index, columns)[rows].tolist(), column(index, "key")[rows].tolist()
    found: dict[str, str] = {}
    for value, key in zip(values, keys, strict=True):
        parts = {value, *chain_parts(value)} if columns == ("species",) else {value}
        for name in parts & set(wanted):
            found[name] = min(key, found.get(name, key))
    example = min(found, default="")
    kept = (found[example],) if found else ()
    return LeakCheck("held out", part, len(found), len(wanted), True, example, kept)
