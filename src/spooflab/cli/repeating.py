"""The shell command that repeats what a command was asked: what messages and reports offer as the next step."""

import shlex
from pathlib import Path

from spooflab.location import Location


def repeating_command(name: str, config: Path | None, out: Location, **options: object) -> str:
    """Return `spooflab NAME CONFIG --out OUT` with the options that were given; None and False were not.

    Without a configuration the command takes the one that lies in OUT.

    >>> repeating_command("study", Path("s.yaml"), Path("my out"), data=None, workers=2, resume=True)
    "spooflab study s.yaml --out 'my out' --workers 2 --resume"
    """
    words = ["spooflab", name, *([] if config is None else [str(config)]), "--out", str(out)]
    for option, value in options.items():
        if value is not None and value is not False:
            words += [f"--{option.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return shlex.join(words)
