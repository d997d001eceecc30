"""Audit a data set, by itself or as a study would cut it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from spooflab.experiments.audit.covariates import covariates
from spooflab.experiments.audit.finding import Finding, Severity
from spooflab.experiments.audit.labels import picture_findings, record_findings
from spooflab.experiments.audit.parts import part_findings
from spooflab.experiments.audit.people import people_findings
from spooflab.experiments.audit.predictive import numbered
from spooflab.experiments.audit.shortcuts import shortcut_findings
from spooflab.experiments.index_columns import column
from spooflab.experiments.near_duplicates import NearPair, near_duplicates
from spooflab.experiments.study_config import StudyConfig
from spooflab.seeds import seed
from spooflab.store import read_index

_ORDER = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        data: folder of the data set.
        rows: pictures in it.
        looked_at: pictures whose pixels were measured for shortcuts and labels.
        folds: folds that were checked for leaks.
        findings: errors first.
    """

    data: Path
    rows: int
    looked_at: int
    folds: int
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        """Return how many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.count("error")

    def to_json(self) -> dict[str, Any]:
        """Return the audit as JSON-ready values."""
        counts = {f"{name}s": self.count(name) for name in ("error", "warning", "note")}
        head = {"data": str(self.data), "ok": self.ok, "rows": self.rows, "looked_at": self.looked_at}
        return head | {"folds": self.folds} | counts | {"findings": [finding.to_json() for finding in self.findings]}

    def summary(self, *, most: int = 40) -> str:
        """Return a few lines for a person, with at most `most` findings."""
        lines = [
            f"{self.rows} pictures, {self.looked_at} of them measured, {self.folds} folds: "
            f"{self.count('error')} errors, {self.count('warning')} warnings, {self.count('note')} notes"
        ]
        lines += [f"{f.severity}: {f.kind}: {f.told}" for f in self.findings[:most]]
        if len(self.findings) > most:
            lines.append(f"… and {len(self.findings) - most} more (--json tells all)")
        return "\n".join(lines)


def audit(data: Path, study: StudyConfig | None = None, *, limit: int = 20_000, cache: Path | None = None) -> Audit:
    """Look for people under two names, near-duplicates, wrong labels, shortcuts, and leaks between parts.

    Args:
        data: folder of the data set.
        study: whose folds are checked for leaks; None checks only what holds for any split.
        limit: most pictures whose pixels are measured, chosen by a hash of their keys, whole subject groups.
        cache: file that keeps perceptual hashes; None makes them anew.

    Raises:
        DataError: no finished data set, or the study's protocol cannot cut it.
    """
    index = read_index(data)
    near = near_duplicates(index, data, cache=cache)
    folds = study.protocol.folds(index) if study else []
    found = list(_findings(index, near))
    if study:
        found += part_findings(index, folds, near, study.disjoint)
    chosen = _sample(index, limit)
    found += _measured(chosen, data)
    found.sort(key=lambda f: (_ORDER[f.severity], f.kind, f.told))
    return Audit(data, index.num_rows, chosen.num_rows, len(folds), tuple(found))


def _findings(index: pa.Table, near: list[NearPair] | None) -> Iterator[Finding]:
    yield from people_findings(index, near)
    yield from record_findings(index)


def _measured(index: pa.Table, data: Path) -> Iterator[Finding]:
    figures = covariates(index, data)
    groups = numbered(column(index, "subject_group"))
    strata = np.unique(column(index, "device_profile"), return_inverse=True)[1].astype(np.int64)
    yield from picture_findings(index, figures, groups, strata)
    yield from shortcut_findings(index, figures, groups, strata)


def _sample(index: pa.Table, limit: int) -> pa.Table:
    """Return whole subject groups, in the order of a hash, as long as they fit; one at least."""
    groups = column(index, "subject_group")
    kept: list[str] = []
    total = 0
    for name in sorted(np.unique(groups).tolist(), key=lambda name: seed(0, "audit sample", name)):
        size = int((groups == name).sum())
        if kept and total + size > limit:
            break
        kept.append(name)
        total += size
    return index.take(pa.array(np.flatnonzero(np.isin(groups, kept))))
