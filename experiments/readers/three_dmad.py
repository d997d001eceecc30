"""3DMAD (Erdogmus, Marcel, BTAS 2013; https://www.idiap.ch/en/dataset/3dmad).

Layout: HDF5 files `CC_SS_shot.hdf5` (`04_01_05.hdf5`), in `Data/` or `session0N/Data/`: client 1-17, session 1-3,
shot 1-5; `Color_Data` (N, 3, 480, 640), `Depth_Data`, `Eye_Pos`. Sessions 1 and 2 are bona fide, 3 shows a hard resin
mask of the client. It needs the package `h5py`; Idiap publishes no other form.

Protocol: `three_dmad` (classification in `xbob.db.maskattack`): clients 1-7 train, 8-12 dev, 13-17 test. The wearer
of a mask is not told by the name; the record calls them `NN_wearer` and the client the one who is claimed.

Checked against `xbob.db.maskattack` (names, sessions, clients by part) and a public reader (names of the arrays). Not
verified: the order of `Eye_Pos`, so the face network finds the faces; depth is not read.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spooflab.experiments.readers.item import Broken, Part, RealItem
from spooflab.experiments.readers.walk import HDF5, files, need

_NAME = re.compile(r"(\d\d)_(0[1-3])_(\d\d)")
_CLIENTS: dict[Part, range] = {"train": range(1, 8), "dev": range(8, 13), "test": range(13, 18)}


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every recording, in order of path; see the module for the layout."""
    need(root, "Data", "session01", "session02", "session03", what="3DMAD")
    for path in files(root, HDF5):
        yield _item(path)


def _item(path: str) -> RealItem | Broken:
    match = _NAME.fullmatch(PurePosixPath(path).stem)
    part = None if match is None else next((p for p, c in _CLIENTS.items() if int(match[1]) in c), None)
    if match is None or part is None:
        return Broken(path, "bad_name", "wanted client_session_shot, such as 04_01_05, with client 1-17")
    client, session, shot = match.groups()
    masked = session == "03"
    return RealItem(
        path=path,
        kind="hdf5",
        species="mask_rigid" if masked else "bonafide",
        own_class="mask attack" if masked else "real access",
        subject=f"{client}_wearer" if masked else client,
        donor=client if masked else "",
        group=client,
        device="kinect",
        instrument=f"mask_of_{client}" if masked else "",
        session=session,
        splits={"three_dmad": part},
        facts={"shot": int(shot)},
    )
