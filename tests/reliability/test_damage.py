"""Bits that flip and files that are cut off: nothing goes on as if they had not."""

from collections.abc import Callable

import pytest
from faults import Fault, Outcome
from flips import flips

Endure = Callable[[Fault], Outcome]
pytestmark = pytest.mark.slow


def test_flips_and_cuts_of_a_store(endure: Endure) -> None:
    endure(Fault("flip", "one bit or a cut, in shards, records and the plan", flips, trimmed=40, full=300))
