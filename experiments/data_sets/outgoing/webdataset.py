"""WebDataset: tar files in which the files of one sample stand together and share a name up to the first point.

Layout after the WebDataset format (Aizman, Maltby and Breuel, High Performance I/O For Large Scale Deep Learning,
2019): `KEY.png`, `KEY.json` and, where asked for, `KEY.mask.png`. Headers carry no time, owner or host.
"""

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

from spooflab.experiments.data_sets.outgoing.rows import OutgoingRow
from spooflab.experiments.data_sets.outgoing.slices import slices


def write_webdataset(out: Path, rows: Iterable[OutgoingRow], *, per_shard: int) -> list[str]:
    """Write `shard-000000.tar` and so on; return their names."""
    names = []
    for number, part in enumerate(slices(rows, per_shard)):
        name = f"shard-{number:06d}.tar"
        with tarfile.open(out / name, "x", format=tarfile.PAX_FORMAT) as tar:
            for row in part:
                base = tar_name(row.key)
                _add(tar, f"{base}.json", json.dumps(row.record, ensure_ascii=False, allow_nan=False).encode())
                if row.mask is not None:
                    _add(tar, f"{base}.mask.png", row.mask)
                _add(tar, f"{base}.png", row.picture)
        names.append(name)
    return names


def tar_name(key: str) -> str:
    """Return the key without points, which would end a sample's name: `.` becomes `%2E`, which no key holds."""
    return key.replace(".", "%2E")


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)  # time 0, owner 0, mode 644
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
