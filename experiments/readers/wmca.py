"""WMCA (George et al., IEEE TIFS 15, 2020, doi:10.1109/TIFS.2019.2916652; https://www.idiap.ch/en/dataset/wmca).

Layout: colour clips in HDF5, `.../face-station/DD.MM.YY/CLIENT_SESSION_PRESENTER_TYPE_PAI.hdf5`
(`514_01_035_1_05.hdf5`), as Bob writes them: `Frame_0/array` and so on. `PROTOCOL-*.csv` (in the root or a folder
below), each a head line and rows of number, client, path, group (`train`, `dev` or `eval`) and label. It needs the
package `h5py`. Raw recordings (`.h5` with all channels) are not read: preprocessed colour is.

Types: 0 bona fide, 1 facial disguise, 2 fake face, 3 printed, 4 video, 5 makeup; instruments (PAI) by number within a
type. The protocol `wmca_<name>` of each list, with its own group.

Checked against a public copy of Bob's table of types and instruments (`BATL_CONFIG`), public lists and readers. Not
verified: the columns' names, whether channels come first (either is read), and what the unassigned numbers are: they
are listed as `unknown_class`. Instruments shown on a screen in type 3 ("Electronic") are replays.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spooflab.errors import DataError
from spooflab.experiments.readers.item import Broken, Part, RealItem
from spooflab.experiments.readers.walk import HDF5, files, need, read_list

_NAME = re.compile(r"(\d+)_(\d+)_(\d+)_(\d)_(\d+)")
_GROUPS: dict[str, Part] = {"train": "train", "dev": "dev", "validation": "dev", "eval": "test", "test": "test"}
_RANGES: tuple[tuple[int, range, str, str], ...] = (  # type, instruments, our species, the table's words
    (0, range(3), "bonafide", "bona fide"),
    (1, range(1, 2), "partial_funny_eye", "funny eyes glasses"),
    (1, range(2, 3), "mask_rigid", "plastic halloween mask"),
    (1, range(4, 8), "partial_funny_eye", "funny eyes glasses"),
    (1, range(8, 13), "wig", "wig"),
    (1, range(13, 15), "mask_transparent", "exotic female transparent mask"),
    (1, range(15, 17), "partial_paper_glasses", "paper glasses"),
    (2, range(1, 8), "mannequin", "mannequin"),
    (2, range(8, 12), "mask_paper", "papercraft mask"),
    (2, range(12, 18), "mask_rigid", "custom wearable mask"),
    (2, range(18, 19), "mask_silicone", "flexible silicon mask"),
    (2, range(75, 100), "mask_silicone", "flexible silicon mask"),
    (3, range(1, 5), "print_unspecified", "printed"),
    (3, range(5, 6), "replay_unspecified", "electronic photo"),
    (3, range(6, 10), "print_unspecified", "printed"),
    (3, range(10, 11), "replay_unspecified", "electronic photo"),
    (3, range(11, 15), "print_unspecified", "printed"),
    (3, range(15, 16), "replay_unspecified", "electronic photo"),
    (4, range(1, 19), "replay_unspecified", "video"),
    (5, range(1, 140), "makeup_unspecified", "makeup"),
)
_CLASSES = {(kind, pai): (species, own) for kind, span, species, own in _RANGES for pai in span}


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every recording, in order of path; see the module for the layout."""
    need(root, ".", what="WMCA")
    listed, wrong = _protocols(root)
    yield from wrong
    present = set()
    for path in files(root, HDF5):
        item = _item(path, listed)
        present.add(PurePosixPath(path).stem)
        yield item
    for stem in sorted(set(listed) - present):
        yield Broken(stem, "missing", f"named by {', '.join(sorted(listed[stem]))}, not on disk")


def _item(path: str, listed: dict[str, dict[str, Part]]) -> RealItem | Broken:
    stem = PurePosixPath(path).stem
    match = _NAME.fullmatch(stem)
    if match is None:
        return Broken(path, "bad_name", "wanted CLIENT_SESSION_PRESENTER_TYPE_PAI, such as 514_01_035_1_05")
    client, session, presenter, kind, pai = match.groups()
    found = _CLASSES.get((int(kind), int(pai)))
    if found is None:
        return Broken(path, "unknown_class", f"type {kind} with instrument {pai} is not in the table")
    species, own = found
    return RealItem(
        path=path,
        kind="hdf5",
        species=species,
        own_class=own,
        subject=client,
        group=client,
        device="realsense_sr300",
        instrument="" if species == "bonafide" else f"type{kind}_pai{int(pai):02d}",
        session=session,
        splits=listed.get(stem, {}),
        crop_given=True,
        facts={"presenter": presenter, "type": int(kind), "pai": int(pai)},
    )


def _cells(root: Path, path: str) -> list[list[str]]:
    try:
        return list(csv.reader(read_list(root, path)))
    except csv.Error as error:
        raise DataError(f"{root / path}: {error}", wanted="the data set's own list") from error


def _protocols(root: Path) -> tuple[dict[str, dict[str, Part]], list[Broken]]:
    found: dict[str, dict[str, Part]] = defaultdict(dict)
    wrong: list[Broken] = []
    for path in files(root, (".csv",)):
        name = PurePosixPath(path).stem
        if not name.startswith("PROTOCOL-"):
            continue
        protocol = f"wmca_{name.removeprefix('PROTOCOL-')}"
        for row in _cells(root, path)[1:]:
            group = next((cell for cell in row if cell in _GROUPS), None)
            file = next((cell for cell in row if _NAME.fullmatch(PurePosixPath(cell).stem)), None)
            if group is None or file is None:
                wrong.append(Broken(path, "bad_list_line", ",".join(row)[:80]))
            else:
                found[PurePosixPath(file).stem][protocol] = _GROUPS[group]
    return found, wrong
