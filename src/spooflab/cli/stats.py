"""`spooflab stats`: what a data set holds, in numbers."""

import json as json_module
import sys

import tyro

from spooflab.cli.place import Place


def stats(directory: tyro.conf.Positional[Place], /, *, json: bool = False) -> int:
    """Count a data set: classes, species, devices, people, splits, instruments, parameter ranges, balance, what was
    left out and why. No picture is read; a data set that is not finished is counted as far as it goes.

    Args:
        directory: folder or URL of the data set.
        json: print every figure as JSON.
    """
    from spooflab.experiments.data_sets.page import markdown
    from spooflab.experiments.data_sets.stats import measure
    from spooflab.experiments.data_sets.stats_sections import lead, statistics
    from spooflab.location import name_of

    found = measure(directory)
    if json:
        sys.stdout.write(json_module.dumps(found.to_json()) + "\n")
    else:
        sys.stdout.write(markdown(name_of(directory), lead(found), statistics(found)))
    return 0
