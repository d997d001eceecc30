"""Anybody's scores from a CSV file, checked row by row before anything is counted."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spooflab.csv_text import csv_table
from spooflab.errors import DataError
from spooflab.experiments.metrics import evaluate
from spooflab.experiments.scores import ScoreSet, StrArray, pool_clips
from spooflab.experiments.statistics import clopper_pearson, intervals, rate_errors

REQUIRED = ("score", "label", "species")
OPTIONAL = ("subject", "device", "split", "clip")
_SHOWN = 5


@dataclass(frozen=True)
class ScoreFile:
    """The rows of a score file by split.

    Attributes:
        test: rows to judge.
        dev: rows that fix the threshold; None without a split column.
        device: device of each test row; None without that column.
        has_subjects: whether the bootstrap can resample subjects.
    """

    test: ScoreSet
    dev: ScoreSet | None
    device: StrArray | None
    has_subjects: bool


def read_score_file(path: Path) -> ScoreFile:
    """Read score, label, species and optionally subject, device, split, clip; an empty score is a failure to acquire.

    With a clip column, frames are averaged per clip before anything is counted.

    Raises:
        DataError: columns are missing or unknown to be meant, or rows are wrong; the first few are named.
    """
    rows = _rows(path)
    if not rows:
        raise DataError(f"{path}: no rows", wanted="a header and one row per image")
    problems = [f"row {line}: {text}" for line, row in rows for text in _row_problems(row)]
    if problems:
        more = f" … and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError(
            f"{path}: " + "; ".join(problems[:_SHOWN]) + more,
            wanted="score a finite number or empty, label bonafide or attack, species named for attacks, "
            "split dev or test",
        )
    columns = {name: np.array([row[name] for _, row in rows]) for name in rows[0][1]}
    attack = columns["label"] == "attack"
    scores = ScoreSet.build(
        [_number(row["score"]) for _, row in rows],
        attack,
        species=np.where(attack, columns["species"], "bonafide"),
        subject=columns.get("subject", columns.get("clip")),
        key=[f"row {line}" for line, _ in rows],
    )
    split = columns.get("split", np.full(len(rows), "test"))
    parts = {part: split == part for part in ("dev", "test")}
    if not parts["test"].any():
        raise DataError(f"{path}: no test rows", wanted="rows with split test")
    pooled = {part: _pool(scores.select(mask), columns, mask) for part, mask in parts.items() if mask.any()}
    test, device = pooled["test"]
    dev = pooled["dev"][0] if "dev" in pooled else None
    return ScoreFile(test, dev, device, "subject" in columns)


def _pool(scores: ScoreSet, columns: dict[str, StrArray], mask: Any) -> tuple[ScoreSet, StrArray | None]:
    device = columns["device"][mask] if "device" in columns else None
    if "clip" not in columns:
        return scores, device
    clip = columns["clip"][mask]
    pooled = pool_clips(scores, clip)
    if device is None:
        return pooled, None
    first = {name: place for place, name in reversed(list(enumerate(clip.tolist())))}
    return pooled, device[[first[name] for name in pooled.key.tolist()]]


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return (line number, row) with names and text stripped, known columns only."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}", wanted="a readable CSV file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a CSV text file: {error}", wanted="UTF-8 text with a header") from error
    head, line, rest = text.partition("\n")
    names, rows = csv_table(head.lower() + line + rest, path)
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise DataError(
            f"{path}: missing column{'s' * (len(missing) > 1)} {', '.join(missing)} "
            f"(seen: {', '.join(names) or 'none'})",
            wanted=f"{', '.join(REQUIRED)} and optionally {', '.join(OPTIONAL)}",
        )
    kept = [name for name in (*REQUIRED, *OPTIONAL) if name in names]
    return [(number, {name: row[name].strip() for name in kept}) for number, row in rows]


def _row_problems(row: dict[str, str]) -> Iterator[str]:
    try:
        if math.isinf(_number(row["score"])):
            yield f"score {row['score']!r} is infinite"
    except ValueError:
        yield f"score {row['score']!r} is not a number"
    row["label"] = row["label"].lower()
    if row["label"] not in ("bonafide", "attack"):
        yield f"label {row['label']!r}"
    if row["label"] == "attack" and row["species"].lower() in ("", "bonafide"):
        yield f"an attack of species {row['species']!r}"
    if row["label"] == "bonafide" and row["species"].lower() not in ("", "bonafide"):
        yield f"a bona fide of species {row['species']!r}"
    if "split" in row and row["split"] not in ("dev", "test"):
        yield f"split {row['split']!r}"
    for name in ("subject", "clip"):
        if name in row and not row[name]:
            yield f"{name} is empty"


def _number(text: str) -> float:
    return math.nan if text.lower() in ("", "nan") else float(text)


def judge(file: ScoreFile, *, replicates: int, threshold: float | None = None) -> dict[str, Any]:
    """Return all figures of a score file as JSON-ready values, with intervals, per species and per device.

    Args:
        file: the rows.
        replicates: resamples of subjects (of rows, without a subject column).
        threshold: a threshold fixed elsewhere, instead of the dev rows'.
    """
    metrics = evaluate(file.test, dev=None if threshold is not None else file.dev, threshold=threshold)
    told = metrics.to_json()
    found, notes = intervals(file.test, metrics.threshold, told, replicates=replicates)
    if not file.has_subjects:
        notes.append(f"no subject column: each {file.test.unit} is resampled by itself, which understates the doubt")
    told["intervals"] = {name: {"low": i.low, "high": i.high, "method": i.method} for name, i in found.items()}
    told["notes"] = [*told["notes"], *notes]
    told["bpcer_exact"], told["apcer_exact"], told["bpcer_by_device"] = None, {}, {}
    if metrics.threshold is not None:
        genuine, attacks = rate_errors(file.test, metrics.threshold)
        told["bpcer_exact"] = _exact(*genuine)
        told["apcer_exact"] = {name: _exact(*pair) for name, pair in attacks.items()}
        told["bpcer_by_device"] = _by_device(file, metrics.threshold)
    return told


def _by_device(file: ScoreFile, threshold: float) -> dict[str, Any]:
    if file.device is None:
        return {}
    genuine = {name: file.test.select(file.device == name) for name in np.unique(file.device).tolist()}
    return {name: _exact(*rate_errors(rows, threshold)[0]) for name, rows in genuine.items()}


def _exact(errors: int, total: int) -> dict[str, Any] | None:
    if not total:
        return None
    low, high = clopper_pearson(errors, total)
    return {"rate": errors / total, "low": low, "high": high, "errors": errors, "of": total}
