"""SynthASpoof (Fang, Huber, Damer, CVPRW 2023, arXiv:2303.02660; https://github.com/meilfang/SynthASpoof).

Layout: pictures, and a CSV with the columns `image_path,label` (`bonafide` or `attack`) in the root (`labels.csv`,
else the one CSV that has these columns). The faces are made by a generative model; attacks are prints and replays of
them, photographed.

All pictures are marked `trainedAlgorithmicMedia`, bona fide ones and attacks alike, since all faces are generated.
The data set has no official parts. The number in a file's name is taken as the face (`Img123.png` and its attacks
share it).

Checked against the repository's read-me and a public script that reads numbers from names. Not verified: folders of
attacks and devices. So attacks keep the coarse species `physical_unspecified`, and the path is recorded.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spooflab.errors import DataError, SkipSample
from spooflab.experiments.readers.item import Broken, RealItem
from spooflab.experiments.readers.walk import need, read_table, read_text
from spooflab.provenance import TRAINED_ALGORITHMIC_MEDIA

_NUMBER = re.compile(r"[A-Za-z_]*?(\d+)")


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every labelled picture, in order of path; see the module for the layout."""
    need(root, ".", what="SynthASpoof")
    name = _labels(root)
    seen: set[str] = set()
    for row in sorted(read_table(root, name)[1], key=lambda r: r["image_path"]):
        path, label = row["image_path"].strip().lstrip("/"), row["label"].strip().lower()
        if not path:
            yield Broken("", "bad_list_line", f"{name} has a row without a path")
        elif path in seen:
            yield Broken(path, "named_twice", f"{name} has two rows for it")
        elif label not in ("bonafide", "attack"):
            yield Broken(path, "unknown_class", f"label {label!r}, wanted bonafide or attack")
        else:
            seen.add(path)
            yield _item(path, label)


def _item(path: str, label: str) -> RealItem:
    number = _NUMBER.match(PurePosixPath(path).stem)
    subject = number[1] if number else f"of_{path}"
    return RealItem(
        path=path,
        kind="image",
        species="bonafide" if label == "bonafide" else "physical_unspecified",
        own_class=label,
        subject=subject,
        device="unknown",
        source_type=TRAINED_ALGORITHMIC_MEDIA,
        facts={"subjects_known": int(number is not None)},
    )


def _labels(root: Path) -> str:
    """Return the name of the label file."""
    found = []
    for file in sorted(root.glob("*.csv")):
        try:
            head = read_text(root, file.name).partition("\n")[0]
        except SkipSample:
            continue
        if {"image_path", "label"} <= {cell.strip() for cell in head.split(",")}:
            found.append(file.name)
    if "labels.csv" in found:
        return "labels.csv"
    if len(found) != 1:
        seen = ", ".join(found) or ", ".join(sorted(p.name for p in root.iterdir())[:6]) or "nothing"
        raise DataError(f"{root} holds {seen}", wanted="one CSV with the columns image_path,label")
    return found[0]
