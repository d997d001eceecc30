"""HQ-WMCA (Heusch et al., IEEE T-BIOM, 2020;
https://www.idiap.ch/en/dataset/hq-wmca).

Layout: HDF5 files `.../DD.MM.YY/SITE_SESSION_CLIENT_PRESENTER_TYPE_SUBTYPE_PAI-HASH.h5`
(`1_01_0001_0000_00_00_000-241b2419`), preprocessed to colour clips as Bob writes them (`Frame_0/array`). It needs the
package `h5py`; raw recordings with all channels are not read.

Only type 00 is known to be bona fide. The table of attack types is part of `bob.db.hqwmca`, which could not be read
here, and is not guessed: put a file `classes.csv` with the columns `type,species` (`type,subtype,species` where a
subtype decides) into the root; an attack without a row is listed as `unknown_class`. `wmca`-like lists
`PROTOCOL-*.csv` or `grand_test.csv` are not read, as their form is not verified, so no protocol is recorded.

Checked against one file name and the group names in `bob.pad.face`. Not verified: all else.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spooflab.csv_text import csv_table
from spooflab.errors import DataError, SkipSample
from spooflab.experiments.readers.item import Broken, RealItem
from spooflab.experiments.readers.walk import HDF5, files, need, read_text
from spooflab.taxonomy import is_species

CLASSES = "classes.csv"
_NAME = re.compile(r"(\d)_(\d\d)_(\d{4})_(\d{4})_(\d\d)_(\d\d)_(\d{3})-[0-9a-f]+")


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every recording, in order of path; see the module for the layout."""
    need(root, ".", what="HQ-WMCA")
    classes = _classes(root)
    for path in files(root, HDF5):
        yield _item(path, classes)


def _item(path: str, classes: dict[tuple[int, int | None], str]) -> RealItem | Broken:
    match = _NAME.fullmatch(PurePosixPath(path).stem)
    if match is None:
        return Broken(path, "bad_name", "wanted SITE_SESSION_CLIENT_PRESENTER_TYPE_SUBTYPE_PAI-HASH")
    site, session, client, presenter, kind, subtype, pai = match.groups()
    species = classes.get((int(kind), int(subtype)), classes.get((int(kind), None)))
    if int(kind) == 0:
        species = "bonafide"
    if species is None:
        return Broken(path, "unknown_class", f"attack type {kind}: no row in {CLASSES}")
    return RealItem(
        path=path,
        kind="hdf5",
        species=species,
        own_class=f"type {kind}_{subtype}",
        subject=client,
        device="hq_wmca_colour",
        instrument="" if species == "bonafide" else f"type{kind}_{subtype}_pai{pai}",
        session=f"{site}_{session}",
        crop_given=True,
        facts={"presenter": presenter, "type": int(kind), "subtype": int(subtype), "pai": int(pai)},
    )


def _classes(root: Path) -> dict[tuple[int, int | None], str]:
    if not (root / CLASSES).is_file():
        return {}
    found: dict[tuple[int, int | None], str] = {}
    try:
        for _, row in csv_table(read_text(root, CLASSES), root / CLASSES)[1]:
            if not is_species(row["species"]):
                raise DataError(f"{root / CLASSES}: species {row['species']!r}", wanted="a name of the taxonomy")
            subtype = row.get("subtype")
            found[int(row["type"]), int(subtype) if subtype else None] = row["species"]
    except (KeyError, TypeError, ValueError, SkipSample) as error:
        raise DataError(
            f"{root / CLASSES}: {error!r}", wanted="columns type,species or type,subtype,species"
        ) from error
    return found
