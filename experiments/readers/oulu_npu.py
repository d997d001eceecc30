"""OULU-NPU (Boulkenafet et al., FG 2017, doi:10.1109/FG.2017.77; https://sites.google.com/site/oulunpudatabase/).

Layout: `Train_files/`, `Dev_files/`, `Test_files/` with `Phone_Session_User_File.avi` (`1_1_01_1.avi`) and beside
each a text file of eye positions `frame,x1,y1,x2,y2`; `Protocols/Protocol_1/Train.txt`, `Dev.txt`, `Test.txt` (2
likewise) and `Protocols/Protocol_3/Train_1.txt` to `Test_6.txt` (4 likewise), lines `+1,1_1_01_1` (bona fide),
`-1,...` or `-2,...`.

Phone 1 Samsung Galaxy S6 edge, 2 HTC Desire EYE, 3 MEIZU X5, 4 ASUS Zenfone Selfie, 5 Sony XPERIA C5 Ultra Dual, 6
OPPO N3. File 1 bona fide, 2 and 3 prints of two printers on A3 glossy paper, 4 and 5 replays on a 19-inch display and
a laptop. Users 1-20 train, 21-35 dev, 36-55 test.

Checked against: the lists of `bob.db.oulunpu` (`attack/print1`, `print2`, `video_replay1`, `video_replay2`; users by
part) and public loaders. Not verified: the order of the two eyes (it does not matter here), which printer is file 2
and which display is file 4 (recorded by number only), and whether sessions are numbered as in the paper.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spooflab.experiments.readers.item import Broken, FaceFile, Part, RealItem
from spooflab.experiments.readers.walk import VIDEOS, face_beside, files, need, read_list

_NAME = re.compile(r"([1-6])_([1-3])_(\d\d)_([1-5])")
_PARTS: dict[str, Part] = {"Train": "train", "Dev": "dev", "Test": "test"}
_USERS: dict[Part, range] = {"train": range(1, 21), "dev": range(21, 36), "test": range(36, 56)}
_PHONES = ("galaxy_s6_edge", "htc_desire_eye", "meizu_x5", "zenfone_selfie", "xperia_c5_ultra", "oppo_n3")
_CLASSES = {
    "1": ("bonafide", "bona fide", ""),
    "2": ("print_photo", "print 1", "printer_1"),
    "3": ("print_photo", "print 2", "printer_2"),
    "4": ("replay_monitor", "video replay 1", "display_1"),
    "5": ("replay_monitor", "video replay 2", "display_2"),
}


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every video, in order of path; see the module for the layout."""
    need(root, "Train_files", "Dev_files", "Test_files", what="OULU-NPU")
    listed, wrong = _protocols(root)
    yield from wrong
    present = set()
    for folder, part in _PARTS.items():
        for path in files(root, VIDEOS, under=f"{folder}_files"):
            item = _item(root, path, part, listed)
            if isinstance(item, RealItem):
                present.add(PurePosixPath(path).stem)
            yield item
    for name in sorted(set(listed) - present):
        yield Broken(f"{name}.avi", "missing", f"named by {', '.join(sorted(listed[name]))}, not on disk")


def _item(root: Path, path: str, part: Part, listed: dict[str, dict[str, Part]]) -> RealItem | Broken:
    stem = PurePosixPath(path).stem
    if (match := _NAME.fullmatch(stem)) is None:
        return Broken(path, "bad_name", "wanted Phone_Session_User_File, such as 1_1_01_1")
    phone, session, user, file = match.groups()
    if int(user) not in _USERS[part]:
        return Broken(path, "wrong_folder", f"user {user} is not one of the {part} users")
    species, own, instrument = _CLASSES[file]
    eyes = face_beside(root, path, ".txt")
    return RealItem(
        path=path,
        kind="video",
        species=species,
        own_class=own,
        subject=user,
        device=_PHONES[int(phone) - 1],
        instrument=instrument,
        session=session,
        splits=listed.get(stem, {}),
        face=None if eyes is None else FaceFile(eyes, "eyes_frame"),
        facts={"phone": int(phone), "file": int(file), "folder": part},
    )


def _protocols(root: Path) -> tuple[dict[str, dict[str, Part]], list[Broken]]:
    """Return the parts of each video by protocol; lines that contradict the file's name are broken."""
    found: dict[str, dict[str, Part]] = defaultdict(dict)
    wrong: list[Broken] = []
    for path in files(root, (".txt",), under="Protocols"):
        pure = PurePosixPath(path)
        number = pure.parent.name.removeprefix("Protocol_")
        part, _, fold = pure.stem.partition("_")
        if part not in _PARTS or not number.isdigit():
            continue  # read-me files
        protocol = f"oulu_p{number}" + (f".{fold}" if fold else "")
        for line in read_list(root, path):
            label, _, name = (word.strip() for word in line.partition(","))
            match = _NAME.fullmatch(name)
            if match is None or label not in ("+1", "1", "-1", "-2"):
                wrong.append(Broken(path, "bad_list_line", f"{line[:60]!r}, wanted '+1,1_1_01_1'"))
            elif (match[4] == "1") != (label in ("+1", "1")):
                wrong.append(Broken(path, "label_conflict", f"{line!r}: file {match[4]} with that label"))
            else:
                found[name][protocol] = _PARTS[part]
    return found, wrong
