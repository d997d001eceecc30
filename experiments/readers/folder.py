"""Any data set in folders: `[PART/]CLASS/[SUBJECT/]FILE`, pictures and videos.

PART is `train`, `dev` (`val`, `valid`, `validation`, `devel`) or `test` (`eval`) and becomes the protocol `folder`.
CLASS is a species of the taxonomy, or a common word (`live`, `real`, `spoof`, `attack`, `print` ...). Without SUBJECT
each file is its own subject, and `subjects_known` is 0 in its record. This layout is ours; no data set's page
describes it.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spooflab.experiments.readers.classes import known_names, species_named
from spooflab.experiments.readers.item import Broken, Part, RealItem
from spooflab.experiments.readers.walk import IMAGES, VIDEOS, files, need

PARTS: dict[str, Part] = {
    "train": "train",
    "dev": "dev",
    "devel": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
    "eval": "test",
}
"""Names of parts that generic data sets use."""


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every picture and video, in order of path; see the module for the layout."""
    need(root, ".", what="a data set in folders")
    for path in files(root, (*IMAGES, *VIDEOS)):
        yield _item(path)


def _item(path: str) -> RealItem | Broken:
    pure = PurePosixPath(path)
    *above, _ = pure.parts
    part = PARTS.get(above[0].lower()) if above else None
    if part is not None:
        above = above[1:]
    if not 1 <= len(above) <= 2:
        return Broken(path, "bad_layout", "wanted [PART/]CLASS/[SUBJECT/]FILE")
    species = species_named(above[0])
    if species is None:
        return Broken(path, "unknown_class", f"{above[0]!r} is no species and none of {known_names()}")
    known = len(above) == 2
    return RealItem(
        path=path,
        kind="video" if pure.suffix.lower() in VIDEOS else "image",
        species=species,
        own_class=above[0],
        subject=above[1] if known else f"of_{path}",
        device="unknown",
        splits={} if part is None else {"folder": part},
        facts={"subjects_known": int(known)},
    )
