"""Spoilt pictures as cleanvision finds them, read from the store: no picture is written anywhere.

cleanvision: https://github.com/cleanlab/cleanvision (Apache-2.0), an optional dependency.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from spooflab.errors import ConfigError, DataError
from spooflab.images import decode_own_png
from spooflab.store import iter_images

ISSUES = {
    "dark": "dark",
    "light": "bright",
    "blurry": "blurry",
    "low_information": "little_detail",
    "odd_size": "odd_size",
    "odd_aspect_ratio": "odd_shape",
    "grayscale": "grey",
    "exact_duplicates": "duplicate",
    "near_duplicates": "near_duplicate",
}
"""cleanvision's names, and ours."""
KEPT = 100
"""Keys that a report names for each issue; all are counted."""


@dataclass(frozen=True)
class Vision:
    """What cleanvision found.

    Attributes:
        version: of cleanvision.
        pictures: how many were looked at.
        counts: pictures by issue.
        worst: keys and scores (0 worst … 1) of pictures with each issue, worst first, at most `KEPT`.
        spoilt: pictures with any issue but the two kinds of duplicates.
    """

    version: str
    pictures: int
    counts: dict[str, int]
    worst: dict[str, tuple[tuple[str, float], ...]]
    spoilt: int


def look(root: Path, rows: int) -> Vision:
    """Let cleanvision look at every picture, on one process; about 150 bytes of memory for each.

    Args:
        root: folder of the store.
        rows: pictures in its committed shards.

    Raises:
        ConfigError: cleanvision is not installed.
        DataError: damage, or no picture.
    """
    try:
        import cleanvision
        from cleanvision import Imagelab
    except ImportError as error:
        raise ConfigError(
            "cleanvision is not installed", wanted="the extra `qa`", next_step="pip install 'spooflab[qa]'"
        ) from error
    if not rows:
        raise DataError(f"{root}: no picture to look at", wanted="a data set with pictures")
    view = _View(root, rows)
    lab: Any = Imagelab(hf_dataset=view, image_key="image", verbose=False)
    quiet = io.StringIO()  # it prints advice on its own report, and bars whatever it is told
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        lab.find_issues(issue_types={name: {} for name in ISSUES}, n_jobs=1, verbose=False)
    if view.failed is not None:  # cleanvision passes over pictures that it cannot load
        raise view.failed
    table = lab.issues
    counts, worst, any_spoilt = {}, {}, None
    for name, ours in ISSUES.items():
        flag, score = table[f"is_{name}_issue"].astype(bool), table[f"{name}_score"]
        counts[ours] = int(flag.sum())
        found = sorted((float(score[row]), view.keys[row]) for row in table.index[flag])[:KEPT]
        worst[ours] = tuple((key, round(value, 4)) for value, key in found)
        if not name.endswith("duplicates"):
            any_spoilt = flag if any_spoilt is None else any_spoilt | flag
    spoilt = 0 if any_spoilt is None else int(any_spoilt.sum())
    return Vision(str(cleanvision.__version__), rows, counts, worst, spoilt)


class _View:
    """A store as the table of pictures that cleanvision asks for by number: it asks in order, once or twice."""

    def __init__(self, root: Path, rows: int) -> None:
        self._root, self._rows = root, rows
        self.features = {"image": None}
        self.keys: list[str] = []
        self.failed: Exception | None = None
        self._stream: Iterator[tuple[str, bytes]] = iter(())
        self._next, self._last = rows, Image.new("RGB", (1, 1))

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> dict[str, Image.Image]:
        try:
            if row + 1 != self._next:
                if row < self._next:
                    self._stream, self._next = iter_images(self._root, partial=True), 0
                while self._next <= row:
                    key, png = next(self._stream)
                    if self._next == len(self.keys):
                        self.keys.append(key)
                    self._next += 1
                    if self._next > row:
                        self._last = Image.fromarray(decode_own_png(png))
        except Exception as error:
            self.failed = self.failed or error
            raise
        return {"image": self._last}
