"""Image folder: a file for each picture and `metadata.jsonl`, as `datasets.load_dataset("imagefolder")` reads it."""

import json
from collections.abc import Iterable
from pathlib import Path

from spooflab.errors import DataError
from spooflab.experiments.data_sets.outgoing.rows import OutgoingRow

_PER_FOLDER = 1000


def write_imagefolder(out: Path, rows: Iterable[OutgoingRow], *, masks: bool) -> list[str]:
    """Write `images/00000/KEY.png` and so on, thousand in a folder, and `metadata.jsonl`; return the latter's name."""
    with (out / "metadata.jsonl").open("x", encoding="utf-8") as metadata:
        for number, row in enumerate(rows):
            folder = f"{number // _PER_FOLDER:05d}"
            line = {"file_name": _write(out, f"images/{folder}", row.key, row.picture), **row.record}
            if masks:
                held = None if row.mask is None else _write(out, f"masks/{folder}", row.key, row.mask)
                line["mask_file_name"] = held
            metadata.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    return ["metadata.jsonl"]


def _write(out: Path, folder: str, key: str, data: bytes) -> str:
    name = f"{folder}/{key}.png"
    (out / folder).mkdir(parents=True, exist_ok=True)
    try:
        with (out / name).open("xb") as file:
            file.write(data)
    except FileExistsError as error:  # keys that differ in case alone, on a file system that does not see it
        raise DataError(
            f"{name}: two keys have this file name", wanted="keys that differ", next_step="use --to hf"
        ) from error
    return name
