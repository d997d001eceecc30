"""Idiap Replay-Mobile (Costa-Pazo et al., BIOSIG 2016; https://www.idiap.ch/en/dataset/replay-mobile).

Layout: `train/`, `devel/`, `test/`, each with `real/clientNNN_sessionNN_authenticate_DEVICE_LIGHT.mov` and
`attack/attack_clientNNN_sessionNN_INSTRUMENT_SUPPORT_DEVICE_TYPE_LIGHT.mov`; INSTRUMENT print or mattescreen, SUPPORT
fixed or hand, DEVICE mobile (LG G4) or tablet (iPad Mini 2), TYPE photo or video. `faceloc/rect/PART/...` holds `.face`
files. Attempts for enrolment (`enroll/`) are left out.

Stored frames lie on their side. Idiap's own reader transposes them and then turns those of the phone over (top to
bottom); this reader does the same. Its boxes are those of `.face` files in turned frames.

print is A4 on matte paper, mattescreen a monitor (Philips 227ELH). Protocols: `replay_mobile_grandtest`, `_print`,
`_mattescreen`.

Checked against `bob.db.replaymobile` (names, lights, folders of boxes, turning). Not verified: whether later releases
are stored upright (then the face network finds no face, and says so), and whether sub-folders by support exist.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spooflab.experiments.readers.item import Broken, FaceFile, Orientation, Part, RealItem
from spooflab.experiments.readers.walk import VIDEOS, files, need

_PARTS: dict[str, Part] = {"train": "train", "devel": "dev", "test": "test"}
_REAL = re.compile(r"client(\d{3})_session(\d\d)_authenticate_(mobile|tablet)_([a-z]+)(?:_\d)?")
_ATTACK = re.compile(
    r"attack_client(\d{3})_session(\d\d)_(print|mattescreen)_(fixed|hand)_(mobile|tablet)_(photo|video)_([a-z]+)"
)
_SPECIES = {"print": "print_a4", "mattescreen": "replay_monitor"}
_TURNS: dict[str, Orientation] = {"mobile": "rot90ccw", "tablet": "transpose"}
_DEVICES = {"mobile": "lg_g4", "tablet": "ipad_mini_2"}


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every attempt, in order of path; see the module for the layout."""
    need(root, *_PARTS, what="Replay-Mobile")
    for folder, part in _PARTS.items():
        for path in files(root, VIDEOS, under=folder):
            yield _item(root, path, part)


def _item(root: Path, path: str, part: Part) -> RealItem | Broken:
    pure = PurePosixPath(path)
    face = f"faceloc/rect/{pure.with_suffix('.face').as_posix()}"
    found = FaceFile(face, "box_frame_xywh") if (root / face).is_file() else None
    if pure.parts[1] == "real" and (match := _REAL.fullmatch(pure.stem)):
        client, session, device, light = match.groups()
        species, own, names = "bonafide", "real", ("grandtest", "print", "mattescreen")
        facts: dict[str, str | int] = {"light": light}
        instrument = ""
    elif pure.parts[1] == "attack" and (match := _ATTACK.fullmatch(pure.stem)):
        client, session, instrument, support, device, kind, light = match.groups()
        species, own, names = _SPECIES[instrument], f"{instrument} {kind}", ("grandtest", instrument, "")
        facts = {"light": light, "support": support, "shown": kind}
    else:
        return Broken(path, "bad_name", "neither real/client... nor attack/attack_client...")
    return RealItem(
        path=path,
        kind="video",
        species=species,
        own_class=own,
        subject=client,
        device=_DEVICES[device],
        instrument=instrument,
        session=f"{session}_{light}",
        splits={f"replay_mobile_{name}": part for name in names if name},
        face=found,
        orientation=_TURNS[device],
        facts=facts,
    )
