"""`spooflab verify`: prove that a data set is whole."""

import json as json_module
import sys

import tyro

from spooflab.cli.place import Place


def verify(directory: tyro.conf.Positional[Place], /, *, json: bool = False) -> int:
    """Check every shard, row and image of a data set against its commit records.

    Args:
        directory: folder or URL of the data set.
        json: print the findings as JSON.
    """
    from spooflab.store import Store

    found = Store.open(directory).verify()
    if json:
        sys.stdout.write(json_module.dumps(found.to_json()) + "\n")
    else:
        sys.stdout.write(found.summary() + "\n")
    return 0 if found.ok else 1
