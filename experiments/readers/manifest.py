"""Any data set with `manifest.csv` at its root, one row for each picture or video.

Columns: `path` and one of `species` (a name of the taxonomy) or `label` (that, or a common word such as `live` or
`spoof`); optional `subject`, `donor`, `group`, `device`, `instrument`, `session`, `own_class`, `split` (train, dev,
test) with `protocol` (its name, by default `manifest`), and `x,y,w,h`, the face's box in pixels of the picture.
Another column is an error: a typing error in its name would otherwise lose what it tells. This layout is ours.
"""

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spooflab.csv_text import csv_table
from spooflab.errors import DataError, SkipSample
from spooflab.experiments.readers.classes import known_names, species_named
from spooflab.experiments.readers.folder import PARTS
from spooflab.experiments.readers.item import Broken, RealItem
from spooflab.experiments.readers.walk import IMAGES, VIDEOS, need, read_text

NAME = "manifest.csv"
_COLUMNS = (
    "path", "species", "label", "subject", "donor", "group", "device", "instrument", "session", "own_class", "split",
    "protocol", "x", "y", "w", "h",
)  # fmt: skip


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every row, in order of path; see the module for the columns."""
    need(root, NAME, what="a data set with a manifest")
    try:
        names, rows = csv_table(read_text(root, NAME), root / NAME)
    except SkipSample as skip:
        raise DataError(f"{root / NAME}: {skip.detail}", wanted="a CSV in UTF-8") from skip
    unknown = sorted(set(names) - set(_COLUMNS))
    if unknown or "path" not in names or not {"species", "label"} & set(names):
        raise DataError(
            f"{root / NAME}: columns {', '.join(names)}", wanted=f"path, species or label, and of {', '.join(_COLUMNS)}"
        )
    seen: set[str] = set()
    for _, row in sorted(rows, key=lambda numbered: numbered[1]["path"]):
        path = row["path"].strip()
        if path in seen:
            yield Broken(path, "named_twice", "the manifest has two rows for it")
            continue
        seen.add(path)
        yield _item(path, {key: value.strip() for key, value in row.items()})


def _item(path: str, row: dict[str, str]) -> RealItem | Broken:
    own = row.get("species") or row.get("label", "")
    species = species_named(own)
    suffix = PurePosixPath(path).suffix.lower()
    split = row.get("split", "").lower()
    if species is None:
        return Broken(path, "unknown_class", f"{own!r} is no species and none of {known_names()}")
    if suffix not in (*IMAGES, *VIDEOS):
        return Broken(path, "unsupported_format", f"{suffix!r}, wanted {', '.join((*IMAGES, *VIDEOS))}")
    if split and split not in PARTS:
        return Broken(path, "bad_split", f"{split!r}, wanted train, dev or test")
    try:
        box = _box([row.get(name, "") for name in ("x", "y", "w", "h")])
    except ValueError as error:
        return Broken(path, "bad_box", str(error))
    return RealItem(
        path=path,
        kind="video" if suffix in VIDEOS else "image",
        species=species,
        own_class=row.get("own_class") or own,
        subject=row.get("subject") or f"of_{path}",
        donor=row.get("donor", ""),
        group=row.get("group", ""),
        device=row.get("device") or "unknown",
        instrument=row.get("instrument", ""),
        session=row.get("session", ""),
        splits={row.get("protocol") or "manifest": PARTS[split]} if split else {},
        box=box,
        facts={"subjects_known": int(bool(row.get("subject")))},
    )


def _box(cells: list[str]) -> tuple[float, float, float, float] | None:
    if not any(cells):
        return None
    x, y, w, h = (float(cell) for cell in cells)
    if not all(map(math.isfinite, (x, y, w, h))) or w <= 0 or h <= 0:
        raise ValueError(f"a box of {w:g} x {h:g} at {x:g}, {y:g}")
    return x, y, w, h
