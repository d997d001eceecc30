"""`spooflab audit`: look for leaks, wrong labels and shortcuts before anything is trained."""

import json as json_module
import sys
from pathlib import Path
from typing import Annotated

import tyro


def audit(
    directory: tyro.conf.Positional[Path],
    /,
    *,
    study: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    limit: int = 20_000,
    json: bool = False,
) -> int:
    """Look for people under two names, near-duplicates, wrong labels, shortcuts and leaks in a data set.

    Args:
        directory: folder of the data set; nothing is written there.
        study: YAML file of a study, whose folds are checked for what their parts share.
        limit: most pictures whose pixels are measured.
        json: print all findings, with all keys, as JSON.

    Returns:
        0 without errors, 1 with any; warnings and notes are told and change nothing.
    """
    from spooflab.config import load_config
    from spooflab.errors import ConfigError
    from spooflab.experiments.audit.run import audit as run
    from spooflab.experiments.study_config import StudyConfig

    if limit < 1:
        raise ConfigError(f"--limit {limit}", wanted="1 or more")
    found = run(directory, None if study is None else load_config(study, StudyConfig), limit=limit)
    sys.stdout.write((json_module.dumps(found.to_json()) if json else found.summary()) + "\n")
    return 0 if found.ok else 1
