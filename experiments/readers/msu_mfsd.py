"""MSU-MFSD (Wen, Han, Jain, IEEE TIFS 10(4), 2015, doi:10.1109/TIFS.2015.2400395).

Layout: `scene01/real/real_clientNNN_{android,laptop}_SD_scene01.{mp4,mov}`,
`scene01/attack/attack_clientNNN_{android,laptop}_SD_{ipad_video,iphone_video,printed_photo}_scene01.{mp4,mov}`, beside
each a `.face` file (`frame,left,top,right,bottom` and eye positions), and at the root `train_sub_list.txt` and
`test_sub_list.txt` with one client number a line. Some copies lack the folder `scene01`.

ipad is an iPad Air, iphone an iPhone 5S, printed_photo an A3 print of a laser printer on plain paper. Protocol:
`msu_mfsd`, train and test by client; no dev part.

Checked against `bob.db.msu_mfsd_mod`: all names, the columns of `.face`, and that six phone videos of clients 3 and 5-9
stand upside down with boxes that cannot be used. Those six are turned by 180 degrees here and their boxes passed over.
Not verified: whether they were mirrored rather than turned.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spooflab.experiments.readers.item import Broken, FaceFile, Part, RealItem
from spooflab.experiments.readers.walk import VIDEOS, face_beside, files, need, read_list

_NAME = re.compile(
    r"(?:real_client(\d{3})_(android|laptop)|"
    r"attack_client(\d{3})_(android|laptop))_(?:SD_)(?:(ipad_video|iphone_video|printed_photo)_)?scene01"
)
_NUMBER = re.compile(r"\d{1,9}")
_CLASSES = {
    "ipad_video": ("replay_tablet", "ipad_air"),
    "iphone_video": ("replay_phone", "iphone_5s"),
    "printed_photo": ("print_a4", "a3_laser_print"),
}
_DEVICES = {"android": "nexus_5", "laptop": "macbook_air"}
_LISTS: dict[str, Part] = {"train_sub_list.txt": "train", "test_sub_list.txt": "test"}
_UPSIDE_DOWN = {f"real_client{number:03d}_android_SD_scene01" for number in (3, 5, 6, 7, 8, 9)}


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every video, in order of path; see the module for the layout."""
    need(root, "scene01", "real", "attack", what="MSU-MFSD")
    parts = _parts(root)
    for name in _LISTS:
        if not (root / name).is_file():
            yield Broken(name, "missing", "the split by clients; no protocol is recorded without it")
    for path in files(root, VIDEOS):
        yield _item(root, path, parts)


def _parts(root: Path) -> dict[int, Part]:
    found: dict[int, Part] = {}
    for name, part in _LISTS.items():
        if (root / name).is_file():
            found |= {int(line): part for line in read_list(root, name) if _NUMBER.fullmatch(line)}
    return found


def _item(root: Path, path: str, parts: dict[int, Part]) -> RealItem | Broken:
    pure = PurePosixPath(path)
    match = _NAME.fullmatch(pure.stem)
    if match is None or bool(match[3]) != bool(match[5]):
        return Broken(path, "bad_name", "neither real_client... nor attack_client..., as the read-me writes them")
    if pure.parent.name != ("attack" if match[3] else "real"):
        return Broken(path, "wrong_folder", f"an {'attack' if match[3] else 'real'} video in {pure.parent.name}/")
    client = int(match[1] or match[3])
    camera = match[2] or match[4]
    species, instrument = _CLASSES[match[5]] if match[5] else ("bonafide", "")
    turned = pure.stem in _UPSIDE_DOWN
    face = None if turned else face_beside(root, path, ".face")
    return RealItem(
        path=path,
        kind="video",
        species=species,
        own_class=match[5] or "real",
        subject=f"{client:03d}",
        device=_DEVICES[camera],
        instrument=instrument,
        session="scene01",
        splits={"msu_mfsd": parts[client]} if client in parts else {},
        face=None if face is None else FaceFile(face, "box_frame_ltrb"),
        orientation="rot180" if turned else "display",
        facts={"camera": camera},
    )
