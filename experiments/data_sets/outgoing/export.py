"""Export a store: rows in the chosen format, and `provenance.json` with what the columns alone do not tell."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from spooflab.errors import ConfigError
from spooflab.experiments.data_sets.lineage import lineage_of
from spooflab.experiments.data_sets.outgoing.content_credentials import Credentials, PictureSigner
from spooflab.experiments.data_sets.outgoing.hf import write_hf
from spooflab.experiments.data_sets.outgoing.imagefolder import write_imagefolder
from spooflab.experiments.data_sets.outgoing.rows import OutgoingRow, outgoing_rows
from spooflab.experiments.data_sets.outgoing.webdataset import write_webdataset
from spooflab.experiments.data_sets.statements import MISUSE, USES
from spooflab.experiments.data_sets.whole_folder import whole_folder
from spooflab.location import Location, location_of
from spooflab.store import Store

Format = Literal["webdataset", "imagefolder", "hf"]


@dataclass(frozen=True)
class Exported:
    """What an export left behind.

    Attributes:
        out: the folder.
        rows: pictures.
        files: names of tar or Parquet files, or of the metadata file.
        source_types: IPTC source types, with the number of pictures.
        marked: whether they are in the files too.
        signed: whether the files hold signed C2PA manifests.
    """

    out: str
    rows: int
    files: list[str]
    source_types: dict[str, int]
    marked: bool
    signed: bool = False


def export_data_set(
    root: Location,
    out: Path,
    to: Format,
    *,
    masks: bool = False,
    mark: bool = True,
    per_shard: int = 1000,
    credentials: Credentials | None = None,
) -> Exported:
    """Write a finished store in another format. `out` is whole or absent.

    Args:
        root: folder or URL of the store.
        out: must not exist.
        to: the format.
        masks: write the spoof masks too.
        mark: put the IPTC source type into every picture's file.
        per_shard: pictures of a tar or Parquet file.
        credentials: sign every picture with a C2PA manifest in this name; None signs nothing.

    Raises:
        ConfigError: `per_shard` below 1, or credentials that cannot be used.
        DataError: `out` exists, shards are missing, damage, or the disk refuses.
    """
    if per_shard < 1:
        raise ConfigError(f"per-shard: {per_shard}", wanted="a number of pictures >= 1")
    location_of(out)  # a URL cannot be made whole or absent
    store, lineage = Store.open(root), lineage_of(root)
    signer = None if credentials is None else PictureSigner.open(credentials)
    total = sum(record.rows for record in store.committed())
    kinds: dict[str, int] = {}
    rows = _counted(outgoing_rows(root, masks=masks, mark=mark, signer=signer), kinds)
    with whole_folder(out) as folder:
        if to == "webdataset":
            files = write_webdataset(folder, rows, per_shard=per_shard)
        elif to == "imagefolder":
            files = write_imagefolder(folder, rows, masks=masks)
        else:
            files = write_hf(folder, rows, total=total, per_shard=per_shard, masks=masks)
        told = Exported(str(out), sum(kinds.values()), files, dict(sorted(kinds.items())), mark, signer is not None)
        provenance = {
            **{name: value for name, value in asdict(told).items() if name != "out"},
            "format": to,
            "plan": store.plan,
            "plan_fingerprint": store.fingerprint,
            "sources": [asdict(source) for source in lineage.sources],
            "command": lineage.command,
            "for": USES,
            "not_for": MISUSE,
        }
        text = json.dumps(provenance, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        (folder / "provenance.json").write_text(text, encoding="utf-8")
    return told


def _counted(rows: Iterator[OutgoingRow], kinds: dict[str, int]) -> Iterator[OutgoingRow]:
    for row in rows:
        kind = row.record["digital_source_type"]
        kinds[kind] = kinds.get(kind, 0) + 1
        yield row
