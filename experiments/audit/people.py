"""People under two names: the same picture, file, photograph or drawn identity with different subjects."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from spooflab.experiments.audit.finding import Finding
from spooflab.experiments.index_columns import column, texts
from spooflab.experiments.near_duplicates import NearPair
from spooflab.records import canonical_json


def people_findings(index: pa.Table, near: Sequence[NearPair] | None) -> Iterator[Finding]:
    """Yield what says that two names are one person. Two different photographs of one person are not recognised."""
    keys, subjects = column(index, "key").tolist(), column(index, "subject_id").tolist()
    subject = dict(zip(keys, subjects, strict=True))
    params = [json.loads(text or "{}") for text in texts(index, "params")]
    hints = {
        "the photograph": column(index, "source_id").tolist(),
        "the stored picture": column(index, "image_sha256").tolist(),
        "the source file": [str(record.get("file_sha256", "")) for record in params],
        "the drawn identity": [_identity(record) for record in params],
    }
    for what, values in hints.items():
        held: dict[str, list[str]] = defaultdict(list)
        for key, value in zip(keys, values, strict=True):
            if value:
                held[value].append(key)
        for value, found in sorted(held.items()):
            names = sorted({subject[key] for key in found})
            if len(names) > 1:
                told = f"{' and '.join(names)} share {what} {value[:40]}: one person under {len(names)} names"
                yield Finding("person under two names", "error", told, tuple(sorted(found)))
    for pair in near or ():
        names = sorted({subject[pair.left], subject[pair.right]})
        told = (
            f"{pair.left} ({subject[pair.left]}) and {pair.right} ({subject[pair.right]}) are nearly the same picture "
            f"(hashes differ in {pair.bits} bits, correlation {pair.correlation:.3f}) in two subject groups"
        )
        told += ": one person under two names, or one copied" if len(names) > 1 else ""
        yield Finding("near-duplicate", "error", told, (pair.left, pair.right))
    if near is None:
        yield Finding("not told", "note", "near-duplicates: no pictures to compare")


def _identity(record: dict[str, Any]) -> str:
    """Return a hash of what a drawn face was drawn with; empty for faces that are not drawn."""
    faces = record.get("faces")
    target = faces.get("target") if isinstance(faces, dict) else None
    physics = target.get("physics") if isinstance(target, dict) else None
    identity = physics.get("identity") if isinstance(physics, dict) else None
    return hashlib.sha256(canonical_json(identity)).hexdigest()[:12] if identity else ""
