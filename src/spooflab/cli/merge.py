"""`spooflab merge`: several data sets in one store."""

import json as json_module
import sys
from pathlib import Path
from typing import Annotated

import tyro


def merge(
    parts: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME=FOLDER")],
    /,
    *,
    out: Path,
    resume: bool = False,
    json: bool = False,
) -> int:
    """Put data sets into one store, to train on one and test on another (protocols cross_dataset and others).

    Args:
        parts: two data sets or more, each under the name that protocols call it by.
        out: folder of the new store; the sources are copied, not changed.
        resume: go on with an interrupted merge of the same data sets.
        json: print the counts as JSON.
    """
    from rich.console import Console

    from spooflab.errors import ConfigError
    from spooflab.experiments.merge import merge as run

    named = [part.partition("=") for part in parts]
    wrong = [part for part, (name, sign, folder) in zip(parts, named, strict=True) if not (name and sign and folder)]
    if wrong:
        raise ConfigError(f"{wrong[0]!r}", wanted="NAME=FOLDER, such as oulu=DATA/oulu_npu")
    folders = {name: Path(folder) for name, _, folder in named}
    if len(folders) < len(named):
        raise ConfigError(
            f"names {[name for name, _, _ in named]} repeat", wanted="a name of its own for each data set"
        )
    console = Console(stderr=True, soft_wrap=True)
    found = run(folders, out, resume=resume, progress=lambda done, of: console.print(f"shard {done} of {of} ✓"))
    told = ", ".join(f"{name} {rows}" for name, rows in found.rows.items())
    console.print(f"{sum(found.rows.values())} pictures ({told}); {found.joined} subject groups hold people of several")
    if json:
        sys.stdout.write(json_module.dumps({"out": str(out), "rows": found.rows, "joined_groups": found.joined}) + "\n")
    return 0
