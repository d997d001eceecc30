"""`spooflab merge`: one data set of several."""

import json as json_module
import sys
from dataclasses import asdict
from typing import Literal

import tyro

from spooflab.cli.place import Place


def merge(
    directories: tyro.conf.Positional[tuple[Place, ...]],
    /,
    *,
    out: Place,
    names: tuple[str, ...] = (),
    duplicates: Literal["error", "skip"] = "error",
    people: Literal["apart", "same"] = "apart",
    resume: bool = False,
    json: bool = False,
) -> int:
    """Make one data set of several finished ones. Their order decides the order of rows, and which duplicate is kept.

    Keys become NAME-KEY, people and groups NAME/…; devices and instruments keep their names, being the same in all.

    Args:
        directories: folders or URLs of the data sets.
        out: folder or URL of the merged data set.
        names: one for each part, in order; those of the folders by default.
        duplicates: `error` refuses pictures that come twice, `skip` keeps the first and records the others as skipped.
        people: `apart`: equal names in two parts are different people. `same`: they are one, and their groups join.
        resume: go on with an interrupted merge of the same data sets.
        json: print the summary as JSON.
    """
    from spooflab.experiments.data_sets.merging.merge import merge as run

    done = run(directories, out, names=names, duplicates=duplicates, people=people, resume=resume)
    if json:
        sys.stdout.write(json_module.dumps({"out": str(out), **asdict(done)}) + "\n")
    parts = ", ".join(f"{name} {rows}" for name, rows in done.parts.items())
    lines = [
        f"{done.summary.rows} rows of {parts}; {done.duplicates} duplicates kept out. Check: spooflab verify {out}"
    ]
    for name, missing in done.without.items():
        if missing:
            lines.append(f"{name} lacks " + ", ".join(f"{column} in {n} rows" for column, n in missing.items()))
    if done.shared and people == "apart":
        lines.append(
            f"{len(done.shared)} names of people are in two parts, the first {done.shared[0]}: they are kept as "
            "different people. If they are one, a split by subject would leak: merge with --people same"
        )
    sys.stderr.write("\n".join(lines) + "\n")
    return 0 if done.summary.committed == done.summary.shards else 1
