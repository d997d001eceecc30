"""A Hugging Face data set as Parquet files: `**/*.parquet` with a column `image` and one of `species` or `label`.

`image` is a struct of bytes and path, as the `datasets` library writes it, or binary; only embedded bytes are read.
`label` is text, or a number whose names stand in the file's `huggingface` metadata (`ClassLabel`). Optional text
columns: `subject`, `device`, `session`. The part is the beginning of the file's name (`train-00000-of-00004.parquet`)
and becomes the protocol `hf`.

Rows are read by PyArrow: no code of a data set runs. Described at https://huggingface.co/docs/datasets (loading
Parquet, ClassLabel).
"""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from spooflab.errors import DataError, SkipSample
from spooflab.experiments.readers.classes import known_names, species_named
from spooflab.experiments.readers.folder import PARTS
from spooflab.experiments.readers.item import Broken, Part, RealItem
from spooflab.experiments.readers.walk import confined, files, need

_MAX_BYTES = 100_000_000_000
_OPTIONAL = ("subject", "device", "session")


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every row, in order of file and row; see the module for the columns."""
    need(root, ".", what="a data set in Parquet")
    paths = list(files(root, (".parquet",)))
    if not paths:
        seen = ", ".join(sorted(p.name for p in root.iterdir())[:6]) or "nothing"
        raise DataError(f"{root} holds {seen}", wanted="Parquet files")
    for path in paths:
        yield from _rows(root, path)


def _rows(root: Path, path: str) -> Iterator[RealItem | Broken]:
    try:
        file = pq.ParquetFile(confined(root, path, max_bytes=_MAX_BYTES))
        schema = file.schema_arrow
        label = next((name for name in ("species", "label") if name in schema.names), None)
        if "image" not in schema.names or label is None:
            yield Broken(path, "bad_columns", f"{', '.join(schema.names)[:80]}; wanted image and species or label")
            return
        names = _class_names(schema, label)
        chosen = [label, *(name for name in _OPTIONAL if name in schema.names)]
        rows = file.read(columns=chosen).to_pylist()
    except SkipSample as skip:
        yield Broken(path, skip.reason, skip.detail)
        return
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: texts that are not UTF-8
        yield Broken(path, "bad_parquet", without_root(str(error), root))
        return
    part = PARTS.get(PurePosixPath(path).name.split("-")[0].split(".")[0].lower())
    for number, row in enumerate(rows):
        told = row[label]
        own = names[told] if isinstance(told, int) and 0 <= told < len(names) else str(told)
        yield _item(path, number, own, {k: str(v) for k, v in row.items() if k != label and v is not None}, part)


def without_root(told: str, root: Path) -> str:
    """Return the first line of a library's message, without the folder that the file happens to lie in."""
    return (told.splitlines() or [""])[0].replace(f"{root.resolve()}/", "")[:120]


def _item(path: str, number: int, own: str, row: dict[str, str], part: Part | None) -> RealItem | Broken:
    species = species_named(own)
    if species is None:
        return Broken(f"{path}#{number}", "unknown_class", f"{own!r} is no species and none of {known_names()}")
    return RealItem(
        path=path,
        kind="parquet",
        species=species,
        own_class=own,
        subject=row.get("subject") or f"of_{path}#{number}",
        device=row.get("device") or "unknown",
        session=row.get("session", ""),
        splits={} if part is None else {"hf": part},
        row=number,
        facts={"subjects_known": int(bool(row.get("subject")))},
    )


def _class_names(schema: pa.Schema, label: str) -> list[str]:
    """Return the names of a `ClassLabel` column, none if the metadata tell none."""
    try:
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = info["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []
