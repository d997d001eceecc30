"""`spooflab card`: a data card with contact sheets and Croissant metadata."""

import json as json_module
import sys
from pathlib import Path

import tyro

from spooflab.cli.place import Place


def card(
    directory: tyro.conf.Positional[Place],
    /,
    *,
    out: Path | None = None,
    name: str | None = None,
    licence: str = "",
    creator: str = "",
    url: str = "",
    date: str = "",
    version: str = "1.0.0",
    seed: int = 0,
    json: bool = False,
) -> int:
    """Write card.md, card.html, croissant.json, stats.json and contact sheets of a finished data set.

    The same data and options give the same bytes: no time, host or user is in them.

    Args:
        directory: folder or URL of the data set.
        out: folder to write into; the data set's own by default, which a URL has not.
        name: of the data set; its folder's name by default.
        licence: under which the data set is handed on; the licences of its faces are listed in any case.
        creator: organisation or person, for croissant.json.
        url: the data set's page, for croissant.json.
        date: of publication, such as 2026-05-01, for croissant.json.
        version: of the data set, for croissant.json.
        seed: chooses the pictures of the contact sheets.
        json: print the paths written as JSON.
    """
    from spooflab.errors import ConfigError
    from spooflab.experiments.data_sets.card import write_card
    from spooflab.experiments.data_sets.croissant import Published
    from spooflab.location import name_of

    if out is None and not isinstance(directory, Path):
        raise ConfigError(
            f"card of {directory} without --out", wanted="--out FOLDER", next_step="copy the card from there"
        )
    told = Published(name or name_of(directory), licence, creator, url, date, version)
    files = write_card(directory, out or Path(str(directory)), told, seed=seed)
    if json:
        sys.stdout.write(json_module.dumps({"files": [str(path) for path in files]}) + "\n")
        return 0
    sys.stderr.write(f"wrote {len(files)} files; read {files[0]} or open {files[1]}\n")
    if told.missing:
        options = ", ".join(f"--{name}" for name in told.missing)
        sys.stderr.write(f"croissant.json lacks what Croissant 1.0 requires of its owner: {options}\n")
    return 0
