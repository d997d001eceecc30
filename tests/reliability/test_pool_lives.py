"""Pools whose processes die and hang end with the bytes of a run that nothing disturbed."""

import sys
from collections.abc import Callable

import pytest
from faults import Fault, Outcome, in_own_process
from pool_lives import workers_killed, workers_stopped

Endure = Callable[[Fault], Outcome]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")]


def test_workers_that_are_killed(endure: Endure) -> None:
    endure(Fault("kill", "workers of a pool of two, at any moment", workers_killed, trimmed=3, full=25))


def test_drivers_that_are_killed(endure: Endure) -> None:
    how = "drivers of a pool of two, at any moment; started again until all is made"
    endure(Fault("kill", how, in_own_process("pool_lives", "drivers_killed"), trimmed=2, full=25))


def test_workers_that_are_stopped(endure: Endure) -> None:
    endure(Fault("hang", "workers of a pool of two, stopped while they hold a shard", workers_stopped, 1, 10))
