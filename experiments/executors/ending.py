"""How a cell ended, as plain values that cross processes and machines; no exception object travels."""

import traceback
from pathlib import Path
from typing import TypedDict

from spooflab.errors import ConfigError, DataError, SpooflabError
from spooflab.experiments.executors.protocol import Task
from spooflab.experiments.run_folder import Busy
from spooflab.experiments.run_spec import RunSpec


class Ending(TypedDict):
    """What a cell raised."""

    kind: str
    seen: str
    wanted: str
    next_step: str
    trace: list[str]


class Raised(Exception):
    """What a cell raised in another process, told as `Kind: message`."""


class RemoteTrace(Exception):
    """The last lines of the traceback in that process; the cause of what is raised here."""


class Died(RuntimeError):
    """The process that ran a cell ended without a word."""


_OURS: dict[str, type[SpooflabError]] = {"ConfigError": ConfigError, "DataError": DataError}


def attempt(task: Task, spec: RunSpec, out: Path) -> Ending | None:
    """Run one cell and return what it raised, None when it is done."""
    try:
        task(spec, out)
    except Exception as error:  # a failed cell is recorded, and the study goes on
        told = error if isinstance(error, SpooflabError) else SpooflabError(str(error))
        return Ending(
            kind=type(error).__name__,
            seen=told.seen,
            wanted=told.wanted,
            next_step=told.next_step,
            trace="".join(traceback.format_exception(error)).splitlines()[-12:],
        )
    return None


def as_error(ending: Ending | None) -> BaseException | None:
    """Return what `attempt` told as an exception: of its own kind where it is one of ours, else `Raised`."""
    if ending is None:
        return None
    error: Exception
    if ending["kind"] in _OURS:
        error = _OURS[ending["kind"]](ending["seen"], wanted=ending["wanted"], next_step=ending["next_step"])
    elif ending["kind"] == Busy.__name__:
        error = Busy(ending["seen"])
    else:
        error = Raised(f"{ending['kind']}: {ending['seen']}")
    error.__cause__ = RemoteTrace("\n".join(ending["trace"]))
    return error
