"""The errors that a detector was surest of, with a thumbnail and the physics of each, so that a person can look."""

import io
import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from spooflab.experiments.protocols import column
from spooflab.experiments.scores import IntArray, ScoreSet

Pictures = Callable[[list[str]], Iterable[tuple[str, bytes]]]
"""Gives (key, encoded image) for the keys asked for, in any order."""

KEPT = 12
"""Errors kept of each side."""
_THUMBNAIL_PX = 160
_FACTS_KEPT = 6
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("error", pa.string()),
        ("species", pa.string()),
        ("device", pa.string()),
        ("instrument", pa.string()),
        ("subject", pa.string()),
        ("score", pa.float64()),
        ("facts", pa.string()),
        ("thumbnail", pa.binary()),
    ]
)


def worst_rows(test: ScoreSet, threshold: float, kept: int = KEPT) -> dict[str, IntArray]:
    """Return row positions of the worst errors: accepted attacks from the highest score, bona fides from the lowest.

    Without a threshold (NaN) nothing is an error. Rows without a score come first: nothing is worse than a failure.
    """
    score = np.where(np.isnan(test.score), np.where(test.attack, np.inf, -np.inf), test.score)
    accepted = np.flatnonzero(test.attack & (score >= threshold))
    rejected = np.flatnonzero(~test.attack & (score < threshold))
    return {
        "attack accepted": accepted[np.argsort(-score[accepted], kind="stable")][:kept],
        "bona fide rejected": rejected[np.argsort(score[rejected], kind="stable")][:kept],
    }


def worst_table(test: ScoreSet, threshold: float, index: pa.Table, pictures: Pictures) -> pa.Table:
    """Return the worst errors with thumbnails and facts as a table of `SCHEMA`."""
    place = {key: row for row, key in enumerate(column(index, "key").tolist())}
    chosen = [(error, row) for error, rows in worst_rows(test, threshold).items() for row in rows.tolist()]
    keys = sorted({str(test.key[row]) for _, row in chosen})
    thumbnails = {key: _thumbnail(data) for key, data in pictures(keys)} if keys else {}
    rows = []
    for error, row in chosen:
        key = str(test.key[row])
        record = index.slice(place[key], 1).to_pylist()[0]
        score = float(test.score[row])
        rows.append(
            {
                "key": key,
                "error": error,
                "species": record["species"],
                "device": record["device_id"],
                "instrument": record["instrument_id"],
                "subject": record["subject_id"],
                "score": None if np.isnan(score) else score,
                "facts": json.dumps(main_facts(record.get("params") or "{}")),
                "thumbnail": thumbnails.get(key, b""),
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


_TELLING = (
    *("distance_mm", "panel_ppi", "moire_contrast", "lattice_cycles", "lpi", "halftone_cycles", "halftone_modulation"),
    *("changed_share", "ink_coverage", "dot_gain", "ambient_ratio", "hole_share", "tilt_deg", "yaw_deg", "face_px"),
)
"""Parts of names that say most about why an attack passed, in order of preference."""


def main_facts(params: str) -> dict[str, float | str]:
    """Pick the most telling scalars of a sample's parameters: derived facts before drawn parameters."""
    try:
        data = json.loads(params)
    except ValueError:
        return {}
    facts = dict(_scalars(data.get("facts", {}), "")) if isinstance(data, dict) else {}
    if not facts:
        facts = dict(_scalars(data, ""))

    def preference(name: str) -> tuple[int, int]:
        for place, part in enumerate(_TELLING):
            if part in name:
                return place, len(name)
        return len(_TELLING), len(name)

    return {name: facts[name] for name in sorted(facts, key=preference)[:_FACTS_KEPT]}


def _scalars(data: Any, name: str) -> Iterable[tuple[str, float | str]]:
    """Walk nested JSON; a stored tensor is {"dtype", "value"}; seeds and long lists tell nothing."""
    if isinstance(data, dict):
        if set(data) == {"dtype", "value"}:
            yield from _scalars(data["value"], name)
            return
        for key, value in data.items():
            yield from _scalars(value, str(key))
    elif isinstance(data, list) and len(data) == 1:
        yield from _scalars(data[0], name)
    elif isinstance(data, bool) or data is None or "seed" in name:
        return
    elif isinstance(data, (int, float)) and data != 0:  # a figure of 0 says that this sample has no such thing
        yield name, round(float(data), 4)


def _thumbnail(data: bytes) -> bytes:
    """Decode with the hardened reader and return a small JPEG."""
    from spooflab.images import decode_image

    picture = Image.fromarray(decode_image(data))
    picture.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
