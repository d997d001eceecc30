"""Idiap Replay-Attack (Chingovska et al., BIOSIG 2012; https://www.idiap.ch/en/dataset/replayattack).

Layout: `train/`, `devel/`, `test/`, each with `real/clientNNN_sessionNN_webcam_authenticate_LIGHT_TAKE.mov` and
`attack/{fixed,hand}/attack_DEVICE_clientNNN_sessionNN_QUALITY_TYPE_LIGHT.mov`; DEVICE print, mobile or highdef,
QUALITY highdef or mobile, TYPE photo or video, LIGHT controlled or adverse. `face-locations/PART/...` mirrors it with
`.face` files of `frame x y width height`. `enroll/` holds videos for recognition; none is an attempt, so they are
left out.

print is A4 on plain paper, mobile an iPhone 3GS, highdef an iPad; all is filmed by the webcam of a MacBook.

Protocols: `replay_grandtest` and, by attacks, `replay_print`, `_mobile`, `_highdef`, `_digitalphoto` (photos on
screens), `_photo` (those and prints), `_video`, each with all bona fide attempts. They follow from the names; the
lists in `protocols/` are not needed.

Checked against `bob.db.replay` (names, lights, supports, `.face` columns, grandtest). Not verified: that digitalphoto
leaves prints out.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from spooflab.experiments.readers.item import Broken, FaceFile, Part, RealItem
from spooflab.experiments.readers.walk import VIDEOS, files, need

_PARTS: dict[str, Part] = {"train": "train", "devel": "dev", "test": "test"}
_REAL = re.compile(r"real/client(\d{3})_session(\d\d)_webcam_authenticate_(controlled|adverse)_(\d)")
_ATTACK = re.compile(
    r"attack/(fixed|hand)/attack_(print|mobile|highdef)_client(\d{3})_session(\d\d)"
    r"_(highdef|mobile)_(photo|video)_(controlled|adverse)"
)
_SPECIES = {"print": "print_a4", "mobile": "replay_phone", "highdef": "replay_tablet"}
_INSTRUMENTS = {"print": "plain_a4", "mobile": "iphone_3gs", "highdef": "ipad"}
_ALL = ("grandtest", "print", "mobile", "highdef", "digitalphoto", "photo", "video")


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every attempt, in order of path; see the module for the layout."""
    need(root, *_PARTS, what="Replay-Attack")
    for folder, part in _PARTS.items():
        for path in files(root, VIDEOS, under=folder):
            stem = path.removeprefix(f"{folder}/").rpartition(".")[0]
            face = f"face-locations/{folder}/{stem}.face"
            found = FaceFile(face, "box_frame_xywh") if (root / face).is_file() else None
            if match := _REAL.fullmatch(stem):
                yield _real(path, part, match, found)
            elif match := _ATTACK.fullmatch(stem):
                yield _attack(path, part, match, found)
            else:
                yield Broken(path, "bad_name", "neither real/client... nor attack/{fixed,hand}/attack_...")


def _real(path: str, part: Part, match: re.Match[str], face: FaceFile | None) -> RealItem:
    client, session, light, take = match.groups()
    return RealItem(
        path=path,
        kind="video",
        species="bonafide",
        own_class="real",
        subject=client,
        device="macbook_webcam",
        session=f"{session}_{light}",
        splits={f"replay_{name}": part for name in _ALL},
        face=face,
        facts={"light": light, "take": int(take)},
    )


def _attack(path: str, part: Part, match: re.Match[str], face: FaceFile | None) -> RealItem:
    support, device, client, session, quality, kind, light = match.groups()
    names = ["grandtest", device, kind, *(["digitalphoto"] if kind == "photo" and device != "print" else [])]
    return RealItem(
        path=path,
        kind="video",
        species=_SPECIES[device],
        own_class=f"{device} {kind}",
        subject=client,
        device="macbook_webcam",
        instrument=_INSTRUMENTS[device],
        session=f"{session}_{light}",
        splits={f"replay_{name}": part for name in names},
        face=face,
        facts={"support": support, "light": light, "shown": kind, "shot_with": quality},
    )
