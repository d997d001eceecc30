"""SiW, Spoof in the Wild (Liu, Jourabloo, Liu, CVPR 2018, arXiv:1803.11097;
http://cvlab.cse.msu.edu/siw-spoof-in-the-wild-database.html).

Layout: `Train/` and `Test/`, each `{live,spoof}/NNN/Subject-Sensor-Type-Medium-Session.mov` (or `.mp4`;
`003-1-2-1-1.mov`), beside each a `.face` file of `left top right bottom`, one line for each frame. Type 1 live, 2
print, 3 replay.

Protocols: `siw_p1` (all; training uses the first 60 frames of a video), `siw_p2.1` to `.4` (replays; medium 1 to 4 is
left out of training and tested), `siw_p3.1` (trained on prints, tested on replays), `siw_p3.2` (the other way round);
live videos by their folder in each. There is no dev part.

Checked against `bob.db.siw` (name, types, extension), public lists of the protocols, and a public reader of `.face`.
Not verified: which screen is which medium, which paper and which sensor is which number. So prints and replays keep
the coarse species `print_unspecified` and `replay_unspecified`, and the numbers are recorded.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spooflab.experiments.readers.item import Broken, FaceFile, Part, RealItem
from spooflab.experiments.readers.walk import VIDEOS, face_beside, files, need

_NAME = re.compile(r"(\d{3})-([12])-([123])-(\d)-(\d)(?:\.m)?")
_PARTS: dict[str, Part] = {"Train": "train", "Test": "test"}
_SPECIES = {"1": "bonafide", "2": "print_unspecified", "3": "replay_unspecified"}
_OWN = {"1": "live", "2": "print", "3": "replay"}
_MEDIA = ("1", "2", "3", "4")
FIRST_FRAMES = 60
"""Frames of a training video that protocol 1 uses."""


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every video, in order of path; see the module for the layout."""
    need(root, *_PARTS, what="SiW")
    for folder, part in _PARTS.items():
        for path in files(root, VIDEOS, under=folder):
            yield _item(root, path, part)


def _item(root: Path, path: str, part: Part) -> RealItem | Broken:
    pure = PurePosixPath(path)
    match = _NAME.fullmatch(pure.stem)
    if match is None:
        return Broken(path, "bad_name", "wanted Subject-Sensor-Type-Medium-Session, such as 003-1-2-1-1")
    subject, sensor, kind, medium, session = match.groups()
    if len(pure.parts) != 4 or pure.parts[1] != ("live" if kind == "1" else "spoof") or pure.parts[2] != subject:
        return Broken(path, "wrong_folder", f"a {_OWN[kind]} video of {subject} in {pure.parent}")
    face = face_beside(root, path, ".face")
    return RealItem(
        path=path,
        kind="video",
        species=_SPECIES[kind],
        own_class=_OWN[kind],
        subject=subject,
        device=f"sensor_{sensor}",
        instrument="" if kind == "1" else f"{_OWN[kind]}_medium_{medium}",
        session=session,
        splits=_splits(part, kind, medium),
        first_frames={"siw_p1": FIRST_FRAMES} if part == "train" else {},
        face=None if face is None else FaceFile(face, "box_ltrb"),
        facts={"sensor": int(sensor), "medium": int(medium)},
    )


def _splits(part: Part, kind: str, medium: str) -> dict[str, Part]:
    found: dict[str, Part] = {"siw_p1": part}
    for left_out in _MEDIA:
        held = kind == "3" and medium == left_out
        if kind == "1" or (kind == "3" and held == (part == "test")):
            found[f"siw_p2.{left_out}"] = part
    for fold, trained in (("1", "2"), ("2", "3")):
        if kind == "1" or (kind == trained) == (part == "train"):
            found[f"siw_p3.{fold}"] = part
    return found
