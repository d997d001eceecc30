"""Processes that are killed, stopped and refused while they commit, and several that fill one folder."""

from collections.abc import Callable

import pytest
from faults import Fault, Outcome, in_own_process

Endure = Callable[[Fault], Outcome]
pytestmark = pytest.mark.slow


def test_kills_while_committing(endure: Endure) -> None:
    how = "a process that commits, at every commit point and before calls to the file system"
    endure(Fault("kill", how, in_own_process("stopped_calls", "killed"), trimmed=15, full=100))


def test_stops_while_committing(endure: Endure) -> None:
    how = "stopped before each call to the file system, replaced, and woken before, while and after another commits"
    endure(Fault("hang", how, in_own_process("stopped_calls", "stopped"), trimmed=40, full=120))


def test_refusals_while_committing(endure: Endure) -> None:
    how = "a limit on the file's size, or no space left at a call that writes"
    endure(Fault("disk", how, in_own_process("stopped_calls", "refused"), trimmed=24, full=96))


def test_launchers_in_one_folder(endure: Endure) -> None:
    how = "two or three processes at once"
    endure(Fault("launchers", how, in_own_process("stopped_calls", "launchers"), trimmed=4, full=50))
