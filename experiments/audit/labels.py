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
from spooflab.experiments.index_columns import column
from spooflab.experiments.scores import BoolArray, StrArray
from spooflab.taxonomy import is_species, species_of

APART = 5.0
"""Robust standard deviations between two classes' typical scores from which the pictures may contradict a label."""
_FOLDS, _TREES = 5, 60


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
    for text in column(index, "params").tolist():
        record: dict[str, Any] = json.loads(text or "{}")
        attack = record.get("attack")
        drawn.append(" ".join(sorted(attack)) if isinstance(attack, dict) else "")
        named.append(str(record.get("own_class", "")))
    return {"what its record was drawn with": drawn, "the data set's own class": named}


def picture_findings(
    index: pa.Table, figures: Covariates, groups: NDArray[np.int64], strata: NDArray[np.int64]
) -> Iterator[Finding]:
    """Yield labels that the pictures contradict, and say for which species cheap figures can judge that at all.

    Trees on image statistics and the radial spectrum are trained on four fifths of the subject groups and read the
    others, as in confident learning (Northcutt, Jiang and Chuang 2021); but a label counts as contradicted only where
    the two classes are `APART`: five robust standard deviations of either between their medians. An attack then reads
    as bona fide if its score is so far from its own species' and not above a typical bona fide's; the other way round
    likewise. Where classes overlap nothing is claimed.
    """
    attack, species, keys = column(index, "label") == "attack", column(index, "species"), column(index, "key")
    odds = _odds(figures, attack, groups, strata)
    if odds is None or attack.all() or not attack.any():
        yield Finding("not told", "note", "labels: too few subject groups, or one class, to judge labels by pictures")
        return
    middle, spread = _typical(odds[~attack])
    judged, silent = [], []
    reads_as_attack: BoolArray = np.zeros(len(odds), dtype=np.bool_)
    for name in sorted(np.unique(species[attack]).tolist()):
        own, wide = _typical(odds[attack & (species == name)])
        if own - middle < APART * max(spread, wide):
            silent.append(name)
            continue
        judged.append(name)
        rows = attack & (species == name) & (odds < own - APART * wide) & (odds < middle + 2 * spread)
        yield from _contradicted(keys, rows, f"labelled {name}, but reads as bona fide", odds)
        reads_as_attack |= odds > own - 2 * wide
    rows = ~attack & reads_as_attack & (odds > middle + APART * spread)
    yield from _contradicted(keys, rows, "labelled bona fide, but reads as an attack", odds)
    if silent:
        told = f"labels of {', '.join(silent)} cannot be judged by cheap figures: they read too much like bona fide"
        yield Finding("not told", "note", told, figures={"species judged": float(len(judged))})


def _contradicted(keys: StrArray, rows: BoolArray, told: str, odds: NDArray[np.float64]) -> Iterator[Finding]:
    for row in np.flatnonzero(rows).tolist():
        figures = {"log-odds of attack": round(float(odds[row]), 3)}
        yield Finding(
            "label", "error", f"{keys[row]}: {told} (log-odds of attack {odds[row]:+.1f})", (keys[row],), figures
        )


def _typical(odds: NDArray[np.float64]) -> tuple[float, float]:
    """Return the median and the robust standard deviation (from the median absolute deviation), 0.2 at least."""
    middle = float(np.median(odds))
    return middle, max(0.2, float(1.4826 * np.median(np.abs(odds - middle))))


def _odds(
    figures: Covariates, attack: BoolArray, groups: NDArray[np.int64], strata: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Return out-of-fold log-odds of an attack."""
    from sklearn.ensemble import ExtraTreesClassifier

    features = np.column_stack([*figures.statistics.values(), figures.spectrum, np.eye(int(strata.max()) + 1)[strata]])
    dealt = groups % _FOLDS
    if len(np.unique(dealt)) < 3:
        return None
    share = np.full(len(attack), 0.5)
    for fold in np.unique(dealt):
        train = dealt != fold
        if attack[train].all() or not attack[train].any():
            return None
        forest = ExtraTreesClassifier(_TREES, min_samples_leaf=2, class_weight="balanced", random_state=0)
        forest.fit(features[train], attack[train])
        share[~train] = forest.predict_proba(features[~train])[:, 1]
    share = np.clip(share, 0.005, 0.995)
    return np.log(share / (1 - share))
