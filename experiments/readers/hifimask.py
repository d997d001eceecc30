"""CASIA-SURF HiFiMask (Liu et al., IEEE TIFS 17, 2022, arXiv:2104.06148).

Layout: `Data/Complexion_Subject_Type_Scene_Light_Sensor/*.png` (`1_01_0_1_1_1`), a folder of about ten cropped frames
for each clip, or such folders in the root; lists `protocol/CASIA_HiFiMask@p1_image_train.txt`, `_dev`, `_test`
(`p2.1` to `p2.3`, `p3`) of `path label` lines.

Complexion 1-3; type 0 live, 1 transparent, 2 plaster, 3 resin; scene 1 white, 2 green, 3 tricolour, 4 sunshine, 5
shadow, 6 motion; light 0 none, 1 normal, 2 dim, 3 bright, 4 back, 5 side, 6 top; sensor 0 pulse oximeter (no
pictures), 1 iPhone 11, 2 iPhone X, 3 MI 10, 4 P40, 5 S20, 6 Vivo, 7 D435, 8 HJIM. A subject's number is unique over
complexions. A mask shows that subject and is worn by somebody who is not told.

Checked against the protocol code of the data set's author in a public repository, and the author's page on layouts.
Not verified: whether a list's lines name frames or clips (both are read), and that labels are 0 for attacks in them
(labels are not used). The challenge release of ICCV 2021 hides names; its lists tell live or mask only, and it is not
read.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spooflab.experiments.readers.item import Broken, Part, RealItem
from spooflab.experiments.readers.walk import files, folders, need, read_list

_NAME = re.compile(r"([1-3])_(\d\d)_([0-3])_([1-6])_([0-6])_([0-8])")
_LIST = re.compile(r"CASIA_HiFiMask@(p[\d.]+)_(?:image|video)_(train|dev|test)\.txt")
_SPECIES = ("bonafide", "mask_transparent", "mask_rigid", "mask_rigid")
_OWN = ("live", "transparent", "plaster", "resin")
_SENSORS = ("pulse_oximeter", "iphone_11", "iphone_x", "mi_10", "p40", "s20", "vivo", "d435", "hjim")


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every clip, in order of path; see the module for the layout."""
    need(root, ".", what="HiFiMask")
    data = "Data" if (root / "Data").is_dir() else "."
    listed = _lists(root)
    present = set()
    for name in folders(root, data):
        if data == "." and name in ("protocol", "Info"):
            continue
        match = _NAME.fullmatch(name)
        path = name if data == "." else f"{data}/{name}"
        if match is None:
            yield Broken(path, "bad_name", "wanted Complexion_Subject_Type_Scene_Light_Sensor, such as 1_01_0_1_1_1")
        elif match[6] != "0":
            present.add(name)
            yield _item(path, match, listed.get(name, {}))
    for name in sorted(set(listed) - present):
        yield Broken(name, "missing", f"named by {', '.join(sorted(listed[name]))}, not on disk")


def _item(path: str, match: re.Match[str], splits: dict[str, Part]) -> RealItem:
    complexion, subject, kind, scene, light, sensor = match.groups()
    masked = kind != "0"
    worn = _SPECIES[int(kind)] == "mask_rigid"
    return RealItem(
        path=path,
        kind="frames",
        species=_SPECIES[int(kind)],
        own_class=_OWN[int(kind)],
        subject=f"{subject}_wearer" if masked else subject,
        donor=subject if worn else "",  # our transparent mask claims nobody
        group=subject,
        device=_SENSORS[int(sensor)],
        instrument=f"{_OWN[int(kind)]}_mask_of_{subject}" if masked else "",
        session=f"scene{scene}_light{light}",
        splits=splits,
        crop_given=True,
        facts={"complexion": int(complexion), "scene": int(scene), "light": int(light), "shown": subject},
    )


def _lists(root: Path) -> dict[str, dict[str, Part]]:
    parts: dict[str, Part] = {"train": "train", "dev": "dev", "test": "test"}
    found: dict[str, dict[str, Part]] = defaultdict(dict)
    for path in files(root, (".txt",), under="protocol") if (root / "protocol").is_dir() else ():
        match = _LIST.fullmatch(PurePosixPath(path).name)
        for line in read_list(root, path) if match is not None else ():
            named = next((p for p in PurePosixPath(line.split()[0]).parts if _NAME.fullmatch(p)), None)
            if named is not None and match is not None:
                found[named][f"hifimask_{match[1]}"] = parts[match[2]]
    return found
