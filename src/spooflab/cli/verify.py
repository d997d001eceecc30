"""`spooflab verify`: prove that a data set is whole."""

import json as json_module
import sys
from pathlib import Path

import tyro


def verify(directory: tyro.conf.Positional[Path], /, *, json: bool = False) -> int:
    """Check every shard, row and image of a data set against its commit records.

    Args:
        directory: folder of the data set.
        json: print the findings as JSON.
    """
    from spooflab.store import Store

    found = Store.open(directory).verify()
    if json:
        sys.stdout.write(json_module.dumps(found.to_json()) + "\n")
    else:
        sys.stdout.write(found.summary() + "\n")
    return 0 if found.ok else 1
