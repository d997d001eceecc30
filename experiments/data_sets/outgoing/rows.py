"""Rows that leave a store: checked, their pictures marked with the source type, their record as plain columns."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spooflab.errors import DataError
from spooflab.experiments.data_sets.outgoing.content_credentials import PictureSigner
from spooflab.location import Location
from spooflab.sample import IMAGE_COLUMNS, Sample
from spooflab.source_mark import mark_source
from spooflab.store import iter_rows


@dataclass(frozen=True)
class OutgoingRow:
    """One picture on its way out.

    Attributes:
        key: safe as a file name.
        picture: PNG file; the stored bytes, with mark and signed manifest put in where they are asked for.
        mask: PNG file; None where there is none, or none is wanted.
        record: columns of the store but the pictures, and `file_sha256` of `picture`.
    """

    key: str
    picture: bytes
    mask: bytes | None
    record: dict[str, Any]


def outgoing_rows(
    root: Location, *, masks: bool, mark: bool, signer: PictureSigner | None = None
) -> Iterator[OutgoingRow]:
    """Yield every row of a finished store, in order, after all checks that `spooflab verify` makes of a row.

    Memory: a row group at a time, and every key, since a key that comes twice would be two files of one name.

    Args:
        root: folder of the store.
        masks: with spoof masks.
        mark: put the IPTC source type into the pictures.
        signer: put a signed C2PA manifest into them, too.

    Raises:
        DataError: missing shards, damage, or a key that comes twice.
    """
    seen: set[str] = set()
    for table in iter_rows(root):
        for values in table.to_pylist():
            sample = Sample.from_row(values)
            if sample.key in seen:
                raise DataError(
                    f"{root}: key {sample.key!r} comes twice", wanted="each once", next_step=f"spooflab verify {root}"
                )
            seen.add(sample.key)
            yield _row(sample, masks=masks, mark=mark, signer=signer)


def _row(sample: Sample, *, masks: bool, mark: bool, signer: PictureSigner | None) -> OutgoingRow:
    picture = mark_source(sample.image, sample.digital_source_type) if mark else sample.image
    if signer is not None:  # last: it binds the whole file
        picture = signer.sign(sample.key, picture, sample.digital_source_type)
    record = {name: value for name, value in sample.to_row().items() if name not in IMAGE_COLUMNS}
    record["file_sha256"] = hashlib.sha256(picture).hexdigest()
    return OutgoingRow(sample.key, picture, sample.mask if masks else None, record)
