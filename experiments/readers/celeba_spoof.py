"""CelebA-Spoof (Zhang et al., ECCV 2020, arXiv:2007.12342; https://github.com/ZhangYuanhan-AI/CelebA-Spoof).

Layout: `Data/{train,test}/SUBJECT/{live,spoof}/NNNNNN.{jpg,png}`, beside each `NNNNNN_BB.txt` (`x y width height
score` in units of a picture of 224 x 224), and `metas/*/{train,test}_label.json`: path to a list of 44 numbers, of
which 0-39 are CelebA's attributes, 40 the spoof type, 41 the illumination, 42 the environment, 43 whether it is a
spoof.

Protocols: every folder below `metas` that holds both files; `metas/intra_test` is `celeba_spoof_intra_test`,
`metas/protocol2/x` would be `celeba_spoof_protocol2.x`. There is no dev part.

Checked against the authors' `client.py` (boxes in 224ths, index 43) and public loaders (index 40 and its eleven
types). Not verified: the meaning of 41 and 42 (recorded as numbers), the folders of protocols 1 and 2, and whether a
face of CelebA with several subjects' numbers exists. Types 4-6 are worn or cut prints: 4 is `mask_paper`, 5 and 6 are
`region_upper_body`, our nearest. 10 tells no material: `mask_unspecified`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from spooflab.errors import DataError, SkipSample
from spooflab.experiments.readers.item import Broken, FaceFile, Part, RealItem
from spooflab.experiments.readers.walk import IMAGES, files, need, read_text
from spooflab.json_text import parse_json

TYPES = (
    ("bonafide", "Live"),
    ("print_photo", "Photo"),
    ("print_poster", "Poster"),
    ("print_a4", "A4"),
    ("mask_paper", "Face Mask"),
    ("region_upper_body", "Upper Body Mask"),
    ("region_upper_body", "Region Mask"),
    ("replay_monitor", "PC"),
    ("replay_tablet", "Pad"),
    ("replay_phone", "Phone"),
    ("mask_unspecified", "3D Mask"),
)
"""Our species and the data set's own name of each spoof type, by its number."""
_PATH = re.compile(r"Data/(train|test)/(\d+)/(live|spoof)/[^/]+")
_LABELS: dict[str, Part] = {"train_label.json": "train", "test_label.json": "test"}
_LENGTH = 44


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every labelled picture, in order of path; see the module for the layout."""
    need(root, "Data", what="CelebA-Spoof")
    need(root, "metas", what="CelebA-Spoof")
    labels, splits, wrong = _labels(root)
    yield from wrong
    present = set()
    for path in files(root, IMAGES, under="Data"):
        present.add(path)
        yield _item(root, path, labels.get(path), splits.get(path, {}))
    for path in sorted(set(labels) - present):
        yield Broken(path, "missing", "labelled, not on disk")


def _item(root: Path, path: str, label: list[int] | None, splits: dict[str, Part]) -> RealItem | Broken:
    match = _PATH.fullmatch(path)
    if match is None:
        return Broken(path, "bad_name", "wanted Data/{train,test}/SUBJECT/{live,spoof}/FILE")
    if label is None:
        return Broken(path, "no_label", "no label file names it")
    kind, live = label[40], match[3] == "live"
    if not 0 <= kind < len(TYPES):
        return Broken(path, "unknown_class", f"spoof type {kind}, known are 0 to {len(TYPES) - 1}")
    if (kind == 0) != live or (label[43] == 0) != live:
        return Broken(path, "label_conflict", f"in {match[3]}/ with spoof type {kind} and label {label[43]}")
    species, own = TYPES[kind]
    box = f"{PurePosixPath(path).with_suffix('').as_posix()}_BB.txt"
    masked = species == "mask_unspecified"
    return RealItem(
        path=path,
        kind="image",
        species=species,
        own_class=own,
        subject=f"{match[2]}_wearer" if masked else match[2],
        donor=match[2] if masked else "",
        group=match[2],
        device="unknown",
        splits=splits,
        face=FaceFile(box, "box_celeba_spoof") if (root / box).is_file() else None,
        facts={"illumination": label[41], "environment": label[42], "spoof_type": kind},
    )


def _labels(root: Path) -> tuple[dict[str, list[int]], dict[str, dict[str, Part]], list[Broken]]:
    labels: dict[str, list[int]] = {}
    splits: dict[str, dict[str, Part]] = defaultdict(dict)
    wrong: list[Broken] = []
    for path in files(root, (".json",), under="metas"):
        pure = PurePosixPath(path)
        if pure.name not in _LABELS:
            continue
        protocol = "celeba_spoof_" + ".".join(pure.parent.parts[1:])
        for name, value in _json(root, path).items():
            if not isinstance(value, list) or len(value) != _LENGTH or not all(isinstance(v, int) for v in value):
                wrong.append(Broken(name, "bad_label", f"{path}: wanted {_LENGTH} whole numbers"))
            elif labels.setdefault(name, value) != value:
                wrong.append(Broken(name, "label_conflict", f"{path} labels it otherwise than another protocol"))
            else:
                splits[name][protocol] = _LABELS[pure.name]
    return labels, splits, wrong


def _json(root: Path, path: str) -> dict[str, Any]:
    try:
        data = parse_json(read_text(root, path))
    except (SkipSample, ValueError) as error:
        raise DataError(f"{root / path}: {error}", wanted="a JSON object of labels by path") from error
    if not isinstance(data, dict):
        raise DataError(f"{root / path}: holds {type(data).__name__}", wanted="a JSON object of labels by path")
    return data
