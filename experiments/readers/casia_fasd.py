"""CASIA-FASD (Zhang et al., ICB 2012, doi:10.1109/ICB.2012.6199754).

Layout: `train_release/N/F.avi` (N 1-20) and `test_release/N/F.avi` (N 1-30, other people), F one of 1-8 and HR_1-HR_4:
1, 2, HR_1 bona fide by the normal, low and high quality camera; 3, 4, HR_2 warped photo; 5, 6, HR_3 cut photo;
7, 8, HR_4 video on an iPad. Photos are on copper paper, which is coated and glossy.

Protocols: one for each quality, one for each attack, and all (`casia_low`, `_normal`, `_high`, `_warped`, `_cut`,
`_video`, `_overall`), each with the train and test folders; there is no dev part.

Checked against `bob.db.casia_fasd`: names, qualities, and test people counted on from 20. No boxes come with the
original; Idiap's are of another distribution and are not read. Not verified: that no person is in both parts, which
the paper says.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from spooflab.experiments.readers.item import Broken, Part, RealItem
from spooflab.experiments.readers.walk import VIDEOS, files, need

_PATH = re.compile(r"(train|test)_release/(\d+)/([1-8]|HR_[1-4])\.avi")
_KINDS = (
    ("bonafide", "genuine", ("1", "2", "HR_1")),
    ("print_photo", "warped photo", ("3", "4", "HR_2")),
    ("print_cut", "cut photo", ("5", "6", "HR_3")),
    ("replay_tablet", "video", ("7", "8", "HR_4")),
)
_CLASSES = {
    stem: (species, own, quality)
    for species, own, stems in _KINDS
    for stem, quality in zip(stems, ("normal", "low", "high"), strict=True)
}
_PEOPLE = {"train": 20, "test": 30}


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every video, in order of path; see the module for the layout."""
    need(root, "train_release", "test_release", what="CASIA-FASD")
    for part, people in _PEOPLE.items():
        found = set()
        for path in files(root, VIDEOS, under=f"{part}_release"):
            match = _PATH.fullmatch(path)
            if match is None or not 1 <= int(match[2]) <= people:
                yield Broken(path, "bad_name", f"wanted {part}_release/1..{people}/F.avi, F 1-8 or HR_1-HR_4")
                continue
            found.add((int(match[2]), match[3]))
            yield _item(path, match)
        for number in sorted({n for n, _ in found}):
            for stem in sorted(set(_CLASSES) - {s for n, s in found if n == number}):
                yield Broken(f"{part}_release/{number}/{stem}.avi", "missing", "every person has twelve videos")


def _item(path: str, match: re.Match[str]) -> RealItem:
    species, own, quality = _CLASSES[match[3]]
    part: Part = "train" if match[1] == "train" else "test"
    person = int(match[2]) + (0 if part == "train" else _PEOPLE["train"])
    attack = {"warped photo": "warped", "cut photo": "cut", "video": "video"}.get(own)
    names = ["overall", quality, *(("warped", "cut", "video") if attack is None else (attack,))]
    return RealItem(
        path=path,
        kind="video",
        species=species,
        own_class=own,
        subject=f"{person:02d}",
        device=f"{quality}_quality",
        instrument={"video": "ipad"}.get(own, ""),
        splits={f"casia_{name}": part for name in names},
        facts={"file": match[3], "quality": quality},
    )
