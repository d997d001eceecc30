"""Labels that contradict their own record, or the pictures."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spooflab.experiments.audit.covariates import Covariates
from spooflab.experiments.audit.finding import Finding
from spooflab.experiments.index_columns import column, texts
from spooflab.experiments.scores import BoolArray
from spooflab.taxonomy import is_species, species_of

APART = 5.0
"""Robust standard deviations between two classes' typical scores from which the pictures may contradict a label."""
_FOLDS, _LEAST = 5, 10


def record_findings(index: pa.Table) -> Iterator[Finding]:
    """Yield labels that the taxonomy, the instrument, another copy or the drawn parameters contradict."""
    keys, label = column(index, "key").tolist(), column(index, "label").tolist()
    species, instrument = column(index, "species").tolist(), column(index, "instrument_id").tolist()
    for key, said, name, shown in zip(keys, label, species, instrument, strict=True):
        if not is_species(name):
            yield Finding("label", "error", f"{key}: species {name!r} is not in the taxonomy", (key,))
        elif said != species_of(name).label:
            yield Finding("label", "error", f"{key}: label {said} with species {name}", (key,))
        elif said == "bonafide" and shown:
            yield Finding("label", "error", f"{key}: bona fide with the instrument {shown}", (key,))
    copies: dict[str, list[int]] = defaultdict(list)
    for row, sha in enumerate(column(index, "image_sha256").tolist()):
        copies[sha].append(row)
    for rows in copies.values():
        names = sorted({species[row] for row in rows})
        if len(names) > 1:
            found = tuple(sorted(keys[row] for row in rows))
            yield Finding("label", "error", f"{found[0]}: one picture labelled {' and '.join(names)}", found)
    yield from _other_records(index, keys, species)


def _other_records(index: pa.Table, keys: list[str], species: list[str]) -> Iterator[Finding]:
    """Rows whose record reads as another species': its drawn parameters, or the data set's own name of the class."""
    for what, told in _record_kinds(index).items():
        usual: dict[str, Counter[str]] = defaultdict(Counter)
        owner: dict[str, Counter[str]] = defaultdict(Counter)
        for name, kind in zip(species, told, strict=True):
            usual[name][kind] += 1
            owner[kind][name] += 1
        for key, name, kind in zip(keys, species, told, strict=True):
            own, theirs = usual[name].most_common(1)[0][0], owner[kind].most_common(1)[0][0]
            if kind and own and kind != own and theirs != name:
                told_as = f"{key}: labelled {name}, but {what} is that of {theirs}"
                yield Finding("label", "error", told_as, (key,))


def _record_kinds(index: pa.Table) -> dict[str, list[str]]:
    drawn, named = [], []
    for text in texts(index, "params"):
        record: dict[str, Any] = json.loads(text or "{}")
        attack = record.get("attack")
        drawn.append(" ".join(sorted(attack)) if isinstance(attack, dict) else "")
        named.append(str(record.get("own_class", "")))
    return {"what its record was drawn with": drawn, "the data set's own class": named}


def picture_findings(
    index: pa.Table, figures: Covariates, groups: NDArray[np.int64], strata: NDArray[np.int64]
) -> Iterator[Finding]:
    """Yield labels that the pictures contradict, and say for which species cheap figures can judge that at all.

    Each species is set against bona fide by a linear discriminant on image statistics, radial spectrum and device,
    which is trained on four fifths of the subject groups and reads the others, as confident learning does (Northcutt,
    Jiang and Chuang 2021). But a label counts as contradicted only where the two classes are `APART`: five robust
    standard deviations of either between their medians. A picture then contradicts its label if it is so far from its
    own class, and within two of the other's typical ones or beyond. Where classes overlap nothing is claimed.
    """
    attack, species, keys = column(index, "label") == "attack", column(index, "species"), column(index, "key")
    features = np.column_stack([*figures.statistics.values(), figures.spectrum, np.eye(int(strata.max()) + 1)[strata]])
    judged, silent = 0, []
    told: dict[int, Finding] = {}
    for name in sorted(np.unique(species[attack]).tolist()):
        rows = np.flatnonzero(~attack | (species == name))
        odds = _odds(features[rows], attack[rows], groups[rows])
        if odds is None:
            silent.append(name)
            continue
        found = attack[rows]
        (low, narrow), (high, wide) = _typical(odds[~found]), _typical(odds[found])
        if high - low < APART * max(narrow, wide):
            silent.append(name)
            continue
        judged += 1
        genuine = found & (odds < high - APART * wide) & (odds < low + 2 * narrow)
        fake = ~found & (odds > low + APART * narrow) & (odds > high - 2 * wide)
        for place in np.flatnonzero(genuine | fake).tolist():
            reads = (
                f"labelled {name}, but reads as bona fide"
                if found[place]
                else f"labelled bona fide, but reads as {name}"
            )
            row = int(rows[place])
            measured = {"log-odds of attack": round(float(odds[place]), 3)}
            told.setdefault(row, Finding("label", "error", f"{keys[row]}: {reads}", (str(keys[row]),), measured))
    yield from told.values()
    if silent:
        sentence = f"labels of {', '.join(silent)} cannot be judged by cheap figures: they read too much like bona fide"
        yield Finding("not told", "note", sentence, figures={"species judged": float(judged)})


def _typical(odds: NDArray[np.float64]) -> tuple[float, float]:
    """Return the median and the robust standard deviation (from the median absolute deviation)."""
    middle = float(np.median(odds))
    return middle, max(1e-6, float(1.4826 * np.median(np.abs(odds - middle))))


def _odds(features: NDArray[np.float64], attack: BoolArray, groups: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return out-of-fold log-odds of an attack; None where a class lacks rows to train on."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    dealt = groups % _FOLDS
    if len(np.unique(dealt)) < 3:
        return None
    odds = np.zeros(len(attack))
    for fold in np.unique(dealt):
        train = dealt != fold
        if min(attack[train].sum(), (~attack[train]).sum()) < _LEAST:
            return None
        middle, spread = features[train].mean(0), features[train].std(0)
        scaled = (features - middle) / np.where(spread > 0, spread, 1)
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(scaled[train], attack[train])
        odds[~train] = model.decision_function(scaled[~train])
    return odds
