"""What the parts of a study's folds, or of the data set's own protocols, share."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from spooflab.experiments.audit.finding import Finding
from spooflab.experiments.fold import Fold
from spooflab.experiments.leakage import check_leaks
from spooflab.experiments.near_duplicates import NearPair


def part_findings(
    index: pa.Table, folds: Sequence[Fold], near: Sequence[NearPair] | None, disjoint: Sequence[str]
) -> Iterator[Finding]:
    """Yield every leak of every fold, what parts share although nothing forbids it, and what nobody recorded."""
    reused: dict[tuple[str, str], list[str]] = {}
    untold: dict[str, int] = {}
    for fold in folds:
        for check in check_leaks(index, fold, near=near, disjoint=disjoint):
            if check.shared is None:
                untold[check.what] = max(untold.get(check.what, 0), check.unrecorded)
            elif check.shared and check.required:
                yield Finding("leak", "error", f"fold {fold.name}: {check.told}", tuple(sorted(check.keys)))
            elif check.shared and check.what == "instrument" and check.parts.endswith("test"):
                reused.setdefault((check.what, check.parts), []).append(f"{check.shared} in {fold.name}")
        problem = fold.problem(index)
        if problem:
            yield Finding("empty fold", "warning", f"{problem}: it cannot be run")
    for (what, parts), found in sorted(reused.items()):
        told = f"{parts} share {what}s ({'; '.join(found[:3])}{' …' if len(found) > 3 else ''})"
        advice = "an error where the study says disjoint: [instrument_id]"
        yield Finding("instrument reuse", "warning", f"{told}; {advice}")
    for what, rows in sorted(untold.items()):
        yield Finding("not told", "note", f"{what}: not recorded ({rows} rows), so nothing is proven of it")
