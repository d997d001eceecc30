"""Faults are endured a few times among the tests, and as often as the table says by `make torture`."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import Fault, Outcome, write_line

PAGE = os.environ.get("SPOOFLAB_TORTURE", "")
"""The page whose table is written; where it is named, every fault is injected as often as it can say."""


@pytest.fixture
def endure(tmp_path: Path) -> Callable[[Fault], Outcome]:
    """Inject a fault, write what came of it where a page is named, and want nothing lost, twice, wrong or hung."""

    def run(fault: Fault) -> Outcome:
        count = fault.full if PAGE else fault.trimmed
        if not count:
            pytest.skip("injected by `make torture` alone: it takes long, and parts of it are injected by others")
        outcome = fault.inject(fault.draws(), count, tmp_path)
        if PAGE:
            write_line(Path(PAGE), fault, outcome)
        assert outcome.clean, outcome
        return outcome

    return run
